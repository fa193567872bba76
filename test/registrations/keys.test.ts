import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeMarshal, MarshalReader, encodeMarshal } from "../../src/python/marshal.ts";
import type { FlowFunction, FlowRun } from "./fake-host.ts";
import { counts, createWorld, line, plain, type TestClient, type World } from "./set-up.ts";

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

function noting(): { readonly seen: string[]; readonly note: FlowFunction } {
  const seen: string[] = [];
  return { seen, note: ({ records }) => void seen.push(line(records[0])) };
}

async function send(...lines: string[]): Promise<unknown> {
  let reply: unknown;
  for (const text of lines) reply = plain(await client.line(text));
  return reply;
}

describe("which events fire", () => {
  it("counts one matching SET once", async () => {
    const registration = world.register({ prefix: "p:*" });
    await send("SET p:1 a", "SET q:1 a");
    await world.idle();
    expect(counts(registration)).toEqual([1, 1, 0, 0]);
  });

  const table: readonly [string, string, string[]][] = [
    ["", "SET k v PX 30000", ["set k", "expire k"]],
    ["", "MSET a 1 b 2", ["set a", "set b"]],
    ["HSET h f 1", "RENAME h h2", ["rename_from h", "rename_to h2"]],
    ["RPUSH l a b", "LMOVE l l2 LEFT RIGHT", ["rpush l2", "lpop l"]],
    ["RPUSH l a", "RPOPLPUSH l l3", ["lpush l3", "rpop l", "del l"]],
    ["SADD s m", "SPOP s", ["spop s", "del s"]],
    ["SET k v", "GETDEL k", ["del k"]],
    ["", "INCR k", ["incrby k"]],
    ["", "GET k", ["keymiss k"]],
    ["", "MGET a b a", ["keymiss a", "keymiss b", "keymiss a"]],
    ["SET k v", "COPY k k2", ["copy_to k2"]],
  ];
  it.each(table)("after %j: %s", async (before, command, expected) => {
    const seen: string[] = [];
    if (before) await send(before);
    world.register(
      { mode: "sync" },
      ({ records }) => void seen.push(`${records[0]?.get("event")} ${records[0]?.get("key")}`),
    );
    await send(command);
    expect(seen).toEqual(expected);
  });

  it("sees a key expire, by access and in the background", async () => {
    const { seen, note } = noting();
    world.register({ prefix: "p:*", eventTypes: ["expired", "keymiss"], mode: "sync" }, note);
    await send("SET p:1 x PX 1");
    await new Promise((resolve) => setTimeout(resolve, 5));
    await send("GET p:1");
    expect(seen).toEqual(["expired p:1 empty null", "keymiss p:1 empty null"]);
    seen.length = 0;
    await send("SET p:2 x PX 1");
    await expect.poll(() => seen, { timeout: 5_000 }).toEqual(["expired p:2 empty null"]);
  });

  it("sees keys evicted", async () => {
    const { seen, note } = noting();
    world.register({ eventTypes: ["evicted"] }, note);
    await send("SET k x", "CONFIG SET maxmemory-policy allkeys-random", "CONFIG SET maxmemory 1", "GET k");
    await world.idle();
    await send("CONFIG SET maxmemory 0");
    expect(seen).toContain("evicted k empty null");
  });

  it("sees events of all databases and reads from database 0", async () => {
    const { seen, note } = noting();
    world.register({ mode: "sync" }, note);
    await send("SELECT 3", "SET k there");
    expect(seen).toEqual(["set k empty null"]);
  });

  it.each([
    ["abc", ["abc"]],
    ["a*c", ["a*c"]],
    ["a?[b]*", ["a?[b]c"]],
    ["*b", ["*b"]],
    ["", []],
  ])("prefix %j", async (prefix, expected) => {
    const { seen, note } = noting();
    world.register({ prefix, mode: "sync" }, note);
    await send(...["abc", "abcd", "ab", "a*c", "axb", "a?b", "a?[b]c", "*b"].map((key) => `SET ${key} 1`));
    expect(seen).toEqual(expected.map((key) => `set ${key} string "1"`));
  });

  it("eventTypes: without regard to case; none matches nothing", async () => {
    const [some, none] = [noting(), noting()];
    world.register({ eventTypes: ["HSET", "del"], mode: "sync" }, some.note);
    world.register({ eventTypes: [], mode: "sync" }, none.note);
    await send("SET k 1", "HSET h f 1", "DEL k");
    expect(some.seen).toEqual(['hset h hash {"f":"1"}', "del k empty null"]);
    expect(none.seen).toEqual([]);
  });

  it("keyTypes: the type at the time of the event", async () => {
    const { seen, note } = noting();
    world.register({ keyTypes: ["string", "zset", "stream"], mode: "sync" }, note);
    await send("SET a 1", "HSET b f 1", "RPUSH c x", "ZADD d 1 m", "XADD e 1-1 f v", "DEL a", "GET none");
    expect(seen).toEqual(['set a string "1"', "zadd d zset null", "xadd e unknown null"]);
    seen.length = 0;
    world.register({ prefix: "x", keyTypes: ["empty"] }, note);
    world.host.busy = true;
    await send("SET x 1", "DEL x", "HSET x f 1");
    world.host.resume();
    await world.idle();
    expect(seen).toContain('del x hash {"f":"1"}');
  });

  it("does not take its own reading of missing keys for events", async () => {
    const { seen, note } = noting();
    world.register({ keyTypes: ["empty", "string"] }, note);
    await client.multi("SET k 1", "DEL k", "GET k");
    await world.idle();
    expect(seen).toEqual(["set k empty null", "del k empty null", "keymiss k empty null"]);
    seen.length = 0;
    await send("GET k");
    await world.idle();
    expect(seen).toEqual(["keymiss k empty null"]);
  });

  it("fires nothing after FLUSHALL and goes on", async () => {
    const { seen, note } = noting();
    world.register({ mode: "sync" }, note);
    await send("SET a 1", "FLUSHALL", "SET b 2");
    expect(seen).toEqual(['set a string "1"', 'set b string "2"']);
  });

  it("goes on when its connection is killed", async () => {
    const { seen, note } = noting();
    world.register({ eventTypes: ["set"] }, note);
    await send("CLIENT KILL TYPE pubsub");
    await expect
      .poll(async () => {
        await send("SET a 1");
        await world.idle();
        return seen.length;
      })
      .toBeGreaterThan(0);
  });
});

describe("records", () => {
  it("have the value of each type, as readers of batches give it", async () => {
    const seen: unknown[] = [];
    world.register({ prefix: "k:*", mode: "sync" }, ({ records }) => void seen.push(records[0]?.get("value")));
    await client.send("SET", "k:1", Buffer.from([0xff, 0, 0x61]));
    await client.send("HSET", "k:2", "f", Buffer.from([0xfe]));
    await client.send("RPUSH", "k:3", Buffer.from([0xfd]), "ok");
    await send("SADD k:4 m", "SET k:5 12345678901234567890123");
    expect(seen).toEqual([
      Buffer.from([0xff, 0, 0x61]),
      new Map([["f", Buffer.from([0xfe])]]),
      [Buffer.from([0xfd]), "ok"],
      null,
      "12345678901234567890123",
    ]);
  });

  it("have keys of any bytes", async () => {
    const seen: unknown[] = [];
    world.register({ mode: "sync" }, ({ records }) => void seen.push(records[0]?.get("key")));
    await client.send("SET", Buffer.from([0x70, 0xff]), "1");
    await client.send("SET", "größe", "1");
    expect(seen).toEqual([Buffer.from([0x70, 0xff]), "größe"]);
  });

  it("have large values whole", async () => {
    let size = 0;
    world.register({ prefix: "big", mode: "sync" }, ({ records }) => {
      size = String(records[0]?.get("value")).length;
    });
    await client.send("SET", "big", "x".repeat(3_000_000));
    expect(size).toBe(3_000_000);
  });

  it("have only event and key with readValue=False", async () => {
    const seen: unknown[] = [];
    world.register({ readValue: false, mode: "sync" }, ({ records }) => void seen.push(plain(records[0])));
    await send("SET k 1");
    expect(seen).toEqual([{ event: "set", key: "k" }]);
  });

  it("are read when the execution starts", async () => {
    const { seen, note } = noting();
    world.register({}, note);
    world.host.busy = true;
    await send("SET k 1", "SET k 2", "DEL k");
    world.host.resume();
    await world.idle();
    expect(seen.slice(1)).toEqual(["set k empty null", "del k empty null"]);
  });
});

describe("sync", () => {
  it("runs before the reply, in the order of registration, on the state right after the change", async () => {
    const seen: string[] = [];
    for (const name of ["r1", "r2", "r3"]) {
      world.register({ prefix: "p:*", mode: "sync" }, async ({ records, task }) => {
        await new Promise((resolve) => setTimeout(resolve, 2));
        seen.push(`${name} ${line(records[0])}`);
        await world.execute(task.owner, "SET", `seen:${name}`, "1");
      });
    }
    await send("SET p:1 v");
    expect(seen).toEqual(['r1 set p:1 string "v"', 'r2 set p:1 string "v"', 'r3 set p:1 string "v"']);
    expect(await send("EXISTS seen:r1 seen:r2 seen:r3")).toBe(3);
  });

  it("lets nobody else in between", async () => {
    const other = world.client();
    let during: unknown;
    world.register({ prefix: "p:*", mode: "sync" }, async ({ task }) => {
      await new Promise((resolve) => setTimeout(resolve, 10));
      during = plain(await world.execute(task.owner, "GET", "counter"));
      await world.execute(task.owner, "SET", "counter", "changed");
    });
    await send("SET counter start");
    const replies = await Promise.all([
      client.line("SET p:1 v"),
      other.line("SET counter other"),
      other.line("GET counter"),
    ]);
    expect(during).toBe("start");
    expect(plain(replies)).toEqual(["OK", "OK", "other"]);
  });

  it("fires no KeysReader registration by what it does, but streams", async () => {
    const seen: string[] = [];
    world.register({ prefix: "p:*", mode: "sync" }, async ({ records, task }) => {
      seen.push(String(records[0]?.get("key")));
      await world.execute(task.owner, "SET", "p:again", "1");
      await world.execute(task.owner, "XADD", "s", "1-1", "f", "v");
      seen.push("after");
    });
    world.register({ prefix: "p:*" }, ({ records }) => void seen.push(`async ${records[0]?.get("key")}`));
    world.register({ reader: "StreamReader", prefix: "s", mode: "sync" }, async ({ records, task }) => {
      if (records.length === 0) return;
      seen.push("stream");
      await world.execute(task.owner, "SET", "p:nested", "1");
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
    world.register({ prefix: "p:*" }, async ({ records, task }) => {
      const key = String(records[0]?.get("key"));
      seen.push(key);
      await new Promise((resolve) => setImmediate(resolve));
      if (seen.length < 6) await world.execute(task.owner, "SET", `p:${seen.length}`, "x");
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
    await new Promise((resolve) => setTimeout(resolve, 10));
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

describe("CONFIG of notify-keyspace-events", () => {
  it("shows users what they have set", async () => {
    const { seen, note } = noting();
    const get = (): Promise<unknown> => send("CONFIG GET notify-keyspace-events");
    const registration = world.register({}, note);
    expect(await get()).toEqual(["notify-keyspace-events", ""]);
    expect(await send("CONFIG SET maxmemory 0 notify-keyspace-events Ex")).toBe("OK");
    expect(await get()).toEqual(["notify-keyspace-events", "xE"]);
    const all = (await send("CONFIG GET *")) as string[];
    expect(all[all.indexOf("notify-keyspace-events") + 1]).toBe("xE");
    expect(String(await send("CONFIG SET notify-keyspace-events Q"))).toMatch(/^-/);
    await send("SET k 1");
    await world.idle();
    expect(seen).toEqual(['set k string "1"']);
    world.registrations.remove(registration, false);
    expect(plain(await world.admin.call("CONFIG", "GET", "notify-keyspace-events"))).toEqual([
      "notify-keyspace-events",
      "xE",
    ]);
  });
});

describe("commands=[…]", () => {
  /** The handlers as Python calls them. */
  const call = (run: FlowRun, name: string, ...args: Parameters<typeof encodeMarshal>[0][]): unknown => {
    const message = Buffer.concat([...args, run.task.handle].map((arg) => encodeMarshal(arg)));
    const handler = world.readers.handlers.get(name);
    const caller = { home: {}, task: (handle: number) => world.host.task(handle) };
    const reply = handler?.(caller, new MarshalReader(message));
    if (!reply || reply instanceof Promise) throw new Error("no reply");
    return decodeMarshal(reply.value);
  };
  const override: FlowFunction = (run) => void call(run, "override_reply", `made for ${run.records[0]?.get("key")}`);

  it.each(["sync", "async", "async_local"] as const)("%s: override_reply is the client's reply", async (mode) => {
    const registration = world.register({ eventTypes: ["keymiss"], commands: ["get"], mode }, override);
    expect(await send("GET a")).toBe("made for a");
    expect(await send("SET c real")).toBe("OK");
    expect(await send("GET c")).toBe("real");
    expect(await send("STRLEN d")).toBe(0);
    expect(counts(registration)).toEqual([1, 1, 0, 0]);
  });

  it("holds the reply until the execution has ended, its own reply without override_reply", async () => {
    const order: string[] = [];
    world.register({ eventTypes: ["keymiss"], commands: ["GET"] }, async ({ wait }) => {
      await wait(new Promise((resolve) => setTimeout(resolve, 20)));
      order.push("execution");
    });
    expect(await send("get a").then((reply) => (order.push("reply"), reply))).toBe(null);
    expect(order).toEqual(["execution", "reply"]);
  });

  it("gives the command as typed", async () => {
    const seen: unknown[] = [];
    world.register(
      { eventTypes: ["keymiss"], commands: ["get"], mode: "sync" },
      (run) => void seen.push(call(run, "get_command")),
    );
    await send("gEt x");
    expect(seen).toEqual([["gEt", "x"]]);
  });

  it("fires once for each key; only one reply can be given", async () => {
    const registration = world.register({ eventTypes: ["keymiss"], commands: ["mget"], mode: "sync" }, override);
    await send("SET a 1");
    expect(await send("MGET a b")).toBe("made for b");
    expect(await send("MGET a a")).toEqual(["1", "1"]);
    expect(await send("MGET a c d")).toBe("made for c");
    expect(counts(registration)).toEqual([3, 2, 1, 0]);
    expect(registration.statistics.lastError).toBe("Can only override reply once");
  });

  it("fires for the named commands only, and keeps clients apart", async () => {
    const { seen, note } = noting();
    world.register({ prefix: "p:*", commands: ["set"], mode: "sync" }, note);
    await send("SET p:1 a", "APPEND p:1 b", "DEL p:1");
    expect(seen).toEqual(['set p:1 string "a"']);
    world.register({ prefix: "q:*", eventTypes: ["keymiss"], commands: ["get"] }, override);
    const clients = [world.client(), world.client(), world.client()];
    const replies = await Promise.all(clients.map((other, at) => other.line(`GET q:${at}`)));
    expect(plain(replies)).toEqual(["made for q:0", "made for q:1", "made for q:2"]);
  });

  it("links no background execution to execute()", async () => {
    const registration = world.register({ eventTypes: ["keymiss"], commands: ["get"] }, override);
    expect(await world.execute({}, "GET", "a")).toBe(null);
    await world.idle();
    expect(registration.statistics.lastError).toBe("Can not get command ctx");
  });

  it("changes what execute() gives in mode sync", async () => {
    world.register({ eventTypes: ["keymiss"], commands: ["get"], mode: "sync" }, override);
    expect(plain(await world.execute({}, "GET", "a"))).toBe("made for a");
  });

  it("knows no command outside of a linked execution", async () => {
    const errors: string[] = [];
    world.register({ mode: "sync" }, (run) => {
      try {
        call(run, "get_command");
      } catch (error) {
        errors.push(String(error));
      }
    });
    await send("SET a 1");
    expect(errors).toEqual(["ReplyError: Can not get command ctx"]);
  });

  it.each([
    [["nosuch"], "*", "bad reply on COMMAND command"],
    [["eval"], "*", "Can not hook a command which are not allowed inside a script"],
    [["multi"], "*", "Can not hook a command which are not allowed inside a script"],
    [["blpop"], "*", "Can not hook a command which are not allowed inside a script"],
    [["get", "sort"], "*", "Can not hook a command with moveable keys by key prefix"],
    [["xread"], "*", "Can not hook a command with moveable keys by key prefix"],
    [["ping"], "*", "Can not hook a command by key prefix with none positive first key"],
    [["get"], "", "Empty perfix given to command hooker"],
  ])("refuses %j with prefix %j", (commands, prefix, text) => {
    expect(() => world.register({ commands, prefix })).toThrow(text);
  });

  it("takes an empty list for none", async () => {
    const { seen, note } = noting();
    world.register({ commands: [], mode: "sync" }, note);
    await send("SET k 1");
    expect(seen).toHaveLength(1);
  });
});

describe("a backlog", () => {
  it("makes writers wait until it is worked off", async () => {
    await world.close();
    world = await createWorld({ maxBacklog: 10 });
    client = world.client();
    world.register({ prefix: "p:*" });
    world.host.busy = true;
    await world.admin.pipeline(Array.from({ length: 20 }, (_, i) => ["SET", `p:${i}`, "x"]));
    const { interceptor } = world.readers;
    expect([interceptor.backlogged, interceptor.active]).toEqual([true, true]);
    let replied = false;
    const write = client.line("SET q 1").then(() => {
      replied = true;
    });
    expect(await world.client().line("GET q").then(plain)).toBe("1");
    expect(replied).toBe(false);
    world.host.resume();
    await write;
    expect([interceptor.backlogged, interceptor.active]).toEqual([false, false]);
  });
});
