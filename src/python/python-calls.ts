/** What Python may ask of the main thread: the engine's commands, our own, keys to read, options. */
import type { Caller } from "../commands/caller.ts";
import type { Path } from "../commands/path.ts";
import { type EngineClient, EngineClosed, encodeCommand } from "../engine/client.ts";
import type { EngineCommand, EngineCommands } from "../engine/engine-commands.ts";
import type { InternalConnections } from "../engine/internal.ts";
import type { UserRights } from "../engine/rights.ts";
import { LastingClient } from "../engine/lasting-client.ts";
import { hasForm, traitsOf, wordOf } from "../engine/traits.ts";
import { ReplyError } from "../errors.ts";
import { encodeWhole } from "../resp/reply.ts";
import type { EngineGate } from "../engine/gate.ts";
import type { Logger } from "../log.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { runAfter, type Timer } from "../timer.ts";
import { AtomicBlocks, type AtomicBlocksOptions } from "./atomics.ts";
import { engineReply, okReply, ownReply } from "./call-reply.ts";
import type { DirectAccess } from "./direct-access.ts";
import type { CallContext, CallHandlers, CallReply, PostHandlers } from "./python-host.ts";
import { shownTo } from "./identity.ts";
import { type Job, ScriptJob } from "./job.ts";
import { convertInTurns, LARGE_REPLY } from "./large-replies.ts";
import { MarshalWriter } from "./marshal.ts";
import { BadMessage, type CallArgs, type PostArgs } from "./messages.ts";
import { ReplyStatus } from "./protocol.ts";
import { type KeyBatch, KeyScan } from "./scan.ts";
import { RespReader } from "./transcode.ts";

export interface PythonCallsOptions {
  /** How `atomic()` blocks end that hold the engine for too long. */
  readonly atomics: Omit<AtomicBlocksOptions, "gate">;
  readonly connections: InternalConnections;
  readonly engineCommands: EngineCommands;
  readonly gate: EngineGate;
  /** The way of all commands. */
  readonly path: Pick<Path, "refusal" | "decide">;
  readonly rights: Pick<UserRights, "isFree" | "mayRead">;
  /** `configGet`: docs/spec/python.md, section 11. */
  readonly option: (key: string) => Buffer | undefined;
  /** Milliseconds that the engine may take for a reply (ExecutionMaxIdleTime); 0: no limit. */
  readonly maxIdleMs: () => number;
  /** Is told which script's body the next command comes from, and (undefined) that it was sent. */
  readonly onBodyCommand: (body: ScriptJob | undefined) => void;
  /** Lets interpreters use the engine by themselves; undefined: it is not in this process. */
  readonly direct: Pick<DirectAccess, "consider"> | undefined;
  /** Takes what scripts log. */
  readonly log: Pick<Logger, "trace" | "debug" | "info" | "warn">;
}

/** Who asks for a command. */
type Asking = Pick<CallContext, "home" | "user" | "prepares">;

/** A walk over the keys, and the execution that it ends with. */
interface Walk {
  readonly scan: KeyScan;
  readonly job: Job | undefined;
  /** Its next batch was asked for. */
  reading: boolean;
}

/** What one interpreter holds here. */
interface HomeState {
  /** The connection of its own. */
  readonly client: LastingClient;
  readonly walks: Map<number, Walk>;
}

/** Walks over the keys that an interpreter may have begun at a time: one for each execution that reads, and waits meanwhile. */
const MAX_WALKS = 1_000;
/** How many of them read their next batch before it is asked for. */
const MAX_READING_AHEAD = 4;
/** Milliseconds until it is looked again whether an interpreter has taken its answers. */
const LOOK_AGAIN_MS = 5;
/** The name of a command that is not looked up is shown so far. */
const SHOWN_NAME = 128;

export class PythonCalls {
  readonly handlers: Pick<CallHandlers, "execute" | "atomic" | "keys_open" | "keys_next" | "config_get"> = {
    execute: (caller, args) => this.#execute(caller, args),
    atomic: (caller, args) => this.#atomic(caller, args),
    keys_open: (caller, args) => this.#openKeys(caller, args),
    keys_next: (caller, { cursor }) => this.#nextKeys(caller.home, cursor),
    config_get: (_caller, { key }) => okReply(this.#options.option(key)?.toString("utf8") ?? null),
  };
  readonly posts: Pick<PostHandlers, "keys_close" | "log"> = {
    keys_close: (home, { cursor }) => this.#closeKeys(home, cursor),
    log: (_home, line) => this.#scriptLog(line),
  };
  readonly #options: PythonCallsOptions;
  readonly #homes = new Map<object, HomeState>();
  /** Interpreters that have died. What was asked in their names before that gets nothing opened and nothing held. */
  readonly #gone = new WeakSet<object>();
  readonly #atomics: AtomicBlocks;
  #lastWalk = 0;
  /** A batch of keys was read in this turn of the event loop. */
  #hasRead = false;

  constructor(options: PythonCallsOptions) {
    this.#options = options;
    this.#atomics = new AtomicBlocks({ ...options.atomics, gate: options.gate });
  }

  /** A job has ended: what it did not give back is taken back. */
  onJobEnd(home: object, job: Job): void {
    this.#atomics.onJobEnd(home, job);
    for (const [cursor, walk] of this.#homes.get(home)?.walks ?? [])
      if (walk.job === job) this.#closeKeys(home, cursor);
  }

  /** An interpreter is gone. */
  onGone(home: object): void {
    this.#gone.add(home);
    this.#atomics.onGone(home);
    const state = this.#homes.get(home);
    if (!state) return;
    this.#homes.delete(home);
    state.client.close();
    for (const { scan } of state.walks.values()) scan.close();
  }

  #state(home: object): HomeState {
    const known = this.#homes.get(home);
    if (known) return known;
    if (this.#gone.has(home)) throw new ReplyError("ERR the Python interpreter has died");
    const state: HomeState = { client: new LastingClient(() => this.#open()), walks: new Map() };
    this.#homes.set(home, state);
    return state;
  }

  /** execute(): docs/spec/python.md, section 12. */
  #execute(caller: CallContext, { args, job: handle }: CallArgs<"execute">): Maybe<CallReply> {
    const job = caller.job(handle);
    const owner = job?.owner ?? caller.home;
    const reply = this.run(caller, owner, args, job, true);
    this.#options.direct?.consider(caller, owner, handle);
    return reply;
  }

  /**
   * Runs a command for Python code, if its user may.
   * @param links false: past all hooks and what registrations have to do with it
   * @throws ReplyError with the error of whoever carries it out
   */
  run(context: Asking, owner: object, args: readonly Buffer[], job: Job | undefined, links: boolean): Maybe<CallReply> {
    const { path } = this.#options;
    const caller: Caller = { kind: "python", owner, user: context.user ?? "", canWait: false, links, local: true };
    return andThen(this.#watched(job, path.refusal(caller, args)), (refused) => {
      if (refused !== undefined) throw new ReplyError(refused);
      const send = (request: Buffer): Maybe<Buffer> => this.#send(context, caller, args, request, job);
      const decision = path.decide(args, caller);
      if (decision?.instead) return andThen(decision.run(send), ownReply);
      const reply = decision
        ? andThen(decision.run(send), (shown) => encodeWhole(shown, 2))
        : send(encodeCommand(args));
      return andThen(reply, (frame) => {
        const answer = converted(frame);
        if (answer instanceof Promise) context.prepares?.(answer);
        return answer;
      });
    });
  }

  /**
   * Has the engine carry out a command of Python code.
   * @param request what the engine gets for it
   * @throws ReplyError when it is none for scripts
   */
  #send(
    { home }: Asking,
    { owner, user }: Caller,
    args: readonly Buffer[],
    request: Buffer,
    job: Job | undefined,
  ): Maybe<Buffer> {
    const name = wordOf(args[0]);
    const { flags } = this.#known(name, args.length);
    const reply = this.#needsOwnConnection(name, args)
      ? this.#onFreshConnection(request, owner)
      : flags.has("blocking")
        ? this.#unblocked(home, owner, request, job)
        : this.#raw(home, owner, request, 1, job, true);
    const shownToUser = shownTo(user, name, args);
    return shownToUser ? andThen(reply, shownToUser) : reply;
  }

  /** RedisGears asks the command table before it runs a command; Python has its words for these two errors. */
  #known(name: string, count: number): EngineCommand {
    const known = this.#options.engineCommands.find(name);
    if (!known) throw new ReplyError(`ERR unknown command '${name.slice(0, SHOWN_NAME)}'`);
    if (!known.arityFits(count)) throw new ReplyError(`ERR wrong number of arguments for '${name}' command`);
    return known;
  }

  /**
   * Would this command change the connection that all calls of an interpreter share?
   * @throws ReplyError when it may not be run at all
   */
  #needsOwnConnection(name: string, args: readonly Buffer[]): boolean {
    const traits = traitsOf(name);
    if (traits.ends) throw new ReplyError("ERR a script can not shut the server down");
    if (traits.feeds) throw new ReplyError(`ERR ${name.toUpperCase()} isn't allowed for DENY BLOCKING client`);
    if (hasForm(traits.silent, args)) throw new ReplyError(NO_REPLY);
    // replies are read as RESP2
    if (name === "hello" && args[1]?.toString("latin1") === "3")
      throw new ReplyError("NOPROTO unsupported protocol version");
    return traits.connection === true;
  }

  /** Inside a transaction nothing blocks: that is what RedisGears' callers are told as well. */
  async #unblocked(home: object, owner: object, bytes: Buffer, job: Job | undefined): Promise<Buffer> {
    const wrapped = Buffer.concat([encodeCommand(["MULTI"]), bytes, encodeCommand(["EXEC"])]);
    const replies = new RespReader(await this.#raw(home, owner, wrapped, 3, job, true));
    replies.line();
    const queued = replies.at;
    const refused = replies.isError;
    replies.line();
    if (refused) return replies.source.subarray(queued, replies.at);
    replies.arrayLength();
    return replies.source.subarray(replies.at);
  }

  async #onFreshConnection(bytes: Buffer, owner: object): Promise<Buffer> {
    await new Promise<void>((resolve) => this.#options.gate.whenOpen(owner, resolve));
    const client = this.#options.connections.open();
    try {
      return await client.rawCall(bytes, 1);
    } finally {
      client.close();
    }
  }

  /**
   * Sends to the engine when the gate is open. The reply comes at once from an engine in this process.
   * @param shown it is a script's command: MONITOR shows it
   */
  #raw(
    home: object,
    owner: object,
    bytes: Buffer,
    replies: number,
    job: Job | undefined,
    shown = false,
  ): Maybe<Buffer> {
    const { gate } = this.#options;
    if (!gate.isOpenFor(owner)) {
      return new Promise<void>((resolve) => gate.whenOpen(owner, resolve)).then(() =>
        this.#raw(home, owner, bytes, replies, job, shown),
      );
    }
    const { client } = this.#state(home);
    const body = job instanceof ScriptJob ? job : undefined;
    if (body) this.#options.onBodyCommand(body);
    try {
      const reply = client.ask(bytes, replies, shown ? "shown" : undefined);
      return reply instanceof Promise ? this.#watched(job, reply.catch(failed)) : reply;
    } catch (reason) {
      return failed(reason);
    } finally {
      if (body) this.#options.onBodyCommand(undefined);
    }
  }

  #open(): EngineClient {
    const client = this.#options.connections.open();
    // MONITOR is not to show how it logs in
    client.flush();
    return client;
  }

  /** What the engine is asked on behalf of a job. */
  #watched<T>(job: Job | undefined, answer: Maybe<T>): Maybe<T> {
    if (!(answer instanceof Promise)) return answer;
    const idle = this.#watchIdle(job);
    return answer.finally(() => idle?.cancel());
  }

  #watchIdle(job: Job | undefined): Timer | undefined {
    const limit = this.#options.maxIdleMs();
    if (!job || limit <= 0) return undefined;
    const error = `Execution max idle reached (ExecutionMaxIdleTime, ${limit} ms)`;
    return runAfter(limit, () => job.stop({ kind: "fault", error }));
  }

  #atomic(caller: CallContext, { enter, job }: CallArgs<"atomic">): Maybe<CallReply> {
    if (enter === 1) return this.#atomics.enter(caller, job).then(() => okReply(null));
    this.#atomics.leave(caller.home, job);
    return okReply(null);
  }

  async #openKeys(caller: CallContext, request: CallArgs<"keys_open">): Promise<CallReply> {
    const { noScan, readValue } = request;
    // it is kept, and the message is not
    const pattern = Buffer.from(request.pattern);
    const job = caller.job(request.job);
    const { walks } = this.#state(caller.home);
    if (walks.size >= MAX_WALKS)
      throw new ReplyError(`ERR ${MAX_WALKS} executions read keys in this interpreter: no more may begin to`);
    const owner = job?.owner ?? caller.home;
    const call = async (bytes: Buffer, replies: number): Promise<Buffer> =>
      this.#raw(caller.home, owner, bytes, replies, job);
    const user = caller.user ?? "";
    const { rights, path } = this.#options;
    const free = await this.#watched(job, rights.isFree(user));
    const scan0 = [Buffer.from("SCAN"), Buffer.from("0")];
    const refused = free ? undefined : await path.refusal({ kind: "python", user }, scan0);
    if (refused !== undefined) throw new ReplyError(refused);
    const mayRead = free ? undefined : async (key: Buffer): Promise<boolean> => rights.mayRead(user, key);
    const cursor = ++this.#lastWalk;
    const mayReadAhead = (): boolean => {
      let reading = 0;
      for (const { scan } of walks.values()) if (scan.isAhead) reading++;
      return reading < MAX_READING_AHEAD;
    };
    if (job && !caller.job(request.job)) throw new ReplyError("the execution has ended");
    const turn = (): Promise<void> | undefined => this.#turnToRead(caller);
    const scan = new KeyScan(call, { pattern, noScan, readValue, mayRead, mayReadAhead, turn });
    walks.set(cursor, { scan, job, reading: false });
    return this.#nextKeys(caller.home, cursor);
  }

  /**
   * One batch of keys in a turn of the event loop, for the engine in this process answers at once; and none for an interpreter
   * that does not take its answers.
   * @returns undefined when it may be read now
   */
  #turnToRead(caller: CallContext): Promise<void> | undefined {
    if (!this.#hasRead && caller.mayAnswer !== false) {
      this.#hasRead = true;
      setImmediate(() => {
        this.#hasRead = false;
      });
      return undefined;
    }
    return new Promise<void>((resolve) => {
      if (caller.mayAnswer === false) setTimeout(resolve, LOOK_AGAIN_MS);
      else setImmediate(resolve);
    }).then(() => (this.#gone.has(caller.home) ? undefined : this.#turnToRead(caller)));
  }

  async #nextKeys(home: object, cursor: number): Promise<CallReply> {
    const walk = this.#homes.get(home)?.walks.get(cursor);
    if (!walk) {
      this.#checkCursor(home, cursor);
      throw new ReplyError("no such reader");
    }
    if (walk.reading) throw new BadMessage(`cursor ${cursor} is asked twice at a time`);
    walk.reading = true;
    try {
      const batch = await walk.scan.next();
      if (!batch.more) this.#closeKeys(home, cursor);
      return keysReply(cursor, batch);
    } finally {
      walk.reading = false;
    }
  }

  #closeKeys(home: object, cursor: number): void {
    const walks = this.#homes.get(home)?.walks;
    walks?.get(cursor)?.scan.close();
    if (!walks?.delete(cursor)) this.#checkCursor(home, cursor);
  }

  /** An interpreter may still name what has ended. @throws BadMessage for another's cursor, or none that was ever given out */
  #checkCursor(home: object, cursor: number): void {
    const others = [...this.#homes].some(([other, { walks }]) => other !== home && walks.has(cursor));
    if (others || cursor > this.#lastWalk) throw new BadMessage(`cursor ${cursor} is none of this interpreter's`);
  }

  #scriptLog({ level, text }: PostArgs<"log">): void {
    const { log } = this.#options;
    if (level === "warning") log.warn(text);
    else if (level === "debug") log.trace(text);
    else if (level === "verbose") log.debug(text);
    else log.info(text);
  }
}

/** The engine could not be asked. */
function failed(reason: unknown): never {
  throw reason instanceof EngineClosed ? new ReplyError(reason.message) : reason;
}

/** What Python makes of a command that is not replied to. */
const NO_REPLY = "Failed executing command";

const MINUS = 45;

/** What the engine has replied. A large reply is converted a little at a time. @throws ReplyError for an error */
const converted = (bytes: Buffer): Maybe<CallReply> =>
  bytes.length > LARGE_REPLY && bytes[0] !== MINUS ? convertInTurns(bytes) : engineReply(bytes);

function keysReply(number: number, batch: KeyBatch): CallReply {
  const size = batch.keys.length + (batch.values?.length ?? 0) + 64;
  const out = new MarshalWriter(size).list(5).int(number).bool(batch.more).append(batch.keys);
  if (batch.types) out.append(batch.types);
  else out.none();
  if (batch.values) out.append(batch.values);
  else out.none();
  return { status: batch.wroteBytes ? ReplyStatus.withBytes : ReplyStatus.ok, value: out.finish() };
}
