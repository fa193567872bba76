/** Large replies become what small ones become, and others have their turns meanwhile. */
import { describe, expect, it } from "vitest";
import { convertInTurns } from "../../src/python/large-replies.ts";
import { MarshalWriter } from "../../src/python/marshal.ts";
import { ReplyStatus } from "../../src/python/protocol.ts";
import { RespReader } from "../../src/python/transcode.ts";

/** The same in one piece. */
function atOnce(bytes: Buffer) {
  const reply = new RespReader(bytes);
  const out = new MarshalWriter();
  reply.transcode(out);
  return { status: reply.wroteBytes ? ReplyStatus.withBytes : ReplyStatus.ok, value: out.finish() };
}

describe("a large reply", () => {
  it.each([
    ["a bulk", "$3\r\nabc\r\n"],
    ["a nil", "$-1\r\n"],
    ["a nil of arrays", "*-1\r\n"],
    ["an empty array", "*0\r\n"],
    ["a status", "+OK\r\n"],
    ["an integer", ":12345678901\r\n"],
    ["arrays in arrays", "*4\r\n*0\r\n*-1\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n-ERR an error inside\r\n"],
    ["bytes", "*2\r\n$1\r\n\xff\r\n$1\r\na\r\n"],
  ])("that is %s", async (_what, reply) => {
    const bytes = Buffer.from(reply, "latin1");
    expect(await convertInTurns(bytes)).toEqual(atOnce(bytes));
  });

  it("of many elements lets others have their turns", async () => {
    const bytes = Buffer.from(
      `*2\r\n*300000\r\n${"$5\r\nvalue\r\n".repeat(300_000)}*300000\r\n${":7\r\n".repeat(300_000)}`,
    );
    let turns = 0;
    const others = setInterval(() => turns++, 0);
    const converted = await convertInTurns(bytes);
    clearInterval(others);
    expect(turns).toBeGreaterThan(2);
    expect(converted.value.equals(atOnce(bytes).value)).toBe(true);
  });
});
