/**
 * When interpreters may use the engine in their own threads, without the main thread: while nobody else has a say in what
 * their commands do. The way is opened here for one interpreter, when that has just asked the main thread to carry a command
 * out. It is closed for all before anything of what was asked here changes: whoever brings in a new such thing has to close it.
 */
import { after, type Handling, type Middleware, type Path } from "../commands/path.ts";
import type { EngineCommands } from "../engine/engine-commands.ts";
import type { EmbeddedEngine } from "../engine/embedded-engine.ts";
import { arityFits } from "../engine/engine.ts";
import type { EngineGate } from "../engine/engine-gate.ts";
import type { InternalConnections } from "../engine/internal-connections.ts";
import type { UserRights } from "../engine/user-rights.ts";
import type { EngineThreads } from "../engine/engine-threads.ts";
import { wordOf } from "../engine/traits.ts";
import { LAST_HANDLE } from "./chunk-memory.ts";
import { isError } from "../resp/frames.ts";
import type { CallContext } from "./python-host.ts";

export interface DirectAccessOptions {
  readonly engine: Pick<EmbeddedEngine, "share">;
  readonly engineCommands: Pick<EngineCommands, "all">;
  readonly connections: Pick<InternalConnections, "lend">;
  readonly gate: Pick<EngineGate, "held" | "isOpenFor">;
  readonly path: Pick<Path, "isActiveForPython">;
  readonly rights: Pick<UserRights, "isFree">;
  /** Does any registration want key events? The engine tells of them also for commands that the main thread does not see. */
  readonly wantsEvents: () => boolean;
}

/** Flags in the engine's COMMAND table of commands that another thread may not send. */
const NOT_THERE = [
  "admin",
  "blocking",
  "noscript",
  "pubsub",
  "no_auth",
  "no_multi",
  "skip_monitor",
  "movablekeys",
] as const;

/** Commands without keys that another thread may send, too. */
const WITHOUT_KEYS: ReadonlySet<string> = new Set(["ping", "echo", "time", "dbsize", "scan", "randomkey"]);

export class DirectAccess {
  readonly #options: DirectAccessOptions;
  #threads: EngineThreads | undefined;
  #taken: ReadonlyMap<string, number> | undefined;

  constructor(options: DirectAccessOptions) {
    this.#options = options;
  }

  /**
   * An interpreter runs code that sends commands, or will: lets its thread carry the next ones out by itself, if that may be.
   * While somebody holds the gate only the holder's job may do so, for which all others wait.
   * @param caller the interpreter
   * @param owner in whose name the commands are sent
   * @param job the handle of the job that sends them; 0 for none
   */
  consider(caller: Pick<CallContext, "useEngine" | "user">, owner: object, job: number): void {
    const { gate, path, rights, wantsEvents } = this.#options;
    const isOfHolder = gate.held && gate.isOpenFor(owner) && job > 0 && job <= LAST_HANDLE;
    if (gate.held && !isOfHolder) return;
    if (path.isActiveForPython(isOfHolder) || rights.isFree(caller.user ?? "") !== true) return;
    const threads = this.#threads ?? this.#share();
    // events that the body of a script causes wait for its end, and only the main thread can tell what a body has caused
    if (threads) caller.useEngine?.(threads, gate.held ? job : 0, !wantsEvents());
  }

  /**
   * An interpreter is to carry out commands of a client who holds the gate, and to run what they cause: lets its thread do that.
   * @returns whether it may
   */
  considerChunk(caller: Pick<CallContext, "useEngine" | "user">, owner: object): boolean {
    const { gate, path, rights } = this.#options;
    if (!gate.held || !gate.isOpenFor(owner)) return false;
    if (path.isActiveForPython(true) || rights.isFree(caller.user ?? "") !== true) return false;
    const threads = this.#share();
    return threads !== undefined && caller.useEngine?.(threads, LAST_HANDLE, true) === true;
  }

  /** May a command of so many words, its name included, be sent from another thread? @param name in lower case */
  takes(name: string, words: number): boolean {
    this.#taken ??= this.#commands();
    const arity = this.#taken.get(name);
    return arity !== undefined && arityFits(arity, words);
  }

  /**
   * Closes the way at CLIENT PAUSE, for as long as that lasts or until CLIENT UNPAUSE: Valkey puts commands off then, and a
   * thread would get no reply.
   */
  get middleware(): Middleware {
    return {
      of: ["client", "python"],
      active: false,
      always: ["client"],
      handle: (_name, request) => {
        if (request.count < 2) return undefined;
        const word = wordOf(request.view(1));
        if (word === "unpause") return this.#afterUnpause();
        if (word !== "pause" || request.count < 3) return undefined;
        const milliseconds = Number(request.view(2).toString("latin1"));
        if (!(milliseconds > 0)) return undefined;
        this.#closeFor(milliseconds);
        // in a transaction the command is carried out later: the time begins anew then
        return after(() => {
          this.#closeFor(milliseconds);
          return undefined;
        });
      },
    };
  }

  /** Closes the way. To be called before something changes for which the main thread has to see all commands. */
  close(): void {
    this.#threads?.closeAll();
  }

  #afterUnpause(): Handling {
    return after((reply) => {
      if (!isError(reply)) this.#threads?.endPause();
      return undefined;
    });
  }

  #closeFor(milliseconds: number): void {
    this.#share()?.closeFor(milliseconds);
  }

  #share(): EngineThreads | undefined {
    const { engine, connections } = this.#options;
    this.#threads ??= engine.share(
      () => this.#commands(),
      () => connections.lend(),
    );
    return this.#threads;
  }

  /** Commands that do no more than to read or change keys that their arguments name, or to look around. */
  #commands(): Map<string, number> {
    const commands = new Map<string, number>();
    for (const [name, command] of this.#options.engineCommands.all()) {
      const { flags, traits } = command;
      const isOfKeys = (flags.has("readonly") || flags.has("write")) && command.firstKey > 0;
      if (!(isOfKeys || WITHOUT_KEYS.has(name)) || NOT_THERE.some((flag) => flags.has(flag)) || traits.reachesFurther)
        continue;
      commands.set(name, command.arity);
    }
    return commands;
  }
}
