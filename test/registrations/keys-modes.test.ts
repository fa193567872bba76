import { describe, expect, it } from "vitest";
import { counts, line, noting, plain, sendLines, type TestClient, useWorld, type World } from "./set-up.ts";
import { turns, until } from "../support/waiting.ts";

let world: World;
let client: TestClient;

useWorld((...made) => {
  [world, client] = made;
});

const send = (...lines: string[]): Promise<unknown> => sendLines(client, ...lines);

describe("sync", () => {
  it("runs before the reply, in the order of registration, on the state right after the change", async () => {
    const seen: string[] = [];
    for (const name of ["r1", "r2", "r3"]) {
      world.register({ prefix: "p:*", mode: "sync" }, async ({ records, job }) => {
        await turns();
        seen.push(`${name} ${line(records[0])}`);
        await world.execute(job.owner, "SET", `seen:${name}`, "1");
      });
    }
    await send("SET p:1 v");
    expect(seen).toEqual(['r1 set p:1 string "v"', 'r2 set p:1 string "v"', 'r3 set p:1 string "v"']);
    expect(await send("EXISTS seen:r1 seen:r2 seen:r3")).toBe(3);
  });

  it("runs before the reply of commands that can block, whether they had to or not", async () => {
    const seen: string[] = [];
    world.register({ eventTypes: ["lpop", "keymiss"], mode: "sync" }, async ({ records }) => {
      await turns();
      seen.push(`${records[0]?.get("event")} ${records[0]?.get("key")}`);
    });
    await send("RPUSH l a b", "BLPOP l 1");
    expect(seen.splice(0)).toEqual(["lpop l"]);
    await send("XREAD STREAMS none 0");
    expect(seen.splice(0)).toContain("keymiss none");
    const blocked = client.line("BLPOP later 0");
    // nobody is held up meanwhile
    await until(async () => String(await world.admin.call("INFO", "clients")).includes("blocked_clients:1"));
    expect(await world.client().line("RPUSH later x")).toBe(1);
    expect(plain(await blocked)).toEqual(["later", "x"]);
    expect(seen).toEqual(["lpop later"]);
  });

  it("does not miss keys that expire meanwhile", async () => {
    const seen: string[] = [];
    world.register({ prefix: "p:*", mode: "sync" }, async ({ records, job }) => {
      seen.push(line(records[0]));
      if (!seen.at(-1)?.startsWith("set p:slow")) return;
      await until(async () => Number(await world.execute(job.owner, "DBSIZE")) < 2);
    });
    await send("SET p:soon v PX 30", "SET p:slow v");
    await world.idle();
    expect(seen).toContain("expired p:soon empty null");
  });

  it("lets nobody else in between", async () => {
    const [other, probe] = [world.client(), world.client()];
    await other.line("SET counter start");
    await probe.line("PING");
    let during: unknown;
    let others: Promise<unknown[]> | undefined;
    world.register({ prefix: "p:*", mode: "sync" }, async ({ job }) => {
      others = Promise.all([other.line("SET counter other"), other.line("GET counter")]);
      // a PING is served while the engine is held: when the second one is answered, the others' commands have come
      await probe.line("PING");
      await probe.line("PING");
      during = plain(await world.execute(job.owner, "GET", "counter"));
      await world.execute(job.owner, "SET", "counter", "changed");
    });
    expect(plain(await client.line("SET p:1 v"))).toBe("OK");
    expect(during).toBe("start");
    expect(plain(await others)).toEqual(["OK", "other"]);
  });

  it("fires no KeysReader registration by what it does, but streams", async () => {
    const seen: string[] = [];
    world.register({ prefix: "p:*", mode: "sync" }, async ({ records, job }) => {
      seen.push(String(records[0]?.get("key")));
      await world.execute(job.owner, "SET", "p:again", "1");
      await world.execute(job.owner, "XADD", "s", "1-1", "f", "v");
      seen.push("after");
    });
    world.register({ prefix: "p:*" }, ({ records }) => void seen.push(`async ${records[0]?.get("key")}`));
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" }, async ({ records, job }) => {
      if (records.length === 0) return;
      seen.push("stream");
      await world.execute(job.owner, "SET", "p:nested", "1");
    });
    await send("SET p:1 v");
    await world.idle();
    expect(seen).toEqual(["p:1", "stream", "after", "async p:1"]);
  });

  it("does not wait for coroutines", async () => {
    let release!: () => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const registration = world.register({ prefix: "p:*", mode: "sync" }, ({ wait }) => wait(released));
    expect(await send("SET p:1 v")).toBe("OK");
    expect(registration.pending.size).toBe(1);
    expect(world.registry.list().map(({ status }) => status)).toEqual(["created"]);
    expect(await send("SET other v")).toBe("OK");
    release();
    await world.idle();
    expect(counts(registration)).toEqual([1, 1, 0, 0]);
  });

  it("is not disturbed by a client that goes while it waits", async () => {
    const { seen, note } = noting();
    world.register({ prefix: "p:*", mode: "sync" }, note);
    client.line("SET p:1 v").catch(() => {});
    client.close();
    await send("SET x y").catch(() => {});
    await world.client().line("SET p:2 v");
    expect(seen).toContain('set p:2 string "v"');
  });
});

describe("background", () => {
  it("handles events in order, one at a time, and fires again by what it does", async () => {
    const seen: string[] = [];
    world.register({ prefix: "p:*" }, async ({ records, job }) => {
      const key = String(records[0]?.get("key"));
      seen.push(key);
      await new Promise((resolve) => setImmediate(resolve));
      if (seen.length < 6) await world.execute(job.owner, "SET", `p:${seen.length}`, "x");
    });
    await client.multi("SET p:a 1", "SET p:b 1", "SET p:c 1");
    await world.idle();
    expect(seen).toEqual(["p:a", "p:b", "p:c", "p:1", "p:2", "p:3", "p:4", "p:5"]);
  });

  it("lets the next one begin while a coroutine is waited for", async () => {
    const seen: string[] = [];
    let release!: () => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    world.register({ prefix: "p:*" }, async ({ records, wait }) => {
      const key = String(records[0]?.get("key"));
      if (key === "p:1") await wait(released);
      seen.push(key);
    });
    await send("SET p:1 1", "SET p:2 1");
    await expect.poll(() => seen).toEqual(["p:2"]);
    release();
    await world.idle();
    expect(seen).toEqual(["p:2", "p:1"]);
  });

  it("reads nothing inside somebody's atomic block", async () => {
    const { seen, note } = noting();
    world.register({ prefix: "p:*" }, note);
    const holder = {};
    await world.gate.hold(holder);
    await world.admin.call("SET", "p:1", "inside");
    await turns();
    expect(seen).toEqual([]);
    await world.admin.call("SET", "p:1", "after");
    world.gate.release(holder);
    await world.idle();
    expect(seen).toEqual(['set p:1 string "after"', 'set p:1 string "after"']);
  });

  it("survives a burst, listing what waits as created, with ids in the order of events", async () => {
    let next = 0;
    let disorder = 0;
    const registration = world.register({ prefix: "p:*", eventTypes: ["set"], readValue: false }, ({ records }) => {
      if (records[0]?.get("key") !== `p:${next++}`) disorder++;
    });
    world.host.busy = true;
    const burst = Array.from({ length: 20_000 }, (_, i) => ["SET", `p:${i}`, "x"]);
    await world.admin.pipeline(burst);
    const listed = world.registry.list().filter(({ status }) => status === "created");
    expect(listed).toHaveLength(20_000);
    expect(
      listed.every(
        ({ number, id }, at) => at === 0 || (number > (listed[at - 1]?.number ?? 0) && id.endsWith(`-${number}`)),
      ),
    ).toBe(true);
    expect(counts(registration)).toEqual([20_000, 0, 0, 0]);
    world.host.resume();
    await world.idle();
    expect([next, disorder]).toEqual([20_000, 0]);
    expect(counts(registration)).toEqual([20_000, 20_000, 0, 0]);
    expect(registration.finished.size).toBe(100);
    expect(world.registry.size).toBe(100);
  });
});

describe("executions", () => {
  it("counts one that was aborted while it waited", async () => {
    const { seen, note } = noting();
    const registration = world.register({ prefix: "p:*" }, note);
    world.host.busy = true;
    await send("SET p:1 1", "SET p:2 2", "SET p:3 3");
    const second = world.registry.list()[1];
    const execution = world.registry.find(Buffer.from(second?.id ?? ""));
    if (!execution) throw new Error("not found");
    await world.runner.abort(execution);
    expect(execution.status).toBe("aborted");
    expect(counts(registration)).toEqual([3, 0, 0, 1]);
    world.host.resume();
    await world.idle();
    expect(seen).toEqual(['set p:1 string "1"', 'set p:3 string "3"']);
    expect(counts(registration)).toEqual([3, 2, 0, 1]);
  });

  it("counts a lone waiting one that is aborted", async () => {
    const registration = world.register({ prefix: "p:*" });
    world.host.busy = true;
    await send("SET p:1 1");
    const [execution] = world.runner.pending;
    if (!execution) throw new Error("nothing is in progress");
    await world.runner.abort(execution);
    expect(counts(registration)).toEqual([1, 0, 0, 1]);
  });

  it("keeps its results; a failure shows in lastError until a success", async () => {
    const registration = world.register({ prefix: "p:*", mode: "sync" }, ({ records }) => {
      if (records[0]?.get("value") === "bad") throw new Error("no good");
      return ["fine"];
    });
    await send("SET p:1 bad");
    expect(registration.statistics.lastError).toBe("no good");
    await send("SET p:1 ok");
    expect(registration.statistics.lastError).toBeUndefined();
    const [failed, good] = [...registration.finished];
    expect([failed?.errors, good?.resultCount]).toEqual([["no good"], 1]);
    expect(counts(registration)).toEqual([2, 1, 1, 0]);
  });

  it("keeps so many of each registration, and forgets those that were dropped", async () => {
    world.limits.perRegistration = 2;
    const [p, q] = [world.register({ prefix: "p" }), world.register({ prefix: "q" })];
    await send("SET p 1", "SET p 2", "SET p 3", "SET q 1");
    await world.idle();
    expect([p.finished.size, q.finished.size, world.registry.size]).toEqual([2, 1, 3]);
    const [oldest] = p.finished;
    if (oldest) world.registry.drop(oldest);
    expect(p.finished.size).toBe(1);
  });

  it("clears statistics but for what is in progress", async () => {
    const registration = world.register({ prefix: "p:*" });
    await send("SET p:1 1");
    await world.idle();
    world.host.busy = true;
    await send("SET p:1 1", "SET p:1 1", "SET p:1 1");
    registration.statistics.clear(registration.pending.size);
    expect(counts(registration)).toEqual([3, 0, 0, 0]);
  });
});

describe("unregistering", () => {
  it("lets what waits run, tells Python afterwards, and forgets the executions", async () => {
    const { seen, note } = noting();
    const registration = world.register({ prefix: "p:*" }, note);
    world.host.busy = true;
    await send("SET p:1 1", "SET p:2 2");
    world.registrations.remove(registration, false);
    await send("SET p:3 3");
    expect(world.host.told).toEqual([]);
    world.host.resume();
    await expect.poll(() => world.registry.size).toBe(0);
    expect(seen).toHaveLength(2);
    expect(world.host.told).toEqual([["unregister", registration.number]]);
  });

  it("ABORTPENDING: what has not begun never does", async () => {
    const { seen, note } = noting();
    let release!: () => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const registration = world.register({ prefix: "p:*" }, async (run) => {
      await note(run);
      await released;
    });
    await send(...Array.from({ length: 12 }, (_, i) => `SET p:${i} 1`));
    await expect.poll(() => seen.length).toBe(1);
    world.registrations.remove(registration, true);
    const statuses = world.registry.list().map(({ status }) => status);
    expect(statuses.filter((status) => status === "aborted")).toHaveLength(11);
    expect(counts(registration)).toEqual([12, 0, 0, 11]);
    release();
    await expect.poll(() => world.registry.size).toBe(0);
    expect(seen).toHaveLength(1);
  });

  it("gives the engine its setting back with the last one", async () => {
    const flags = async (): Promise<unknown> =>
      plain(await world.admin.call("CONFIG", "GET", "notify-keyspace-events"));
    await world.admin.call("CONFIG", "SET", "notify-keyspace-events", "Kx");
    const [one, two] = [world.register({ eventTypes: ["set"] }), world.register({})];
    expect(await flags()).toEqual(["notify-keyspace-events", "AKEm"]);
    world.registrations.remove(two, false);
    expect(await flags()).toEqual(["notify-keyspace-events", "AKE"]);
    world.registrations.remove(one, false);
    expect(await flags()).toEqual(["notify-keyspace-events", "xK"]);
  });
});
