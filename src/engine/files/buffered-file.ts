/**
 * A file of the engine's. C's library reads and writes files a kilobyte at a time; the operating system gets larger pieces from
 * here. What is written to an append-only file goes to the system at once, since each piece of it counts by itself.
 */
import type { FileCalls } from "./engine-folder.ts";

/** Bytes that the system is given or asked for at a time. */
const PIECE = 64 * 1024;

export class BufferedFile {
  readonly fd: number;
  readonly #calls: FileCalls;
  readonly #append: boolean;
  readonly #holds: boolean;
  /** Bytes that were read ahead, and their place in the file. */
  #ahead: Buffer | undefined;
  #aheadAt = 0;
  /** Bytes that are yet to be written, and their place in the file. */
  #behind: Buffer | undefined;
  #behindAt = 0;
  #behindLength = 0;

  /**
   * @param fd the system's descriptor
   * @param mode `append`: whether the file is only appended to; `holds`: whether what is written may wait for more
   */
  constructor(calls: FileCalls, fd: number, { append, holds }: { readonly append: boolean; readonly holds: boolean }) {
    this.#calls = calls;
    this.fd = fd;
    this.#append = append;
    this.#holds = holds;
  }

  /** @returns how many bytes were read. @throws what the system throws */
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

  /**
   * @param at place in the file; without a meaning when the file is only appended to
   * @returns how many bytes were taken
   * @throws what the system throws
   */
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

/** A buffer with memory of its own: one of Node's pool would keep other buffers' memory alive as long as the file is open. */
const newPiece = (): Buffer => Buffer.from(new ArrayBuffer(PIECE));
