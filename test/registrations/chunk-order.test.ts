/** What a chunk is told of, beside what comes by other ways: with functions of the test in place of interpreters. */
import { describe, expect, it } from "vitest";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { EventChunks } from "../../src/registrations/event-chunks.ts";
import { encodeMarshal, MarshalReader } from "../../src/python/marshal.ts";
import type { ChunkOffer, ChunkSink } from "../../src/python/python-host.ts";
import { callerOf } from "../support/path.ts";
import { type TestClient, useWorld, type World } from "./set-up.ts";

const NO_TYPES = new Uint8Array(0);

let world: World;
let client: TestClient;

useWorld((...made) => {
  [world, client] = made;
});

/** What a listener is told of a key, as an interpreter passes it on. */
function told(event: string, key: string): Buffer {
  const channel = `__keyevent@0__:${event}`;
  const words = ["pmessage", "*", channel, key].map((word) => `$${word.length}\r\n${word}\r\n`);
  return Buffer.from(`*4\r\n${words.join("")}`);
}

/** What an execution that an interpreter has begun and ended comes to. */
const done = (): Parameters<ChunkSink["onEnded"]>[1] => ({
  ...{ job: 1, items: new MarshalReader(encodeMarshal([])), status: "done", errors: [] },
  ...{ totalMs: 0, readMs: 0, stepMs: [], passed: [], goesOn: false },
});

/** Has one command carried out, and what the interpreter does about it done by `act`. */
async function runChunk(act: (sink: ChunkSink) => void | Promise<void>): Promise<number> {
  const { readers, starter, gate } = world;
  const carryOut = async ({ sink }: ChunkOffer) => {
    await act(sink);
    return { done: 1, begun: 1, isCut: false, isClosed: false };
  };
  const chunks = new EventChunks({ host: { carryOut }, ...readers, starter, gate });
  const connection = { descriptor: -1, outputLimit: 0, noteClosed: () => {} };
  return chunks.run(callerOf(), connection, Buffer.alloc(1), [1]);
}

describe("a chunk", () => {
  it("begins when the events of keys that have expired by then are dealt with", async () => {
    const log: string[] = [];
    world.register({ prefix: "gone", mode: "sync", eventTypes: ["expired"] }, () => void log.push("expired"));
    const set = world.register({ prefix: "p", mode: "sync", eventTypes: ["set"] });
    await client.line("SET gone x PX 1000");
    // a command that the engine carries out when it is held finds that the key's time is over
    if (world.engine instanceof EmbeddedEngine) world.engine.moveClock(2_000);
    void world.admin.call("EXISTS", "gone");
    world.admin.flush();
    const count = await runChunk((sink) => {
      log.push("begun");
      sink.onTold(told("set", "p"), NO_TYPES);
      sink.onEnded(set.number, done());
    });
    expect([count, log]).toEqual([1, ["expired", "begun"]]);
    expect(set.statistics.success).toBe(1);
  });

  it("takes nothing for its own that comes by another way", async () => {
    const log: string[] = [];
    const first = world.register({ prefix: "p1", mode: "sync" }, () => void log.push("first"));
    world.register({ prefix: "p2", mode: "sync" }, () => void log.push("second"));
    const other = world.register({ prefix: "q", mode: "sync" });
    await client.line("SET subscribed x");
    await runChunk((sink) => {
      world.readers.sync.add({ registration: other, run: () => void log.push("other") });
      sink.onTold(Buffer.concat([told("set", "p1"), told("set", "p2")]), NO_TYPES);
      sink.onEnded(first.number, done());
    });
    expect(log).toEqual(["second", "other"]);
    expect(first.statistics.success).toBe(1);
  });
});
