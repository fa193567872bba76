/**
 * The bytes of a snapshot of the data: a magic number, then chunks, the last of which tells how many there were.
 *
 *   chunk    length of the body (4 bytes), kind (1), body, CRC-32 of all this (4); numbers are little endian
 *   entries  database (4), then for each key: length (4), key, expiry in milliseconds since 1970 or -1 (double),
 *            length (4), value as DUMP gave it
 *   removed  database (4), then for each key: length (4), key
 *   library  the code of a library of functions
 *   end      number of chunks before (4)
 *
 * They are applied in their order: a later chunk may replace or remove what an earlier one brought.
 */
import { crc32 } from "node:zlib";
import type { File } from "./disk.ts";

const MAGIC = Buffer.from("RGSDATA\x01", "latin1");
const HEAD = 5;
const CHECKSUM = 4;
/** Bytes gathered before they are written, and read at once. */
const BUFFER_SIZE = 256 * 1024;
/** From this length on a value is written as it is, and not copied next to others before. */
const BIG_VALUE = 64 * 1024;

const Kind = { info: 1, entries: 2, removed: 3, library: 4, end: 5 } as const;

export interface Entry {
  readonly key: Buffer;
  /** Milliseconds since 1970; -1 for a key that does not expire. */
  readonly expiresAt: number;
  /** As DUMP gave it. */
  readonly value: Buffer;
}

/** `info` is for people: who wrote it and when. */
export type Chunk =
  | { readonly kind: "info"; readonly text: string }
  | { readonly kind: "entries"; readonly database: number; readonly entries: readonly Entry[] }
  | { readonly kind: "removed"; readonly database: number; readonly keys: readonly Buffer[] }
  | { readonly kind: "library"; readonly code: Buffer };

/** The snapshot is damaged from here on. */
export class DamagedSnapshot extends Error {
  override name = "DamagedSnapshot";
}

export class SnapshotWriter {
  readonly #file: File;
  #gathered: Uint8Array[] = [MAGIC];
  #size = MAGIC.length;
  #chunks = 0;

  constructor(file: File) {
    this.#file = file;
  }

  /** Resolves when more may be written. @throws what the file system throws */
  write(chunk: Chunk): Promise<void> {
    switch (chunk.kind) {
      case "info":
        return this.#chunk(Kind.info, [Buffer.from(chunk.text)]);
      case "entries":
        return this.#chunk(Kind.entries, entryParts(chunk.database, chunk.entries));
      case "removed":
        return this.#chunk(Kind.removed, [
          word(chunk.database),
          ...chunk.keys.flatMap((key) => [word(key.length), key]),
        ]);
      case "library":
        return this.#chunk(Kind.library, [chunk.code]);
    }
  }

  /** Marks the end and writes what was gathered. */
  async finish(): Promise<void> {
    await this.#chunk(Kind.end, [word(this.#chunks)]);
    await this.#flush();
  }

  async #chunk(kind: number, body: readonly Uint8Array[]): Promise<void> {
    const head = Buffer.alloc(HEAD);
    head.writeUInt32LE(body.reduce((sum, part) => sum + part.length, 0));
    head[4] = kind;
    const sum = body.reduce((crc, part) => crc32(part, crc), crc32(head));
    for (const part of [head, ...body, word(sum)]) {
      this.#gathered.push(part);
      this.#size += part.length;
    }
    this.#chunks++;
    if (this.#size >= BUFFER_SIZE) await this.#flush();
  }

  async #flush(): Promise<void> {
    let small: Uint8Array[] = [];
    const gathered = this.#gathered;
    this.#gathered = [];
    this.#size = 0;
    for (const part of gathered) {
      if (part.length < BIG_VALUE) {
        small.push(part);
        continue;
      }
      await this.#file.appendFile(Buffer.concat(small));
      await this.#file.appendFile(part);
      small = [];
    }
    await this.#file.appendFile(Buffer.concat(small));
  }
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** The body of a chunk of entries; big values are parts of their own, so that they are not copied. */
function entryParts(database: number, entries: readonly Entry[]): Buffer[] {
  const isBig = ({ value }: Entry): boolean => value.length >= BIG_VALUE;
  const size = entries.reduce((sum, entry) => sum + 16 + entry.key.length + (isBig(entry) ? 0 : entry.value.length), 4);
  const joined = Buffer.allocUnsafe(size);
  const parts: Buffer[] = [];
  let begin = 0;
  let at = joined.writeUInt32LE(database);
  for (const entry of entries) {
    const { key, expiresAt, value } = entry;
    at = joined.writeUInt32LE(key.length, at);
    at += key.copy(joined, at);
    at = joined.writeDoubleLE(expiresAt, at);
    at = joined.writeUInt32LE(value.length, at);
    if (isBig(entry)) {
      parts.push(joined.subarray(begin, at), value);
      begin = at;
    } else {
      at += value.copy(joined, at);
    }
  }
  return [...parts, joined.subarray(begin, at)];
}

export class SnapshotReader {
  readonly #file: File;
  /** Bytes of the file that were not taken yet. */
  #left: number;
  #buffer: Buffer = Buffer.alloc(0);
  #chunks = 0;
  #begun = false;
  #ended = false;

  /** @param size of the file, in bytes */
  constructor(file: File, size: number) {
    this.#file = file;
    this.#left = size;
  }

  /**
   * Reads the next chunk. Its buffers are its own.
   * @returns undefined after the last one
   * @throws DamagedSnapshot, what the file system throws
   */
  async next(): Promise<Chunk | undefined> {
    if (this.#ended) return undefined;
    if (!this.#begun) checkMagic(await this.#take(MAGIC.length));
    this.#begun = true;
    const head = Buffer.from(await this.#take(HEAD));
    const length = head.readUInt32LE();
    const bytes = await this.#take(length + CHECKSUM);
    const body = bytes.subarray(0, length);
    if (crc32(body, crc32(head)) !== bytes.readUInt32LE(length)) throw new DamagedSnapshot("a checksum is wrong");
    const kind = head[4];
    if (kind === Kind.end) {
      if (body.readUInt32LE() !== this.#chunks || this.#left > 0) throw new DamagedSnapshot("parts are missing");
      this.#ended = true;
      return undefined;
    }
    this.#chunks++;
    return parse(kind, body);
  }

  /** The next bytes; valid until the next call unless there are more of them than are read at once. */
  async #take(length: number): Promise<Buffer> {
    if (length > this.#left) throw new DamagedSnapshot("its end is missing");
    if (length > this.#buffer.length) await this.#fill(length);
    const bytes = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    this.#left -= length;
    return bytes;
  }

  /** A new buffer each time: chunks keep parts of the old one. */
  async #fill(length: number): Promise<void> {
    const target = Buffer.allocUnsafe(Math.min(Math.max(length, BUFFER_SIZE), this.#left));
    let filled = this.#buffer.copy(target);
    while (filled < length) {
      const { bytesRead } = await this.#file.read(target, filled, target.length - filled, null);
      if (bytesRead === 0) throw new DamagedSnapshot("its end is missing");
      filled += bytesRead;
    }
    this.#buffer = target.subarray(0, filled);
  }
}

/** @throws DamagedSnapshot */
function checkMagic(bytes: Buffer): void {
  if (bytes.equals(MAGIC)) return;
  const isOurs = bytes.subarray(0, -1).equals(MAGIC.subarray(0, -1));
  throw new DamagedSnapshot(
    isOurs ? `another version of Regears wrote it, in format ${bytes.at(-1)}` : "it is no snapshot of Regears",
  );
}

function parse(kind: number | undefined, body: Buffer): Chunk {
  switch (kind) {
    case Kind.info:
      return { kind: "info", text: body.toString() };
    case Kind.library:
      return { kind: "library", code: body };
    case Kind.entries: {
      const entries: Entry[] = [];
      for (let at = 4; at < body.length; ) {
        const key = countedAt(body, at);
        at += 4 + key.length;
        const expiresAt = body.readDoubleLE(at);
        const value = countedAt(body, at + 8);
        at += 12 + value.length;
        entries.push({ key, expiresAt, value });
      }
      return { kind: "entries", database: body.readUInt32LE(), entries };
    }
    case Kind.removed: {
      const keys: Buffer[] = [];
      for (let at = 4; at < body.length; ) {
        const key = countedAt(body, at);
        at += 4 + key.length;
        keys.push(key);
      }
      return { kind: "removed", database: body.readUInt32LE(), keys };
    }
    default:
      throw new DamagedSnapshot(`it has a part of the unknown kind ${kind}`);
  }
}

function countedAt(body: Buffer, at: number): Buffer {
  const start = at + 4;
  return body.subarray(start, start + body.readUInt32LE(at));
}
