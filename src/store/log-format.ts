/**
 * The bytes of the file of registrations: a log of changes. Each line is a record,
 *
 *   checksum (CRC-32 of what follows, 8 hexadecimal digits) blank, line's number, mark, blank, JSON, line end
 *
 * and the mark is `+` when the change goes on in the next line, `.` when it ends here. The first change has in its first
 * line who wrote the file, and after it all that there was then; further changes are appended to it.
 *
 * A change is there when its last line is: what a crash has cut off at the end of the file was told to nobody. Anything
 * else that is missing or changed is damage.
 */
import { crc32 } from "node:zlib";
import { type Entry, entryOf } from "./record.ts";
import type { Versions } from "./store.ts";
import { textOf } from "../errors.ts";

const FORMAT = 2;

/** The file was written by another version, and nothing of it can be used. */
export class ForeignFile extends Error {
  override name = "ForeignFile";
}

/** A record that can not be read, or is not there. */
interface Damage {
  /** Number of its line, the first being 1. */
  readonly line: number;
  readonly why: string;
}

export interface LogContent {
  /** What is there in the end, by name: the texts of the records and what they say. */
  readonly entries: ReadonlyMap<string, { readonly text: string; readonly entry: Entry }>;
  /** How many lines there are. */
  readonly lines: number;
  /** How many changes these are, the first one being all that there was at first. */
  readonly changes: number;
  readonly damage: readonly Damage[];
  /** How many bytes at the end belong to a change that was not written to its end. */
  readonly cut: number;
}

const EARLIER = /^regears-registrations sha256:/;
const LINE = /^([0-9a-f]{8}) (\d+)([+.]) (.*)$/s;
const LINE_END = 10;
/** The checksum and the blank after it. */
const SUM_LENGTH = 9;

/** The first record of a file. */
export const headerOf = (versions: Versions, now: Date): string =>
  JSON.stringify({ registrations: FORMAT, ...versions, begun: now.toISOString() });

/** The bytes of a change. @param first the number of its first line @param records at least one */
export function encodeChange(records: readonly string[], first: number): Buffer {
  return Buffer.concat(records.map((record, at) => encodeLine(record, first + at, at < records.length - 1)));
}

/** @param goesOn the change does not end with this line */
export function encodeLine(record: string, number: number, goesOn: boolean): Buffer {
  const text = Buffer.from(`${number}${goesOn ? "+" : "."} ${record}`);
  return Buffer.concat([Buffer.from(`${checksum(text)} `), text, Buffer.from("\n")]);
}

const checksum = (bytes: Uint8Array): string => crc32(bytes).toString(16).padStart(8, "0");

/**
 * Reads a file.
 * @param versions of the server that reads
 * @throws ForeignFile
 */
export function decodeLog(bytes: Buffer, versions: Versions): LogContent {
  const log = new LogReader(versions);
  let at = 0;
  for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END, at)) {
    log.line(bytes.subarray(at, end));
    at = end + 1;
    if (log.isWhole) log.wholeUntil = at;
  }
  return log.finish(bytes.subarray(at), bytes.length);
}

/** Is it a record, without its line end? */
const isRecord = (bytes: Buffer): boolean => LINE.exec(bytes.toString())?.[1] === checksum(bytes.subarray(SUM_LENGTH));

class LogReader {
  /** Where the last change that is whole ends. */
  wholeUntil = 0;
  readonly #versions: Versions;
  readonly #entries = new Map<string, { text: string; entry: Entry }>();
  readonly #damage: Damage[] = [];
  /** Records of the change that is being read. */
  #change: { text: string; entry: Entry | undefined }[] = [];
  /** The change that is being read has lost something. */
  #isDamaged = false;
  #lines = 0;
  #changes = 0;

  constructor(versions: Versions) {
    this.#versions = versions;
  }

  /** No change is being read. */
  get isWhole(): boolean {
    return this.#change.length === 0 && !this.#isDamaged;
  }

  line(bytes: Buffer): void {
    const expected = this.#lines;
    if (expected === 0 && EARLIER.test(bytes.toString("latin1", 0, 64))) {
      throw new ForeignFile("an earlier version of Regears wrote it, in another format");
    }
    if (!isRecord(bytes)) {
      this.#lines++;
      this.#lose(expected, "its checksum is wrong");
      return;
    }
    const [, , digits, mark, text = ""] = LINE.exec(bytes.toString()) ?? [];
    const number = Number(digits);
    // After a damaged line the numbers tell how many lines that was.
    if (number !== expected && !this.#isDamaged) this.#lose(expected, `line ${number + 1} stands in its place`);
    this.#lines = number + 1;
    try {
      this.#change.push({ text, entry: number === 0 ? this.#header(text) : entryOf(text) });
    } catch (error) {
      if (error instanceof ForeignFile) throw error;
      this.#lose(number, textOf(error));
    }
    if (mark === ".") this.#apply();
  }

  /** @param rest what stands after the last line @param size bytes of the file */
  finish(rest: Buffer, size: number): LogContent {
    // What a crash cuts off goes on with nothing but a line end.
    if (isRecord(rest.subarray(0, -1))) this.#lose(this.#lines, "its line end is wrong");
    // The first change was put in place as a whole.
    if (this.#changes === 0 && !this.#isDamaged) this.#lose(this.#lines, "the file ends before it");
    // A damaged line may have been the last of its change.
    if (this.#isDamaged) this.#apply();
    const isDamaged = this.#damage.length > 0;
    return {
      entries: this.#entries,
      lines: this.#lines,
      changes: this.#changes,
      damage: this.#damage,
      cut: isDamaged ? 0 : size - this.wholeUntil,
    };
  }

  #lose(number: number, why: string): void {
    this.#damage.push({ line: number + 1, why });
    this.#isDamaged = true;
  }

  #apply(): void {
    for (const { text, entry } of this.#change) {
      if (entry?.item ?? entry?.head) this.#entries.set(entry.name, { text, entry });
      else if (entry) this.#entries.delete(entry.name);
    }
    this.#change = [];
    this.#isDamaged = false;
    this.#changes++;
  }

  #header(text: string): undefined {
    const { registrations, regears, python } = JSON.parse(text) as Versions & { readonly registrations: number };
    if (registrations !== FORMAT) throw new ForeignFile(`Regears ${regears} wrote it, in another format`);
    if (python === this.#versions.python) return undefined;
    throw new ForeignFile(`it holds code for Python ${python}, and this is ${this.#versions.python}`);
  }
}
