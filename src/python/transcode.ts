/**
 * RESP to marshal and back, byte for byte, without building values in between: these loops carry every record that a
 * reader emits and every result that a script returns.
 */
import { isUtf8 } from "node:buffer";
import { InternalError } from "../errors.ts";
import type { Reply } from "../resp/reply.ts";
import { MARSHAL_TYPE, type MarshalReader, type MarshalValue, MarshalWriter } from "./marshal.ts";

const CR = 13;
const [PLUS, MINUS, COLON, DOLLAR, STAR] = [0x2b, 0x2d, 0x3a, 0x24, 0x2a] as const;

/** Walks over RESP2 replies and writes what Python gets for them: docs/spec/python.md, section 12. */
export class RespReader {
  readonly source: Buffer;
  at: number;
  readonly end: number;
  /** All of it is UTF-8: then every bulk is, for a character can not reach over a CRLF. */
  readonly #allText: boolean;
  /** Set once a value was written as bytes, because it was not UTF-8. */
  wroteBytes = false;

  constructor(source: Buffer, start = 0, end = source.length) {
    this.source = source;
    this.at = start;
    this.end = end;
    this.#allText = isUtf8(start === 0 && end === source.length ? source : source.subarray(start, end));
  }

  /** The type byte of the next reply. */
  get type(): number {
    return this.source[this.at] ?? 0;
  }

  /** True when the next reply is an error. */
  get isError(): boolean {
    return this.type === MINUS;
  }

  /** True when the next reply is an array, and no nil. */
  get isArray(): boolean {
    return this.type === STAR && !this.isNil;
  }

  /** True when the next reply is a nil of either kind. */
  get isNil(): boolean {
    return (this.type === DOLLAR || this.type === STAR) && this.source[this.at + 1] === MINUS;
  }

  /** True when the next reply is an array without elements. */
  get isEmptyArray(): boolean {
    return this.type === STAR && this.source[this.at + 1] === 48;
  }

  /** Reads the head of an array and gives its length (0 for a nil). */
  arrayLength(): number {
    if (this.type !== STAR) throw new InternalError("engine: expected an array");
    return Math.max(0, this.#number());
  }

  /** Reads a line reply (status, error, integer) as text. */
  line(): string {
    const start = this.at + 1;
    const end = this.#lineEnd();
    this.at = end + 2;
    return this.source.toString("utf8", start, end);
  }

  /** Reads a bulk or status and gives a view of its bytes; undefined for nil. */
  bulk(): Buffer | undefined {
    if (this.type === PLUS) {
      const start = this.at + 1;
      const end = this.#lineEnd();
      this.at = end + 2;
      return this.source.subarray(start, end);
    }
    if (this.type !== DOLLAR) throw new InternalError("engine: expected a bulk string");
    const size = this.#number();
    if (size < 0) return undefined;
    this.at += size + 2;
    return this.source.subarray(this.at - size - 2, this.at - 2);
  }

  /** Writes the next reply as the Python value it becomes. An error inside becomes its text. */
  transcode(out: MarshalWriter): void {
    switch (this.type) {
      case DOLLAR: {
        const size = this.#number();
        if (size < 0) {
          out.none();
          return;
        }
        this.#text(out, this.at, this.at + size);
        this.at += size + 2;
        return;
      }
      case STAR: {
        const length = this.#number();
        if (length < 0) {
          out.none();
          return;
        }
        out.list(length);
        for (let i = 0; i < length; i++) this.transcode(out);
        return;
      }
      case COLON: {
        const text = this.line();
        const value = Number(text);
        out.int(Number.isSafeInteger(value) ? value : BigInt(text));
        return;
      }
      case PLUS:
      case MINUS: {
        const start = this.at + 1;
        const end = this.#lineEnd();
        this.#text(out, start, end);
        this.at = end + 2;
        return;
      }
      default:
        throw new InternalError(`engine: unexpected reply type ${this.type}`);
    }
  }

  /** Writes the next reply, a flat array of pairs, as a dict. */
  transcodePairs(out: MarshalWriter): void {
    const length = this.arrayLength();
    out.dict();
    for (let i = 0; i < length; i++) this.transcode(out);
    out.dictEnd();
  }

  #text(out: MarshalWriter, start: number, end: number): void {
    if (this.#allText || isUtf8(this.source.subarray(start, end))) {
      out.textBytes(this.source, start, end);
    } else {
      out.bytesSlice(this.source, start, end);
      this.wroteBytes = true;
    }
  }

  /** The number of a `$5\r\n` or `*3\r\n` head; moves behind it. */
  #number(): number {
    const bytes = this.source;
    let at = this.at + 1;
    let sign = 1;
    if (bytes[at] === MINUS) {
      sign = -1;
      at++;
    }
    let value = 0;
    for (; bytes[at] !== CR; at++) {
      if (at >= this.end) throw new InternalError("engine: reply ends too early");
      value = value * 10 + (bytes[at] as number) - 48;
    }
    this.at = at + 2;
    return sign * value;
  }

  #lineEnd(): number {
    const end = this.source.indexOf("\r\n", this.at, "latin1");
    if (end < 0 || end >= this.end) throw new InternalError("engine: reply ends too early");
    return end;
  }
}

/** Bytes of a word above which it is not decoded to be encoded again. */
const LONG_WORD = 65_536;

/** The words of a command as Python gets them: text, or bytes where they are not UTF-8. */
export const commandWords = (args: readonly Buffer[]): MarshalValue[] =>
  args.map((arg) => {
    if (!isUtf8(arg)) return arg;
    if (arg.length <= LONG_WORD) return arg.toString("utf8");
    return new MarshalWriter(arg.length + 8).textBytes(arg, 0, arg.length).valueFrom(0);
  });

/** Appends one of our own replies as the Python value that `execute()` returns for it. */
export function replyToMarshal(reply: Reply, out: MarshalWriter): { wroteBytes: boolean } {
  switch (reply.type) {
    case "status":
    case "error":
      out.text(reply.text);
      return { wroteBytes: false };
    case "integer":
      out.int(reply.value);
      return { wroteBytes: false };
    case "nil":
      out.none();
      return { wroteBytes: false };
    case "verbatim":
    case "bulk": {
      const text = isUtf8(reply.bytes);
      if (text) out.textBytes(reply.bytes, 0, reply.bytes.length);
      else out.bytes(reply.bytes);
      return { wroteBytes: !text };
    }
    case "array":
      out.list(reply.items.length);
      return { wroteBytes: reply.items.map((item) => replyToMarshal(item, out)).some((r) => r.wroteBytes) };
    case "map":
      out.list(reply.pairs.length * 2);
      return {
        wroteBytes: reply.pairs
          .flat()
          .map((item) => replyToMarshal(item, out))
          .some((r) => r.wroteBytes),
      };
    case "raw": {
      const reader = new RespReader(Buffer.concat(reply.chunks));
      reader.transcode(out);
      return { wroteBytes: reader.wroteBytes };
    }
  }
}

const INT64_MAX = 0x7fffffffffffffffn;
const INT64_MIN = -0x8000000000000000n;

/**
 * Turns results that Python sent into reply bytes: docs/spec/python.md, section 13. The same bytes serve RESP2 and RESP3.
 * @param prefixRule texts that start with `+` or `-` become statuses and errors (triggers, hooks, override_reply)
 * @returns the encoded elements, without an array head, and how many they are; of large ones the chunks are views
 */
export function resultsToResp(
  reader: MarshalReader,
  prefixRule: boolean,
): { count: number; chunks: readonly Buffer[] } {
  const count = reader.list();
  if (count === 0) return { count, chunks: [] };
  const { length } = reader.source;
  const out = new RespWriter(Math.min(Math.max(64, length + (length >> 1)), MOST_AT_FIRST));
  const wellFormed = isUtf8(reader.source);
  for (let i = 0; i < count; i++) writeResult(reader, out, prefixRule, wellFormed, 0);
  return { count, chunks: out.finish() };
}

/** One result, read from the message, as reply bytes. */
export function resultToResp(reader: MarshalReader, prefixRule: boolean): readonly Buffer[] {
  const out = new RespWriter(64);
  writeResult(reader, out, prefixRule, false, 0);
  return out.finish();
}

function writeResult(
  reader: MarshalReader,
  out: RespWriter,
  prefixRule: boolean,
  wellFormed: boolean,
  depth: number,
): void {
  const type = reader.peek();
  if (type === MARSHAL_TYPE.text || type === MARSHAL_TYPE.interned) {
    let bytes = reader.bytes();
    // marshal lets lone surrogates pass; a reply must not
    if (!wellFormed && !isUtf8(bytes)) bytes = Buffer.from(bytes.toString("utf8"), "utf8");
    const first = bytes[0];
    if (prefixRule && bytes.length > 1 && (first === PLUS || first === MINUS)) out.line(first, bytes.subarray(1));
    else out.bulk(bytes);
    return;
  }
  if (type === MARSHAL_TYPE.bytes) {
    out.bulk(reader.bytes());
    return;
  }
  const isList = type === 0x5b || type === 0x28;
  if (isList) {
    if (depth > 1_000) throw new InternalError("results nest too deeply");
    const length = reader.list();
    out.head(STAR, length);
    for (let i = 0; i < length; i++) writeResult(reader, out, prefixRule, wellFormed, depth + 1);
    return;
  }
  const value = reader.value();
  if (typeof value === "number" || typeof value === "boolean") out.head(COLON, Number(value));
  else if (typeof value === "bigint") {
    if (value >= INT64_MIN && value <= INT64_MAX) out.line(COLON, Buffer.from(String(value)));
    else out.bulk(Buffer.from(String(value)));
  } else out.bulk(Buffer.from("PY RECORD"));
}

const isLineEnd = (byte: number | undefined): boolean => byte === 10 || byte === CR;

/** Bytes of a value that is not copied, but stays where it is: in a message that is not much larger. */
const LARGE = 65_536;
/** Bytes that are reserved for a message's results at first. */
const MOST_AT_FIRST = 1024 * 1024;

/** A growing buffer of RESP. */
class RespWriter {
  readonly #chunks: Buffer[] = [];
  #bytes: Buffer;
  #at = 0;

  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity);
  }

  bulk(bytes: Buffer): void {
    this.head(DOLLAR, bytes.length);
    const size = bytes.length;
    if (size >= LARGE) {
      this.#cut();
      this.#chunks.push(bytes);
      this.#crlf();
      return;
    }
    this.#need(size + 2);
    if (size < 24) for (let i = 0; i < size; i++) this.#bytes[this.#at + i] = bytes[i] as number;
    else bytes.copy(this.#bytes, this.#at);
    this.#at += size;
    this.#crlf();
  }

  /** A status or error: CR and LF inside become blanks, and those that end an error are left out, as Redis does it. */
  line(type: number, bytes: Buffer): void {
    this.#need(bytes.length + 3);
    this.#bytes[this.#at++] = type;
    let size = bytes.length;
    while (type === MINUS && isLineEnd(bytes[size - 1])) size--;
    for (const byte of bytes.subarray(0, size)) this.#bytes[this.#at++] = isLineEnd(byte) ? 32 : byte;
    this.#crlf();
  }

  head(type: number, value: number): void {
    this.#need(24);
    this.#bytes[this.#at++] = type;
    if (value >= 0 && value < 10) this.#bytes[this.#at++] = 48 + value;
    else this.#at += this.#bytes.write(String(value), this.#at, "latin1");
    this.#crlf();
  }

  finish(): readonly Buffer[] {
    this.#cut();
    return this.#chunks;
  }

  /** What was written so far becomes a chunk: a copy of its own size, for the generous buffer must not be kept with it. */
  #cut(): void {
    if (this.#at > 0) this.#chunks.push(Buffer.from(this.#bytes.subarray(0, this.#at)));
    this.#at = 0;
  }

  #crlf(): void {
    this.#need(2);
    this.#bytes[this.#at++] = CR;
    this.#bytes[this.#at++] = 10;
  }

  #need(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#at + size));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}
