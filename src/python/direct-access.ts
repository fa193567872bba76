/**
 * When interpreters may use the engine in their own threads, without the main thread: while nobody else has a say in what
 * their commands do. It is opened here, for one interpreter when that has just asked the main thread to carry a command out,
 * and closed for all before something changes; whatever is changed later has to close it.
 */
import { after, type Middleware, type Path } from "../commands/path.ts";
import type { EngineCommands } from "../engine/engine-commands.ts";
import type { EmbeddedEngine } from "../engine/embedded.ts";
import type { EngineGate } from "../engine/gate.ts";
import type { InternalConnections } from "../engine/internal.ts";
import type { UserRights } from "../engine/rights.ts";
import type { EngineThreads } from "../engine/threads.ts";
import { wordOf } from "../engine/traits.ts";
import type { CallContext } from "./python-host.ts";

export interface DirectAccessOptions {
  readonly engine: EmbeddedEngine;
  readonly engineCommands: EngineCommands;
  readonly connections: InternalConnections;
  readonly gate: Pick<EngineGate, "held" | "isOpenFor">;
  readonly path: Pick<Path, "isActiveFor">;
  readonly rights: Pick<UserRights, "isFree">;
  /** Does somebody want to know of key events? They come over the engine, also those of commands that nobody else sees. */
  readonly wantsEvents: () => boolean;
}

/** What the engine's COMMAND table says of commands that are none for another thread. */
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

/** The last number of a task that shared memory can hold. */
const LAST_NUMBER = 2 ** 31 - 1;

/** Others that are as harmless. */
const WITHOUT_KEYS: ReadonlySet<string> = new Set(["ping", "echo", "time", "dbsize", "scan", "randomkey"]);

export class DirectAccess {
  readonly #options: DirectAccessOptions;
  #threads: EngineThreads | undefined;

  constructor(options: DirectAccessOptions) {
    this.#options = options;
  }

  /**
   * An interpreter has asked for a command of a user's: may its thread do the next ones by itself? While somebody holds the
   * gate only the holder's task may: it is the one thing that the others wait for.
   * @param caller the interpreter
   * @param owner in whose name the command was sent
   * @param task the number of the task that has sent it; 0 for none
   */
  consider(caller: Pick<CallContext, "useEngine" | "user">, owner: object, task: number): void {
    const { gate, path, rights, wantsEvents } = this.#options;
    if (path.isActiveFor("python") || rights.isFree(caller.user ?? "") !== true) return;
    const isOfHolder = gate.held && gate.isOpenFor(owner) && task > 0 && task <= LAST_NUMBER;
    if (gate.held && !isOfHolder) return;
    const threads = this.#threads ?? this.#share();
    // what a body causes waits for its end, and only this thread can tell
    if (threads) caller.useEngine?.(threads, gate.held ? task : 0, !wantsEvents());
  }

  /** Sees what makes Valkey put commands off: then a thread would get no reply. */
  get middleware(): Middleware {
    return {
      of: ["client", "python"],
      active: false,
      always: ["client"],
      handle: (_name, request) => {
        if (request.count < 3 || wordOf(request.view(1)) !== "pause") return undefined;
        const milliseconds = Number(request.view(2).toString("latin1"));
        if (!(milliseconds > 0)) return undefined;
        this.#closeFor(milliseconds);
        // in a transaction it is carried out later
        return after(() => {
          this.#closeFor(milliseconds);
          return undefined;
        });
      },
    };
  }

  /** The main thread has to see all commands from now on, for what is about to change. */
  close(): void {
    this.#threads?.closeAll();
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
