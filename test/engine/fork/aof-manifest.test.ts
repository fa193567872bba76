import { describe, expect, it } from "vitest";
import { rewritten } from "../../../src/engine/fork/aof-manifest.ts";

const BEFORE = [
  "file appendonly.aof.3.base.rdb seq 3 type b",
  "file appendonly.aof.2.incr.aof seq 2 type h",
  "file appendonly.aof.7.incr.aof seq 7 type i",
  "file appendonly.aof.8.incr.aof seq 8 type i",
  "",
].join("\n");
const options = { filename: "appendonly.aof", asDump: true, writing: true, newIncrement: false, lastIncrement: 8 };

describe("the manifest after a rewriting", () => {
  it("has the new base and what is written since the copy; the rest is to be removed", () => {
    const next = rewritten(BEFORE, options);
    expect(next).toMatchObject({ base: "appendonly.aof.4.base.rdb", lastIncrement: 8 });
    expect(next.increment).toBeUndefined();
    expect(next.text.split("\n")).toEqual([
      "file appendonly.aof.4.base.rdb seq 4 type b",
      "file appendonly.aof.3.base.rdb seq 3 type h",
      "file appendonly.aof.2.incr.aof seq 2 type h",
      "file appendonly.aof.7.incr.aof seq 7 type h",
      "file appendonly.aof.8.incr.aof seq 8 type i",
      "",
    ]);
  });

  it("keeps no changes while nothing is appended", () => {
    expect(rewritten(BEFORE, { ...options, writing: false, asDump: false }).text).toMatch(
      /^file appendonly\.aof\.4\.base\.aof seq 4 type b\n(?:file .* type h\n){4}$/,
    );
  });

  it("has a new file of changes when appending begins, with a number that none has had", () => {
    expect(rewritten("", { ...options, newIncrement: true, lastIncrement: 12 })).toEqual({
      text: "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.13.incr.aof seq 13 type i\n",
      base: "appendonly.aof.1.base.rdb",
      increment: "appendonly.aof.13.incr.aof",
      lastIncrement: 13,
    });
  });

  it("has unusual names as Valkey reads them", () => {
    const { text } = rewritten("", { ...options, filename: "a b" });
    expect(text).toBe(
      `file "${"\\x61\\x20\\x62"}${[...Buffer.from(".1.base.rdb")].map((b) => `\\x${b.toString(16)}`).join("")}" seq 1 type b\n`,
    );
  });
});
