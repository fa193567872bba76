/**
 * The memory of a booted interpreter, without the pages that are zero: those of a new one are so by themselves, and what is
 * not written takes no memory. Main packs it, a worker restores it from the file, with no copy in between.
 */
import { readSync } from "node:fs";
import { InternalError } from "../errors.ts";

export interface MemoryImage {
  /** Bytes from the memory's start to the end of the last page. */
  readonly size: number;
  /** What Pyodide writes in front of the memory, for itself. */
  readonly preface: Uint8Array;
  /** Pairs: the first page, and how many follow on each other from there. */
  readonly runs: Uint32Array;
  /** The pages of all runs, one after the other: an open file with the place in it, or the bytes. */
  readonly pages: { readonly file: number; readonly offset: number } | Uint8Array;
}

/** One that is in no file. */
export interface PackedMemory extends MemoryImage {
  readonly pages: Uint8Array<SharedArrayBuffer>;
}

/** Smaller than a page of wasm: the operating system gives memory in these. */
const PAGE = 4096;
const ZEROS = Buffer.alloc(PAGE);
/** In Pyodide's preface: the word that tells how long it is. */
const PREFACE_LENGTH_WORD = 1;

/** @param snapshot what Pyodide makes: a preface and the whole memory */
export function packMemory(snapshot: Uint8Array): PackedMemory {
  const length = new DataView(snapshot.buffer, snapshot.byteOffset).getUint32(PREFACE_LENGTH_WORD * 4, true);
  const memory = Buffer.from(snapshot.buffer, snapshot.byteOffset + length, snapshot.length - length);
  const runs: number[] = [];
  let count = 0;
  for (let page = 0; page * PAGE < memory.length; page++) {
    if (isZero(memory, page)) continue;
    const at = runs.length - 2;
    if (at >= 0 && (runs[at] as number) + (runs[at + 1] as number) === page)
      runs[at + 1] = (runs[at + 1] as number) + 1;
    else runs.push(page, 1);
    count++;
  }
  const pages = new Uint8Array(new SharedArrayBuffer(count * PAGE));
  let filled = 0;
  for (const { start, end } of places(runs)) {
    pages.set(memory.subarray(start, end), filled);
    filled += end - start;
  }
  return { size: sizeOf(runs), preface: snapshot.slice(0, length), runs: Uint32Array.from(runs), pages };
}

/** Bytes up to the end of the last run. */
export function sizeOf(runs: ArrayLike<number>): number {
  return ((runs[runs.length - 2] ?? 0) + (runs[runs.length - 1] ?? 0)) * PAGE;
}

/**
 * Makes the memory of a module what it was in the image.
 * @param into of a module that has just been instantiated, and is at least as large
 * @throws InternalError when the file has become shorter
 */
export function restoreMemory(image: MemoryImage, into: ArrayBufferLike): void {
  const memory = Buffer.from(into);
  let taken = 0;
  let last = 0;
  for (const { start, end } of places(image.runs)) {
    clear(memory, last, start);
    take(image.pages, taken, memory.subarray(start, end));
    taken += end - start;
    last = end;
  }
  clear(memory, last, memory.length);
}

function* places(runs: ArrayLike<number>): Generator<{ readonly start: number; readonly end: number }> {
  for (let at = 0; at < runs.length; at += 2) {
    const start = (runs[at] ?? 0) * PAGE;
    yield { start, end: start + (runs[at + 1] ?? 0) * PAGE };
  }
}

function take(pages: MemoryImage["pages"], from: number, into: Buffer): void {
  if (pages instanceof Uint8Array) {
    into.set(pages.subarray(from, from + into.length));
    return;
  }
  for (let done = 0; done < into.length; ) {
    const read = readSync(pages.file, into, done, into.length - done, pages.offset + from + done);
    if (read === 0) throw new InternalError("the file of Python's snapshot has become shorter");
    done += read;
  }
}

/** What instantiating has written may have been overwritten with zeros in the image. Other pages are not touched. */
function clear(memory: Buffer, from: number, to: number): void {
  for (let page = from / PAGE; page * PAGE < to; page++) {
    if (!isZero(memory, page)) memory.fill(0, page * PAGE, (page + 1) * PAGE);
  }
}

const isZero = (memory: Buffer, page: number): boolean =>
  memory.compare(ZEROS, 0, PAGE, page * PAGE, (page + 1) * PAGE) === 0;
