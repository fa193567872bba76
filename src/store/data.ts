/** The embedded engine's data on the disk: one file, loaded at the start and replaced by each snapshot. */
import { join } from "node:path";
import type { InternalConnections } from "../engine/internal.ts";
import { InternalError } from "../errors.ts";
import type { EngineGate } from "../engine/gate.ts";
import type { Logger } from "../log.ts";
import {
  codeOf,
  DISK,
  type File,
  type FileSystem,
  keepCopy,
  prepareFor,
  previousOf,
  REPAIR_HINT,
  replaceFile,
  setAside,
  textOf,
} from "./disk.ts";
import { countOfChanges, DataReplaced, dumpData } from "./dump.ts";
import { DamagedSnapshot, SnapshotReader, SnapshotWriter } from "./snapshot-format.ts";
import { type LoadOutcome, loadData } from "./undump.ts";

export const DATA_FILE = "regears-data.rgs";

export interface DataSnapshotsOptions {
  readonly directory: string;
  readonly connections: Pick<InternalConnections, "open">;
  readonly gate: EngineGate;
  /** Version of Regears, for people who look into the file. */
  readonly version: string;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  /** Libraries of functions that are the server's own; `__regears` unless given. */
  readonly ownLibraries?: ReadonlySet<string>;
  /** Go on with what can be read of a damaged file, which is kept under another name. */
  readonly repair?: boolean;
  /** Called before each snapshot; the snapshot fails when it does. */
  readonly ready?: () => Promise<void>;
  readonly disk?: FileSystem;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** How it stands with the snapshots. */
interface SnapshotStatus {
  readonly saving: boolean;
  /** Milliseconds since 1970: of the last snapshot, at first of the start. */
  readonly lastSave: number;
  readonly lastFailed: boolean;
  /** Milliseconds since 1970 of the last attempt. */
  readonly lastAttempt: number;
  /** Milliseconds that the last snapshot took; undefined before the first one. */
  readonly lastTookMs: number | undefined;
}

/** A snapshot is being made already. */
export class SaveInProgress extends Error {
  override name = "SaveInProgress";
}

/** What a snapshot says of itself. */
interface SnapshotInfo {
  readonly regears: string;
  readonly number: number;
  readonly begun: Date;
}

class Interrupted extends Error {
  override name = "Interrupted";
}

/** Snapshots that are begun anew before clients have to wait, and in all. */
const FREE_ATTEMPTS = 3;
const ATTEMPTS = 5;
/** A snapshot that goes on beside clients leaves them at least half of the time, but is not held up for longer than this. */
const LONGEST_PAUSE_MS = 20;

export class DataSnapshots {
  readonly #options: DataSnapshotsOptions;
  readonly #path: string;
  readonly #disk: FileSystem;
  readonly #now: () => number;
  #running: Promise<void> | undefined;
  #interruption = new AbortController();
  /** Snapshots that have been begun, in this and earlier runs: each one has its number in the file. */
  #begun = 0;
  /** The number of the one that was loaded; 0: none. */
  #loaded = 0;
  /** The engine's count of changes in the last snapshot. */
  #savedCount = 0;
  #lastSave: number;
  #lastAttempt = 0;
  #lastFailed = false;
  #lastTookMs: number | undefined;

  constructor(options: DataSnapshotsOptions) {
    this.#options = options;
    this.#path = join(options.directory, DATA_FILE);
    this.#disk = options.disk ?? DISK;
    this.#now = options.now ?? Date.now;
    this.#lastSave = this.#now();
  }

  get status(): SnapshotStatus {
    return {
      saving: this.#running !== undefined,
      lastSave: this.#lastSave,
      lastFailed: this.#lastFailed,
      lastAttempt: this.#lastAttempt,
      lastTookMs: this.#lastTookMs,
    };
  }

  /** How many snapshots have been begun, in this and earlier runs. */
  get begun(): number {
    return this.#begun;
  }

  /** The number of the snapshot that was loaded: what was changed when fewer had been begun is in it. 0: none was. */
  get loaded(): number {
    return this.#loaded;
  }

  /** Others know of so many. */
  atLeastBegun(count: number): void {
    this.#begun = Math.max(this.#begun, count);
  }

  /**
   * Brings what was kept into the engine, which must be empty and not yet in use. With `repair` a damaged file is replaced
   * by the one before it, or by what can be read of it; nothing is deleted, and the log tells.
   * @throws InternalError when what is kept is damaged or can not be reached, or the engine ends
   */
  async load(): Promise<void> {
    try {
      await prepareFor(this.#disk, this.#path);
    } catch (error) {
      // It may still be readable.
      this.#options.log.error(`the data will not be kept: ${textOf(error)}`);
    }
    const client = this.#options.connections.open();
    try {
      // The engine itself can not save; that must not make it refuse writes when a client asks it to.
      await client.call("CONFIG", "SET", "stop-writes-on-bgsave-error", "no");
      const isRepaired = await this.#loadBest();
      this.#savedCount = await countOfChanges(client);
      // The next start finds a good file again.
      if (isRepaired) await this.save(true);
    } finally {
      client.close();
    }
    this.#lastSave = this.#now();
  }

  /** How much was changed since the last snapshot. */
  async changes(): Promise<number> {
    const client = this.#options.connections.open();
    try {
      const count = await countOfChanges(client);
      // The engine sets it back when it believes to have saved.
      return count >= this.#savedCount ? count - this.#savedCount : count;
    } finally {
      client.close();
    }
  }

  /**
   * Makes a snapshot and puts it in the place of the last one, which is kept as `.bak`.
   * @param exclusive let clients wait meanwhile
   * @param owner in whose name they wait, when that one holds the gate already
   * @throws SaveInProgress; else what went wrong, which is logged: what was on the disk is still there
   */
  save(exclusive: boolean, owner: object = this): Promise<void> {
    if (this.#running) return Promise.reject(new SaveInProgress("a snapshot is being made"));
    this.#interruption = new AbortController();
    this.#running = this.#save(exclusive, owner).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Ends a snapshot that is being made beside clients; the file stays as it was. */
  async interrupt(): Promise<void> {
    this.#interruption.abort(new Interrupted());
    await this.#running?.catch(() => {});
  }

  /** The last snapshot before the end: of everything, in place of one that is being made. @throws what went wrong */
  async saveLast(owner: object = this): Promise<void> {
    // Whoever else waited for the end may have begun the next one.
    do await this.interrupt();
    while (this.#running);
    await this.save(true, owner);
  }

  async #save(exclusive: boolean, owner: object): Promise<void> {
    const { log } = this.#options;
    const begin = performance.now();
    this.#lastAttempt = this.#now();
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          await this.#attempt(exclusive || attempt > FREE_ATTEMPTS, owner);
          break;
        } catch (error) {
          if (!(error instanceof DataReplaced) || attempt === ATTEMPTS) throw error;
        }
      }
      this.#lastSave = this.#now();
      this.#lastTookMs = performance.now() - begin;
      if (this.#lastFailed) log.info("the data is kept again");
      this.#lastFailed = false;
    } catch (error) {
      if (!(error instanceof Interrupted)) {
        if (!this.#lastFailed) log.error(`the data can not be saved: ${textOf(error)}`);
        this.#lastFailed = true;
      }
      throw error;
    }
  }

  async #attempt(exclusive: boolean, owner: object): Promise<void> {
    const { connections, gate, ownLibraries = new Set(["__regears"]), version } = this.#options;
    await this.#options.ready?.();
    const info: SnapshotInfo = { regears: version, number: ++this.#begun, begun: new Date(this.#now()) };
    let count = 0;
    const write = async (file: File): Promise<void> => {
      const out = new SnapshotWriter(file);
      await out.write({ kind: "info", text: JSON.stringify(info) });
      count = await dumpData(out, {
        connections,
        gate,
        ownLibraries,
        exclusive,
        owner,
        pause: (tookMs) => this.#pause(tookMs),
        signal: this.#interruption.signal,
      });
      await out.finish();
    };
    await replaceFile(this.#disk, this.#path, write, true);
    this.#savedCount = count;
  }

  async #pause(tookMs: number): Promise<void> {
    this.#interruption.signal.throwIfAborted();
    if (tookMs > 0) await new Promise((resolve) => setTimeout(resolve, Math.min(tookMs, LONGEST_PAUSE_MS)));
  }

  /**
   * The file; with `repair` else the one before it, else what can be read of the file.
   * @returns whether there was something to repair
   */
  async #loadBest(): Promise<boolean> {
    const { log, repair } = this.#options;
    const previous = previousOf(this.#path);
    const damaged: string[] = [];
    for (const path of [this.#path, previous]) {
      const state = await this.#verify(path);
      const isPrevious = path === previous;
      if (state === "missing") continue;
      if (state === "good") {
        if (isPrevious && damaged.length === 0)
          this.#refuse(`the data in ${this.#path} is missing, and ${path} is there`);
        if (isPrevious) log.warn(`the data of the snapshot before is used: ${path}`);
        return (await this.#loadFrom(path, false)) || isPrevious;
      }
      const text = `the data in ${path} is damaged: ${state.message}`;
      if (!repair) this.#refuse(text);
      const aside = await setAside(this.#disk, path, "damaged", new Date(this.#now()));
      log.error(`${text}. The file is now ${aside}`);
      damaged.push(aside);
    }
    const [first] = damaged;
    if (first !== undefined) await this.#loadFrom(first, true);
    return first !== undefined;
  }

  /** @throws InternalError unless it is to be repaired */
  #refuse(text: string): void {
    if (!this.#options.repair) throw new InternalError(`${text}. ${REPAIR_HINT}`);
    this.#options.log.error(text);
  }

  async #verify(path: string): Promise<"missing" | "good" | DamagedSnapshot> {
    try {
      await this.#read(path, async (reader) => {
        while (await reader.next());
      });
      return "good";
    } catch (error) {
      if (error instanceof DamagedSnapshot) return error;
      if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return "missing";
      throw new InternalError(`the data in ${path} can not be read: ${textOf(error)}`);
    }
  }

  /** @returns whether something could not be loaded */
  async #loadFrom(path: string, salvage: boolean): Promise<boolean> {
    const { connections, log } = this.#options;
    const begin = performance.now();
    const client = connections.open();
    let outcome: LoadOutcome;
    let keys: number;
    try {
      outcome = await this.#read(path, (reader) => loadData(client, reader, this.#now(), salvage));
      this.#loaded = numberIn(outcome.info);
      this.atLeastBegun(this.#loaded);
      const info = String(await client.call("INFO", "keyspace"));
      keys = [...info.matchAll(/^db\d+:keys=(\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
    } finally {
      client.close();
    }
    const { expired, refused, reason, damage } = outcome;
    const seconds = ((performance.now() - begin) / 1000).toFixed(3);
    const had = expired > 0 ? `, ${expired} had expired` : "";
    if (damage === undefined) log.info(`${keys} keys loaded in ${seconds} seconds${had}`);
    else log.warn(`${keys} keys could be read of ${path}${had}; the rest is lost: ${damage}`);
    if (refused === 0) return damage !== undefined;
    this.#refuse(`the engine refuses ${refused} keys or libraries of the data in ${path}: ${reason}`);
    log.error(`the data is kept as ${await keepCopy(this.#disk, path, "refused", new Date(this.#now()))}`);
    return true;
  }

  async #read<T>(path: string, use: (reader: SnapshotReader) => Promise<T>): Promise<T> {
    const file = await this.#disk.open(path, "r");
    try {
      return await use(new SnapshotReader(file, (await file.stat()).size));
    } finally {
      await file.close();
    }
  }
}

/** The snapshot's number, in what it says of itself. */
function numberIn(info: string | undefined): number {
  const { number } = JSON.parse(info ?? "{}") as Partial<SnapshotInfo>;
  return number ?? 0;
}
