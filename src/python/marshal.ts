/**
 * Python's `marshal` format (version 2) in TypeScript: the fastest codec that the interpreter has in C, so it is the one
 * for everything that crosses between the main thread and a worker. Only the types that cross are known: None, bool, int,
 * float, str, bytes, list, tuple, dict.
 *
 * Format: one type byte, then little-endian sizes; see CPython's Python/marshal.c.
 */
import { InternalError } from "../errors.ts";

/** What a decoded message may hold. Text is decoded, bytes are views into the message. */
export type MarshalValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Buffer
  | readonly MarshalValue[]
  | Map<string, MarshalValue>
  | Encoded;

/** A value that is encoded already, to be written as it is. Reading never gives one. */
export class Encoded {
  readonly bytes: Uint8Array;
  /** Are there bytes in it, of which Python makes bytearrays? */
  readonly hasBytes: boolean;

  constructor(bytes: Uint8Array, hasBytes = true) {
    this.bytes = bytes;
    this.hasBytes = hasBytes;
  }
}

/** May there be bytes in it? */
export function mayHoldBytes(value: MarshalValue): boolean {
  if (value instanceof Encoded) return value.hasBytes;
  if (typeof value !== "object" || value === null) return false;
  return value instanceof Uint8Array || value instanceof Map || value.some(mayHoldBytes);
}

/** The byte with which a value begins, by its type. */
export const MARSHAL_TYPE = {
  none: 0x4e,
  true: 0x54,
  false: 0x46,
  int: 0x69,
  long: 0x6c,
  float: 0x67,
  bytes: 0x73,
  text: 0x75,
  interned: 0x74,
  list: 0x5b,
  tuple: 0x28,
  dict: 0x7b,
  dictEnd: 0x30,
} as const;

/** Buffers of up to this size come from Node's pool: a memory of its own for each message costs more than the message. */
const POOLED_BYTES = 512;

/** Writes one message. Create one per message; `finish` hands out the bytes. */
export class MarshalWriter {
  #bytes: Buffer;
  #at = 0;
  #hasBytes = false;

  constructor(capacity = 256) {
    this.#bytes = capacity <= POOLED_BYTES ? Buffer.allocUnsafe(capacity) : Buffer.allocUnsafeSlow(capacity);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#at;
  }

  none(): this {
    return this.#byte(MARSHAL_TYPE.none);
  }

  bool(value: boolean): this {
    return this.#byte(value ? MARSHAL_TYPE.true : MARSHAL_TYPE.false);
  }

  int(value: number | bigint): this {
    if (value >= -0x80000000 && value <= 0x7fffffff) {
      this.#need(5);
      this.#bytes[this.#at] = MARSHAL_TYPE.int;
      this.#bytes.writeInt32LE(Number(value), this.#at + 1);
      this.#at += 5;
      return this;
    }
    return this.#long(BigInt(value));
  }

  float(value: number): this {
    this.#need(9);
    this.#bytes[this.#at] = MARSHAL_TYPE.float;
    this.#bytes.writeDoubleLE(value, this.#at + 1);
    this.#at += 9;
    return this;
  }

  text(value: string): this {
    const size = Buffer.byteLength(value);
    this.#sized(MARSHAL_TYPE.text, size);
    this.#bytes.write(value, this.#at, size, "utf8");
    this.#at += size;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#hasBytes = true;
    return this.#raw(MARSHAL_TYPE.bytes, value, 0, value.length);
  }

  /** A str whose UTF-8 bytes stand at `start…end` of `source`; the caller knows that they are UTF-8. */
  textBytes(source: Uint8Array, start: number, end: number): this {
    return this.#raw(MARSHAL_TYPE.text, source, start, end);
  }

  /** A bytes object from `start…end` of `source`. */
  bytesSlice(source: Uint8Array, start: number, end: number): this {
    this.#hasBytes = true;
    return this.#raw(MARSHAL_TYPE.bytes, source, start, end);
  }

  /** Begins a list: exactly `length` values must follow. */
  list(length: number): this {
    return this.#sized(MARSHAL_TYPE.list, length);
  }

  /** Begins a tuple: exactly `length` values must follow. */
  tuple(length: number): this {
    return this.#sized(MARSHAL_TYPE.tuple, length);
  }

  /** Begins a dict: keys and values alternate until `dictEnd`. */
  dict(): this {
    return this.#byte(MARSHAL_TYPE.dict);
  }

  dictEnd(): this {
    return this.#byte(MARSHAL_TYPE.dictEnd);
  }

  /** Any value; plain objects are not accepted, a Map becomes a dict. */
  value(value: MarshalValue | Uint8Array): this {
    if (value === null) return this.none();
    switch (typeof value) {
      case "boolean":
        return this.bool(value);
      case "number":
        return Number.isInteger(value) ? this.int(value) : this.float(value);
      case "bigint":
        return this.int(value);
      case "string":
        return this.text(value);
      default:
    }
    if (value instanceof Uint8Array) return this.bytes(value);
    if (value instanceof Encoded) return this.encoded(value.bytes);
    if (value instanceof Map) {
      this.dict();
      for (const [key, item] of value) this.text(key).value(item);
      return this.dictEnd();
    }
    this.list(value.length);
    for (const item of value) this.value(item);
    return this;
  }

  /** Appends a value that is already encoded. */
  encoded(value: Uint8Array): this {
    this.#need(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  /** Appends what another writer holds. */
  append(other: MarshalWriter): this {
    this.#need(other.#at);
    this.#hasBytes ||= other.#hasBytes;
    other.#bytes.copy(this.#bytes, this.#at, 0, other.#at);
    this.#at += other.#at;
    return this;
  }

  /** The message. The writer must not be used afterwards. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  /** The value that was written from a place on. More may be written after it. @param start {@link length} before it */
  valueFrom(start: number): Encoded {
    return new Encoded(this.#bytes.subarray(start, this.#at), this.#hasBytes);
  }

  #byte(type: number): this {
    this.#need(1);
    this.#bytes[this.#at++] = type;
    return this;
  }

  #sized(type: number, size: number): this {
    this.#need(5 + size);
    this.#bytes[this.#at] = type;
    this.#bytes.writeInt32LE(size, this.#at + 1);
    this.#at += 5;
    return this;
  }

  #raw(type: number, source: Uint8Array, start: number, end: number): this {
    const size = end - start;
    this.#sized(type, size);
    const target = this.#bytes;
    if (size < 24) {
      for (let i = 0, at = this.#at; i < size; i++) target[at + i] = source[start + i] as number;
    } else {
      target.set(source.subarray(start, end), this.#at);
    }
    this.#at += size;
    return this;
  }

  /** Digits in base 2^15, least significant first; the sign is that of the count. */
  #long(value: bigint): this {
    const digits: number[] = [];
    for (let rest = value < 0n ? -value : value; rest > 0n; rest >>= 15n) digits.push(Number(rest & 0x7fffn));
    this.#need(5 + digits.length * 2);
    this.#bytes[this.#at] = MARSHAL_TYPE.long;
    this.#bytes.writeInt32LE(value < 0n ? -digits.length : digits.length, this.#at + 1);
    this.#at += 5;
    for (const digit of digits) this.#at = this.#bytes.writeUInt16LE(digit, this.#at);
    return this;
  }

  #need(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + size));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

/** Encodes one value. */
export const encodeMarshal = (value: MarshalValue | Uint8Array): Buffer => new MarshalWriter().value(value).finish();

/** How deep lists may nest: more than Python's own marshal writes, less than our stack bears. */
const MAX_DEPTH = 2_100;

/** Most digits (of 15 bits) of an integer: more than anything needs that crosses, and few enough to be read at once. */
const MAX_DIGITS = 70;

/**
 * Reads one message piece by piece. What comes from a worker is a stranger's: every read is checked, and anything that is
 * not marshal throws an InternalError, upon which the worker is given up.
 */
export class MarshalReader {
  readonly #bytes: Buffer;
  #at = 0;
  #textLeft: number;

  /** @param maxText how many bytes may be decoded as text, all together: that takes its time */
  constructor(bytes: Uint8Array, maxText = Number.POSITIVE_INFINITY) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#textLeft = maxText;
  }

  /** The message itself, for those who read from it by offsets. */
  get source(): Buffer {
    return this.#bytes;
  }

  /** Is there another value? */
  get more(): boolean {
    return this.#at < this.#bytes.length;
  }

  /** How many bytes were read. */
  get at(): number {
    return this.#at;
  }

  /** Begins a list or tuple and gives its length. */
  list(): number {
    const type = this.#type();
    if (type !== MARSHAL_TYPE.list && type !== MARSHAL_TYPE.tuple) throw broken("a list", type);
    return this.#size();
  }

  /** Begins a dict; keys and values follow until {@link dictEnds}. */
  dict(): void {
    const type = this.#type();
    if (type !== MARSHAL_TYPE.dict) throw broken("a dict", type);
  }

  /** Is the dict over? Its end is read then. */
  dictEnds(): boolean {
    return this.#skips(MARSHAL_TYPE.dictEnd);
  }

  /** Is the next value None? It is read then. */
  none(): boolean {
    return this.#skips(MARSHAL_TYPE.none);
  }

  /** A bool, and nothing that Python would take for one. */
  bool(): boolean {
    const type = this.#type();
    if (type !== MARSHAL_TYPE.true && type !== MARSHAL_TYPE.false) throw broken("a bool", type);
    return type === MARSHAL_TYPE.true;
  }

  /** An integer, however large: no float and no bool. */
  int(): number | bigint {
    const type = this.#type();
    if (type === MARSHAL_TYPE.int) return this.#int32();
    if (type === MARSHAL_TYPE.long) return this.#long();
    throw broken("an int", type);
  }

  /** A float or an integer. */
  float(): number {
    if (this.peek() !== MARSHAL_TYPE.float) return Number(this.int());
    this.#at++;
    return this.#float();
  }

  /** @param maxBytes the longest that is taken */
  text(maxBytes = Number.POSITIVE_INFINITY): string {
    const type = this.#type();
    if (type !== MARSHAL_TYPE.text && type !== MARSHAL_TYPE.interned) throw broken("text", type);
    const bytes = this.#view();
    if (bytes.length > maxBytes) throw new InternalError(`marshal: text of more than ${maxBytes} bytes`);
    this.#textLeft -= bytes.length;
    if (this.#textLeft < 0) throw new InternalError("marshal: too much text");
    return bytes.toString("utf8");
  }

  /** Bytes, or the UTF-8 of a text: what a command's argument is. A view into the message. */
  bytes(): Buffer {
    const type = this.#type();
    if (type !== MARSHAL_TYPE.bytes && type !== MARSHAL_TYPE.text && type !== MARSHAL_TYPE.interned)
      throw broken("bytes", type);
    return this.#view();
  }

  /** Is the next value a list or tuple? */
  get isList(): boolean {
    const type = this.peek();
    return type === MARSHAL_TYPE.list || type === MARSHAL_TYPE.tuple;
  }

  /** Is it bytes or text? */
  get isBytes(): boolean {
    const type = this.peek();
    return type === MARSHAL_TYPE.bytes || type === MARSHAL_TYPE.text || type === MARSHAL_TYPE.interned;
  }

  /** Reads over bytes or text. */
  skipBytes(): void {
    this.#at++;
    const size = this.#size();
    this.#at += size;
  }

  /** The next value's type byte, without reading it. */
  peek(): number {
    return (this.#bytes[this.#at] ?? 0) & 0x7f;
  }

  /** The next value, whatever it is. */
  value(depth = 0): MarshalValue {
    const type = this.#type();
    switch (type) {
      case MARSHAL_TYPE.none:
        return null;
      case MARSHAL_TYPE.true:
        return true;
      case MARSHAL_TYPE.false:
        return false;
      case MARSHAL_TYPE.int:
        return this.#int32();
      case MARSHAL_TYPE.long:
        return this.#long();
      case MARSHAL_TYPE.float:
        return this.#float();
      case MARSHAL_TYPE.bytes:
        return this.#view();
      case MARSHAL_TYPE.text:
      case MARSHAL_TYPE.interned:
        return this.#view().toString("utf8");
      case MARSHAL_TYPE.list:
      case MARSHAL_TYPE.tuple:
        return this.#items(depth);
      case MARSHAL_TYPE.dict:
        return this.#dict(depth);
      default:
        throw broken("a known type", type);
    }
  }

  #items(depth: number): MarshalValue[] {
    if (depth > MAX_DEPTH) throw new InternalError("marshal: nested too deeply");
    const length = this.#size();
    const items: MarshalValue[] = [];
    for (let i = 0; i < length; i++) items.push(this.value(depth + 1));
    return items;
  }

  #dict(depth: number): Map<string, MarshalValue> {
    if (depth > MAX_DEPTH) throw new InternalError("marshal: nested too deeply");
    const map = new Map<string, MarshalValue>();
    while (!this.dictEnds()) map.set(this.text(), this.value(depth + 1));
    return map;
  }

  #int32(): number {
    this.#check(4);
    this.#at += 4;
    return this.#bytes.readInt32LE(this.#at - 4);
  }

  #float(): number {
    this.#check(8);
    this.#at += 8;
    return this.#bytes.readDoubleLE(this.#at - 8);
  }

  #long(): number | bigint {
    const count = this.#int32();
    // each digit costs as much as the digits before it: without a limit a megabyte of them would take minutes
    if (Math.abs(count) > MAX_DIGITS) throw new InternalError("marshal: an integer is too large");
    this.#check(Math.abs(count) * 2);
    let value = 0n;
    for (let i = 0; i < Math.abs(count); i++) {
      value |= BigInt(this.#bytes.readUInt16LE(this.#at)) << BigInt(15 * i);
      this.#at += 2;
    }
    if (count < 0) value = -value;
    const small = Number(value);
    return Number.isSafeInteger(small) ? small : value;
  }

  #view(): Buffer {
    const size = this.#size();
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }

  /** A size that fits into what is left: one byte an item at least, so a lie can not make us allocate. */
  #size(): number {
    this.#check(4);
    const size = this.#bytes.readInt32LE(this.#at);
    this.#at += 4;
    if (size < 0) throw new InternalError("marshal: negative size");
    this.#check(size);
    return size;
  }

  #skips(type: number): boolean {
    const found = this.more && this.peek() === type;
    if (found) this.#at++;
    return found;
  }

  #type(): number {
    this.#check(1);
    return (this.#bytes[this.#at++] as number) & 0x7f;
  }

  #check(size: number): void {
    if (this.#at + size > this.#bytes.length) throw new InternalError("marshal: message ends too early");
  }
}

const broken = (wanted: string, type: number): InternalError =>
  new InternalError(`marshal: expected ${wanted}, found type ${type}`);

/** Decodes one value. @throws InternalError when the bytes are not marshal. */
export const decodeMarshal = (bytes: Uint8Array): MarshalValue => new MarshalReader(bytes).value();
