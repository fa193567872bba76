/** What Python may ask of the main thread: the engine's commands, our own, keys to read, options. */
import { type EngineClient, type EngineCommand, encodeCommand } from "../engine/client.ts";
import { EngineCommands } from "../engine/commands.ts";
import { debugRefusal } from "../engine/debug.ts";
import type { InternalConnections } from "../engine/internal.ts";
import type { OwnSettings } from "../engine/own-settings.ts";
import { makesReplica, REPLICATION_REFUSED } from "../engine/replication.ts";
import type { Maybe, UserRights } from "../engine/rights.ts";
import { ReplyError } from "../errors.ts";
import type { EngineGate } from "../engine/gate.ts";
import type { Logger } from "../log.ts";
import type { Reply } from "../resp/reply.ts";
import { runAfter, type Timer } from "../timer.ts";
import { AtomicBlocks, type AtomicBlocksOptions } from "./atomics.ts";
import type { CallContext, CallHandlers, CallReply, PostHandlers, PythonTask } from "./host.ts";
import { shownTo } from "./identity.ts";
import { convertInTurns, LARGE_REPLY } from "./large-replies.ts";
import { encodeMarshal, MarshalWriter } from "./marshal.ts";
import { BadMessage, type CallArgs, type PostArgs } from "./messages.ts";
import { ReplyStatus } from "./protocol.ts";
import { type KeyBatch, KeyScan } from "./scan.ts";
import { RespReader, replyToMarshal } from "./transcode.ts";

export interface PythonCallsOptions {
  /** How `atomic()` blocks end that hold the engine for too long. */
  readonly atomics: Omit<AtomicBlocksOptions, "gate">;
  readonly connections: InternalConnections;
  readonly engineCommands: EngineCommands;
  readonly gate: EngineGate;
  /** Runs a command that the engine is not to see (a hooked one, one of ours); undefined when the engine is to run it. */
  readonly runOwn: (args: readonly Buffer[], owner: object, user: string) => Reply | Promise<Reply> | undefined;
  /** May this user's code run this command? @returns the error reply's text if it may not */
  readonly refusal: (user: string, args: readonly Buffer[]) => Maybe<string | undefined>;
  readonly rights: Pick<UserRights, "isFree" | "mayRead">;
  /** `configGet`: python.md, section 11. */
  readonly option: (key: string) => Buffer | undefined;
  /** Milliseconds that the engine may take for a reply (ExecutionMaxIdleTime); 0: no limit. */
  readonly maxIdleMs: () => number;
  /** The engine did not answer in time: the execution is to be stopped with this error. */
  readonly onIdle: (task: PythonTask, error: string) => void;
  /** Is told which script's body the next command comes from, and (undefined) that it was sent. */
  readonly onBodyCommand: (body: PythonTask | undefined) => void;
  /** Sends a command and deals with the events that it causes before its reply is given. */
  readonly around: (
    args: readonly Buffer[],
    sender: { readonly owner: object; readonly canWait: boolean; readonly links: boolean },
    send: () => Buffer | Promise<Buffer>,
  ) => Buffer | Promise<Buffer>;
  /** Told of commands that may change users' rights: before the engine gets them, and when they were carried out. */
  readonly epoch: { advance(): void; changed(): void };
  readonly settings: OwnSettings;
  /** Takes what scripts log. */
  readonly log: Pick<Logger, "trace" | "debug" | "info" | "warn">;
}

/** A walk over the keys, and the execution that it ends with. */
interface Walk {
  readonly scan: KeyScan;
  readonly task: PythonTask | undefined;
  /** Its next batch was asked for. */
  reading: boolean;
}

/** What one interpreter holds here. */
interface HomeState {
  client: EngineClient | undefined;
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
    config_get: (_caller, { key }) => ok(this.#options.option(key)?.toString("utf8") ?? null),
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

  /** A task has ended: what it did not give back is taken back. */
  onTaskEnd(home: object, task: PythonTask): void {
    this.#atomics.onTaskEnd(home, task);
    for (const [cursor, walk] of this.#homes.get(home)?.walks ?? [])
      if (walk.task === task) this.#closeKeys(home, cursor);
  }

  /** An interpreter is gone. */
  onGone(home: object): void {
    this.#gone.add(home);
    this.#atomics.onGone(home);
    const state = this.#homes.get(home);
    if (!state) return;
    this.#homes.delete(home);
    state.client?.close();
    for (const { scan } of state.walks.values()) scan.close();
  }

  #state(home: object): HomeState {
    const known = this.#homes.get(home);
    if (known) return known;
    if (this.#gone.has(home)) throw new ReplyError("ERR the Python interpreter has died");
    const state: HomeState = { client: undefined, walks: new Map() };
    this.#homes.set(home, state);
    return state;
  }

  /** execute(): python.md, section 12. */
  #execute(caller: CallContext, { args, task: handle }: CallArgs<"execute">): CallReply | Promise<CallReply> {
    const task = caller.task(handle);
    const owner = task?.owner ?? caller.home;
    const user = caller.user ?? "";
    const act = (): CallReply | Promise<CallReply> => {
      const reply = this.#options.runOwn(args, owner, user);
      if (reply !== undefined) return reply instanceof Promise ? reply.then(ownReply) : ownReply(reply);
      return this.engine(caller, owner, args, task);
    };
    return this.ifAllowed(user, args, act, task);
  }

  /**
   * Does something with a command if the user, whose code wants it, has the right to run it.
   * @param task who waits for the engine meanwhile
   * @throws ReplyError with the engine's refusal
   */
  ifAllowed(
    user: string,
    args: readonly Buffer[],
    act: () => CallReply | Promise<CallReply>,
    task: PythonTask | undefined,
  ): CallReply | Promise<CallReply> {
    const free = this.#options.rights.isFree(user);
    if (free === true) return act();
    const then = (refused: string | undefined): CallReply | Promise<CallReply> => {
      if (refused !== undefined) throw new ReplyError(refused);
      return act();
    };
    const refused = this.#watched(task, this.#options.refusal(user, args));
    return refused instanceof Promise ? refused.then(then) : then(refused);
  }

  /**
   * Runs a command in the engine for Python code, past all hooks.
   * @param links `commands` of KeysReader registrations may name it
   * @throws ReplyError with the engine's error
   */
  engine(
    caller: Pick<CallContext, "home" | "user" | "prepares">,
    owner: object,
    args: readonly Buffer[],
    task?: PythonTask,
    links = true,
  ): CallReply | Promise<CallReply> {
    const { home, user = "" } = caller;
    const name = nameOf(args[0] as Buffer);
    const { flags } = this.#known(name, args.length);
    const shownToUser = shownTo(user, name, args);
    if (this.#needsOwnConnection(name, args)) return this.#onFreshConnection(encodeCommand(args), owner, shownToUser);
    const own = name === "config" ? this.#options.settings.translate(args) : undefined;
    const bytes = encodeCommand(own?.args ?? args);
    const changes = name === "acl" || name === "config";
    if (changes) this.#options.epoch.advance();
    const settle = (frame: Buffer): CallReply | Promise<CallReply> => {
      const shown = own ? own.settle(frame) : frame;
      if (changes) this.#options.epoch.changed();
      const answer = engineReply(shownToUser?.(shown) ?? shown);
      if (answer instanceof Promise) caller.prepares?.(answer);
      return answer;
    };
    const sender = { owner, canWait: false, links };
    const send = (): Buffer | Promise<Buffer> =>
      flags.has("blocking") ? this.#unblocked(home, owner, bytes, task) : this.#raw(home, owner, bytes, 1, task, true);
    const reply = this.#options.around(args, sender, send);
    return reply instanceof Promise ? reply.then(settle) : settle(reply);
  }

  /** RedisGears asks the command table before it runs a command; Python has its words for these two errors. */
  #known(name: string, count: number): EngineCommand {
    const known = this.#options.engineCommands.find(name);
    if (!known) throw new ReplyError(`ERR unknown command '${name.slice(0, SHOWN_NAME)}'`);
    if (!EngineCommands.arityFits(known, count))
      throw new ReplyError(`ERR wrong number of arguments for '${name}' command`);
    return known;
  }

  /**
   * Would this command change the connection that all calls of an interpreter share?
   * @throws ReplyError when it may not be run at all
   */
  #needsOwnConnection(name: string, args: readonly Buffer[]): boolean {
    if (name === "shutdown") throw new ReplyError("ERR a script can not shut the server down");
    if (REFUSED.has(name)) throw new ReplyError(`ERR ${name.toUpperCase()} isn't allowed for DENY BLOCKING client`);
    if (this.#options.settings.embedded && makesReplica(name, args)) throw new ReplyError(REPLICATION_REFUSED);
    if (hasNoReply(name, args)) throw new ReplyError(NO_REPLY);
    const { embedded, debug } = this.#options.settings;
    const noDebug = embedded && name === "debug" ? debugRefusal(args, debug !== "no") : undefined;
    if (noDebug !== undefined) throw new ReplyError(noDebug);
    // replies are read as RESP2
    if (name === "hello" && args[1]?.toString("latin1") === "3")
      throw new ReplyError("NOPROTO unsupported protocol version");
    return CONNECTION_STATE.has(name);
  }

  /** Inside a transaction nothing blocks: that is what RedisGears' callers are told as well. */
  async #unblocked(home: object, owner: object, bytes: Buffer, task: PythonTask | undefined): Promise<Buffer> {
    const wrapped = Buffer.concat([encodeCommand(["MULTI"]), bytes, encodeCommand(["EXEC"])]);
    const replies = new RespReader(await this.#raw(home, owner, wrapped, 3, task, true));
    replies.line();
    const queued = replies.at;
    const refused = replies.isError;
    replies.line();
    if (refused) return replies.source.subarray(queued, replies.at);
    replies.arrayLength();
    return replies.source.subarray(replies.at);
  }

  async #onFreshConnection(
    bytes: Buffer,
    owner: object,
    shown: (frame: Buffer) => Buffer = (frame) => frame,
  ): Promise<CallReply> {
    await new Promise<void>((resolve) => this.#options.gate.whenOpen(owner, resolve));
    const client = this.#options.connections.open();
    try {
      return engineReply(shown(await client.rawCall(bytes, 1)));
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
    task: PythonTask | undefined,
    shown = false,
  ): Buffer | Promise<Buffer> {
    const { gate } = this.#options;
    if (!gate.isOpenFor(owner)) {
      return new Promise<void>((resolve) => gate.whenOpen(owner, resolve)).then(() =>
        this.#raw(home, owner, bytes, replies, task, shown),
      );
    }
    const client = this.#client(home);
    let result: Buffer | Error | undefined;
    let settle: ((value: Buffer | Error) => void) | undefined;
    const isBody = task?.registers !== undefined;
    if (isBody) this.#options.onBodyCommand(task);
    const answer = (error: Error | undefined, data: Buffer): void => {
      result = error ?? data;
      if (result !== undefined) settle?.(result);
    };
    client.rawCallNow(bytes, replies, answer, shown);
    if (isBody) this.#options.onBodyCommand(undefined);
    if (result !== undefined) {
      if (result instanceof Error) throw new ReplyError(`${result.message}`);
      return result;
    }
    const idle = this.#watchIdle(task);
    return new Promise((resolve, reject) => {
      settle = (value) => {
        idle?.cancel();
        if (value instanceof Error) reject(new ReplyError(`${value.message}`));
        else resolve(value);
      };
    });
  }

  /** The interpreter's connection to the engine; a new one when the old one broke. */
  #client(home: object): EngineClient {
    const state = this.#state(home);
    if (state.client) return state.client;
    const { client, flush } = this.#options.connections.openDirect();
    // MONITOR is not to show how it logs in
    flush();
    client.onClose = () => {
      if (state.client === client) state.client = undefined;
    };
    state.client = client;
    return client;
  }

  /** What the engine is asked on behalf of a task. */
  #watched<T>(task: PythonTask | undefined, answer: Maybe<T>): Maybe<T> {
    if (!(answer instanceof Promise)) return answer;
    const idle = this.#watchIdle(task);
    return answer.finally(() => idle?.cancel());
  }

  #watchIdle(task: PythonTask | undefined): Timer | undefined {
    const limit = this.#options.maxIdleMs();
    if (!task || limit <= 0) return undefined;
    return runAfter(limit, () => {
      this.#options.onIdle(task, `Execution max idle reached (ExecutionMaxIdleTime, ${limit} ms)`);
    });
  }

  #atomic(caller: CallContext, { enter, task }: CallArgs<"atomic">): CallReply | Promise<CallReply> {
    if (enter === 1) return this.#atomics.enter(caller, task).then(() => ok(null));
    this.#atomics.leave(caller.home, task);
    return ok(null);
  }

  async #openKeys(caller: CallContext, request: CallArgs<"keys_open">): Promise<CallReply> {
    const { noScan, readValue } = request;
    // it is kept, and the message is not
    const pattern = Buffer.from(request.pattern);
    const task = caller.task(request.task);
    const { walks } = this.#state(caller.home);
    if (walks.size >= MAX_WALKS)
      throw new ReplyError(`ERR ${MAX_WALKS} executions read keys in this interpreter: no more may begin to`);
    const owner = task?.owner ?? caller.home;
    const call = async (bytes: Buffer, replies: number): Promise<Buffer> =>
      this.#raw(caller.home, owner, bytes, replies, task);
    const user = caller.user ?? "";
    const { rights, refusal } = this.#options;
    const free = await this.#watched(task, rights.isFree(user));
    const refused = free ? undefined : await refusal(user, [Buffer.from("SCAN"), Buffer.from("0")]);
    if (refused !== undefined) throw new ReplyError(refused);
    const mayRead = free ? undefined : async (key: Buffer): Promise<boolean> => rights.mayRead(user, key);
    const cursor = ++this.#lastWalk;
    const mayReadAhead = (): boolean => {
      let reading = 0;
      for (const { scan } of walks.values()) if (scan.isAhead) reading++;
      return reading < MAX_READING_AHEAD;
    };
    if (task && !caller.task(request.task)) throw new ReplyError("the execution has ended");
    const turn = (): Promise<void> | undefined => this.#turnToRead(caller);
    const scan = new KeyScan(call, { pattern, noScan, readValue, mayRead, mayReadAhead, turn });
    walks.set(cursor, { scan, task, reading: false });
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

/** What a client that may not block is refused. */
const REFUSED = new Set(["subscribe", "psubscribe", "ssubscribe", "monitor", "sync", "psync"]);

/** What changes the state of a connection: it gets one of its own, which is closed afterwards. */
const CONNECTION_STATE = new Set([
  ...["select", "multi", "exec", "discard", "watch", "unwatch", "auth", "hello", "client", "reset", "quit"],
  ...["unsubscribe", "punsubscribe", "sunsubscribe", "readonly", "readwrite", "asking"],
]);

/** What Python makes of a command that is not replied to. */
const NO_REPLY = "Failed executing command";

/** A command's name in lower case. No command's name is long: of one that is only the beginning is looked at. */
const nameOf = (word: Buffer): string =>
  (word.length > SHOWN_NAME ? word.subarray(0, SHOWN_NAME + 1) : word).toString("latin1").toLowerCase();

/** Commands that the engine carries out in silence: who waited for a reply would wait for ever. */
function hasNoReply(name: string, args: readonly Buffer[]): boolean {
  // nearly all are others, and their arguments can be long
  if (name !== "client" && name !== "replconf") return false;
  const words = args.slice(1, 3).map(nameOf);
  if (name === "client") return words[0] === "reply" && (words[1] === "off" || words[1] === "skip");
  return name === "replconf" && (words[0] === "ack" || words[0] === "getack");
}

const MINUS = 45;

const ok = (value: string | null): CallReply => ({ status: ReplyStatus.ok, value: encodeMarshal(value) });

/** @throws ReplyError for an error reply; its text keeps the line end, as scripts of RedisGears see it. */
function engineReply(bytes: Buffer): CallReply | Promise<CallReply> {
  if (bytes.length > LARGE_REPLY && bytes[0] !== MINUS) return convertInTurns(bytes);
  const reply = new RespReader(bytes);
  if (reply.isError) throw new ReplyError(`${reply.line()}\r\n`);
  const out = new MarshalWriter(bytes.length + 16);
  reply.transcode(out);
  return { status: reply.wroteBytes ? ReplyStatus.withBytes : ReplyStatus.ok, value: out.finish() };
}

export function ownReply(reply: Reply): CallReply {
  if (reply.type === "error") throw new ReplyError(`${reply.text}`);
  const out = new MarshalWriter();
  const { wroteBytes } = replyToMarshal(reply, out);
  return { status: wroteBytes ? ReplyStatus.withBytes : ReplyStatus.ok, value: out.finish() };
}

function keysReply(number: number, batch: KeyBatch): CallReply {
  const size = batch.keys.length + (batch.values?.length ?? 0) + 64;
  const out = new MarshalWriter(size).list(5).int(number).bool(batch.more).append(batch.keys);
  if (batch.types) out.append(batch.types);
  else out.none();
  if (batch.values) out.append(batch.values);
  else out.none();
  return { status: batch.wroteBytes ? ReplyStatus.withBytes : ReplyStatus.ok, value: out.finish() };
}
