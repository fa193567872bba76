/** What goes to a client's socket: whoever makes it stops when the client reads too slowly, and goes on when it has read. */
import type { Socket } from "node:net";
import { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { ClientOutput } from "../../src/gateway/client-output.ts";

const LONG = 2 * 1024 * 1024;

/** @param takes whether the system takes what is written at once; otherwise when it is told to */
function outputTo(takes: "at once" | "later") {
  const told: string[] = [];
  const taken: (() => void)[] = [];
  const socket = new Writable({
    write: (_bytes, _encoding, done) => void (takes === "at once" ? done() : taken.push(done)),
  });
  const output = new ClientOutput(socket as Socket, 64 * LONG, {
    expectsMore: () => false,
    onOverflow: () => told.push("overflow"),
    onFull: () => told.push("full"),
    onDrain: () => told.push("drain"),
  });
  return { output, told, take: () => taken.shift()?.() };
}

const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a long reply", () => {
  it.each([1, 3])("in %d pieces that the system takes at once lets the next one be made", async (pieces) => {
    const { output, told } = outputTo("at once");
    for (let round = 0; round < 2; round++) {
      for (let piece = 0; piece < pieces; piece++) output.write(Buffer.alloc(LONG));
      expect(output.full).toBe(true);
      await soon();
      expect(output.full).toBe(false);
    }
    expect(told).toEqual(["full", "drain", "full", "drain"]);
  });

  it("that the system does not take keeps the next one waiting", async () => {
    const { output, told, take } = outputTo("later");
    output.write(Buffer.alloc(LONG));
    await soon();
    expect(told).toEqual(["full"]);
    take();
    await soon();
    expect(told).toEqual(["full", "drain"]);
  });
});
