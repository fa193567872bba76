/**
 * What happens when the append-only file was rewritten. Valkey's `backgroundRewriteDoneHandler` does it (aof.c), which this build
 * does not have. The new base gets its name first, and the manifest is replaced afterwards, so that the manifest names files
 * that are there at each moment.
 */
import type { EngineFolder } from "../files/engine-folder.ts";
import type { MemoryView } from "../wasm.ts";
import { syncDirectory, writeFile } from "./folder-writer.ts";
import { rewritten } from "./aof-manifest.ts";
import { rewrittenName } from "./copy-job.ts";
import type { ServerState } from "./server-state.ts";

/** Functions of Valkey that are called when a rewriting has ended. */
export interface RewritingFunctions {
  getAofManifestAsString(manifest: number): number;
  aofLoadManifestFromFile(path: number): number;
  aofManifestFreeAndUpdate(manifest: number): void;
  aofDelHistoryFiles(): number;
  sdsfree(text: number): void;
  sdsclear(text: number): void;
}

export const REWRITING_FUNCTIONS: readonly (keyof RewritingFunctions)[] = [
  ...(["getAofManifestAsString", "aofLoadManifestFromFile", "aofManifestFreeAndUpdate"] as const),
  ...(["aofDelHistoryFiles", "sdsfree", "sdsclear"] as const),
];

interface RewritingOptions {
  readonly folder: EngineFolder;
  /** Files of this folder that are not on the disk. */
  readonly virtual: Map<string, Buffer>;
  readonly memory: MemoryView;
  readonly state: ServerState;
  readonly functions: RewritingFunctions;
  readonly log: { debug(text: string): void; warn(text: string): void };
}

/** Values of `server.aof_state`. */
const AofState = { off: 0, on: 1, waits: 2 } as const;
const NO_FILE = -1;
const [OK, FAILED] = [0, -1];
/** A file that is not on the disk, from which Valkey reads its manifest: if reading from the disk failed, Valkey would end. */
const MANIFEST = ".regears-manifest";
/** An address at the deepest end of the stack, which is far away when Valkey has just begun with what it does by the clock. */
const UNUSED_MEMORY = 1024;

export class AofRewriting {
  readonly #options: RewritingOptions;

  constructor(options: RewritingOptions) {
    this.#options = options;
  }

  /** Does what belongs to the end of a rewriting. @param done whether the copy has written its file */
  end(pid: number, done: boolean, killed: boolean): void {
    const { state, log } = this.#options;
    try {
      if (done) this.#install(pid);
      if (done) log.debug("Background AOF rewrite finished successfully");
      this.#note(done, killed);
    } catch (error) {
      log.warn(`the rewritten append-only file can not be used: ${String(error)}`);
      this.#note(false, false);
    }
    const now = Math.floor(Date.now() / 1000);
    state.setLong("aofRewriteTime", now - state.long("aofRewriteStart"));
    state.setLong("aofRewriteStart", -1);
    if (state.get("aofState") === AofState.waits) this.#tryAgain();
  }

  #note(done: boolean, killed: boolean): void {
    const { state } = this.#options;
    if (killed) return;
    state.set("aofLastRewriteStatus", done ? OK : FAILED);
    state.setLong("rewriteFailures", done ? 0 : state.long("rewriteFailures") + 1);
  }

  /** @throws what the file system throws; then all is as before */
  #install(pid: number): void {
    const { folder, state } = this.#options;
    const filename = state.text("aofFilename");
    const waits = state.get("aofState") === AofState.waits;
    const present = this.#manifest();
    const next = rewritten(present, {
      filename,
      asDump: state.get("aofRewritesAsDump") !== 0,
      writing: state.get("aofDescriptor") !== NO_FILE,
      newIncrement: waits,
      lastIncrement: state.lastIncrement,
    });
    const directory = state.text("aofDirname");
    const base = `${directory}/${next.base}`;
    const made: string[] = [];
    let certain: boolean;
    try {
      folder.rename(rewrittenName(pid), base);
      made.push(base);
      if (next.increment !== undefined) {
        folder.rename(`${directory}/temp-${filename}.incr`, `${directory}/${next.increment}`);
        made.push(`${directory}/${next.increment}`);
      }
      certain = this.#writeManifest(directory, filename, next.text);
    } catch (error) {
      for (const name of made) this.#tryUnlink(name);
      throw error;
    }
    this.#takeManifest(next.text);
    state.lastIncrement = next.lastIncrement;
    this.#noteSizes(base);
    if (certain) this.#options.functions.aofDelHistoryFiles();
    if (!waits) return;
    state.set("aofState", AofState.on);
    state.setLong("syncedOffset", state.long("syncedOffsetPending"));
  }

  /** The manifest as Valkey has it in its memory. */
  #manifest(): string {
    const { functions, state } = this.#options;
    const text = functions.getAofManifestAsString(state.get("aofManifest"));
    const present = state.textAt(text);
    functions.sdsfree(text);
    return present;
  }

  #takeManifest(text: string): void {
    const { virtual, memory, functions } = this.#options;
    virtual.set(MANIFEST, Buffer.from(text));
    memory.bytes.set(Buffer.from(`${MANIFEST}\0`), UNUSED_MEMORY);
    functions.aofManifestFreeAndUpdate(functions.aofLoadManifestFromFile(UNUSED_MEMORY));
    virtual.delete(MANIFEST);
  }

  /**
   * Replaces the manifest on the disk.
   * @returns whether the new one is on the disk for certain; else one of the two is, and the files that both name are needed
   * @throws what the file system throws; then the manifest is still the one before
   */
  #writeManifest(directory: string, filename: string, text: string): boolean {
    const { folder, log } = this.#options;
    const temporary = `${directory}/temp-${filename}.manifest`;
    writeFile(folder, temporary, Buffer.from(text));
    folder.rename(temporary, `${directory}/${filename}.manifest`);
    try {
      syncDirectory(folder, directory);
      return true;
    } catch (error) {
      log.warn(`files that the append-only file has replaced are kept until the next rewriting: ${String(error)}`);
      return false;
    }
  }

  #noteSizes(base: string): void {
    const { folder, state } = this.#options;
    if (state.get("aofState") === AofState.off) return;
    const stat = folder.stat(base);
    const size = Number(typeof stat === "number" ? stat : stat.size) + state.long("aofLastIncrSize");
    state.setLong("aofSize", size);
    state.setLong("aofBaseSize", size);
  }

  /** Has Valkey rewrite once more. Changes that wait to be appended are dropped, since the next base will have them. */
  #tryAgain(): void {
    const { state, functions } = this.#options;
    functions.sdsclear(state.get("aofBuffer"));
    this.#tryUnlink(`${state.text("aofDirname")}/temp-${state.text("aofFilename")}.incr`);
    state.set("aofRewriteScheduled", 1);
  }

  #tryUnlink(name: string): void {
    try {
      this.#options.folder.unlink(name);
    } catch (error) {
      this.#options.log.debug(`${name} is left: ${String(error)}`);
    }
  }
}
