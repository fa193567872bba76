import { describe, expect, it } from "vitest";
import { decodeMarshal, encodeMarshal, MarshalReader, MarshalWriter } from "../../src/python/marshal.ts";
import { RespReader, replyToMarshal, resultsToResp } from "../../src/python/transcode.ts";
import type { Reply } from "../../src/resp/reply.ts";

const toPython = (resp: string | Buffer): { value: unknown; wroteBytes: boolean } => {
  const reader = new RespReader(Buffer.from(resp));
  const out = new MarshalWriter();
  reader.transcode(out);
  expect(reader.at).toBe(reader.end);
  return { value: decodeMarshal(out.finish()), wroteBytes: reader.wroteBytes };
};

describe("engine replies for Python", () => {
  it.each([
    ["+OK\r\n", "OK"],
    [":-12\r\n", -12],
    [":9223372036854775807\r\n", 9223372036854775807n],
    ["$5\r\nhé\r\n\r\n", "hé\r\n"],
    ["$0\r\n\r\n", ""],
    ["$-1\r\n", null],
    ["*-1\r\n", null],
    ["*0\r\n", []],
    ["*3\r\n:1\r\n*2\r\n+a\r\n$1\r\nb\r\n-ERR no\r\n", [1, ["a", "b"], "ERR no"]],
  ])("%j", (resp, value) => {
    expect(toPython(resp)).toEqual({ value, wroteBytes: false });
  });

  it("keeps what is no UTF-8 as bytes, and only that", () => {
    const resp = Buffer.concat([
      Buffer.from("*2\r\n$1\r\na\r\n$2\r\n"),
      Buffer.from([0xff, 0xfe]),
      Buffer.from("\r\n"),
    ]);
    expect(toPython(resp)).toEqual({ value: ["a", Buffer.from([0xff, 0xfe])], wroteBytes: true });
  });

  it("refuses a reply that ends too early", () => {
    expect(() => toPython("*2\r\n:1\r\n")).toThrow(/engine/);
    expect(() => toPython(":1")).toThrow(/engine/);
  });
});

describe("own replies for Python", () => {
  it("become the values that execute() returns", () => {
    const reply: Reply = {
      type: "array",
      items: [
        { type: "status", text: "OK" },
        { type: "error", text: "(error) no" },
        { type: "integer", value: 5 },
        { type: "nil" },
        { type: "raw", chunks: [Buffer.from("*1\r\n"), Buffer.from("$1\r\nx\r\n")] },
        {
          type: "map",
          pairs: [
            [
              { type: "bulk", bytes: Buffer.from("k") },
              { type: "bulk", bytes: Buffer.from([255]) },
            ],
          ],
        },
      ],
    };
    const out = new MarshalWriter();
    expect(replyToMarshal(reply, out)).toEqual({ wroteBytes: true });
    expect(decodeMarshal(out.finish())).toEqual(["OK", "(error) no", 5, null, ["x"], ["k", Buffer.from([255])]]);
  });
});

describe("results for clients", () => {
  const toClient = (values: Parameters<typeof encodeMarshal>[0], prefixRule = false): string => {
    const { chunks } = resultsToResp(new MarshalReader(encodeMarshal(values)), prefixRule);
    return Buffer.concat(chunks).toString("utf8");
  };

  it("are bulks, integers and arrays", () => {
    expect(toClient(["é", "", 5, true, Buffer.from("raw"), ["a", [1]]])).toBe(
      "$2\r\né\r\n$0\r\n\r\n:5\r\n:1\r\n$3\r\nraw\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
    );
  });

  it("shows integers of any size", () => {
    expect(toClient([2n ** 63n - 1n, 2n ** 63n, -(2n ** 63n)])).toBe(
      ":9223372036854775807\r\n$19\r\n9223372036854775808\r\n:-9223372036854775808\r\n",
    );
  });

  it("keeps signs in the results of a run", () => {
    expect(toClient(["-1", "+a", "-"])).toBe("$2\r\n-1\r\n$2\r\n+a\r\n$1\r\n-\r\n");
  });

  it("cuts line ends off errors, and off nothing else", () => {
    expect(toClient(["-ERR a\nb\r\n", "+a\r\n", "-\r\n"], true)).toBe("-ERR a b\r\n+a  \r\n-\r\n");
  });

  it("makes statuses and errors where a script answers a client", () => {
    expect(toClient(["-ERR a\r\nb", "+OK", "-", "+", "", Buffer.from("-x")], true)).toBe(
      "-ERR a  b\r\n+OK\r\n$1\r\n-\r\n$1\r\n+\r\n$0\r\n\r\n$2\r\n-x\r\n",
    );
  });

  it("replaces lone surrogates", () => {
    // marshal writes U+D800 as ED A0 80
    const message = Buffer.concat([Buffer.from("5b0100000075030000", "hex"), Buffer.from("00eda080", "hex")]);
    const { count, chunks } = resultsToResp(new MarshalReader(message), false);
    expect(count).toBe(1);
    expect(Buffer.concat(chunks).toString("utf8")).toMatch(/^\$\d+\r\n\ufffd+\r\n$/);
  });

  it("copies no large value", () => {
    const large = Buffer.alloc(100_000, "x");
    const message = encodeMarshal(["a", large, "b"]);
    const { count, chunks } = resultsToResp(new MarshalReader(message), false);
    expect(count).toBe(3);
    expect(Buffer.concat(chunks).toString()).toBe(`$1\r\na\r\n$100000\r\n${large}\r\n$1\r\nb\r\n`);
    expect(chunks.some(({ buffer, length }) => length === large.length && buffer === message.buffer)).toBe(true);
  });

  it("calls everything else a record", () => {
    expect(toClient([null])).toBe("$9\r\nPY RECORD\r\n");
  });
});
