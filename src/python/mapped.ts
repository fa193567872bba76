/**
 * Large files that are only needed while the server starts. Their bytes are put into memory that goes back to the operating
 * system as soon as nobody needs them. From glibc's malloc it would not: once malloc has given back one large piece, it lets
 * each thread keep up to twice as much of what is freed later, for ever.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Bytes of a page of WebAssembly. */
const PAGE = 65536;

interface WasmApi {
  readonly Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
}

/** The bytes of a file. @throws what the file system throws */
export function readMapped(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = mapped(fstatSync(file).size);
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(file, bytes, at, bytes.length - at, at);
      if (read === 0) return bytes.subarray(0, at);
      at += read;
    }
    return bytes;
  } finally {
    closeSync(file);
  }
}

/**
 * A buffer of zeros. V8 takes the memory of WebAssembly from the operating system, and not from malloc.
 * @param size in bytes
 */
export function mapped(size: number): Buffer {
  const { Memory } = (globalThis as unknown as { readonly WebAssembly: WasmApi }).WebAssembly;
  const pages = Math.ceil(size / PAGE);
  try {
    return Buffer.from(new Memory({ initial: pages, maximum: pages }).buffer, 0, size);
  } catch {
    // a memory of WebAssembly reserves more address space than it needs, and the system may limit that
    return Buffer.alloc(size);
  }
}
