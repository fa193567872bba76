/**
 * Reply values and their encoding. A handler names its reply's type; nothing is inferred from a JavaScript value.
 */
export type Protocol = 2 | 3;

export type Reply =
  | { readonly type: "status"; readonly text: string }
  | { readonly type: "error"; readonly text: string }
  | { readonly type: "integer"; readonly value: number | bigint }
  | { readonly type: "bulk"; readonly bytes: Uint8Array }
  /** Text for people, which programs such as redis-cli print as it is: a verbatim string in RESP3, a bulk string in RESP2. */
  | { readonly type: "verbatim"; readonly bytes: Uint8Array }
  | { readonly type: "nil" }
  | { readonly type: "array"; readonly items: readonly Reply[] }
  /** Pairs: a map in RESP3, a flat array in RESP2. */
  | { readonly type: "map"; readonly pairs: readonly (readonly [Reply, Reply])[] }
  /** Already encoded, the same in both protocols: chunks of one complete reply. */
  | { readonly type: "raw"; readonly chunks: readonly Uint8Array[] };

const NIL: Reply = { type: "nil" };

/** A simple string. CR and LF in it are sent as blanks. */
export const status = (text: string): Reply => ({ type: "status", text });
/** An error; the text is complete, no `ERR` is added. CR and LF at its end are left out, others sent as blanks. */
export const error = (text: string): Reply => ({ type: "error", text });
/** An integer. What does not fit into 64 bits is sent as a bulk string of its decimal digits. */
export const integer = (value: number | bigint): Reply => ({ type: "integer", value });
/** A bulk string of bytes, which must not be changed afterwards. */
export const bulk = (bytes: Uint8Array): Reply => ({ type: "bulk", bytes });
/** A text for people: {@link Reply}. */
export const verbatim = (value: string): Reply => ({ type: "verbatim", bytes: Buffer.from(value) });
/** A bulk string of a text's UTF-8 bytes. */
export const text = (value: string): Reply => ({ type: "bulk", bytes: Buffer.from(value) });
export const nil = (): Reply => NIL;
export const array = (items: readonly Reply[]): Reply => ({ type: "array", items });
export const map = (pairs: readonly (readonly [Reply, Reply])[]): Reply => ({ type: "map", pairs });
export const raw = (...chunks: readonly Uint8Array[]): Reply => ({ type: "raw", chunks });

const MIN_INTEGER = -(2n ** 63n);
const MAX_INTEGER = 2n ** 63n - 1n;
/** Byte strings up to this length are copied next to their neighbours, longer ones are handed on as they are. */
const COPY_LIMIT = 4096;
const CRLF = Buffer.from("\r\n");

/**
 * Encodes a reply.
 * @returns its bytes in order: a few chunks, of which the long ones are the reply's own byte strings
 */
export function encode(reply: Reply, protocol: Protocol): Uint8Array[] {
  const out = new Chunks();
  // A stack of our own, because results can be nested deeper than calls can.
  const stack: Reply[] = [reply];
  for (let next = stack.pop(); next; next = stack.pop()) {
    switch (next.type) {
      case "status":
        out.addText(`+${oneLine(next.text)}\r\n`);
        break;
      case "error":
        out.addText(`-${oneLine(next.text.replace(LINE_ENDS, ""))}\r\n`);
        break;
      case "integer":
        out.addText(encodeInteger(next.value));
        break;
      case "bulk":
        out.addText(`$${next.bytes.length}\r\n`);
        out.addBytes(next.bytes);
        out.addBytes(CRLF);
        break;
      case "verbatim":
        out.addText(protocol === 3 ? `=${next.bytes.length + 4}\r\ntxt:` : `$${next.bytes.length}\r\n`);
        out.addBytes(next.bytes);
        out.addBytes(CRLF);
        break;
      case "nil":
        out.addText(protocol === 3 ? "_\r\n" : "$-1\r\n");
        break;
      case "array":
        out.addText(`*${next.items.length}\r\n`);
        for (let index = next.items.length - 1; index >= 0; index--) stack.push(next.items[index] as Reply);
        break;
      case "map":
        out.addText(protocol === 3 ? `%${next.pairs.length}\r\n` : `*${2 * next.pairs.length}\r\n`);
        for (let index = next.pairs.length - 1; index >= 0; index--) {
          const [key, value] = next.pairs[index] as readonly [Reply, Reply];
          stack.push(value, key);
        }
        break;
      case "raw":
        for (const chunk of next.chunks) out.addBytes(chunk);
        break;
    }
  }
  return out.finish();
}

/** Encodes a reply into one buffer. */
export function encodeWhole(reply: Reply, protocol: Protocol): Buffer {
  const chunks = encode(reply, protocol);
  const only = chunks[0];
  return chunks.length === 1 && Buffer.isBuffer(only) ? only : Buffer.concat(chunks);
}

/** What Redis cuts off the text of an error (`addReplyErrorFormatInternal` in networking.c), and not off a status. */
const LINE_ENDS = /[\r\n]+$/;

const oneLine = (line: string): string => line.replace(/[\r\n]/g, " ");

function encodeInteger(value: number | bigint): string {
  if (typeof value === "number" && Number.isSafeInteger(value)) return `:${value}\r\n`;
  const exact = typeof value === "bigint" ? value : Number.isInteger(value) ? BigInt(value) : undefined;
  if (exact !== undefined && exact >= MIN_INTEGER && exact <= MAX_INTEGER) return `:${exact}\r\n`;
  const digits = String(exact ?? value);
  return `$${digits.length}\r\n${digits}\r\n`;
}

/** Collects small pieces into common chunks. */
class Chunks {
  readonly #done: Uint8Array[] = [];
  #small: Buffer = Buffer.allocUnsafe(128);
  #used = 0;

  addText(piece: string): void {
    const room = this.#reserve(piece.length * 3);
    this.#used += this.#small.write(piece, room);
  }

  addBytes(bytes: Uint8Array): void {
    if (bytes.length > COPY_LIMIT) {
      this.#flush();
      this.#done.push(bytes);
      return;
    }
    // reserving may put another buffer in place of this one
    const room = this.#reserve(bytes.length);
    this.#small.set(bytes, room);
    this.#used += bytes.length;
  }

  finish(): Uint8Array[] {
    this.#flush();
    return this.#done;
  }

  #flush(): void {
    if (this.#used > 0) this.#done.push(this.#small.subarray(0, this.#used));
    this.#small = this.#small.subarray(this.#used);
    this.#used = 0;
  }

  /** Makes room for so many bytes and tells where it begins. */
  #reserve(length: number): number {
    if (this.#used + length > this.#small.length) {
      const bigger = Buffer.allocUnsafe(Math.max(2 * this.#used, this.#used + length, 256));
      this.#small.copy(bigger, 0, 0, this.#used);
      this.#small = bigger;
    }
    return this.#used;
  }
}
