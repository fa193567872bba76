/** Commands of Python code: they take the way of all commands, and go to the engine over their interpreter's connection. */
import type { Caller } from "../commands/caller.ts";
import type { Path } from "../commands/path.ts";
import { type EngineClient, EngineClosed, encodeCommand } from "../engine/engine-client.ts";
import type { EngineCommand, EngineCommands } from "../engine/engine-commands.ts";
import type { EngineGate } from "../engine/engine-gate.ts";
import { type InternalConnections, withConnection } from "../engine/internal-connections.ts";
import { LastingClient } from "../engine/lasting-client.ts";
import { hasForm, traitsOf, wordOf } from "../engine/traits.ts";
import { ReplyError } from "../errors.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { encodeWhole } from "../resp/reply.ts";
import { runAfter, type Timer } from "../timer.ts";
import { engineReply, ownReply } from "./call-reply.ts";
import { shownTo } from "./identity.ts";
import { type Job, ScriptJob } from "./job.ts";
import { convertInTurns, LARGE_REPLY } from "./large-replies.ts";
import type { CallContext, CallReply } from "./python-host.ts";
import { RespReader } from "./transcode.ts";

export interface PythonCommandsOptions {
  readonly connections: InternalConnections;
  readonly engineCommands: EngineCommands;
  readonly gate: EngineGate;
  /** The way of all commands. */
  readonly path: Pick<Path, "refusal" | "decide">;
  /** Milliseconds that the engine may take for a reply (ExecutionMaxIdleTime); 0: no limit. */
  readonly maxIdleMs: () => number;
  /** Is told which script's body the next command comes from, and (undefined) that it was sent. */
  readonly onBodyCommand: (body: ScriptJob | undefined) => void;
}

/** Whose code it is: that of an interpreter, and of a job if it belongs to one. */
export interface Asking {
  readonly caller: CallContext;
  readonly job: Job | undefined;
}

/** In whose name the engine is held and commands are sent. */
export const ownerOf = ({ caller, job }: Asking): object => job?.owner ?? caller.home;

/** The name of a command that is not looked up is shown so far. */
const SHOWN_NAME = 128;

export class PythonCommands {
  readonly #options: PythonCommandsOptions;
  /** Each interpreter has a connection of its own. */
  readonly #clients = new Map<object, LastingClient>();

  constructor(options: PythonCommandsOptions) {
    this.#options = options;
  }

  /**
   * Runs a command, if the user may whose code it is.
   * @param links false: past all hooks and what registrations have to do with it
   * @throws ReplyError with the error of whoever carries it out
   */
  run(asking: Asking, args: readonly Buffer[], links: boolean): Maybe<CallReply> {
    const { path } = this.#options;
    const { user = "" } = asking.caller;
    const caller: Caller = { kind: "python", owner: ownerOf(asking), user, canWait: false, links, local: true };
    return andThen(this.watched(asking.job, path.refusal(caller, args)), (refused) => {
      if (refused !== undefined) throw new ReplyError(refused);
      const send = (request: Buffer): Maybe<Buffer> => this.#send(asking, user, args, request);
      const decision = path.decide(args, caller);
      if (decision?.instead) return andThen(decision.run(send), ownReply);
      const reply = decision
        ? andThen(decision.run(send), (shown) => encodeWhole(shown, 2))
        : send(encodeCommand(args));
      return andThen(reply, (frame) => {
        const answer = converted(frame);
        if (answer instanceof Promise) asking.caller.prepares?.(answer);
        return answer;
      });
    });
  }

  /**
   * Sends to the engine when the gate is open. The reply comes at once from an engine in this process.
   * @param shown it is a script's command: MONITOR shows it
   */
  ask(asking: Asking, bytes: Buffer, replies: number, shown = false): Maybe<Buffer> {
    const { gate, onBodyCommand } = this.#options;
    const owner = ownerOf(asking);
    if (!gate.isOpenFor(owner)) {
      return new Promise<void>((resolve) => gate.whenOpen(owner, resolve)).then(() =>
        this.ask(asking, bytes, replies, shown),
      );
    }
    const { caller, job } = asking;
    const client = this.#clientOf(caller);
    const body = job instanceof ScriptJob ? job : undefined;
    if (body) onBodyCommand(body);
    try {
      const reply = client.ask(bytes, replies, shown ? "shown" : undefined);
      return reply instanceof Promise ? this.watched(job, reply.catch(failed)) : reply;
    } catch (reason) {
      return failed(reason);
    } finally {
      if (body) onBodyCommand(undefined);
    }
  }

  /** Waits for what the engine is asked on behalf of a job, which is stopped when that takes too long. */
  watched<T>(job: Job | undefined, answer: Maybe<T>): Maybe<T> {
    if (!(answer instanceof Promise)) return answer;
    const idle = this.#watchIdle(job);
    return answer.finally(() => idle?.cancel());
  }

  /** An interpreter is gone. */
  onGone(home: object): void {
    this.#clients.get(home)?.close();
    this.#clients.delete(home);
  }

  #clientOf({ home, isGone }: CallContext): LastingClient {
    if (isGone) throw new ReplyError("ERR the Python interpreter has died");
    const known = this.#clients.get(home);
    if (known) return known;
    const client = new LastingClient(() => this.#open());
    this.#clients.set(home, client);
    return client;
  }

  #open(): EngineClient {
    const client = this.#options.connections.open();
    // MONITOR is not to show how it logs in
    client.flush();
    return client;
  }

  /**
   * Has the engine carry out a command of Python code.
   * @param request what the engine gets for it
   * @throws ReplyError when it is none for scripts
   */
  #send(asking: Asking, user: string, args: readonly Buffer[], request: Buffer): Maybe<Buffer> {
    const name = wordOf(args[0]);
    const { flags } = this.#known(name, args.length);
    const reply = needsOwnConnection(name, args)
      ? this.#onFreshConnection(request, ownerOf(asking))
      : flags.has("blocking")
        ? this.#unblocked(asking, request)
        : this.ask(asking, request, 1, true);
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

  /** Inside a transaction nothing blocks: that is what RedisGears' callers are told as well. */
  async #unblocked(asking: Asking, bytes: Buffer): Promise<Buffer> {
    const wrapped = Buffer.concat([encodeCommand(["MULTI"]), bytes, encodeCommand(["EXEC"])]);
    const replies = new RespReader(await this.ask(asking, wrapped, 3, true));
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
    return withConnection(this.#options.connections, (client) => client.rawCall(bytes, 1));
  }

  #watchIdle(job: Job | undefined): Timer | undefined {
    const limit = this.#options.maxIdleMs();
    if (!job || limit <= 0) return undefined;
    const error = `Execution max idle reached (ExecutionMaxIdleTime, ${limit} ms)`;
    return runAfter(limit, () => job.stop({ kind: "fault", error }));
  }
}

/**
 * Would this command change the connection that all calls of an interpreter share?
 * @throws ReplyError when it may not be run at all
 */
function needsOwnConnection(name: string, args: readonly Buffer[]): boolean {
  const traits = traitsOf(name);
  if (traits.ends) throw new ReplyError("ERR a script can not shut the server down");
  if (traits.feeds) throw new ReplyError(`ERR ${name.toUpperCase()} isn't allowed for DENY BLOCKING client`);
  if (hasForm(traits.silent, args)) throw new ReplyError(NO_REPLY);
  // replies are read as RESP2
  if (name === "hello" && args[1]?.toString("latin1") === "3")
    throw new ReplyError("NOPROTO unsupported protocol version");
  return traits.connection === true;
}

/** What Python makes of a command that is not replied to. */
const NO_REPLY = "Failed executing command";

/** The engine could not be asked. */
function failed(reason: unknown): never {
  throw reason instanceof EngineClosed ? new ReplyError(reason.message) : reason;
}

const MINUS = 45;

/** What the engine has replied. A large reply is converted a little at a time. @throws ReplyError for an error */
const converted = (bytes: Buffer): Maybe<CallReply> =>
  bytes.length > LARGE_REPLY && bytes[0] !== MINUS ? convertInTurns(bytes) : engineReply(bytes);
