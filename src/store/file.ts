/** The store in a directory: one file, written anew soon after each change. */
import { join } from "node:path";
import { InternalError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { codeOf, DISK, type FileSystem, prepareFor, previousOf, replaceFile, setAside, textOf } from "./disk.ts";
import { decodeRegistrations, encodeRegistrations, UnusableFile, type Versions } from "./registrations-file.ts";
import type { Store, StoredSession } from "./store.ts";

export const REGISTRATIONS_FILE = "regears-registrations.json";

export interface FileStoreOptions {
  readonly directory: string;
  readonly versions: Versions;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  /** Milliseconds for further changes to join a write; 25 unless given. */
  readonly delayMs?: number;
  /** Milliseconds until a write that failed is tried again; 5000 unless given. */
  readonly retryMs?: number;
  readonly disk?: FileSystem;
  readonly now?: () => Date;
}

export class FileStore implements Store {
  readonly #options: FileStoreOptions;
  readonly #path: string;
  readonly #disk: FileSystem;
  readonly #now: () => Date;
  /** What is not written yet. */
  #pending: readonly StoredSession[] | undefined;
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failing = false;
  #closed = false;

  constructor(options: FileStoreOptions) {
    this.#options = options;
    this.#path = join(options.directory, REGISTRATIONS_FILE);
    this.#disk = options.disk ?? DISK;
    this.#now = options.now ?? (() => new Date());
  }

  async loadRegistrations(): Promise<StoredSession[]> {
    const { log } = this.#options;
    try {
      await prepareFor(this.#disk, this.#path);
    } catch (error) {
      // It may still be readable.
      log.error(`registrations will not be kept: ${textOf(error)}`);
    }
    const present = await this.#read(this.#path);
    if (present !== "missing" && present !== "unusable") return present;
    const previous = await this.#read(previousOf(this.#path));
    if (previous === "missing" || previous === "unusable") return [];
    log.warn(`the registrations before the last change are used: those in ${previousOf(this.#path)}`);
    return previous;
  }

  saveRegistrations(sessions: readonly StoredSession[]): void {
    this.#pending = sessions;
    if (!this.#failing) this.#schedule(this.#options.delayMs ?? 25);
  }

  async flush(): Promise<boolean> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#writing;
    if (this.#pending) await this.#write();
    return !this.#failing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.flush();
  }

  #schedule(delayMs: number): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.flush(), delayMs);
    this.#timer.unref();
  }

  /** One write at a time; who comes meanwhile waits for the next one. */
  #write(): Promise<void> {
    this.#writing ??= this.#writeOnce().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #writeOnce(): Promise<void> {
    const { log, versions } = this.#options;
    const sessions = this.#pending ?? [];
    this.#pending = undefined;
    try {
      const bytes = encodeRegistrations(sessions, versions, this.#now());
      await replaceFile(this.#disk, this.#path, (file) => file.writeFile(bytes));
      if (this.#failing) log.info("registrations are kept again");
      this.#failing = false;
    } catch (error) {
      this.#pending ??= sessions;
      if (!this.#failing) log.error(`registrations can not be kept, and a restart would lose them: ${textOf(error)}`);
      this.#failing = true;
      this.#schedule(this.#options.retryMs ?? 5000);
    }
  }

  async #read(path: string): Promise<StoredSession[] | "missing" | "unusable"> {
    const { log, versions } = this.#options;
    let bytes: Buffer;
    try {
      bytes = await this.#disk.readFile(path);
    } catch (error) {
      if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return "missing";
      throw new InternalError(`the registrations in ${path} can not be read: ${textOf(error)}`);
    }
    try {
      return decodeRegistrations(bytes, versions);
    } catch (error) {
      const why = error instanceof UnusableFile ? error.why : "corrupt";
      // Left in its place it would be overwritten by the next change.
      const aside = await setAside(this.#disk, path, why, this.#now());
      log.error(`the registrations in ${path} can not be used: ${textOf(error)}. The file is now ${aside}`);
      return "unusable";
    }
  }
}
