/** Rewriting a wasm binary's memory limits, on a small binary of our own and on Pyodide's. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { compile, withMemoryLimits } from "../../src/python/wasm-memory.ts";

interface Memory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
const { Instance } = (
  globalThis as unknown as { WebAssembly: { Instance: new (m: object) => { exports: { m: Memory } } } }
).WebAssembly;

const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const exportMemory = [7, 5, 1, 1, 0x6d, 2, 0];
const binary = (limits: number[]): Uint8Array =>
  Uint8Array.from([...header, 5, limits.length + 1, 1, ...limits, ...exportMemory]);
const memoryOf = (wasm: Uint8Array): Memory => new Instance(compile(wasm)).exports.m;

describe("withMemoryLimits", () => {
  it.each([
    ["without a maximum", [0, 1]],
    ["with a maximum", [1, 1, 100]],
    ["with a long maximum", [1, 1, 0x80, 0x80, 0x04]],
  ])("caps a memory %s", (_name, limits) => {
    const memory = memoryOf(withMemoryLimits(binary(limits), { minimum: 2, maximum: 200 }));
    expect(memory.buffer.byteLength).toBe(2 * 65536);
    expect(memory.grow(198)).toBe(2);
    expect(() => memory.grow(1)).toThrow(RangeError);
  });

  it("keeps what is not given", () => {
    const memory = memoryOf(withMemoryLimits(binary([1, 3, 4]), {}));
    expect(memory.grow(1)).toBe(3);
    expect(() => memory.grow(1)).toThrow(RangeError);
  });

  it("never sets a minimum above the maximum", () => {
    expect(memoryOf(withMemoryLimits(binary([1, 50, 60]), { maximum: 5 })).buffer.byteLength).toBe(5 * 65536);
  });

  it("leaves the binary it was given alone", () => {
    const wasm = binary([1, 1, 100]);
    const before = Uint8Array.from(wasm);
    withMemoryLimits(wasm, { maximum: 2 });
    expect(wasm).toEqual(before);
  });

  it("refuses what it does not understand", () => {
    expect(() => withMemoryLimits(Uint8Array.from(header), { maximum: 1 })).toThrow(/defines no memory/);
    expect(() => withMemoryLimits(Uint8Array.from([...header, 5]), { maximum: 1 })).toThrow(/cut short/);
    // A shared memory: its limits mean something else.
    expect(() => withMemoryLimits(binary([3, 1, 2]), { maximum: 1 })).toThrow(/unknown kind/);
  });

  it("works on Pyodide's binary", () => {
    const wasm = readFileSync(createRequire(import.meta.url).resolve("pyodide/pyodide.asm.wasm"));
    const limited = withMemoryLimits(wasm, { minimum: 800, maximum: 1600 });
    expect(Math.abs(limited.length - wasm.length)).toBeLessThan(10);
    expect(() => compile(limited)).not.toThrow();
  });
});
