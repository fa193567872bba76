/** The store in a directory: one file, a log to which changes are appended, written anew when half of it is of the past. */
import { constants } from "node:fs";
import { join } from "node:path";
import { InternalError, textOf } from "../errors.ts";
import type { Logger } from "../log.ts";
import {
  codeOf,
  DISK,
  type File,
  type FileSystem,
  keepCopy,
  prepareFor,
  REPAIR_HINT,
  replaceFile,
  setAside,
} from "./disk.ts";
import { decodeLog, encodeChange, encodeLine, ForeignFile, headerOf, type LogContent } from "./log-format.ts";
import { additionOf, HEAD, headRecordOf, nameOf, removalOf } from "./record.ts";
import type { ChangeFile, Head, StoredChange, StoredItem, Versions } from "./store.ts";

export const REGISTRATIONS_FILE = "regears-registrations.json";

export interface FileStoreOptions {
  readonly directory: string;
  readonly versions: Versions;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  /** Go on with what can be read of a damaged file, which is kept under another name. */
  readonly repair?: boolean;
  /** Called before each write; the write fails when it does. */
  readonly ready?: () => Promise<void>;
  readonly disk?: FileSystem;
  readonly now?: () => Date;
}

/** Unlike `a`, it makes no file when there is none. */
const APPENDING = constants.O_WRONLY | constants.O_APPEND;
/** Bytes that a log may have beyond twice of what is needed. */
const SLACK = 64 * 1024;
/** Bytes of a new file that are put together at a time. */
const PART = 256 * 1024;

export class FileStore implements ChangeFile {
  readonly #options: FileStoreOptions;
  readonly #path: string;
  readonly #disk: FileSystem;
  readonly #now: () => Date;
  /** The records of what is there, by name. */
  #records = new Map<string, string>();
  /** The file has what we know of, and nothing else; otherwise it must be written anew. */
  #isWhole = false;
  #file: File | undefined;
  #size = 0;
  #lines = 0;
  /** Bytes after which the file is written anew. */
  #limit = 0;
  /** Something was appended. */
  #grown = false;
  #head: Head | undefined;

  constructor(options: FileStoreOptions) {
    this.#options = options;
    this.#path = join(options.directory, REGISTRATIONS_FILE);
    this.#disk = options.disk ?? DISK;
    this.#now = options.now ?? (() => new Date());
  }

  async load(): Promise<StoredItem[]> {
    try {
      await prepareFor(this.#disk, this.#path);
    } catch (error) {
      // It may still be readable.
      this.#options.log.error(`registrations can not be kept: ${textOf(error)}`);
    }
    const bytes = await this.#read();
    if (!bytes) return [];
    const { entries, lines, changes, cut } = await this.#decode(bytes);
    this.#records = new Map([...entries].map(([name, { text }]) => [name, text]));
    if (cut > 0) {
      this.#options.log.warn(`${this.#path} ends in a change that was being written: ${cut} bytes are dropped`);
    } else if (!this.#isWhole) {
      [this.#size, this.#lines, this.#grown] = [bytes.length, lines, changes > 1];
      this.#limit = 2 * this.#needed() + SLACK;
      this.#isWhole = true;
    }
    this.#head = entries.get(HEAD)?.entry.head;
    return [...entries.values()].flatMap(({ entry: { item } }) => (item ? [item] : []));
  }

  /** How far the changes had come that were loaded, if the file tells. */
  get head(): Head | undefined {
    return this.#head;
  }

  /** @param head how far the changes have come with this one, where they are counted */
  async write({ added, removed }: StoredChange, head?: Head): Promise<void> {
    const additions = added.map((item) => ({ name: nameOf(item), text: additionOf(item) }));
    if (head && removed.length + added.length > 0) additions.push({ name: HEAD, text: headRecordOf(head) });
    const records = [...removed.map(removalOf), ...additions.map(({ text }) => text)];
    if (records.length === 0) return;
    const apply = (all: Map<string, string>): Map<string, string> => {
      for (const item of removed) all.delete(nameOf(item));
      for (const { name, text } of additions) all.set(name, text);
      return all;
    };
    await this.#options.ready?.();
    const canAppend = await this.#canAppend();
    if (!canAppend || this.#size >= this.#limit) {
      const all = apply(new Map(this.#records));
      if (canAppend ? await this.#couldWriteAnew(all) : await this.#writeAnew(all)) {
        this.#records = all;
        return;
      }
    }
    await this.#append(encodeChange(records, this.#lines));
    this.#lines += records.length;
    apply(this.#records);
  }

  /** Keeps these and no others. @throws what went wrong; then the file is most likely as it was */
  async replace(items: readonly StoredItem[], head: Head): Promise<void> {
    await this.#options.ready?.();
    const records = new Map(items.map((item) => [nameOf(item), additionOf(item)]));
    records.set(HEAD, headRecordOf(head));
    await this.#writeAnew(records);
    this.#records = records;
  }

  /** What is in it is kept elsewhere. @throws what went wrong */
  async remove(): Promise<void> {
    await this.#letGo();
    await this.#disk.rm(this.#path, { force: true });
    [this.#records, this.#head] = [new Map(), undefined];
  }

  /** What is in it belongs to other data. @returns where it is now */
  async setAside(): Promise<string> {
    await this.#letGo();
    [this.#records, this.#head] = [new Map(), undefined];
    return setAside(this.#disk, this.#path, "of-other-data", this.#now());
  }

  /** Leaves a file in which nothing can be missing at the end unnoticed. */
  async close(): Promise<void> {
    if (this.#grown && (await this.#canAppend())) await this.#couldWriteAnew(this.#records).catch(() => {});
    await this.#letGo();
  }

  /** Is our file still the one that others would find? */
  async #canAppend(): Promise<boolean> {
    if (!this.#isWhole) return false;
    try {
      this.#file ??= await this.#disk.open(this.#path, APPENDING);
      const [ours, present] = await Promise.all([
        this.#file.stat({ bigint: true }),
        this.#disk.stat(this.#path, { bigint: true }),
      ]);
      if (ours.ino === present.ino && ours.dev === present.dev && present.size === BigInt(this.#size)) return true;
    } catch {
      // It was removed. If it is something else, writing it anew fails as well and tells.
    }
    await this.#letGo();
    return false;
  }

  async #append(bytes: Buffer): Promise<void> {
    const file = this.#file as File;
    try {
      await file.appendFile(bytes);
      await file.datasync();
    } catch (error) {
      // What was refused must not be there after a restart; what the system has of the file is uncertain from now on.
      await file.truncate(this.#size).catch(() => {});
      await this.#letGo();
      throw error;
    }
    this.#size += bytes.length;
    this.#grown = true;
  }

  /** Needs more room than to append: when that fails the log just goes on growing. */
  async #couldWriteAnew(records: ReadonlyMap<string, string>): Promise<boolean> {
    try {
      return await this.#writeAnew(records);
    } catch (error) {
      this.#options.log.warn(`${this.#path} grows, for it can not be written anew: ${textOf(error)}`);
      this.#limit = 2 * this.#size;
      // It failed after the new file was in its place.
      if (!(await this.#canAppend())) throw error;
      return false;
    }
  }

  /** @returns true @throws what went wrong; then the file is most likely as it was */
  async #writeAnew(records: ReadonlyMap<string, string>): Promise<true> {
    const lines = [headerOf(this.#options.versions, this.#now()), ...records.values()];
    let size = 0;
    const write = async (file: File): Promise<void> => {
      let part: Buffer[] = [];
      let bytes = 0;
      for (const [at, line] of lines.entries()) {
        const encoded = encodeLine(line, at, at < lines.length - 1);
        part.push(encoded);
        bytes += encoded.length;
        if (bytes < PART && at < lines.length - 1) continue;
        await file.appendFile(Buffer.concat(part));
        size += bytes;
        [part, bytes] = [[], 0];
      }
    };
    // Not every system replaces a file that is open.
    await this.#closeFile();
    await replaceFile(this.#disk, this.#path, write);
    [this.#size, this.#lines, this.#grown] = [size, lines.length, false];
    this.#limit = 2 * size + SLACK;
    this.#isWhole = true;
    return true;
  }

  /** Bytes that a new file would have, about. */
  #needed(): number {
    let bytes = 0;
    for (const record of this.#records.values()) bytes += record.length;
    return bytes;
  }

  /** Of the file nothing is certain any more. */
  async #letGo(): Promise<void> {
    this.#isWhole = false;
    await this.#closeFile();
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => {});
  }

  async #read(): Promise<Buffer | undefined> {
    try {
      return await this.#disk.readFile(this.#path);
    } catch (error) {
      if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
      throw new InternalError(`the registrations in ${this.#path} can not be read: ${textOf(error)}`);
    }
  }

  /** What the file says; when it was repaired, what the new one in its place says. */
  async #decode(bytes: Buffer): Promise<LogContent> {
    const { versions, repair, log } = this.#options;
    let content: LogContent = { entries: new Map(), lines: 0, changes: 0, damage: [], cut: 0 };
    let trouble: string;
    try {
      content = decodeLog(bytes, versions);
      const [first] = content.damage;
      if (!first) return content;
      const more = content.damage.length > 1 ? `, and ${content.damage.length - 1} more` : "";
      trouble = `are damaged: line ${first.line}: ${first.why}${more}`;
    } catch (error) {
      if (!(error instanceof ForeignFile)) throw error;
      trouble = `can not be used: ${error.message}`;
    }
    const text = `the registrations in ${this.#path} ${trouble}`;
    if (!repair) throw new InternalError(`${text}. ${REPAIR_HINT}`);
    const { entries } = content;
    const copy = await keepCopy(this.#disk, this.#path, "damaged", this.#now());
    await this.#writeAnew(new Map([...entries].map(([name, { text: record }]) => [name, record])));
    const count = [...entries.values()].filter(({ entry }) => entry.item).length;
    log.error(`${text}. ${count} registrations and time events could be read; the file is kept as ${copy}`);
    return { ...content, cut: 0 };
  }
}
