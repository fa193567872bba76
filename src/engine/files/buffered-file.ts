/**
 * A file of the engine's that is read or written from its begin to its end a kilobyte at a time, as C's library does it:
 * the system gets larger pieces. What counts piece by piece, as an append-only file's does, goes to the system as it comes.
 */
import type { FileCalls } from "./folder.ts";

/** Bytes that the system is given or asked for at a time. */
const PIECE = 64 * 1024;

export class BufferedFile {
  readonly fd: number;
  readonly #calls: FileCalls;
  readonly #append: boolean;
  readonly #holds: boolean;
  /** Bytes read ahead, and where in the file they stand. */
  #ahead: Buffer | undefined;
  #aheadAt = 0;
  /** Bytes yet to be written, and where. */
  #behind: Buffer | undefined;
  #behindAt = 0;
  #behindLength = 0;

  /**
   * @param fd the system's descriptor
   * @param mode `append`: whether it is only appended to; `holds`: whether what is written may wait for more
   */
  constructor(calls: FileCalls, fd: number, { append, holds }: { readonly append: boolean; readonly holds: boolean }) {
    this.#calls = calls;
    this.fd = fd;
    this.#append = append;
    this.#holds = holds;
  }

  /** @returns how many bytes there were. @throws what the system throws */
  read(target: Uint8Array, start: number, length: number, from: number): number {
    this.flush();
    if (length >= PIECE) return this.#calls.readSync(this.fd, target, start, length, from);
    if (this.#ahead === undefined || from < this.#aheadAt || from + length > this.#aheadAt + this.#ahead.length) {
      const buffer = this.#ahead?.buffer.byteLength === PIECE ? Buffer.from(this.#ahead.buffer) : newPiece();
      this.#ahead = undefined;
      this.#ahead = buffer.subarray(0, this.#calls.readSync(this.fd, buffer, 0, PIECE, from));
      this.#aheadAt = from;
    }
    const part = this.#ahead.subarray(from - this.#aheadAt, from - this.#aheadAt + length);
    target.set(part, start);
    return part.length;
  }

  /** @param at where in the file, unless it is only appended to. @returns how many bytes were taken. @throws what the system throws */
  write(source: Uint8Array, start: number, length: number, at: number): number {
    this.#ahead = undefined;
    if (!this.#holds) return this.#calls.writeSync(this.fd, source, start, length, this.#append ? null : at);
    const isNext = this.#behindAt + this.#behindLength === at;
    if (this.#behindLength > 0 && (!isNext || this.#behindLength + length > PIECE)) this.flush();
    if (length >= PIECE) return this.#calls.writeSync(this.fd, source, start, length, at);
    this.#behind ??= newPiece();
    if (this.#behindLength === 0) this.#behindAt = at;
    this.#behind.set(source.subarray(start, start + length), this.#behindLength);
    this.#behindLength += length;
    return length;
  }

  /** The system has everything when this returns. @throws what the system throws; what was not written is kept */
  flush(): void {
    while (this.#behindLength > 0) {
      const buffer = this.#behind as Buffer;
      const written = this.#calls.writeSync(this.fd, buffer, 0, this.#behindLength, this.#behindAt);
      buffer.copyWithin(0, written, this.#behindLength);
      this.#behindLength -= written;
      this.#behindAt += written;
    }
  }
}

/** Not of the pool, which would hold much else in memory. */
const newPiece = (): Buffer => Buffer.from(new ArrayBuffer(PIECE));
