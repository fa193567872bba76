import { describe, expect, it } from "vitest";
import { replyToMsgpack } from "../../src/gateway/msgpack.ts";

const hex = (resp: string): string => replyToMsgpack(Buffer.from(resp)).toString("hex");

describe("replies as MessagePack", () => {
  it.each([
    [":5\r\n", "d30000000000000005"],
    [":-1\r\n", "d3ffffffffffffffff"],
    ["$2\r\nhi\r\n", "db000000026869"],
    ["$0\r\n\r\n", "db00000000"],
    ["$-1\r\n", "c2"],
    ["*-1\r\n", "c2"],
    ["+OK\r\n", "81db000000026f6bdb000000024f4b"],
    ["-ERR x\r\n", "81db00000003657272db00000005455252" + "2078"],
    ["*0\r\n", "dd00000000"],
    ["*2\r\n:1\r\n*1\r\n$1\r\na\r\n", "dd00000002d30000000000000001dd00000001db0000000161"],
  ])("%j", (resp, expected) => {
    expect(hex(resp)).toBe(expected);
  });
});
