import { describe, expect, it } from "vitest";
import { KeyIndex } from "../../src/python/key-index.ts";
import { Words } from "../../src/registrations/words.ts";

/** What a prefix matches, as the specification says it. */
function matches(prefix: Buffer, key: Buffer): boolean {
  if (prefix.at(-1) !== 0x2a) return prefix.length > 0 && prefix.equals(key);
  return key.subarray(0, prefix.length - 1).equals(prefix.subarray(0, -1));
}

/** Numbers that look random and are the same in each run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe("an index of keys", () => {
  it.each([
    ["a:*", "a:1", true],
    ["a:*", "a:", true],
    ["a:*", "a", false],
    ["a:*", "b:1", false],
    ["abc*", "ab", false],
    ["ä*", "äb", true],
    ["*", "", true],
    ["a*b", "a*b", true],
    ["a*b", "aXb", false],
    ["a**", "a*1", true],
    ["a**", "a1", false],
    ["a?", "a?", true],
    ["a?", "ab", false],
    ["", "", false],
    ["", "a", false],
  ])("with the prefix '%s' and the key '%s' says %s", (prefix, key, expected) => {
    const index = new KeyIndex<string>();
    index.add(Buffer.from(prefix), "it", 0);
    expect(index.find(Buffer.from(key))).toEqual(expected ? ["it"] : []);
  });

  it("finds what a plain search finds, in the order of the numbers, while entries come and go", () => {
    const random = numbers(20261127);
    const word = (): Buffer =>
      Buffer.from(Array.from({ length: random(6) }, () => [0x61, 0x62, 0x2a, 0xff][random(4)] ?? 0));
    const index = new KeyIndex<number>();
    const there = new Map<number, Buffer>();
    let found = 0;
    for (let round = 0; round < 20_000; round++) {
      if (there.size < 40 && random(2) === 0) {
        const prefix = random(3) > 0 ? Buffer.concat([word(), Buffer.from("*")]) : word();
        there.set(round, prefix);
        index.add(prefix, round, round);
      } else if (there.size > 0 && random(3) === 0) {
        const [entry, prefix] = [...there][random(there.size)] as [number, Buffer];
        there.delete(entry);
        index.remove(prefix, entry);
      }
      const key = word();
      const expected = [...there].filter(([, prefix]) => matches(prefix, key)).map(([entry]) => entry);
      expect(index.find(key)).toEqual(expected);
      found += expected.length;
    }
    expect(found).toBeGreaterThan(20_000);
  });

  it("does not look at those that can not match", () => {
    const index = new KeyIndex<number>();
    for (let i = 0; i < 10_000; i++) index.add(Buffer.from(`user:${i}:*`), i, i);
    const time = (key: string): number => {
      const bytes = Buffer.from(key);
      const start = performance.now();
      for (let i = 0; i < 10_000; i++) index.find(bytes);
      return performance.now() - start;
    };
    time("other:1");
    // a walk over all of them takes some 100 microseconds, which would be a second
    expect(time("other:1")).toBeLessThan(100);
    expect(index.find(Buffer.from("user:123:name"))).toEqual([123]);
  });
});

describe("words", () => {
  it("are there as long as somebody has them", () => {
    const words = new Words();
    words.add(["a", "b"]);
    words.add(["b"]);
    const before = words.set;
    expect(before).toEqual(new Set(["a", "b"]));
    words.remove(["b"]);
    expect(words.set).toBe(before);
    words.remove(["a", "b"]);
    expect(words.set).toEqual(new Set());
    words.remove(["a"]);
    expect(words.set).toEqual(new Set());
  });
});
