/**
 * Requests of clients: bytes to commands. Follows Redis' `processMultibulkBuffer` and `processInlineBuffer`
 * (src/networking.c) in what is accepted, when an error is noticed, and in the texts.
 *
 * Commands are not copied: the decoder tells where a command and its arguments lie in its buffer, so that runs of commands
 * can be handed on as one slice. It never overwrites bytes it has given out.
 */
import { splitInline } from "./inline.ts";

/** Limits of one client's requests, in bytes unless said otherwise. */
export interface RequestLimits {
  /** Longest argument (`proto-max-bulk-len`). */
  readonly maxBulk: number;
  /** Most arguments of one command, the name included. */
  readonly maxArgs: number;
  /** Longest inline command, and longest line that holds a count or a length. */
  readonly maxInline: number;
  /** Most bytes of unfinished or unread commands (`client-query-buffer-limit`). */
  readonly maxBuffer: number;
}

export const REQUEST_LIMITS: RequestLimits = {
  maxBulk: 512 * 1024 * 1024,
  maxArgs: 1024 * 1024,
  maxInline: 64 * 1024,
  maxBuffer: 1024 * 1024 * 1024,
};

/** Commands that follow one another. */
export interface TakenRow {
  readonly bytes: Buffer;
  /** Where each of them ends. */
  readonly ends: readonly number[];
}

/** Why a client's requests can no longer be read. */
interface RequestFailure {
  /** The error reply's text, to be sent before closing; undefined: close without a word, as Redis does. */
  readonly text: string | undefined;
}

const EMPTY = Buffer.alloc(0);
const CR = 13;
const LF = 10;
const STAR = 42;
const DOLLAR = 36;
const INTEGER = /^(?:0|-?[1-9][0-9]{0,18})$/;
const INT_MAX = 2 ** 31 - 1;

export class RequestDecoder {
  /** False while the engine demands authentication: then Redis' small limits for strangers apply. */
  authenticated = true;
  /** Set when the requests can no longer be read; nothing is decoded after it. */
  failure: RequestFailure | undefined;

  readonly #limits: RequestLimits;
  #buffer: Buffer = EMPTY;
  /** Bytes of `#buffer` that are filled. */
  #filled = 0;
  /** Where parsing goes on. */
  #position = 0;
  /** No CR was found before this place, so that a line that trickles in is not searched again and again. */
  #searched = 0;
  /** Where the run of commands begins that was not taken yet. */
  #runStart = 0;
  /** Begin of the present command (with empty requests before it). */
  #start = 0;
  /** Arguments that are still missing from a multibulk request. */
  #missing = 0;
  /** Length of the argument that is being read; -1 before its length is known. */
  #bulk = -1;
  #value = 0;
  #count = 0;
  /** Begin and end of each argument, relative to `#start`. */
  #offsets: number[] = [];
  #inline: Buffer[] | undefined;

  constructor(limits: Partial<RequestLimits> = {}) {
    this.#limits = { ...REQUEST_LIMITS, ...limits };
  }

  /** Number of arguments of the present command, the name included. */
  get count(): number {
    return this.#count;
  }

  /** Bytes that were not decoded yet. */
  get backlog(): number {
    return this.#filled - this.#start;
  }

  /** Does anything lie here after the present command? */
  get hasMore(): boolean {
    return this.#position < this.#filled;
  }

  /** Argument `index` of the present command, as a view of the decoder's buffer: copy what is kept. */
  view(index: number): Buffer {
    if (this.#inline) return this.#inline[index] ?? EMPTY;
    const offsets = this.#offsets;
    if (index >= this.#count) return EMPTY;
    return this.#buffer.subarray(
      this.#start + (offsets[2 * index] as number),
      this.#start + (offsets[2 * index + 1] as number),
    );
  }

  /** Copies of the arguments from `first` on; they do not keep the network's chunks in memory. */
  copy(first: number): Buffer[] {
    const args: Buffer[] = [];
    for (let index = first; index < this.#count; index++) args.push(own(this.view(index)));
    return args;
  }

  /** A number made of the name's length, first and last letter, the same in upper and lower case; see {@link nameHash}. */
  get nameHash(): number {
    const inline = this.#inline?.[0];
    if (inline) return hash(inline, 0, inline.length);
    return hash(this.#buffer, this.#start + (this.#offsets[0] as number), this.#start + (this.#offsets[1] as number));
  }

  /** Takes the bytes of the commands before the present one that were not taken yet, and leaves the present one out. */
  takeBefore(): Buffer | undefined {
    const run = this.#start > this.#runStart ? this.#buffer.subarray(this.#runStart, this.#start) : undefined;
    this.#runStart = this.#position;
    return run;
  }

  /** Takes the bytes of the commands up to the end of the present one that were not taken yet. */
  takeThrough(): Buffer | undefined {
    const run = this.#position > this.#runStart ? this.#buffer.subarray(this.#runStart, this.#position) : undefined;
    this.#runStart = this.#position;
    return run;
  }

  /** Takes the bytes of all commands that were not taken yet. To be called when {@link next} gave false. */
  takeRun(): Buffer | undefined {
    const end = this.#missing > 0 ? this.#start : this.#position;
    const run = end > this.#runStart ? this.#buffer.subarray(this.#runStart, end) : undefined;
    this.#runStart = end;
    this.#compact();
    return run;
  }

  /**
   * Takes the present command together with those after it, of which all have to lie here whole. To be called when everything
   * before it was taken.
   * @param most so many commands, and
   * @param mostBytes so many bytes at most
   * @param accepts is asked about each but the first, when it is the present one
   * @returns undefined when there would be no second one; then nothing is taken
   */
  takeRow(most: number, mostBytes: number, accepts: () => boolean): TakenRow | undefined {
    const start = this.#start;
    let end = this.#position;
    const ends = [end - start];
    while (ends.length < most && this.next() && this.#position - start <= mostBytes && accepts()) {
      end = this.#position;
      ends.push(end - start);
    }
    this.#goTo(end);
    if (ends.length > 1 && end - start <= mostBytes) return { bytes: this.#buffer.subarray(start, end), ends };
    this.#goTo(start);
    this.next();
    return undefined;
  }

  /** Gives back whole commands that were taken last. */
  giveBack(rest: Buffer): void {
    if (rest.length === 0) return;
    const at = this.#runStart - rest.length;
    const isThere = rest.buffer === this.#buffer.buffer && rest.byteOffset === this.#buffer.byteOffset + at;
    if (isThere && at >= 0) {
      this.#goTo(at);
      return;
    }
    this.#buffer = Buffer.concat([rest, this.#buffer.subarray(this.#runStart, this.#filled)]);
    this.#filled = this.#buffer.length;
    this.#goTo(0);
  }

  /** Decodes on from a place, up to which all was taken. */
  #goTo(position: number): void {
    this.#position = position;
    this.#start = position;
    this.#runStart = position;
    this.#searched = 0;
    this.#missing = 0;
    this.#bulk = -1;
    this.failure = undefined;
  }

  /** Puts the present command back: {@link next} gives it again. */
  putBack(): void {
    this.#position = this.#start;
  }

  /** The present command's bytes, as a view. */
  raw(): Buffer {
    return this.#buffer.subarray(this.#start, this.#position);
  }

  /** Adds bytes from the client; the decoder owns them from now on. */
  feed(chunk: Buffer): void {
    if (this.failure) return;
    const kept = this.#filled - this.#runStart;
    if (kept + chunk.length > this.#limits.maxBuffer) {
      this.failure = { text: undefined };
      return;
    }
    if (kept === 0) {
      this.#buffer = chunk;
      this.#filled = chunk.length;
      this.#shift(this.#runStart);
      return;
    }
    if (this.#filled + chunk.length > this.#buffer.length) this.#grow(kept, chunk.length);
    // Beyond `#filled` nobody has seen the buffer: it is one that `#grow` made, never the network's.
    chunk.copy(this.#buffer, this.#filled);
    this.#filled += chunk.length;
  }

  /**
   * Decodes the next command.
   * @returns false when there is no complete one, or the requests can not be read any more (see {@link failure})
   */
  next(): boolean {
    if (this.failure) return false;
    if (this.#missing === 0) this.#start = this.#position;
    while (this.#missing === 0) {
      if (this.#position >= this.#filled) return false;
      if (this.#buffer[this.#position] !== STAR) {
        if (!this.#readInline()) return false;
        if (this.#count > 0) return true;
        continue;
      }
      if (!this.#readLength(false)) return false;
      if (this.#value <= 0) continue;
      this.#inline = undefined;
      this.#missing = this.#value;
      this.#count = 0;
      if (this.#offsets.length > 2048) this.#offsets = [];
    }
    return this.#readArguments();
  }

  #readArguments(): boolean {
    while (this.#missing > 0) {
      if (this.#bulk < 0) {
        if (!this.#readLength(true)) return false;
        this.#bulk = this.#value;
      }
      const begin = this.#position;
      const end = begin + this.#bulk;
      if (end + 2 > this.#filled) return false;
      this.#offsets[2 * this.#count] = begin - this.#start;
      this.#offsets[2 * this.#count + 1] = end - this.#start;
      this.#count++;
      this.#position = end + 2;
      this.#bulk = -1;
      this.#missing--;
    }
    return true;
  }

  /** Reads `*<count>` or `$<length>` with its line end into `#value`. */
  #readLength(bulk: boolean): boolean {
    const buffer = this.#buffer;
    const filled = this.#filled;
    let at = this.#position + 1;
    let value = 0;
    if (at < filled && (!bulk || buffer[at - 1] === DOLLAR) && buffer[at] !== 48) {
      const first = at;
      for (; at < filled && at - first < 11; at++) {
        const digit = (buffer[at] as number) - 48;
        if (digit < 0 || digit > 9) break;
        value = value * 10 + digit;
      }
      if (at > first && at - first < 10 && at + 1 < filled && buffer[at] === CR) return this.#accept(bulk, value, at);
    }
    return this.#readOddLength(bulk);
  }

  /** Reads a length from a line that is incomplete, unusual or wrong. */
  #readOddLength(bulk: boolean): boolean {
    const begin = this.#position;
    const from = Math.max(begin, this.#searched);
    const found = this.#buffer.subarray(from, this.#filled).indexOf(CR);
    if (found < 0) {
      this.#searched = this.#filled;
      if (this.#filled - begin > this.#limits.maxInline) {
        this.#fail(bulk ? "too big bulk count string" : "too big mbulk count string");
      }
      return false;
    }
    const end = from + found;
    this.#searched = end;
    if (end + 1 >= this.#filled) return false;
    const type = this.#buffer[begin] as number;
    if (bulk && type !== DOLLAR) return this.#fail(`expected '$', got '${String.fromCharCode(type)}'`);
    const text = end - begin > 21 ? "" : this.#buffer.toString("latin1", begin + 1, end);
    if (!INTEGER.test(text)) return this.#fail(bulk ? "invalid bulk length" : "invalid multibulk length");
    return this.#accept(bulk, Number(text), end);
  }

  #accept(bulk: boolean, value: number, end: number): boolean {
    if (bulk) {
      if (value < 0 || value > this.#limits.maxBulk) return this.#fail("invalid bulk length");
      if (value > 16384 && !this.authenticated) return this.#fail("unauthenticated bulk length");
    } else {
      if (value > this.#limits.maxArgs || value > INT_MAX) return this.#fail("invalid multibulk length");
      if (value > 10 && !this.authenticated) return this.#fail("unauthenticated multibulk length");
    }
    this.#value = value;
    this.#position = end + 2;
    return true;
  }

  #readInline(): boolean {
    const begin = this.#position;
    const from = Math.max(begin, this.#searched);
    const found = this.#buffer.subarray(from, this.#filled).indexOf(LF);
    if (found < 0) {
      this.#searched = this.#filled;
      if (this.#filled - begin > this.#limits.maxInline) this.#fail("too big inline request");
      return false;
    }
    const end = from + found;
    const lineEnd = end > begin && this.#buffer[end - 1] === CR ? end - 1 : end;
    const args = splitInline(this.#buffer.subarray(begin, lineEnd));
    if (!args) return this.#fail("unbalanced quotes in request");
    this.#inline = args;
    this.#count = args.length;
    this.#position = end + 1;
    return true;
  }

  #fail(problem: string): false {
    this.failure = { text: `ERR Protocol error: ${problem}` };
    return false;
  }

  /**
   * Makes a buffer with room for `more` bytes. A big argument gets its whole room as soon as some of it is there (memory
   * that is never written is never really used), everything else doubles, so that nothing is copied again and again.
   */
  #grow(kept: number, more: number): void {
    const least = kept + more;
    const wanted = this.#bulk > 0 ? this.#position - this.#runStart + this.#bulk + 2 : 0;
    const size = Math.max(least, kept > 32768 && wanted > 2 * kept ? wanted : 2 * kept);
    const buffer = Buffer.allocUnsafeSlow(size);
    this.#buffer.copy(buffer, 0, this.#runStart, this.#filled);
    this.#buffer = buffer;
    this.#filled = kept;
    this.#shift(this.#runStart);
  }

  /** The buffer now begins `by` bytes later. */
  #shift(by: number): void {
    this.#position -= by;
    this.#start -= by;
    this.#searched = Math.max(0, this.#searched - by);
    this.#runStart = 0;
  }

  /** Lets go of a big buffer of which only a small rest is still needed: an idle client must not hold it. */
  #compact(): void {
    const kept = this.#filled - this.#runStart;
    if (kept === 0) {
      this.#shift(this.#runStart);
      this.#buffer = EMPTY;
      this.#filled = 0;
    } else if (kept < 1024 && this.#buffer.length > 8192) {
      this.#grow(kept, 0);
    }
  }
}

/** The number that {@link RequestDecoder.nameHash} gives for this name: 15 bits, a filter in front of a look-up by name. */
export function nameHash(name: string): number {
  const bytes = Buffer.from(name, "latin1");
  return hash(bytes, 0, bytes.length);
}

function hash(bytes: Buffer, begin: number, end: number): number {
  if (end <= begin) return 0;
  return (((end - begin) & 31) << 10) | (((bytes[begin] as number) & 31) << 5) | ((bytes[end - 1] as number) & 31);
}

/** Not `Buffer.from`: that takes small ones from a pool of 8 KiB, which a single kept argument would hold. */
function own(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
