/**
 * Rewrites the limits of the memory that a wasm binary defines. Pyodide's binary asks for up to 4 GiB; the engine enforces
 * the maximum written in the binary, so a smaller one is a hard cap that Python sees as MemoryError.
 */
import { InternalError } from "../errors.ts";
import { mapped } from "./mapped.ts";

/** A compiled wasm binary; Node's type declarations do not know the WebAssembly API. */
export interface WasmModule {
  readonly [Symbol.toStringTag]: "WebAssembly.Module";
}

interface WasmApi {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
}

/** Compiles a binary; the work is put off until its functions are called. */
export function compile(wasm: Uint8Array): WasmModule {
  const { Module } = (globalThis as unknown as { readonly WebAssembly: WasmApi }).WebAssembly;
  return new Module(wasm);
}

/** One page of wasm memory, in bytes. */
export const WASM_PAGE = 65536;

const MEMORY_SECTION = 5;
const HAS_MAXIMUM = 1;

interface Section {
  readonly id: number;
  /** Offset of the section's id. */
  readonly start: number;
  /** Offset of the section's content. */
  readonly body: number;
  readonly end: number;
}

/**
 * Gives a copy of the binary with other memory limits.
 * @param wasm a binary that defines (not imports) exactly one memory.
 * @param limits pages of 64 KiB; what is left out stays as it is. The minimum is lowered to the maximum if it is above it.
 * @throws InternalError when the binary defines no such memory.
 */
export function withMemoryLimits(wasm: Uint8Array, limits: { minimum?: number; maximum?: number }): Uint8Array {
  const section = memorySection(wasm);
  const [count, flagsAt] = readLeb(wasm, section.body);
  const flags = wasm[flagsAt] ?? 0;
  if (count !== 1 || flags > HAS_MAXIMUM) throw new InternalError("the wasm binary's memory is of an unknown kind");
  const [oldMinimum, maximumAt] = readLeb(wasm, flagsAt + 1);
  const oldMaximum = flags === HAS_MAXIMUM ? readLeb(wasm, maximumAt)[0] : 65536;
  const maximum = limits.maximum ?? oldMaximum;
  const minimum = Math.min(limits.minimum ?? oldMinimum, maximum);
  const body = [1, HAS_MAXIMUM, ...leb(minimum), ...leb(maximum)];
  const replacement = [MEMORY_SECTION, ...leb(body.length), ...body];
  const out = mapped(wasm.length - (section.end - section.start) + replacement.length);
  out.set(wasm.subarray(0, section.start));
  out.set(replacement, section.start);
  out.set(wasm.subarray(section.end), section.start + replacement.length);
  return out;
}

function memorySection(wasm: Uint8Array): Section {
  for (let start = 8; start < wasm.length; ) {
    const [length, body] = readLeb(wasm, start + 1);
    const section: Section = { id: wasm[start] ?? 0, start, body, end: body + length };
    if (section.id === MEMORY_SECTION) return section;
    start = section.end;
  }
  throw new InternalError("the wasm binary defines no memory");
}

/** Reads an unsigned LEB128 number; gives it and the offset behind it. */
function readLeb(bytes: Uint8Array, at: number): [value: number, next: number] {
  let value = 0;
  for (let scale = 1, next = at; ; scale *= 128) {
    const byte = bytes[next++];
    if (byte === undefined) throw new InternalError("the wasm binary is cut short");
    value += (byte & 127) * scale;
    if (byte < 128) return [value, next];
  }
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}
