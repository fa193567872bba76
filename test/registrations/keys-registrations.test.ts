import { describe, expect, it } from "vitest";
import { counts, noting, plain, sendLines, type TestClient, useWorld, type World } from "./set-up.ts";

let world: World;
let client: TestClient;

useWorld((...made) => {
  [world, client] = made;
});

const send = (...lines: string[]): Promise<unknown> => sendLines(client, ...lines);

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
    // for so long the key is to be there
    await new Promise((resolve) => setTimeout(resolve, 5));
    await send("GET p:1");
    expect(seen).toEqual(["expired p:1 empty null", "keymiss p:1 empty null"]);
    seen.length = 0;
    await send("SET p:2 x PX 1");
    await expect.poll(() => seen).toEqual(["expired p:2 empty null"]);
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

  it("keyTypes: the type at the time of the event, also when the key has changed since or is in another database", async () => {
    const [lists, strings] = [noting(), noting()];
    world.register({ keyTypes: ["list"], eventTypes: ["rpop"] }, lists.note);
    world.register({ keyTypes: ["string"] }, strings.note);
    await send("RPUSH l a", "RPOP l");
    await client.multi("SET k 1", "DEL k", "HSET k f v");
    await send("SELECT 1", "SET there 1");
    await world.idle();
    expect(lists.seen).toEqual(["rpop l empty null"]);
    expect(strings.seen).toEqual(['set k hash {"f":"v"}', "set there empty null"]);
  });

  it("sync: a key that was emptied is seen before it is deleted, where the engine tells it before", async () => {
    const { seen, note } = noting();
    world.register({ mode: "sync", eventTypes: ["rpop", "spop", "zpopmin", "hdel", "srem", "del"] }, note);
    await send("RPUSH l a", "RPOPLPUSH l l2", "SADD s m", "SPOP s", "ZADD z 1 m", "ZPOPMIN z");
    await send("HSET h f v", "HDEL h f", "SADD s m", "SREM s m");
    expect(seen).toEqual([
      ...["rpop l list []", "del l empty null", "spop s set null", "del s empty null"],
      ...["zpopmin z zset null", "del z empty null", "hdel h empty null", "del h empty null"],
      ...["srem s empty null", "del s empty null"],
    ]);
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
    expect(world.problems.splice(0)).toEqual([
      expect.stringContaining("key events may be missed"),
      expect.stringContaining("key events are told again"),
    ]);
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
