/**
 * Replies as frames: where one ends in a stream of bytes that is cut anywhere, RESP2 and RESP3, without decoding them.
 */

/** The bytes are no RESP; whoever sends them can not be followed any more. */
export class FrameError extends Error {
  override name = "FrameError";
}

const CR = 13;
const LF = 10;
/** What is expected next: a frame's type byte, the number after it, the rest of a line, or bytes to skip. */
const AT_TYPE = 0;
const AT_NUMBER = 1;
const AT_LINE = 2;
const AT_BYTES = 3;

/** How a type's line is read: 1 to the line's end; 2 a length and bytes; 3, 4, 5 a count of children, pairs, pairs before a value. */
const KIND = new Uint8Array(256);
for (const type of "+-:_,#(.") KIND[type.charCodeAt(0)] = 1;
for (const type of "$=!;") KIND[type.charCodeAt(0)] = 2;
for (const type of "*~>") KIND[type.charCodeAt(0)] = 3;
KIND["%".charCodeAt(0)] = 4;
KIND["|".charCodeAt(0)] = 5;
const DOT = 46;
const SEMICOLON = 59;

/** Finds the ends of frames. It keeps only counters, whatever the size of the frames. */
export class FrameSplitter {
  #state = AT_TYPE;
  #type = 0;
  #number = 0;
  #negative = false;
  #streamed = false;
  /** Bytes to skip, the line end included. */
  #skip = 0;
  /** Values that are still missing from the frame; 0 between frames. */
  #open = 0;
  /** For each streamed aggregate we are in: `#open` of what is around it. */
  readonly #outer: number[] = [];

  /** True in the middle of a frame. */
  get inside(): boolean {
    return this.#open > 0 || this.#outer.length > 0;
  }

  /**
   * Reads on to the end of the present frame, or of the next one.
   * @param from where to begin in `chunk`
   * @returns the place after the frame's last byte; -1 when the chunk ended before it
   * @throws FrameError
   */
  end(chunk: Uint8Array, from: number): number {
    const length = chunk.length;
    let at = from;
    if (this.#open === 0 && this.#outer.length === 0) {
      if (at >= length) return -1;
      this.#open = 1;
    }
    while (at < length) {
      if (this.#state === AT_BYTES) {
        const left = length - at;
        if (left < this.#skip) {
          this.#skip -= left;
          return -1;
        }
        at += this.#skip;
        this.#state = AT_TYPE;
        if (this.#close()) return at;
        continue;
      }
      if (this.#state === AT_TYPE) {
        const type = chunk[at++] as number;
        const kind = KIND[type] as number;
        if (kind === 0) throw new FrameError(`unexpected byte ${type} at the begin of a reply`);
        this.#type = type;
        this.#number = 0;
        this.#negative = false;
        this.#streamed = false;
        this.#state = kind === 1 ? AT_LINE : AT_NUMBER;
      }
      if (this.#state === AT_LINE) {
        while (at < length && chunk[at] !== LF) at++;
        if (at >= length) return -1;
        at++;
        this.#state = AT_TYPE;
        if (this.#type === DOT) this.#endStream();
        if (this.#close()) return at;
        continue;
      }
      at = this.#readNumber(chunk, at);
      if (this.#state === AT_TYPE && this.#open === 0 && this.#outer.length === 0) return at;
    }
    return -1;
  }

  /** Reads a count or length up to its line end, and acts on it. */
  #readNumber(chunk: Uint8Array, from: number): number {
    let at = from;
    for (; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (byte >= 48 && byte <= 57) this.#number = this.#number * 10 + byte - 48;
      else if (byte === LF) break;
      else if (byte === 45) this.#negative = true;
      else if (byte === 63) this.#streamed = true;
      else if (byte !== CR) throw new FrameError("unexpected byte in a reply's length");
    }
    if (at >= chunk.length) return at;
    if (!Number.isSafeInteger(this.#number)) throw new FrameError("a reply's length is too big");
    this.#state = AT_TYPE;
    this.#header();
    return at + 1;
  }

  #header(): void {
    const kind = KIND[this.#type] as number;
    const count = this.#negative ? -1 : this.#number;
    if (this.#streamed) {
      // Its end counts as one value; that of a streamed attribute does not, for its value follows.
      this.#outer.push(this.#open + (kind === 5 ? 1 : 0));
      this.#open = Number.MAX_SAFE_INTEGER;
    } else if (kind !== 2) {
      this.#open += Math.max(count, 0) * (kind === 3 ? 1 : 2) - (kind === 5 ? 0 : 1);
    } else if (this.#type === SEMICOLON && count === 0) {
      this.#endStream();
      this.#close();
    } else if (count >= 0) {
      this.#skip = count + 2;
      this.#state = AT_BYTES;
    } else {
      this.#close();
    }
  }

  /** One value is complete; tells whether the frame is. */
  #close(): boolean {
    this.#open--;
    return this.#open <= 0 && this.#outer.length === 0;
  }

  #endStream(): void {
    const open = this.#outer.pop();
    if (open === undefined) throw new FrameError("the end of a stream without its begin");
    this.#open = open;
  }
}

/** Longest frame that is ever held whole, in bytes. */
const MAX_FRAME = 256 * 1024 * 1024;
/** The error that stands for a longer frame. */
const TOO_LONG = Buffer.from(`-ERR the reply is longer than ${MAX_FRAME} bytes\r\n`);

/** Is this an error that stands for a reply which was too long to be held whole? */
export const wasTooLong = (frame: Buffer): boolean => frame === TOO_LONG;

/** Cuts a stream of reply bytes into whole frames, for readers that want each one complete. */
export class FrameCollector {
  readonly #splitter = new FrameSplitter();
  readonly #limit: number;
  #parts: Buffer[] = [];
  #size = 0;

  /** @param limit most bytes of a frame: in place of a longer one there is an error, see {@link wasTooLong} */
  constructor(limit = MAX_FRAME) {
    this.#limit = limit;
  }

  /** True when a frame has begun and not ended. */
  get inside(): boolean {
    return this.#splitter.inside;
  }

  /**
   * Reads from `from` to the end of a frame.
   * @returns the place after it, -1 when the chunk ended first; the frame itself is then had by {@link take}
   * @throws FrameError
   */
  read(chunk: Buffer, from: number): number {
    const end = this.#splitter.end(chunk, from);
    const part = end < 0 ? chunk.subarray(from) : chunk.subarray(from, end);
    this.#size += part.length;
    if (this.#size <= this.#limit) this.#parts.push(part);
    else this.#parts = [];
    return end;
  }

  /** The bytes read so far. */
  take(): Buffer {
    const parts = this.#parts;
    const size = this.#size;
    this.#parts = [];
    this.#size = 0;
    if (size > this.#limit) return TOO_LONG;
    const only = parts[0];
    return parts.length === 1 && only ? only : Buffer.concat(parts);
  }

  /** All frames that this chunk completes. */
  push(chunk: Buffer): Buffer[] {
    const frames: Buffer[] = [];
    for (let at = 0; at < chunk.length; ) {
      at = this.read(chunk, at);
      if (at < 0) break;
      frames.push(this.take());
    }
    return frames;
  }
}

/** An aggregate's type byte and the frames in it: for a map keys and values in turn. */
interface Aggregate {
  readonly type: "*" | "~" | ">" | "%";
  readonly children: readonly Buffer[];
}

/** Takes an aggregate apart (attributes before it are dropped); undefined for other types and for nulls. */
export function splitAggregate(frame: Buffer): Aggregate | undefined {
  let at = 0;
  while (frame[at] === 124) at = childEnds(frame, at, 2).at(-1) ?? headerEnd(frame, at);
  const type = String.fromCharCode(frame[at] ?? 0);
  if ((type !== "*" && type !== "~" && type !== ">" && type !== "%") || frame[at + 1] === 45) return undefined;
  let begin = headerEnd(frame, at);
  const children = childEnds(frame, at, type === "%" ? 2 : 1).map((end) => {
    const child = frame.subarray(begin, end);
    begin = end;
    return child;
  });
  return { type, children };
}

/** Gives the fields of a map, or of an array of names and values in turn; undefined for those that it does not have. */
export function fieldsOf(frame: Buffer): (name: string) => Buffer | undefined {
  const children = splitAggregate(frame)?.children ?? [];
  return (name) => {
    const at = children.findIndex((child, index) => index % 2 === 0 && scalarText(child) === name);
    return at < 0 ? undefined : children[at + 1];
  };
}

/** Puts an aggregate together from frames. What would be too long is an error, see {@link wasTooLong}. */
export function joinAggregate({ type, children }: Aggregate): Buffer {
  if (children.reduce((size, child) => size + child.length, 0) > MAX_FRAME) return TOO_LONG;
  const count = type === "%" ? children.length / 2 : children.length;
  return Buffer.concat([Buffer.from(`${type}${count}\r\n`), ...children]);
}

/** The elements of an array that come one by one; what would be too long together is not held, see {@link wasTooLong}. */
export class ArrayCollector {
  #children: Buffer[] = [];
  #size = 0;

  add(child: Buffer): void {
    this.#size += child.length;
    if (this.#size > MAX_FRAME) this.#children = [];
    else this.#children.push(child);
  }

  /** The array's frame. */
  joined(): Buffer {
    return this.#size > MAX_FRAME ? TOO_LONG : joinAggregate({ type: "*", children: this.#children });
  }
}

/** The content of a string, error, status, number or verbatim string (without its `txt:`); undefined for nulls and aggregates. */
export function scalarBytes(frame: Buffer | undefined): Buffer | undefined {
  if (!frame) return undefined;
  const line = headerEnd(frame, 0);
  switch (frame[0]) {
    case 36:
    case 33:
      return frame[1] === 45 ? undefined : frame.subarray(line, frame.length - 2);
    case 61:
      return frame.subarray(line + 4, frame.length - 2);
    case 43:
    case 45:
    case 58:
    case 44:
    case 40:
      return frame.subarray(1, line - 2);
    default:
      return undefined;
  }
}

/** {@link scalarBytes} as text; the empty text when there is none. */
export const scalarText = (frame: Buffer | undefined): string => scalarBytes(frame)?.toString() ?? "";

/**
 * Changes the content of a bulk or verbatim string, which stays of its type.
 * @returns the frame itself when it is of another type, or null
 */
export function rewriteText(frame: Buffer, change: (content: Buffer) => Buffer): Buffer {
  const verbatim = frame[0] === 61;
  const own = verbatim || frame[0] === 36 ? scalarBytes(frame) : undefined;
  if (!own) return frame;
  const content = change(own);
  const start = verbatim ? `=${content.length + 4}\r\ntxt:` : `$${content.length}\r\n`;
  return Buffer.concat([Buffer.from(start), content, Buffer.from("\r\n")]);
}

/** True for simple and blob errors. */
export const isError = (frame: Buffer): boolean => frame[0] === 45 || frame[0] === 33;

const headerEnd = (frame: Buffer, from: number): number => frame.indexOf(LF, from) + 1;

/** Where each child of the aggregate at `from` ends. */
function childEnds(frame: Buffer, from: number, perCount: number): number[] {
  let at = headerEnd(frame, from);
  const header = frame.toString("latin1", from + 1, at - 2);
  const splitter = new FrameSplitter();
  const ends: number[] = [];
  const count = header === "?" ? Number.POSITIVE_INFINITY : Number(header) * perCount;
  for (let index = 0; index < count && frame[at] !== DOT; index++) {
    at = splitter.end(frame, at);
    if (at < 0) throw new FrameError("an incomplete reply");
    ends.push(at);
  }
  return ends;
}
