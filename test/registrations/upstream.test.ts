/** The same registrations with an engine by URL, where events come over another connection than replies. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { encodeMarshal, MarshalReader } from "../../src/python/marshal.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { counts, createWorld, line, plain, type TestClient, type World } from "./set-up.ts";

const redis = findRedisServer();

describe.skipIf(!redis.path)(`registrations with an engine by URL${redis.skipped}`, () => {
  let server: RedisServer;
  let world: World;
  let client: TestClient;

  beforeAll(async () => {
    server = await startRedisServer();
  });
  afterAll(() => server.stop());

  beforeEach(async () => {
    world = await createWorld({ url: `redis://127.0.0.1:${server.port}` });
    await world.admin.call("FLUSHALL");
    await world.admin.call("CONFIG", "SET", "notify-keyspace-events", "");
    client = world.client();
  });
  afterEach(async () => {
    await world.close();
    expect(world.problems).toEqual([]);
  });

  const send = async (text: string): Promise<unknown> => plain(await client.line(text));

  it("runs sync executions before the reply, from the first command on", async () => {
    const seen: string[] = [];
    world.register({ prefix: "p:*", keyTypes: ["string"], mode: "sync" }, async ({ records, job }) => {
      seen.push(line(records[0]));
      await world.execute(job.owner, "SET", "p:again", "x");
    });
    expect(await send("SET p:1 v")).toBe("OK");
    expect(seen).toEqual(['set p:1 string "v"']);
    await send("RPUSH p:2 v");
    await send("SET p:3 w");
    expect(seen).toEqual(['set p:1 string "v"', 'set p:3 string "w"']);
  });

  it("handles a burst in the background, in order", async () => {
    const seen: string[] = [];
    const registration = world.register({ prefix: "p:*", keyTypes: ["string", "hash"] }, ({ records }) => {
      seen.push(String(records[0]?.get("key")));
    });
    await send("PING");
    const keys = Array.from({ length: 500 }, (_, i) => `p:${i}`);
    await world.admin.pipeline(keys.map((key) => ["SET", key, "x"]));
    await expect.poll(() => counts(registration)).toEqual([500, 500, 0, 0]);
    expect(seen).toEqual(keys);
  });

  it("does not take its own reading of missing keys for events", async () => {
    const seen: string[] = [];
    world.register({ prefix: "k", keyTypes: ["empty", "string"] }, ({ records }) => void seen.push(line(records[0])));
    await send("PING");
    await client.multi("SET k 1", "DEL k");
    await expect.poll(() => seen).toEqual(["set k empty null", "del k empty null"]);
    await send("GET k");
    await expect.poll(() => seen.at(-1)).toBe("keymiss k empty null");
    await world.idle();
    expect(seen).toHaveLength(3);
  });

  it("processes streams: the counters of docs/spec/events.md, section 13", async () => {
    const batches: string[] = [];
    await client.multi(...[1, 2, 3, 4, 5].map((n) => `XADD old 0-${n} n 1`));
    const old = world.register({ reader: "StreamReader", prefix: "old", batch: 2 }, ({ records }) => {
      if (records.length > 0) batches.push(records.map((record) => record.get("id")).join(" "));
    });
    await expect.poll(() => counts(old)).toEqual([4, 4, 0, 0]);
    expect(batches).toEqual(["0-1 0-2", "0-3 0-4", "0-5"]);
    const sync = world.register({ reader: "StreamReader", prefix: "s", batch: 3, mode: "sync" });
    for (let n = 1; n <= 7; n++) await send(`XADD s 0-${n} n 1`);
    expect(counts(sync)).toEqual([3, 3, 0, 0]);
    expect(await send("XLEN s")).toBe(1);
    expect(await send("XLEN old")).toBe(0);
  });

  it("gives linked clients the reply of the execution", async () => {
    world.register({ eventTypes: ["keymiss"], commands: ["get"] }, ({ records, job }) => {
      const value = new MarshalReader(encodeMarshal(`made for ${records[0]?.get("key")}`));
      const caller = { home: {}, job: (handle: number) => world.host.job(handle) };
      world.readers.handlers.override_reply(caller, { value, job: job.handle });
    });
    expect(await send("GET a")).toBe("made for a");
    expect(await send("SET a b")).toBe("OK");
    expect(await send("GET a")).toBe("b");
  });

  it("comes back after its connection broke, and catches up with streams", async () => {
    const ids: string[] = [];
    world.register({ reader: "StreamReader", prefix: "s" }, ({ records }) => {
      ids.push(...records.map((record) => String(record.get("id"))));
    });
    await send("XADD s 0-1 n 1");
    await expect.poll(() => ids).toEqual(["0-1"]);
    await world.admin.pipeline([
      ["CLIENT", "KILL", "TYPE", "pubsub"],
      ["XADD", "s", "0-2", "n", "1"],
    ]);
    await expect.poll(() => ids).toEqual(["0-1", "0-2"]);
    await send("XADD s 0-3 n 1");
    await expect.poll(() => ids).toEqual(["0-1", "0-2", "0-3"]);
    expect(world.problems.splice(0)[0]).toContain("key events may be missed");
  });

  it("gives the engine its setting back", async () => {
    const flags = async (): Promise<unknown> =>
      plain(await world.admin.call("CONFIG", "GET", "notify-keyspace-events"));
    await world.admin.call("CONFIG", "SET", "notify-keyspace-events", "Ex");
    const registration = world.register({});
    expect(await send("CONFIG GET notify-keyspace-events")).toEqual(["notify-keyspace-events", "xE"]);
    world.registrations.remove(registration, false);
    await send("PING");
    expect(await flags()).toEqual(["notify-keyspace-events", "xE"]);
  });
});
