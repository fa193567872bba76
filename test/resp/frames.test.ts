import { describe, expect, it } from "vitest";
import {
  FrameCollector,
  FrameError,
  FrameSplitter,
  isError,
  joinAggregate,
  scalarText,
  splitAggregate,
  wasTooLong,
} from "../../src/resp/frames.ts";
import { cpuMs } from "../support/cpu.ts";

const FRAMES = {
  status: "+OK\r\n",
  error: "-ERR no\r\n",
  integer: ":-12\r\n",
  bulk: "$5\r\na\r\nbc\r\n",
  "empty bulk": "$0\r\n\r\n",
  "nil bulk": "$-1\r\n",
  "nil array": "*-1\r\n",
  "empty array": "*0\r\n",
  array: "*3\r\n:1\r\n$1\r\n*\r\n*2\r\n+a\r\n$-1\r\n",
  nil: "_\r\n",
  double: ",-1.5e3\r\n",
  infinity: ",inf\r\n",
  boolean: "#t\r\n",
  "big number": "(123456789012345678901234567890\r\n",
  "blob error": "!5\r\nERR x\r\n",
  verbatim: "=8\r\ntxt:abcd\r\n",
  map: "%2\r\n+a\r\n*1\r\n:1\r\n+b\r\n%1\r\n:1\r\n:2\r\n",
  "empty map": "%0\r\n",
  set: "~2\r\n+a\r\n+b\r\n",
  push: ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n",
  attribute: "|1\r\n+ttl\r\n:10\r\n$1\r\na\r\n",
  "attribute of an array": "|1\r\n+k\r\n*1\r\n:1\r\n*2\r\n:1\r\n|1\r\n+x\r\n+y\r\n:2\r\n",
  "empty attribute": "|0\r\n:1\r\n",
  "streamed string": "$?\r\n;4\r\nHell\r\n;2\r\no!\r\n;0\r\n",
  "streamed array": "*?\r\n:1\r\n*2\r\n:1\r\n:2\r\n*?\r\n.\r\n.\r\n",
  "streamed map": "%?\r\n+a\r\n:1\r\n.\r\n",
  "streamed array in an array": "*2\r\n*?\r\n:1\r\n.\r\n:9\r\n",
  "streamed attribute": "|?\r\n+a\r\n:1\r\n.\r\n*0\r\n",
  "number with plus": ":+5\r\n",
} as const;
const ALL = Object.values(FRAMES).join("");

function split(text: string, size: number): string[] {
  const collector = new FrameCollector();
  const frames: string[] = [];
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += size) {
    frames.push(...collector.push(bytes.subarray(at, at + size)).map((frame) => frame.toString("latin1")));
  }
  expect(collector.inside).toBe(false);
  return frames;
}

describe("FrameSplitter", () => {
  it.each(Object.entries(FRAMES))("%s, whole and byte by byte", (_, frame) => {
    expect(split(frame, 1000)).toEqual([frame]);
    expect(split(frame, 1)).toEqual([frame]);
    expect(split(frame + frame, 1000)).toEqual([frame, frame]);
  });

  it.each([1, 2, 3, 5, 7, 13, 64, 10_000])("all kinds in a row in pieces of %i bytes", (size) => {
    expect(split(ALL.repeat(3), size)).toEqual([
      ...Object.values(FRAMES),
      ...Object.values(FRAMES),
      ...Object.values(FRAMES),
    ]);
  });

  it("follows any depth with counters alone", () => {
    const deep = `${"*1\r\n".repeat(200_000)}:1\r\n`;
    expect(split(deep + FRAMES.status, 65_536)).toEqual([deep, FRAMES.status]);
  });

  it("does not read big replies again for each chunk", () => {
    const big = Buffer.concat([Buffer.from("*2\r\n$200000000\r\n"), Buffer.alloc(0)]);
    const splitter = new FrameSplitter();
    expect(splitter.end(big, 0)).toBe(-1);
    const chunk = Buffer.alloc(20_000);
    const spent = cpuMs(() => {
      for (let sent = 0; sent < 200_000_000; sent += chunk.length) expect(splitter.end(chunk, 0)).toBe(-1);
      expect(splitter.end(Buffer.from("\r\n:1\r\n+next\r\n"), 0)).toBe(6);
    });
    expect(splitter.inside).toBe(false);
    expect(spent).toBeLessThan(2000);
  });

  it.each(["x\r\n", "$x\r\n", "*99999999999999999999\r\n", ".\r\n", ";0\r\n"])("refuses %j", (text) => {
    expect(() => split(text, 1000)).toThrow(FrameError);
    expect(() => split(text, 1)).toThrow(FrameError);
  });
});

describe("aggregates", () => {
  it.each(["array", "map", "set", "push", "empty array", "empty map"] as const)(
    "%s comes apart and together",
    (kind) => {
      const frame = Buffer.from(FRAMES[kind]);
      const parts = splitAggregate(frame);
      expect(parts && joinAggregate(parts)).toEqual(frame);
    },
  );

  it("gives the children as frames", () => {
    expect(splitAggregate(Buffer.from(FRAMES.array))?.children.map(String)).toEqual([
      ":1\r\n",
      "$1\r\n*\r\n",
      "*2\r\n+a\r\n$-1\r\n",
    ]);
    expect(splitAggregate(Buffer.from(FRAMES.map))?.children.map(String)).toEqual([
      "+a\r\n",
      "*1\r\n:1\r\n",
      "+b\r\n",
      "%1\r\n:1\r\n:2\r\n",
    ]);
    expect(splitAggregate(Buffer.from(FRAMES["streamed array"]))?.children).toHaveLength(3);
    expect(splitAggregate(Buffer.from(FRAMES["attribute of an array"]))?.children.map(String)).toEqual([
      ":1\r\n",
      "|1\r\n+x\r\n+y\r\n:2\r\n",
    ]);
  });

  it.each(["nil array", "nil", "bulk", "status", "error"] as const)("%s is none", (kind) => {
    expect(splitAggregate(Buffer.from(FRAMES[kind]))).toBeUndefined();
  });

  it("reads scalars", () => {
    const texts = {
      status: "OK",
      error: "ERR no",
      integer: "-12",
      bulk: "a\r\nbc",
      "blob error": "ERR x",
      verbatim: "abcd",
      double: "-1.5e3",
      nil: "",
      "nil bulk": "",
    };
    for (const [kind, text] of Object.entries(texts))
      expect(scalarText(Buffer.from(FRAMES[kind as keyof typeof texts]))).toBe(text);
    expect(Object.values(FRAMES).filter((frame) => isError(Buffer.from(frame)))).toEqual([
      FRAMES.error,
      FRAMES["blob error"],
    ]);
  });
});

describe("FrameCollector", () => {
  it("has an error in place of a frame that is too long, and goes on behind it", () => {
    const collector = new FrameCollector(100);
    const long = Buffer.from(`$200\r\n${"x".repeat(200)}\r\n`);
    const stream = Buffer.concat([Buffer.from("+a\r\n"), long, Buffer.from(":1\r\n")]);
    for (const size of [1, 7, 1000]) {
      const frames: Buffer[] = [];
      for (let at = 0; at < stream.length; at += size) frames.push(...collector.push(stream.subarray(at, at + size)));
      expect(frames.map(wasTooLong)).toEqual([false, true, false]);
      expect(frames.map(String)).toEqual(["+a\r\n", expect.stringMatching(/^-ERR the reply is longer than/), ":1\r\n"]);
    }
  });

  it("is not asked to join what would be too long", () => {
    const child = Buffer.alloc(100 * 1024 * 1024);
    expect(wasTooLong(joinAggregate({ type: "*", children: [child, child, child] }))).toBe(true);
  });
});
