/**
 * Large files that are only needed while the server starts. Their bytes are put where the operating system has them back at
 * once when nobody needs them: glibc's malloc, after it has given back one large piece, lets each thread keep twice as
 * much of what is freed later, for ever.
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

/** Zeros, so many bytes. V8 takes the memory of WebAssembly from the operating system, and not from malloc. */
export function mapped(size: number): Buffer {
  const { Memory } = (globalThis as unknown as { readonly WebAssembly: WasmApi }).WebAssembly;
  const pages = Math.ceil(size / PAGE);
  try {
    return Buffer.from(new Memory({ initial: pages, maximum: pages }).buffer, 0, size);
  } catch {
    // it reserves more address space than it needs, which may be forbidden
    return Buffer.alloc(size);
  }
}
