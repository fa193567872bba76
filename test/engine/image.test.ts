import { describe, expect, it } from "vitest";
import { withExports } from "../../src/engine/image.ts";
import { wasm } from "../../src/engine/wasm.ts";

/**
 * (module (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2)) (export "one" (func $one))), with
 * the names of both functions, and a custom section that nobody needs.
 */
const MODULE = Buffer.concat([
  Buffer.from("0061736d01000000", "hex"),
  Buffer.from("0105016000017f", "hex"),
  Buffer.from("0303020000", "hex"),
  Buffer.from("070701036f6e650000", "hex"),
  Buffer.from("0a0b02040041010b040041020b", "hex"),
  Buffer.from("0006046a756e6b00", "hex"),
  Buffer.from("0012046e616d65010b0200036f6e65010374776f", "hex"),
]);

const run = async (file: Uint8Array): Promise<Record<string, () => number>> =>
  (await wasm.instantiate(await wasm.compile(file), {})).exports as Record<string, () => number>;

describe("a module with more exports", () => {
  it("has what it had, and what was asked for", async () => {
    expect(Object.keys(await run(MODULE))).toEqual(["one"]);
    const more = await run(withExports(MODULE, ["two"]) as Uint8Array);
    expect([more.one?.(), more.two?.()]).toEqual([1, 2]);
  });

  it("keeps nothing of what only tools read, but the names", () => {
    const file = Buffer.from(withExports(MODULE, []) as Uint8Array);
    expect([file.includes("junk"), file.includes("name")]).toEqual([false, true]);
  });

  it("is not made for a function that it does not have", () => {
    expect(withExports(MODULE, ["two", "three"])).toBeUndefined();
  });

  it("is not made of a part of a module", () => {
    for (let length = 9; length < MODULE.length; length++) {
      const cut = MODULE.subarray(0, length);
      // where a section ends, the rest is a module without names
      try {
        expect(withExports(cut, ["two"])).toBeUndefined();
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }
  });
});
