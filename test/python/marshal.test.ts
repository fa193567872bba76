import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import {
  decodeMarshal,
  encodeMarshal,
  MarshalReader,
  type MarshalValue,
  MarshalWriter,
} from "../../src/python/marshal.ts";

const VALUES: MarshalValue[] = [
  null,
  true,
  false,
  0,
  -1,
  2 ** 31 - 1,
  -(2 ** 31),
  2 ** 31,
  -(2 ** 31) - 1,
  Number.MAX_SAFE_INTEGER,
  2n ** 64n,
  -(2n ** 80n) - 12345678901234567890n,
  1.5,
  -0.25,
  "",
  "héllo 🎉",
  "x".repeat(1000),
  [],
  [1, ["a", [null, true]], "b"],
];

describe("marshal", () => {
  it.each(VALUES)("carries %s there and back", (value) => {
    expect(decodeMarshal(encodeMarshal(value))).toEqual(value);
  });

  it("carries bytes", () => {
    expect(decodeMarshal(encodeMarshal([Buffer.from([0, 255, 10])]))).toEqual([Buffer.from([0, 255, 10])]);
  });

  it("carries maps as dicts", () => {
    const map = new Map<string, MarshalValue>([
      ["a", 1],
      ["b", [2]],
    ]);
    expect(decodeMarshal(encodeMarshal(map))).toEqual(map);
  });

  it("grows with what is written", () => {
    const writer = new MarshalWriter(1).list(3).text("é".repeat(5000)).int(5).bytes(Buffer.alloc(70_000, 7));
    expect(decodeMarshal(writer.finish())).toEqual(["é".repeat(5000), 5, Buffer.alloc(70_000, 7)]);
  });

  it("reads texts as the bytes of a command's arguments", () => {
    const reader = new MarshalReader(encodeMarshal(["SET", Buffer.from([255])]));
    expect(reader.list()).toBe(2);
    expect(reader.bytes()).toEqual(Buffer.from("SET"));
    expect(reader.bytes()).toEqual(Buffer.from([255]));
  });

  it.each([
    ["nothing", ""],
    ["an unknown type", "ff"],
    ["a list that lies about its length", "5bffffff7f"],
    ["a negative length", "5bffffffff"],
    ["text that ends early", "750a00000061"],
    ["an int that ends early", "690100"],
  ])("refuses %s", (_name, hex) => {
    expect(() => decodeMarshal(Buffer.from(hex, "hex"))).toThrow(/marshal/);
  });

  it("refuses lists nested without end", () => {
    const depth = 5_000;
    const bytes = Buffer.concat([
      ...Array.from({ length: depth }, () => Buffer.from("5b01000000", "hex")),
      Buffer.from("N"),
    ]);
    expect(() => decodeMarshal(bytes)).toThrow(/deeply/);
  });
});

describe("marshal and a real Python", () => {
  const python = ((): string | undefined => {
    try {
      execFileSync("python3", ["--version"], { stdio: "ignore" });
      return "python3";
    } catch {
      return undefined;
    }
  })();

  it.skipIf(python === undefined)("agree on values (skipped without python3)", () => {
    const echo = "import marshal,sys;sys.stdout.buffer.write(marshal.dumps(marshal.loads(sys.stdin.buffer.read()),2))";
    const bytes = execFileSync("python3", ["-c", echo], { input: encodeMarshal(VALUES) });
    expect(decodeMarshal(bytes)).toEqual(VALUES);
  });
});
