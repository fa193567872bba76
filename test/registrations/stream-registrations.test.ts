import { describe, expect, it } from "vitest";
import { addMessages, counts, failing, notingBatches, plain, type TestClient, useWorld, type World } from "./set-up.ts";
import { turns } from "../support/waiting.ts";

let world: World;
let client: TestClient;

useWorld((...made) => {
  [world, client] = made;
});

const add = (key: string, ...ids: string[]): Promise<void> => addMessages(client, key, ...ids);

describe("what the counters say (docs/spec/events.md, section 13)", () => {
  it("one message", async () => {
    const registration = world.register({ reader: "StreamReader", prefix: "s" });
    await add("s", "0-1");
    await world.idle();
    expect(counts(registration)).toEqual([2, 2, 0, 0]);
  });

  it("one message, of which Python is asked nothing but that", async () => {
    let asked = 0;
    const registration = world.register({ reader: "StreamReader", prefix: "s" }, () => void asked++);
    world.host.busy = true;
    await add("s", "0-1");
    // the look for older messages has found none, and has ended
    expect(counts(registration)).toEqual([2, 1, 0, 0]);
    expect(world.registry.list().map(({ status }) => status)).toEqual(["done", "created"]);
    world.host.resume();
    await world.idle();
    expect([asked, counts(registration)]).toEqual([1, [2, 2, 0, 0]]);
  });

  it("executions without records, as many as there may be in a row", async () => {
    const registration = world.register({ reader: "StreamReader", prefix: "s" });
    world.host.busy = true;
    world.starter.enqueue(registration, { read: () => ["x"] });
    for (let left = 20_000; left > 0; left--) {
      world.starter.enqueue(registration, { mayBeEmpty: true, read: () => [] });
    }
    expect(counts(registration)).toEqual([20_001, 0, 0, 0]);
    world.host.resume();
    await world.idle();
    expect(counts(registration)).toEqual([20_001, 20_001, 0, 0]);
  });

  it("three messages one after another", async () => {
    const registration = world.register({ reader: "StreamReader", prefix: "s" });
    for (const id of ["0-1", "0-2", "0-3"]) {
      await add("s", id);
      await world.idle();
    }
    expect(counts(registration)).toEqual([4, 4, 0, 0]);
  });

  it("three messages at once", async () => {
    const registration = world.register({ reader: "StreamReader", prefix: "s" });
    await add("s", "0-1", "0-2", "0-3");
    await world.idle();
    expect(counts(registration)).toEqual([4, 4, 0, 0]);
  });

  it("batch=3, seven messages", async () => {
    const registration = world.register({ reader: "StreamReader", prefix: "s", batch: 3 });
    await add("s", "0-1", "0-2", "0-3", "0-4", "0-5", "0-6", "0-7");
    await world.idle();
    expect(counts(registration)).toEqual([3, 3, 0, 0]);
  });

  it("batch=2, five old messages", async () => {
    const { batches, note } = notingBatches();
    await add("s", "0-1", "0-2", "0-3", "0-4", "0-5");
    const registration = world.register({ reader: "StreamReader", prefix: "s", batch: 2 }, note);
    await world.idle();
    expect(counts(registration)).toEqual([4, 4, 0, 0]);
    expect(batches).toEqual(["0-1 0-2", "0-3 0-4", "0-5"]);
  });

  it.each([
    ["all consumed", 3, 0, 1, [2, 2, 0, 0]],
    ["all consumed, fewer than a batch", 1, 0, 10, [2, 2, 0, 0]],
    ["some consumed", 3, 2, 1, [4, 4, 0, 0]],
    ["none consumed", 0, 2, 1, [3, 3, 0, 0]],
    ["empty", 0, 0, 1, [1, 1, 0, 0]],
  ])("a stream with kept messages that is read anew: %s", async (_what, consumed, fresh, batch, expected) => {
    const first = world.register({ reader: "StreamReader", prefix: "s", trimStream: false });
    await add("s", "0-1");
    for (let at = 2; at <= consumed; at++) await add("s", `0-${at}`);
    await world.idle();
    if (consumed === 0) await client.line("XTRIM s MAXLEN 0");
    world.registrations.remove(first, true);
    for (let at = 0; at < fresh; at++) await add("s", `1-${at}`);
    const { batches, note } = notingBatches();
    const registration = world.register({ reader: "StreamReader", prefix: "s", trimStream: false, batch }, note);
    await world.idle();
    expect(counts(registration)).toEqual(expected);
    expect(batches).toEqual(Array.from({ length: fresh }, (_, at) => `1-${at}`));
    await add("s", ...Array.from({ length: batch }, (_, at) => `2-${at}`));
    await world.idle();
    expect(counts(registration)[0]).toBe((expected[0] as number) + 1);
  });

  it("failing, continue, two messages", async () => {
    const registration = world.register({ reader: "StreamReader", prefix: "s" }, failing());
    await add("s", "0-1", "0-2");
    await world.idle();
    expect(counts(registration)).toEqual([3, 1, 2, 0]);
    expect(await client.line("XLEN s")).toBe(0);
  });

  it("failing, abort, two messages", async () => {
    const registration = world.register({ reader: "StreamReader", prefix: "s", onFailedPolicy: "abort" }, failing());
    await add("s", "0-1", "0-2");
    await world.idle();
    expect(counts(registration)).toEqual([2, 1, 1, 0]);
    expect(registration.status).toBe("ABORTED");
    expect(await client.line("XLEN s")).toBe(2);
  });

  it("failing twice, retry, two messages", async () => {
    const spec = { reader: "StreamReader", prefix: "s", onFailedPolicy: "retry", retryInterval: 5 } as const;
    const registration = world.register(spec, failing(2));
    await add("s", "0-1", "0-2");
    await world.idle();
    expect(registration.status).toBe("WAITING_FOR_RETRY_ON_FAILURE");
    world.clock.forward(4_999);
    await world.idle();
    expect(counts(registration)).toEqual([2, 1, 1, 0]);
    world.clock.forward(1);
    await world.idle();
    expect(counts(registration)).toEqual([3, 1, 2, 0]);
    world.clock.forward(5_000);
    await world.idle();
    expect(counts(registration)).toEqual([5, 3, 2, 0]);
    expect(registration.status).toBe("OK");
    expect(await client.line("XLEN s")).toBe(0);
  });
});

describe("reading streams", () => {
  it("gives messages with their key, id and fields", async () => {
    const seen: unknown[] = [];
    world.register({ reader: "StreamReader", prefix: "s:*" }, ({ records }) => void seen.push(...records.map(plain)));
    await client.send("XADD", "s:1", "1-1", "b", "2", "a", Buffer.from([0xff]));
    await client.line("XADD other 1-1 a 1");
    await world.idle();
    expect(seen).toEqual([{ key: "s:1", id: "1-1", value: { b: "2", a: "\ufffd" } }]);
  });

  it("removes what was handled, and leaves its group", async () => {
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" });
    await add("s", "1-1", "1-2");
    expect(await client.line("XLEN s")).toBe(0);
    const [group] = plain(await client.line("XINFO GROUPS s")) as unknown[];
    expect(group).toEqual(expect.arrayContaining(["__gears_consumer_group__", "1-2"]));
  });

  it("keeps what was handled with trimStream=False, and does not handle it again", async () => {
    const { batches, note } = notingBatches();
    const spec = { reader: "StreamReader", prefix: "s", mode: "sync", trimStream: false } as const;
    const first = world.register(spec, note);
    await add("s", "0-1", "0-2");
    world.registrations.remove(first, false);
    world.register(spec, note);
    await world.idle();
    await add("s", "0-3");
    expect(batches).toEqual(["0-1", "0-2", "0-3"]);
    expect(await client.line("XLEN s")).toBe(3);
  });

  it("runs a full batch inside the XADD that fills it", async () => {
    const { batches, note } = notingBatches();
    const registration = world.register({ reader: "StreamReader", prefix: "s", batch: 3, mode: "sync" }, note);
    await add("s", "0-1", "0-2");
    expect(batches).toEqual([]);
    await add("s", "0-3");
    expect(batches).toEqual(["0-1 0-2 0-3"]);
    expect(await client.line("XLEN s")).toBe(0);
    await add("s", "0-4");
    expect(batches).toHaveLength(1);
    expect(counts(registration)).toEqual([2, 2, 0, 0]);
  });

  it("makes several batches of what a transaction or script adds", async () => {
    const { batches, note } = notingBatches();
    world.register({ reader: "StreamReader", prefix: "s", batch: 3 }, note);
    await client.multi(...[1, 2, 3, 4, 5, 6, 7].map((n) => `XADD s 0-${n} n 1`));
    await world.idle();
    expect(batches).toEqual(["0-1 0-2 0-3", "0-4 0-5 0-6"]);
    expect(await client.line("XLEN s")).toBe(1);
  });

  it("counts messages that were deleted before their batch was full", async () => {
    const { batches, note } = notingBatches();
    world.register({ reader: "StreamReader", prefix: "s", batch: 3 }, note);
    await add("s", "0-1", "0-2");
    await client.line("XDEL s 0-1");
    await add("s", "0-3");
    await world.idle();
    expect(batches).toEqual(["0-2 0-3"]);
  });

  it("runs an incomplete batch after `duration`, counted from its first message", async () => {
    const { batches, note } = notingBatches();
    world.register({ reader: "StreamReader", prefix: "s", batch: 100, duration: 100 }, note);
    await add("s", "0-1");
    await world.idle();
    world.clock.forward(60);
    await add("s", "0-2");
    world.clock.forward(39);
    await world.idle();
    expect(batches).toEqual([]);
    world.clock.forward(1);
    await world.idle();
    expect(batches).toEqual(["0-1 0-2"]);
    await add("s", "0-3");
    await world.idle();
    world.clock.forward(99);
    await world.idle();
    expect(batches).toHaveLength(1);
    world.clock.forward(1);
    await world.idle();
    expect(batches).toEqual(["0-1 0-2", "0-3"]);
  });

  it("runs an incomplete batch after `duration` in mode sync too", async () => {
    const { batches, note } = notingBatches();
    world.register({ reader: "StreamReader", prefix: "s", batch: 100, duration: 100, mode: "sync" }, note);
    await add("s", "0-1", "0-2");
    world.clock.forward(100);
    await world.idle();
    expect(batches).toEqual(["0-1 0-2"]);
    expect(await client.line("XLEN s")).toBe(0);
  });

  it("catches up with streams of before, by a glob pattern, and with nothing else", async () => {
    const { batches, note } = notingBatches();
    await add("s:1", "0-1");
    await add("s:2", "0-2");
    await client.line("SET s:3 text");
    await add("t", "0-4");
    world.register({ reader: "StreamReader", prefix: "s:*" }, note);
    await world.idle();
    expect(batches.sort()).toEqual(["0-1", "0-2"]);
  });

  it("leaves the rest of a batch waiting after it caught up", async () => {
    const { batches, note } = notingBatches();
    await add("s", ...[1, 2, 3, 4, 5, 6, 7, 8].map((n) => `0-${n}`));
    world.register({ reader: "StreamReader", prefix: "s", batch: 3 }, note);
    await world.idle();
    await add("s", "0-9");
    await world.idle();
    expect(batches).toEqual(["0-1 0-2 0-3", "0-4 0-5 0-6", "0-7 0-8"]);
    expect(await client.line("XLEN s")).toBe(1);
  });

  it("handles a stream that was deleted and made again with smaller ids", async () => {
    const { batches, note } = notingBatches();
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" }, note);
    await add("s", "5-1");
    await client.line("DEL s");
    await add("s", "1-1", "6-1");
    expect(batches).toEqual(["5-1", "1-1", "6-1"]);
    expect(await client.line("XLEN s")).toBe(0);
  });

  it("is not disturbed by a stream that goes while it is worked on, and trims nothing of its successor", async () => {
    const other = world.client();
    const { batches, note } = notingBatches();
    let deleted = false;
    world.register({ reader: "StreamReader", prefix: "s", batch: 2 }, async (run) => {
      await note(run);
      if (run.records.length === 0 || deleted) return;
      deleted = true;
      await other.line("DEL s");
      await other.line("XADD s 1-1 n 1");
    });
    await add("s", "5-1", "5-2");
    await world.idle();
    expect(await client.line("XLEN s")).toBe(1);
    await add("s", "1-2");
    await world.idle();
    expect(batches).toEqual(["5-1 5-2", "1-1 1-2"]);
  });

  it("works on one batch of a stream at a time, while coroutines wait too", async () => {
    const order: string[] = [];
    let release!: () => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    world.register({ reader: "StreamReader", prefix: "s" }, async ({ records, wait }) => {
      const id = String(records[0]?.get("id"));
      if (records.length === 0) return;
      order.push(`begin ${id}`);
      if (id === "0-1") await wait(released);
      order.push(`end ${id}`);
    });
    await add("s", "0-1", "0-2");
    await turns();
    expect(order).toEqual(["begin 0-1"]);
    release();
    await world.idle();
    expect(order).toEqual(["begin 0-1", "end 0-1", "begin 0-2", "end 0-2"]);
  });

  it("handles the messages that its own batch adds", async () => {
    const { batches, note } = notingBatches();
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" }, async (run) => {
      await note(run);
      const id = run.records[0]?.get("id");
      if (id === "0-1") await world.execute(run.job.owner, "XADD", "s", "0-2", "n", "1");
    });
    await add("s", "0-1");
    expect(batches).toEqual(["0-1", "0-2"]);
  });

  it("gives each message to one of two registrations; of two sync ones to the younger", async () => {
    const [old, young] = [notingBatches(), notingBatches()];
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" }, old.note);
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" }, young.note);
    await add("s", "0-1", "0-2");
    expect([old.batches, young.batches]).toEqual([[], ["0-1", "0-2"]]);
    const [one, two] = [notingBatches(), notingBatches()];
    world.register({ reader: "StreamReader", prefix: "t" }, one.note);
    world.register({ reader: "StreamReader", prefix: "t" }, two.note);
    await add("t", "0-1", "0-2", "0-3", "0-4");
    await world.idle();
    expect([...one.batches, ...two.batches].sort()).toEqual(["0-1", "0-2", "0-3", "0-4"]);
    expect(await client.line("XLEN t")).toBe(0);
  });

  it("tells how long messages had to wait", async () => {
    const registration = world.register({ reader: "StreamReader", prefix: "s" }, ({ records }) => {
      if (records.length > 0) world.clock.forward(30);
    });
    await add("s", "0-1");
    await world.idle();
    await add("s", "0-2");
    await world.idle();
    const { lastLagMs, averageLagMs } = registration.statistics;
    expect([lastLagMs, averageLagMs]).toEqual([30, 30]);
  });

  it("refuses batches of nothing", () => {
    expect(() => world.register({ reader: "StreamReader", batch: 0 })).toThrow("batch argument must be");
  });
});
