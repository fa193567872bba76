import RedisParser from "redis-parser";
import { describe, expect, it } from "vitest";
import {
  array,
  bulk,
  encode,
  encodeWhole,
  error,
  integer,
  map,
  nil,
  type Reply,
  raw,
  status,
  text,
  verbatim,
} from "../../src/resp/reply.ts";

const CASES: readonly {
  readonly name: string;
  readonly reply: Reply;
  readonly two: string;
  readonly three?: string;
}[] = [
  { name: "status", reply: status("OK"), two: "+OK\r\n" },
  { name: "line ends in a status", reply: status("a\r\nb\nc"), two: "+a  b c\r\n" },
  { name: "error", reply: error("ERR no"), two: "-ERR no\r\n" },
  { name: "line ends in an error", reply: error("['a\\n']\r\nb"), two: "-['a\\n']  b\r\n" },
  { name: "line ends at the end of an error", reply: error("a\nb\r\n\n"), two: "-a b\r\n" },
  { name: "line ends at the end of a status", reply: status("a\r\n"), two: "+a  \r\n" },
  { name: "text beyond ASCII in an error", reply: error("é€😀"), two: "-é€😀\r\n" },
  { name: "integer", reply: integer(-5), two: ":-5\r\n" },
  { name: "largest integer", reply: integer(2n ** 63n - 1n), two: ":9223372036854775807\r\n" },
  { name: "smallest integer", reply: integer(-(2n ** 63n)), two: ":-9223372036854775808\r\n" },
  { name: "integer beyond 64 bits", reply: integer(2n ** 63n), two: "$19\r\n9223372036854775808\r\n" },
  { name: "number beyond 64 bits", reply: integer(2 ** 64), two: "$20\r\n18446744073709551616\r\n" },
  { name: "bulk", reply: bulk(Buffer.from([0, 255, 13, 10])), two: "$4\r\n\0\xff\r\n\r\n" },
  { name: "verbatim", reply: verbatim("a\r\nb"), two: "$4\r\na\r\nb\r\n", three: "=8\r\ntxt:a\r\nb\r\n" },
  { name: "empty bulk", reply: bulk(Buffer.alloc(0)), two: "$0\r\n\r\n" },
  { name: "text", reply: text("é"), two: "$2\r\né\r\n" },
  { name: "nil", reply: nil(), two: "$-1\r\n", three: "_\r\n" },
  { name: "empty array", reply: array([]), two: "*0\r\n" },
  {
    name: "array",
    reply: array([integer(1), array([nil(), text("a")]), status("b")]),
    two: "*3\r\n:1\r\n*2\r\n$-1\r\n$1\r\na\r\n+b\r\n",
    three: "*3\r\n:1\r\n*2\r\n_\r\n$1\r\na\r\n+b\r\n",
  },
  {
    name: "map",
    reply: map([
      [text("a"), integer(1)],
      [text("b"), array([])],
    ]),
    two: "*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*0\r\n",
    three: "%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*0\r\n",
  },
  {
    name: "raw",
    reply: array([raw(Buffer.from("$2\r"), Buffer.from("\nab\r\n")), integer(1)]),
    two: "*2\r\n$2\r\nab\r\n:1\r\n",
  },
];
const bytes = (expected: string, name: string): Buffer => Buffer.from(expected, name === "bulk" ? "latin1" : "utf8");

describe("encode", () => {
  it.each(CASES)("$name", ({ name, reply, two, three = two }) => {
    expect(encodeWhole(reply, 2)).toEqual(bytes(two, name));
    expect(encodeWhole(reply, 3)).toEqual(bytes(three, name));
    expect(Buffer.concat(encode(reply, 2))).toEqual(bytes(two, name));
  });

  it("hands long byte strings on without copying", () => {
    const long = Buffer.alloc(100_000, 97);
    const chunks = encode(array([text("a"), bulk(long), text("b")]), 2);
    expect(chunks).toContain(long);
    expect(chunks).toHaveLength(3);
    expect(Buffer.concat(chunks).length).toBe(4 + 7 + 9 + 100_000 + 2 + 7);
  });

  it("encodes deep nesting", () => {
    let reply: Reply = integer(1);
    for (let depth = 0; depth < 100_000; depth++) reply = array([reply]);
    expect(encodeWhole(reply, 2).toString()).toBe(`${"*1\r\n".repeat(100_000)}:1\r\n`);
  });

  it("gives what a client's parser reads", () => {
    const seen: unknown[] = [];
    const parser = new RedisParser({
      returnReply: (value) => seen.push(value),
      returnError: (value) => seen.push(value.message),
    });
    const many = Array.from({ length: 5000 }, (_, index) => text(`value ${index}`));
    parser.execute(encodeWhole(array(many), 2));
    parser.execute(encodeWhole(error("ERR x"), 2));
    expect(seen).toEqual([many.map((_, index) => `value ${index}`), "ERR x"]);
  });
});
