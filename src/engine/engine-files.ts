/** The engine's files, and what it leaves to others to do with them. */
import type { BackgroundSync } from "./files/background-sync.ts";
import { FileDescriptors } from "./files/descriptors.ts";
import { errnoOf } from "./files/errno.ts";
import { EngineFolder, type FileCalls } from "./files/folder.ts";
import type { EngineForks } from "./fork/forks.ts";
import { AOF_SYNC, Hook } from "./hooks.ts";
import type { Internals } from "./internals.ts";
import type { FileImports } from "./wasi.ts";
import type { MemoryView } from "./wasm.ts";

export interface EngineFilesOptions {
  /** The folder that the engine has for itself; undefined: none, nothing is kept. */
  readonly directory: string | undefined;
  /** The system's calls; tests put faults in. */
  readonly calls?: FileCalls;
}

/** Who saves where the engine can not be copied. */
export interface BackgroundWork {
  /** @returns whether it will be done, soon; not within the call */
  save(): boolean;
}

const DONE = 0;
const REFUSED = -1;
/** As `server.child_type`. */
const PURPOSE_SAVE = 1;
/** What Valkey takes for the number of a process. */
const SOMEBODY = 1;

export class EngineFiles {
  background: BackgroundWork = { save: () => false };
  /** Makes copies of the engine, where that is possible. */
  forks: EngineForks | undefined;
  readonly folder: EngineFolder;
  readonly #descriptors: FileDescriptors;
  readonly #sync: BackgroundSync;
  readonly #log: { warn(text: string): void };
  #lastFailure: unknown;

  /** @param virtual files that are not on the disk, see {@link EngineFolder} */
  constructor(
    { directory, calls }: EngineFilesOptions,
    virtual: ReadonlyMap<string, Buffer>,
    memory: MemoryView,
    log: { warn(text: string): void },
  ) {
    this.folder = new EngineFolder(directory, virtual, calls);
    this.#descriptors = new FileDescriptors(this.folder, memory);
    this.#sync = this.#descriptors.sync;
    this.#log = log;
    this.#descriptors.onFailure = (error) => {
      this.#lastFailure = error;
    };
  }

  get imports(): FileImports {
    return this.#descriptors.imports();
  }

  /** What went wrong last, for who is told only that something did; it is forgotten then. */
  takeFailure(): unknown {
    const failure = this.#lastFailure;
    this.#lastFailure = undefined;
    return failure;
  }

  /**
   * Tells the engine what becomes of the append-only file.
   * @param onDone is called then: the engine may have waited with what it has to write
   */
  report(internals: Internals, onDone: () => void): void {
    this.#sync.onDone = (error) => {
      onDone();
      internals.noteAofSync(error === undefined ? 0 : errnoOf(error));
      if (error !== undefined) this.#log.warn(`the append-only file can not be brought to the disk: ${String(error)}`);
    };
  }

  /** Answers the engine, see `hooks.ts`. */
  onHook(hook: number, argument: number): number {
    switch (hook) {
      case Hook.pendingJobs:
        return argument === AOF_SYNC ? this.#sync.pending : 0;
      case Hook.syncInBackground:
        return this.#descriptors.syncInBackground(argument) ? DONE : REFUSED;
      case Hook.drainJobs:
        if (argument === AOF_SYNC) this.#sync.finishAll();
        return DONE;
      case Hook.fork:
        return this.forks?.fork(argument) ?? this.#forkNot(argument);
      default:
        this.#tellForks(hook, argument);
        return DONE;
    }
  }

  #forkNot(purpose: number): number {
    return purpose === PURPOSE_SAVE && this.background.save() ? SOMEBODY : REFUSED;
  }

  #tellForks(hook: number, argument: number): void {
    const { forks } = this;
    if (hook === Hook.saveArgument) forks?.noteSaveArgument(argument);
    if (hook === Hook.saveCommand) forks?.noteSaveCommand(argument);
    if (hook === Hook.reapChild) forks?.reap();
    if (hook === Hook.killSave) forks?.killSave();
    if (hook === Hook.killRewrite) forks?.killRewrite();
  }

  /** The engine has ended. What was on its way to the disk is there when this returns. */
  close(): void {
    this.forks?.close();
    this.#descriptors.closeAll();
  }
}
