/**
 * Reads a dump (RDB) from its begin to its end: which keys and other records it has, and where. Values are passed over,
 * not understood; only data of modules are read, whose parts say themselves what they are.
 * (The format is what Redis' rdb.c reads and writes.)
 */
import { Crc64 } from "./crc64.ts";
import { decompress } from "./lzf.ts";

/** Gives bytes of the file, fewer only at its end. */
export type ReadAt = (buffer: Buffer, position: number) => number;

/** A part of a module's data. */
export type ModuleValue = bigint | number | Buffer;

/** A record of the file, from `start` to before `end`. */
export interface RdbRecord {
  readonly start: number;
  readonly end: number;
  readonly kind: "key" | "module aux" | "function" | "other" | "end";
  /** Of a key: its name and the number of its database. */
  readonly key?: Buffer;
  readonly database?: number;
  /** The type of module data: nine letters, and a version. */
  readonly module?: { readonly name: string; readonly version: number };
  /** What a module has written. Of keys only when it is asked for. */
  readonly values?: readonly ModuleValue[];
  /** Of a library of functions. */
  readonly code?: Buffer;
}

/** It is no such file, or damaged, or of a version that is not known. */
class BadRdb extends Error {
  override name = "BadRdb";
}

const WINDOW = 256 * 1024;
const HEADER_BYTES = 9;
const CHECKSUM_BYTES = 8;
/** From this version on there is a checksum. */
const WITH_CHECKSUM = 5;

/** Types of values. */
const [STRING, LIST, SET, ZSET, HASH, ZSET2, MODULE2] = [0, 1, 2, 3, 4, 5, 7];
const ONE_STRING: ReadonlySet<number> = new Set([STRING, 9, 10, 11, 12, 13, 16, 17, 20]);
const [QUICKLIST, STREAM, QUICKLIST2, STREAM2, STREAM3, HASH2] = [14, 15, 18, 19, 21, 22];
/** Other records. */
const Op = {
  slotInfo: 244,
  function: 245,
  moduleAux: 247,
  idle: 248,
  frequency: 249,
  aux: 250,
  resize: 251,
  expireMs: 252,
  expire: 253,
  select: 254,
  end: 255,
} as const;
/** Parts of module data. */
const [PART_END, PART_SIGNED, PART_UNSIGNED, PART_FLOAT, PART_DOUBLE, PART_STRING] = [0, 1, 2, 3, 4, 5];

/** The letters of the names of modules' types: ten bits at the end are the version. */
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

export class RdbReader {
  readonly #readAt: ReadAt;
  readonly #window = Buffer.alloc(WINDOW);
  #windowAt = 0;
  #windowLength = 0;
  #at = 0;
  #database = 0;
  readonly #crc = new Crc64();
  #version = 0;

  constructor(readAt: ReadAt) {
    this.#readAt = readAt;
  }

  /** Bytes before the first record. @throws BadRdb */
  header(): number {
    const text = this.#take(HEADER_BYTES).toString("latin1");
    const [, version] = /^(?:REDIS|VALKEY)0*(\d+)$/.exec(text) ?? [];
    if (version === undefined) throw new BadRdb("it is no dump of Redis or Valkey");
    this.#version = Number(version);
    return HEADER_BYTES;
  }

  /** The next record; the last one is of the kind `end`, with the checksum. @throws BadRdb */
  next(): RdbRecord {
    const start = this.#at;
    for (;;) {
      const code = this.#byte();
      switch (code) {
        case Op.expireMs:
          this.#skip(8);
          continue;
        case Op.expire:
          this.#skip(4);
          continue;
        case Op.idle:
          this.#length();
          continue;
        case Op.frequency:
          this.#skip(1);
          continue;
        default:
          return code <= HASH2 ? this.#key(start, code) : this.#other(start, code);
      }
    }
  }

  #other(start: number, code: number): RdbRecord {
    switch (code) {
      case Op.aux:
        this.#skipStrings(2);
        break;
      case Op.resize:
        this.#skipLengths(2);
        break;
      case Op.slotInfo:
        this.#skipLengths(3);
        break;
      case Op.function:
        return { kind: "function", start, code: this.#string(), end: this.#at };
      case Op.select:
        this.#database = Number(this.#length());
        break;
      case Op.moduleAux: {
        const module = moduleType(this.#length());
        return { kind: "module aux", start, module, values: this.#moduleValues(), end: this.#at };
      }
      case Op.end:
        return { kind: "end", start, end: this.#end() };
      default:
        throw new BadRdb(`at ${start} there is a record of an unknown kind, ${code}`);
    }
    return { kind: "other", start, end: this.#at };
  }

  #key(start: number, type: number): RdbRecord {
    const key = this.#string();
    const database = this.#database;
    if (type !== MODULE2) {
      this.#skipValue(type);
      return { kind: "key", start, key, database, end: this.#at };
    }
    const module = moduleType(this.#length());
    return { kind: "key", start, key, database, module, values: this.#moduleValues(), end: this.#at };
  }

  /** The checksum is of all bytes before it; zero says that there is none. */
  #end(): number {
    if (this.#version < WITH_CHECKSUM) return this.#at;
    const counted = this.#crc.bytes;
    const told = this.#take(CHECKSUM_BYTES);
    if (told.some((byte) => byte !== 0) && !told.equals(counted)) throw new BadRdb("its checksum is wrong");
    return this.#at;
  }

  #skipValue(type: number): void {
    if (ONE_STRING.has(type)) this.#skipStrings(1);
    else if (type === LIST || type === SET || type === QUICKLIST) this.#skipStrings(this.#count());
    else if (type === HASH) this.#skipStrings(2 * this.#count());
    else if (type === QUICKLIST2) for (let left = this.#count(); left > 0; left--) this.#containerAndString();
    else if (type === ZSET || type === ZSET2) for (let left = this.#count(); left > 0; left--) this.#member(type);
    else if (type === HASH2) for (let left = this.#count(); left > 0; left--) this.#fieldWithExpiry();
    else if (type === STREAM || type === STREAM2 || type === STREAM3) this.#skipStream(type);
    else throw new BadRdb(`a value is of an unknown type, ${type}`);
  }

  #containerAndString(): void {
    this.#length();
    this.#skipStrings(1);
  }

  #member(type: number): void {
    this.#skipStrings(1);
    if (type === ZSET2) this.#skip(8);
    else {
      // a score as text; lengths from 253 on stand for what is no number
      const length = this.#byte();
      if (length < 253) this.#skip(length);
    }
  }

  #fieldWithExpiry(): void {
    this.#skipStrings(2);
    this.#skip(8);
  }

  #skipStream(type: number): void {
    this.#skipStrings(2 * this.#count());
    this.#skipLengths(type === STREAM ? 3 : 8);
    for (let groups = this.#count(); groups > 0; groups--) {
      this.#skipStrings(1);
      this.#skipLengths(type === STREAM ? 2 : 3);
      for (let pending = this.#count(); pending > 0; pending--) {
        this.#skip(16 + 8);
        this.#length();
      }
      for (let consumers = this.#count(); consumers > 0; consumers--) {
        this.#skipStrings(1);
        this.#skip(type === STREAM3 ? 16 : 8);
        this.#skip(16 * this.#count());
      }
    }
  }

  #moduleValues(): ModuleValue[] {
    const values: ModuleValue[] = [];
    for (;;) {
      const part = this.#count();
      if (part === PART_END) return values;
      if (part === PART_SIGNED || part === PART_UNSIGNED) values.push(this.#length());
      else if (part === PART_FLOAT) values.push(this.#take(4).readFloatLE());
      else if (part === PART_DOUBLE) values.push(this.#take(8).readDoubleLE());
      else if (part === PART_STRING) values.push(this.#string());
      else throw new BadRdb(`data of a module have a part of an unknown kind, ${part}`);
    }
  }

  #skipStrings(count: number): void {
    for (let left = count; left > 0; left--) {
      const { length, special } = this.#lengthOrSpecial();
      if (special === undefined) this.#skip(Number(length));
      else if (special < 3) this.#skip(1 << special);
      else {
        const compressed = this.#count();
        this.#length();
        this.#skip(compressed);
      }
    }
  }

  #string(): Buffer {
    const { length, special } = this.#lengthOrSpecial();
    if (special === undefined) return Buffer.from(this.#take(Number(length)));
    if (special === 0) return Buffer.from(String(this.#take(1).readInt8()));
    if (special === 1) return Buffer.from(String(this.#take(2).readInt16LE()));
    if (special === 2) return Buffer.from(String(this.#take(4).readInt32LE()));
    const compressed = this.#count();
    const full = this.#count();
    return decompress(this.#take(compressed), full);
  }

  #skipLengths(count: number): void {
    for (let left = count; left > 0; left--) this.#length();
  }

  #count(): number {
    return Number(this.#length());
  }

  #length(): bigint {
    const { length, special } = this.#lengthOrSpecial();
    if (special !== undefined) throw new BadRdb(`at ${this.#at} there should be a length`);
    return length;
  }

  #lengthOrSpecial(): { readonly length: bigint; readonly special?: number } {
    const first = this.#byte();
    const low = first & 63;
    if (first < 0x40) return { length: BigInt(low) };
    if (first < 0x80) return { length: BigInt(low * 256 + this.#byte()) };
    if (first === 0x80) return { length: BigInt(this.#take(4).readUInt32BE()) };
    if (first === 0x81) return { length: this.#take(8).readBigUInt64BE() };
    if (first < 0xc0 || low > 3) throw new BadRdb(`at ${this.#at} there is a length of an unknown kind`);
    return { length: 0n, special: low };
  }

  #byte(): number {
    return this.#take(1)[0] as number;
  }

  /** Valid until the next call. */
  #take(length: number): Buffer {
    if (length > WINDOW) {
      const bytes = Buffer.alloc(length);
      if (this.#readAt(bytes, this.#at) < length) throw new BadRdb("its end is missing");
      this.#passed(bytes);
      return bytes;
    }
    if (this.#at < this.#windowAt || this.#at + length > this.#windowAt + this.#windowLength) {
      this.#windowAt = this.#at;
      this.#windowLength = this.#readAt(this.#window, this.#at);
      if (length > this.#windowLength) throw new BadRdb("its end is missing");
    }
    const bytes = this.#window.subarray(this.#at - this.#windowAt, this.#at - this.#windowAt + length);
    this.#passed(bytes);
    return bytes;
  }

  #skip(length: number): void {
    for (let left = length; left > 0; ) left -= this.#take(Math.min(left, WINDOW)).length;
  }

  #passed(bytes: Buffer): void {
    this.#crc.add(bytes);
    this.#at += bytes.length;
  }
}

function moduleType(id: bigint): { readonly name: string; readonly version: number } {
  let name = "";
  for (let letter = 0n; letter < 9n; letter++) name = LETTERS.charAt(Number((id >> (10n + letter * 6n)) & 63n)) + name;
  return { name, version: Number(id & 1023n) };
}
