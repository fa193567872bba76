import { describe, expect, it } from "vitest";
import { addMessages, counts, failing, notingBatches, plain, type TestClient, useWorld, type World } from "./set-up.ts";

let world: World;
let client: TestClient;

useWorld((...made) => {
  [world, client] = made;
});

const add = (key: string, ...ids: string[]): Promise<void> => addMessages(client, key, ...ids);

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
    const { batches, note } = notingBatches();
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
    const { batches, note } = notingBatches();
    const registration = world.register(
      { reader: "StreamReader", prefix: "s:*", onFailedPolicy: "abort" },
      async (run) => {
        await note(run);
        if (run.records[0]?.get("key") === "s:1") throw new Error("failed");
      },
    );
    world.host.busy = true;
    await add("s:1", "0-1");
    await add("s:2", "0-2");
    await add("s:3", "0-3");
    world.host.resume();
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
    let waits = false;
    const registration = world.register({ reader: "StreamReader", prefix: "s" }, ({ wait }) => {
      waits = true;
      return wait(hang);
    });
    await add("s", "0-1");
    await expect.poll(() => waits).toBe(true);
    expect(counts(registration)).toEqual([2, 1, 0, 0]);
    const [running] = world.runner.pending;
    if (!running) throw new Error("nothing runs");
    await world.runner.abort(running);
    expect(counts(registration)).toEqual([2, 1, 0, 1]);
    expect(await client.line("XLEN s")).toBe(1);
    expect(plain(await client.line("XPENDING s __gears_consumer_group__"))).toEqual(expect.arrayContaining([1]));
  });

  it("delivers again what was lost with its interpreter, a few times", async () => {
    const { batches, note } = notingBatches();
    let deaths = 1;
    const registration = world.register({ reader: "StreamReader", prefix: "s" }, async (run) => {
      await note(run);
      if (run.records.length > 0 && deaths-- > 0) world.host.kill(run.job);
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
    const registration = world.register(spec, ({ records, job }) => {
      if (records.length > 0) world.host.kill(job);
    });
    await add("s", "0-1");
    await world.idle();
    expect(registration.status).toBe("ABORTED");
    expect(await client.line("XLEN s")).toBe(1);
  });
});

describe("unregistering", () => {
  it("lets a running batch finish and be acknowledged, and starts no other", async () => {
    const { batches, note } = notingBatches();
    let release!: () => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const registration = world.register({ reader: "StreamReader", prefix: "s" }, async (run) => {
      if (run.records.length > 0) await run.wait(released);
      await note(run);
    });
    await add("s", "0-1", "0-2");
    await expect.poll(() => counts(registration)).toEqual([2, 1, 0, 0]);
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
    const { batches, note } = notingBatches();
    const registration = world.register({ reader: "StreamReader", prefix: "s", batch: 5 }, note);
    await add("s", "0-1", "0-2");
    await world.idle();
    world.registrations.remove(registration, false);
    world.register({ reader: "StreamReader", prefix: "s" }, note);
    await world.idle();
    expect(batches).toEqual(["0-1", "0-2"]);
  });
});
