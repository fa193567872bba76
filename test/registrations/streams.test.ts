import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FlowFunction } from "./fake-host.ts";
import { counts, createWorld, plain, type TestClient, type World } from "./set-up.ts";

let world: World;
let client: TestClient;

beforeEach(async () => {
  world = await createWorld();
  client = world.client();
});

afterEach(async () => {
  await world.close();
  expect(world.problems).toEqual([]);
});

/** A function that notes the ids of each batch. */
function noting(): { readonly batches: string[]; readonly note: FlowFunction } {
  const batches: string[] = [];
  return {
    batches,
    note: ({ records }) => {
      if (records.length > 0) batches.push(records.map((record) => record.get("id")).join(" "));
    },
  };
}

async function add(key: string, ...ids: string[]): Promise<void> {
  for (const id of ids) await client.line(`XADD ${key} ${id} n ${id}`);
}

describe("what the counters say (events.md, section 13)", () => {
  it("one message", async () => {
    const registration = world.register({ reader: "StreamReader", prefix: "s" });
    await add("s", "0-1");
    await world.idle();
    expect(counts(registration)).toEqual([2, 2, 0, 0]);
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
    const { batches, note } = noting();
    await add("s", "0-1", "0-2", "0-3", "0-4", "0-5");
    const registration = world.register({ reader: "StreamReader", prefix: "s", batch: 2 }, note);
    await world.idle();
    expect(counts(registration)).toEqual([4, 4, 0, 0]);
    expect(batches).toEqual(["0-1 0-2", "0-3 0-4", "0-5"]);
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

/** Fails for records, so many times or always. */
function failing(times = Number.POSITIVE_INFINITY): FlowFunction {
  let left = times;
  return ({ records }) => {
    if (records.length > 0 && left-- > 0) throw new Error("failed");
  };
}

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
    const { batches, note } = noting();
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
    const { batches, note } = noting();
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
    const { batches, note } = noting();
    world.register({ reader: "StreamReader", prefix: "s", batch: 3 }, note);
    await client.multi(...[1, 2, 3, 4, 5, 6, 7].map((n) => `XADD s 0-${n} n 1`));
    await world.idle();
    expect(batches).toEqual(["0-1 0-2 0-3", "0-4 0-5 0-6"]);
    expect(await client.line("XLEN s")).toBe(1);
  });

  it("counts messages that were deleted before their batch was full", async () => {
    const { batches, note } = noting();
    world.register({ reader: "StreamReader", prefix: "s", batch: 3 }, note);
    await add("s", "0-1", "0-2");
    await client.line("XDEL s 0-1");
    await add("s", "0-3");
    await world.idle();
    expect(batches).toEqual(["0-2 0-3"]);
  });

  it("runs an incomplete batch after `duration`, counted from its first message", async () => {
    const { batches, note } = noting();
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
    const { batches, note } = noting();
    world.register({ reader: "StreamReader", prefix: "s", batch: 100, duration: 100, mode: "sync" }, note);
    await add("s", "0-1", "0-2");
    world.clock.forward(100);
    await world.idle();
    expect(batches).toEqual(["0-1 0-2"]);
    expect(await client.line("XLEN s")).toBe(0);
  });

  it("catches up with streams of before, by a glob pattern, and with nothing else", async () => {
    const { batches, note } = noting();
    await add("s:1", "0-1");
    await add("s:2", "0-2");
    await client.line("SET s:3 text");
    await add("t", "0-4");
    world.register({ reader: "StreamReader", prefix: "s:*" }, note);
    await world.idle();
    expect(batches.sort()).toEqual(["0-1", "0-2"]);
  });

  it("leaves the rest of a batch waiting after it caught up", async () => {
    const { batches, note } = noting();
    await add("s", ...[1, 2, 3, 4, 5, 6, 7, 8].map((n) => `0-${n}`));
    world.register({ reader: "StreamReader", prefix: "s", batch: 3 }, note);
    await world.idle();
    await add("s", "0-9");
    await world.idle();
    expect(batches).toEqual(["0-1 0-2 0-3", "0-4 0-5 0-6", "0-7 0-8"]);
    expect(await client.line("XLEN s")).toBe(1);
  });

  it("handles a stream that was deleted and made again with smaller ids", async () => {
    const { batches, note } = noting();
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" }, note);
    await add("s", "5-1");
    await client.line("DEL s");
    await add("s", "1-1", "6-1");
    expect(batches).toEqual(["5-1", "1-1", "6-1"]);
    expect(await client.line("XLEN s")).toBe(0);
  });

  it("is not disturbed by a stream that goes while it is worked on, and trims nothing of its successor", async () => {
    const other = world.client();
    const { batches, note } = noting();
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
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(order).toEqual(["begin 0-1"]);
    release();
    await world.idle();
    expect(order).toEqual(["begin 0-1", "end 0-1", "begin 0-2", "end 0-2"]);
  });

  it("handles the messages that its own batch adds", async () => {
    const { batches, note } = noting();
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" }, async (run) => {
      await note(run);
      const id = run.records[0]?.get("id");
      if (id === "0-1") await world.execute(run.task.owner, "XADD", "s", "0-2", "n", "1");
    });
    await add("s", "0-1");
    expect(batches).toEqual(["0-1", "0-2"]);
  });

  it("gives each message to one of two registrations; of two sync ones to the younger", async () => {
    const [old, young] = [noting(), noting()];
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" }, old.note);
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" }, young.note);
    await add("s", "0-1", "0-2");
    expect([old.batches, young.batches]).toEqual([[], ["0-1", "0-2"]]);
    const [one, two] = [noting(), noting()];
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

describe("when it does not go well", () => {
  it("ABORTED: goes on with the failed message when it is unpaused", async () => {
    const seen: string[] = [];
    let bad = true;
    const registration = world.register(
      { reader: "StreamReader", prefix: "s", onFailedPolicy: "abort" },
      ({ records }) => {
        for (const record of records) {
          seen.push(String(record.get("id")));
          if (bad) throw new Error("failed");
        }
      },
    );
    await add("s", "0-1");
    await world.idle();
    bad = false;
    await add("s", "0-2");
    world.readers.streams.pausing.unpause(registration);
    await world.idle();
    expect(seen).toEqual(["0-1", "0-1", "0-2"]);
    expect(counts(registration)).toEqual([4, 3, 1, 0]);
    expect(await client.line("XLEN s")).toBe(0);
  });

  it("PAUSE as an error pauses, whatever the policy; in the middle of a text it does not", async () => {
    let text = "x PAUSE";
    const registration = world.register({ reader: "StreamReader", prefix: "s" }, ({ records }) => {
      if (records.length > 0 && text !== "") throw new Error(text);
    });
    await add("s", "0-1");
    await world.idle();
    expect(registration.status).toBe("OK");
    text = "PAUSE please";
    await add("s", "0-2");
    await world.idle();
    expect([registration.status, await client.line("XLEN s")]).toEqual(["PAUSED", 1]);
    text = "";
    world.readers.streams.pausing.unpause(registration);
    await world.idle();
    expect([registration.status, await client.line("XLEN s")]).toEqual(["OK", 0]);
  });

  it("pausing keeps new messages in the stream; a part of a batch is handled when unpaused", async () => {
    const { batches, note } = noting();
    const registration = world.register({ reader: "StreamReader", prefix: "s", batch: 3 }, note);
    const { pausing } = world.readers.streams;
    await add("s", "0-1");
    await world.idle();
    pausing.pause(registration);
    pausing.pause(registration);
    await add("s", "0-2");
    await world.idle();
    expect(batches).toEqual([]);
    pausing.unpause(registration);
    pausing.unpause(registration);
    await world.idle();
    expect(batches).toEqual(["0-1 0-2"]);
  });

  it("unpausing one that is OK changes nothing", async () => {
    const registration = world.register({ reader: "StreamReader", prefix: "s" });
    world.readers.streams.pausing.unpause(registration);
    await add("s", "0-1");
    await world.idle();
    expect(counts(registration)).toEqual([2, 2, 0, 0]);
    expect(await client.line("XLEN s")).toBe(0);
  });

  it("pausing ends the wait for a retry, and the retry does not come", async () => {
    const spec = { reader: "StreamReader", prefix: "s", onFailedPolicy: "retry" } as const;
    const registration = world.register(spec, failing());
    await add("s", "0-1");
    await world.idle();
    world.readers.streams.pausing.pause(registration);
    world.clock.forward(10_000);
    await world.idle();
    expect(registration.status).toBe("PAUSED");
    expect(counts(registration)).toEqual([2, 1, 1, 0]);
  });

  it("discards what has not begun when it stops, and counts that as aborted", async () => {
    const { batches, note } = noting();
    const registration = world.register(
      { reader: "StreamReader", prefix: "s:*", onFailedPolicy: "abort" },
      async (run) => {
        await note(run);
        if (run.records[0]?.get("key") === "s:1") throw new Error("failed");
      },
    );
    await add("s:1", "0-1");
    await add("s:2", "0-2");
    await add("s:3", "0-3");
    await world.idle();
    const [triggered, success, failures, aborted] = counts(registration);
    expect(registration.status).toBe("ABORTED");
    expect(failures).toBe(1);
    expect(aborted).toBeGreaterThan(0);
    expect(triggered).toBe(Number(success) + Number(failures) + Number(aborted));
    expect(batches.filter((batch) => batch === "0-1")).toHaveLength(1);
    const statuses = world.registry.list().map(({ status }) => status);
    expect(statuses.filter((status) => status === "aborted")).toHaveLength(Number(aborted));
  });

  it("acknowledges nothing of an aborted execution", async () => {
    const hang = new Promise<void>(() => {});
    const registration = world.register({ reader: "StreamReader", prefix: "s" }, ({ records, wait }) =>
      records.length > 0 ? wait(hang) : undefined,
    );
    await add("s", "0-1");
    await new Promise((resolve) => setTimeout(resolve, 20));
    const [running] = world.runner.pending;
    if (!running) throw new Error("nothing runs");
    await world.runner.abort(running);
    expect(counts(registration)).toEqual([2, 1, 0, 1]);
    expect(await client.line("XLEN s")).toBe(1);
    expect(plain(await client.line("XPENDING s __gears_consumer_group__"))).toEqual(expect.arrayContaining([1]));
  });

  it("delivers again what was lost with its interpreter, a few times", async () => {
    const { batches, note } = noting();
    let deaths = 1;
    const registration = world.register({ reader: "StreamReader", prefix: "s" }, async (run) => {
      await note(run);
      if (run.records.length > 0 && deaths-- > 0) world.host.kill(run.task);
    });
    await add("s", "0-1");
    await world.idle();
    expect(await client.line("XLEN s")).toBe(1);
    world.clock.forward(1_000);
    await world.idle();
    expect(batches).toEqual(["0-1", "0-1"]);
    expect(counts(registration)).toEqual([3, 2, 1, 0]);
    deaths = 100;
    await add("s", "0-2");
    for (let i = 0; i < 10; i++) {
      await world.idle();
      world.clock.forward(1_000);
    }
    expect(batches.filter((batch) => batch === "0-2")).toHaveLength(3);
    expect(await client.line("XLEN s")).toBe(0);
  });

  it("a lost execution is a failure to the policies", async () => {
    const spec = { reader: "StreamReader", prefix: "s", onFailedPolicy: "abort" } as const;
    const registration = world.register(spec, ({ records, task }) => {
      if (records.length > 0) world.host.kill(task);
    });
    await add("s", "0-1");
    await world.idle();
    expect(registration.status).toBe("ABORTED");
    expect(await client.line("XLEN s")).toBe(1);
  });
});

describe("unregistering", () => {
  it("lets a running batch finish and be acknowledged, and starts no other", async () => {
    const { batches, note } = noting();
    let release!: () => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const registration = world.register({ reader: "StreamReader", prefix: "s" }, async (run) => {
      if (run.records.length > 0) await run.wait(released);
      await note(run);
    });
    await add("s", "0-1", "0-2");
    await new Promise((resolve) => setTimeout(resolve, 20));
    world.registrations.remove(registration, false);
    release();
    await world.idle();
    expect(batches).toEqual(["0-1"]);
    expect(await client.line("XLEN s")).toBe(1);
    expect(world.registry.size).toBe(0);
  });

  it("ends the wait for a retry", async () => {
    const spec = { reader: "StreamReader", prefix: "s", onFailedPolicy: "retry" } as const;
    const registration = world.register(spec, failing());
    await add("s", "0-1");
    await world.idle();
    world.registrations.remove(registration, false);
    world.clock.forward(10_000);
    await world.idle();
    expect(counts(registration)).toEqual([2, 1, 1, 0]);
    expect(await client.line("XLEN s")).toBe(1);
  });

  it("leaves what waits to the next registration", async () => {
    const { batches, note } = noting();
    const registration = world.register({ reader: "StreamReader", prefix: "s", batch: 5 }, note);
    await add("s", "0-1", "0-2");
    await world.idle();
    world.registrations.remove(registration, false);
    world.register({ reader: "StreamReader", prefix: "s" }, note);
    await world.idle();
    expect(batches).toEqual(["0-1", "0-2"]);
  });
});
