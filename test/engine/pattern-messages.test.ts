import { describe, expect, it } from "vitest";
import { PatternMessages } from "../../src/engine/pattern-messages.ts";

const message = (pattern: string, channel: string, payload: string, kind = "pmessage"): string =>
  `*4\r\n${[kind, pattern, channel, payload].map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;

function taught(): PatternMessages {
  const messages = new PatternMessages();
  messages.learn(Buffer.from("p*"), Buffer.from("p:set"));
  return messages;
}

describe("a message that begins as the last one did", () => {
  it.each([
    ["", ""],
    ["a key", ""],
    ["a key", "*4\r\n"],
    ["\r\n$3\r\n", message("p*", "p:set", "x")],
    ["x".repeat(12_345), "+OK\r\n"],
  ])("is read where it lies: %j before %j", (payload, rest) => {
    const messages = taught();
    const own = message("p*", "p:set", payload);
    const bytes = Buffer.from(`+OK\r\n${own}${rest}`);
    expect(messages.take(bytes, 5)).toBe(5 + own.length);
    expect(String(messages.payload)).toBe(payload);
    expect(messages.payload.buffer).toBe(bytes.buffer);
    expect([String(messages.pattern), String(messages.channel)]).toEqual(["p*", "p:set"]);
  });

  it("is not read before it is there as a whole", () => {
    const messages = taught();
    const bytes = Buffer.from(message("p*", "p:set", "a key"));
    for (let end = 0; end < bytes.length; end++) expect(messages.take(bytes.subarray(0, end), 0)).toBe(-1);
    expect(messages.take(bytes, 0)).toBe(bytes.length);
  });
});

describe("any other message is left", () => {
  it.each([
    ["of another channel", message("p*", "p:del", "a key")],
    ["of a longer channel", message("p*", "p:sets", "a key")],
    ["of another pattern", message("q*", "p:set", "a key")],
    ["of another kind", message("p*", "p:set", "a key", "smessage")],
    ["with a length that is none", message("p*", "p:set", "a key").replace("$5\r\na key", "$-1\r\n")],
    ["with a length that is too long", message("p*", "p:set", "a key").replace("$5\r\na", "$000000005\r\na")],
    ["with a length that is wrong", message("p*", "p:set", "a key").replace("$5\r\na", "$4\r\na")],
  ])("%s", (_what, bytes) => expect(taught().take(Buffer.from(bytes), 0)).toBe(-1));

  it("when none has come before", () =>
    expect(new PatternMessages().take(Buffer.from(message("p*", "p:set", "a key")), 0)).toBe(-1));
});
