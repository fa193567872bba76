/** Packing the memory of an interpreter, and making another memory the same. */
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type MemoryImage, packMemory, restoreMemory } from "../../src/python/memory-image.ts";

const PAGE = 4096;
const PREFACE = 48;

/** A snapshot as Pyodide makes it, of a memory with these bytes at these places. */
function snapshot(pages: number, bytes: Readonly<Record<number, number>>): Uint8Array {
  const made = new Uint8Array(PREFACE + pages * PAGE);
  new DataView(made.buffer).setUint32(4, PREFACE, true);
  for (const [at, byte] of Object.entries(bytes)) made[PREFACE + Number(at)] = byte;
  return made;
}

const whole = snapshot(9, { 0: 1, [PAGE - 1]: 2, [3 * PAGE]: 3, [4 * PAGE + 7]: 4, [6 * PAGE + 9]: 5 });

it("leaves out the pages that are zero", () => {
  const image = packMemory(whole);
  expect(image.preface).toEqual(whole.subarray(0, PREFACE));
  expect([...image.runs]).toEqual([0, 1, 3, 2, 6, 1]);
  expect(image.size).toBe(7 * PAGE);
  expect(image.pages).toHaveLength(4 * PAGE);
});

it("makes a larger memory the same, whatever was in it", () => {
  const memory = new Uint8Array(12 * PAGE);
  for (const at of [5, 2 * PAGE, 3 * PAGE + 1, 5 * PAGE + 3, 8 * PAGE, 12 * PAGE - 1]) memory[at] = 99;
  restoreMemory(packMemory(whole), memory.buffer);
  expect(Buffer.from(memory.subarray(0, 9 * PAGE)).equals(whole.subarray(PREFACE))).toBe(true);
  expect(memory.subarray(9 * PAGE).every((byte) => byte === 0)).toBe(true);
});

it("takes the pages from a file, and says when they are not there", () => {
  const folder = mkdtempSync(join(tmpdir(), "regears-image-"));
  try {
    const path = join(folder, "file");
    const { pages, ...rest } = packMemory(whole);
    writeFileSync(path, Buffer.concat([Buffer.from("before"), pages]));
    const file = openSync(path, "r");
    const image: MemoryImage = { ...rest, pages: { file, offset: 6 } };
    const memory = new Uint8Array(9 * PAGE);
    restoreMemory(image, memory.buffer);
    expect(Buffer.from(memory).equals(whole.subarray(PREFACE))).toBe(true);
    truncateSync(path, 2 * PAGE);
    expect(() => restoreMemory(image, memory.buffer)).toThrow(/become shorter/);
    closeSync(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
