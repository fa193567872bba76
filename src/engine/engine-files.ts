/** The engine's files, and the work with them that the engine leaves to the host. */
import type { BackgroundSync } from "./files/background-sync.ts";
import { FileDescriptors } from "./files/file-descriptors.ts";
import { errnoOf } from "./files/errno.ts";
import { EngineFolder, type FileCalls } from "./files/engine-folder.ts";
import type { EngineForks } from "./fork/engine-forks.ts";
import { AOF_SYNC, Hook } from "./valkey-hooks.ts";
import type { Internals } from "./internals.ts";
import type { FileImports } from "./wasi.ts";
import type { MemoryView } from "./wasm.ts";

export interface EngineFilesOptions {
  /** The folder that the engine has for itself; undefined: none, nothing is kept. */
  readonly directory: string | undefined;
  /** The calls of the operating system; tests give some that fail. */
  readonly calls?: FileCalls;
}

/** What saves the data where the engine can not be copied. */
export interface BackgroundWork {
  /** Begins a save, which is done after this call. @returns false when there will be none */
  save(): boolean;
}

const DONE = 0;
const REFUSED = -1;
/** As `server.child_type`. */
const PURPOSE_SAVE = 1;
/** The number of a process that Valkey gets, which stands for whoever saves. */
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

  /** What went wrong last with a file, for callers whom Valkey tells only that something did. It is forgotten by this call. */
  takeFailure(): unknown {
    const failure = this.#lastFailure;
    this.#lastFailure = undefined;
    return failure;
  }

  /** Brings a file of Valkey's to the disk, and what is on its way there already. @throws what went wrong */
  async sync(descriptor: number): Promise<void> {
    this.#descriptors.syncInBackground(descriptor);
    await this.#sync.idle();
  }

  /**
   * From now on the engine is told when its append-only file is on the disk, or could not be brought there.
   * @param onDone is called each time: the engine may have waited with what it has to write
   */
  report(internals: Internals, onDone: () => void): void {
    this.#sync.onDone = (error) => {
      onDone();
      internals.noteAofSync(error === undefined ? 0 : errnoOf(error));
      if (error !== undefined) this.#log.warn(`the append-only file can not be brought to the disk: ${String(error)}`);
    };
  }

  /** Answers the engine, see `valkey-hooks.ts`. */
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
