/** Replies as JSON for the page, which shows them: what is too long is cut, and says so. */
import { encode, type Reply } from "../resp/reply.ts";
import type { Part, ReplyJson } from "./page/wire.ts";
import { utf8Of } from "../utf8.ts";

/** Bytes of a reply that are looked at. */
const MOST_BYTES = 4 * 1024 * 1024;
/** Elements of one array that are shown. */
const MOST_ITEMS = 2_000;
/** Characters of one text. */
const MOST_TEXT = 256 * 1024;
/** Arrays in each other. */
const MOST_DEPTH = 64;

/** What a reply is for the page. */
export function replyJson(reply: Reply, part?: Part): ReplyJson {
  if (!part || reply.type !== "array") return wholeJson(reply);
  const { from, most, match } = part;
  const matching = match === "" ? reply.items : reply.items.filter((item) => holds(item, match));
  const shown = matching.slice(from, from + most);
  const value = wholeJson({ type: "array", items: shown });
  const after = matching.length - from - shown.length;
  return after > 0 && Array.isArray(value) ? [...value, { more: after }] : value;
}

/** Is the text somewhere in the reply? Capital and small letters are one. */
const holds = (reply: Reply, text: string): boolean =>
  Buffer.concat(encode(reply, 2)).toString("utf8").toLowerCase().includes(text.toLowerCase());

function wholeJson(reply: Reply): ReplyJson {
  const chunks: Uint8Array[] = [];
  let room = MOST_BYTES;
  for (const chunk of encode(reply, 2)) {
    chunks.push(chunk.subarray(0, room));
    room -= chunk.length;
    if (room <= 0) break;
  }
  const value = new Reader(Buffer.concat(chunks)).value(0);
  return value === undefined ? { more: 1 } : value;
}

class Reader {
  #at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The value that comes next; undefined when the bytes end before it does. */
  value(depth: number): ReplyJson | undefined {
    const line = this.#line();
    if (line === undefined) return undefined;
    const rest = line.slice(1);
    switch (line[0]) {
      case "-":
        return { error: rest };
      case ":":
        return Number.isSafeInteger(Number(rest)) ? Number(rest) : rest;
      case "$":
        return rest === "-1" ? null : this.#text(Number(rest));
      case "*":
        return rest === "-1" ? null : this.#array(Number(rest), depth);
      default:
        return rest;
    }
  }

  #array(count: number, depth: number): ReplyJson {
    const items: ReplyJson[] = [];
    for (let at = 0; at < count; at++) {
      const item = depth < MOST_DEPTH ? this.value(depth + 1) : undefined;
      if (item === undefined) return [...items, { more: count - at }];
      if (items.length < MOST_ITEMS) items.push(item);
    }
    return count > MOST_ITEMS ? [...items, { more: count - MOST_ITEMS }] : items;
  }

  #text(length: number): ReplyJson | undefined {
    const from = this.#at;
    if (from + length + 2 > this.#bytes.length) return undefined;
    this.#at = from + length + 2;
    const bytes = this.#bytes.subarray(from, from + length);
    const text = utf8Of(bytes);
    if (text === undefined) return { bytes: escaped(bytes) };
    return text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}… (${length} bytes)` : text;
  }

  #line(): string | undefined {
    const end = this.#bytes.indexOf("\r\n", this.#at);
    if (end < 0) return undefined;
    const line = this.#bytes.toString("utf8", this.#at, end);
    this.#at = end + 2;
    return line;
  }
}

/** Bytes as Python shows them. */
const escaped = (bytes: Buffer): string =>
  bytes
    .subarray(0, MOST_TEXT)
    .toString("latin1")
    .replace(/[^\x20-\x7e]|\\/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`);
