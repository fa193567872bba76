/** What Python may ask of the main thread about the engine, the options and the log: calls are decoded here and handed over. */
import type { UserRights } from "../engine/user-rights.ts";
import type { Logger } from "../log.ts";
import type { Maybe } from "../maybe.ts";
import { AtomicBlocks, type AtomicBlocksOptions } from "./atomic-blocks.ts";
import { okReply } from "./call-reply.ts";
import type { DirectAccess } from "./direct-access.ts";
import type { Job } from "./job.ts";
import { KeyWalks, type WalkRequest } from "./key-walks.ts";
import type { CallArgs, PostArgs } from "./messages.ts";
import { type Asking, ownerOf, PythonCommands, type PythonCommandsOptions } from "./python-commands.ts";
import type { CallContext, CallReply, Handlers } from "./python-host.ts";

export interface PythonCallsOptions extends PythonCommandsOptions {
  /** How `atomic()` blocks end that hold the engine for too long. */
  readonly atomics: Omit<AtomicBlocksOptions, "gate">;
  readonly rights: Pick<UserRights, "isFree" | "mayRead">;
  /** `configGet`: docs/spec/python.md, section 11. */
  readonly option: (key: string) => Buffer | undefined;
  /** Lets interpreters use the engine by themselves; undefined: it is not in this process. */
  readonly direct: Pick<DirectAccess, "consider"> | undefined;
  /** Takes what scripts log. */
  readonly log: Pick<Logger, "trace" | "debug" | "info" | "warn">;
}

/** How the levels of scripts are called in the log. */
const LOG_LEVELS = { debug: "trace", verbose: "debug", notice: "info", warning: "warn" } as const;

/** The calls and posts that are dealt with here. */
type Own = "execute" | "atomic" | "keys_open" | "keys_next" | "keys_close" | "config_get" | "log";

export class PythonCalls {
  readonly handlers: Pick<Handlers, Own> = {
    execute: (caller, args) => this.#execute(caller, args),
    atomic: (caller, { enter, job }) => {
      if (enter === 1) return this.#atomics.enter(caller, job).then(() => okReply(null));
      this.#atomics.leave(caller.home, job);
      return okReply(null);
    },
    keys_open: (caller, { job, ...request }) => this.#openWalk({ caller, job: caller.job(job) }, job, request),
    keys_next: ({ home }, { cursor }) => this.#walks.next(home, cursor),
    keys_close: ({ home }, { cursor }) => this.#walks.close(home, cursor),
    config_get: (_caller, { key }) => okReply(this.#options.option(key)?.toString("utf8") ?? null),
    log: (caller, line) => this.#log(caller, line),
  };
  readonly commands: PythonCommands;
  readonly #options: PythonCallsOptions;
  readonly #walks: KeyWalks;
  readonly #atomics: AtomicBlocks;

  constructor(options: PythonCallsOptions) {
    const { path, rights, gate } = options;
    this.#options = options;
    this.commands = new PythonCommands(options);
    this.#walks = new KeyWalks({ commands: this.commands, path, rights });
    this.#atomics = new AtomicBlocks({ ...options.atomics, gate });
  }

  /** A job has ended: what it did not give back is taken back. */
  onJobEnd(home: object, job: Job): void {
    this.#atomics.onJobEnd(home, job);
    this.#walks.onJobEnd(job);
  }

  /** An interpreter is gone. */
  onGone(home: object): void {
    this.#atomics.onGone(home);
    this.#walks.onGone(home);
    this.commands.onGone(home);
  }

  /** execute(): docs/spec/python.md, section 12. */
  #execute(caller: CallContext, { args, job }: CallArgs<"execute">): Maybe<CallReply> {
    const asking: Asking = { caller, job: caller.job(job) };
    const reply = this.commands.run(asking, args, true);
    this.#options.direct?.consider(caller, ownerOf(asking), job);
    return reply;
  }

  /** The next one may read its keys in its own thread, if they are few. */
  #openWalk(asking: Asking, job: number, request: WalkRequest): Promise<CallReply> {
    this.#options.direct?.consider(asking.caller, ownerOf(asking), job);
    return this.#walks.open(asking, request);
  }

  #log(caller: CallContext, { level, text, job, session }: PostArgs<"log">): void {
    this.#options.log[LOG_LEVELS[level]](caller.origin?.(job, session) ?? {}, text);
  }
}
