/** Every script in examples/ runs against the built server and gives what its header promises. */
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { RegearsServer } from "../../src/running.ts";
import { type Client, connectClient, type Value } from "../support/client.ts";

const folder = new URL("../../examples/", import.meta.url);
const scripts = readdirSync(folder).filter((name) => name.endsWith(".py"));
const BUILT_SERVER = new URL("../../dist/server.js", import.meta.url).href;

let server: RegearsServer | undefined;
let client: Client;

beforeAll(async () => {
  const { createServer } = (await import(/* @vite-ignore */ BUILT_SERVER)) as typeof import("../../src/server.ts");
  server = await createServer({ port: 0, loglevel: "warning" });
  client = await connectClient(server.port ?? 0);
});
afterAll(async () => {
  client?.close();
  await server?.close();
});
beforeEach(async () => {
  await client.call("RG.UNREGISTERALL", "ABORTPENDING");
  await client.call("FLUSHALL");
});

const run = (name: string): Promise<Value> => client.call("RG.PYEXECUTE", readFileSync(new URL(name, folder), "utf8"));
const call = async (...commands: string[][]): Promise<void> => {
  for (const command of commands) await client.call(...command);
};

/** One test for each script, by its name. */
const tests: Record<string, () => Promise<void>> = {
  "word_count.py": async () => {
    await call(["SET", "text:1", "To be, or not to be"], ["SET", "text:2", "be"], ["SET", "other", "or or or"]);
    await client.call("SET", "text:3", Buffer.from([0xff, 0xfe]));
    expect(await run("word_count.py")).toEqual([["be 3", "to 2", "or 1", "not 1"], []]);
    await call(["SET", "text:1", "a b c d e f g h i j k l m"]);
    const [results] = (await run("word_count.py")) as [string[]];
    expect(results).toHaveLength(10);
  },

  "delete_by_pattern.py": async () => {
    for (let i = 0; i < 2500; i++) await client.call("SET", `tmp:${i}`, "x");
    await call(["SET", "keep", "x"], ["SET", "session:1", "x"]);
    expect(await run("delete_by_pattern.py")).toEqual([["2500"], []]);
    expect(await client.call("DBSIZE")).toBe(2502);
    await call(["RG.CONFIGSET", "DeleteConfirm", "yes"]);
    expect(await run("delete_by_pattern.py")).toEqual([["2500"], []]);
    expect(await client.call("DBSIZE")).toBe(2);
    await call(["RG.CONFIGSET", "DeletePattern", "session:*"]);
    expect(await run("delete_by_pattern.py")).toEqual([["1"], []]);
    expect(await run("delete_by_pattern.py")).toEqual([[], []]);
    expect(await client.call("KEYS", "*")).toEqual(["keep"]);
  },

  "average_by_group.py": async () => {
    await call(
      ["HSET", "employee:1", "department", "research", "salary", "5000"],
      ["HSET", "employee:2", "department", "research", "salary", "6001"],
      ["HSET", "employee:3", "department", "sales", "salary", "4000.5"],
      ["HSET", "employee:4", "department", "sales"],
      ["SET", "employee:5", "no hash"],
    );
    const [results, errors] = (await run("average_by_group.py")) as [string[], string[]];
    expect(errors).toEqual([]);
    expect(results.map((line) => JSON.parse(line)).sort((a, b) => b.people - a.people)).toEqual([
      { department: "research", average: 5500.5, people: 2 },
      { department: "sales", average: 4000.5, people: 1 },
    ]);
  },

  "stream_report.py": async () => {
    await call(
      ["XADD", "orders", "*", "product", "tea", "quantity", "3", "price", "4.50"],
      ["XADD", "orders", "*", "product", "coffee", "quantity", "1", "price", "6.10"],
      ["XADD", "orders", "*", "product", "tea", "quantity", "2", "price", "4.00"],
      ["XADD", "orders", "*", "product", "tea", "quantity", "many", "price", "4.00"],
    );
    expect(await run("stream_report.py")).toEqual([
      ["coffee: 1 units, 6.10", "tea: 5 units, 21.50", "unreadable orders: 1"],
      [],
    ]);
    await call(["DEL", "orders"]);
    expect(await run("stream_report.py")).toEqual([[], []]);
  },

  "hashes_to_json.py": async () => {
    await call(
      ["HSET", "user:1", "name", "Ada", "city", "Köln"],
      ["SET", "user:2", "no hash"],
      ["HSET", "x", "a", "b"],
    );
    await client.call("HSET", "user:3", "raw", Buffer.from([0xff, 0x00]));
    const [results, errors] = (await run("hashes_to_json.py")) as [string[], string[]];
    expect(errors).toEqual([]);
    expect(results.sort()).toEqual([
      '{"fields": {"city": "Köln", "name": "Ada"}, "key": "user:1"}',
      '{"fields": {"raw": "base64:/wA="}, "key": "user:3"}',
    ]);
  },

  "big_keys.py": async () => {
    for (let i = 0; i < 12; i++) await client.call("SET", `small:${i}`, "x".repeat(i));
    await call(["SET", "big", "x".repeat(100_000)], ["RPUSH", "list", "y".repeat(20_000)]);
    const [results, errors] = (await run("big_keys.py")) as [string[], string[]];
    expect(errors).toEqual([]);
    expect(results).toHaveLength(10);
    expect(results.slice(0, 2).map((line) => line.replace(/^\d+ /, ""))).toEqual(["string big", "list list"]);
    const sizes = results.map((line) => Number(line.split(" ")[0]));
    expect(sizes[0]).toBeGreaterThan(100_000);
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
  },

  "write_behind.py": async () => {
    expect(await run("write_behind.py")).toBe("OK");
    await call(
      ["HSET", "person:1", "name", "Ada", "age", "36"],
      ["HSET", "person:2", "name", "Alan", "age", "41"],
      ["HSET", "person:3", "name", "Grace"],
      ["HINCRBY", "person:1", "age", "1"],
      ["DEL", "person:2"],
    );
    const rows = (): Promise<Value> =>
      client.call("RG.TRIGGER", "sql", "SELECT id, name, age FROM person ORDER BY id DESC");
    await expect.poll(rows).toEqual(["['1', 'Ada', 37]", "['3', 'Grace', None]"]);
    expect(await client.call("RG.TRIGGER", "sql", "SELECT age FROM person WHERE name = ?", "Ada")).toEqual(["[37]"]);
    await expect.poll(() => client.call("XLEN", "write_behind:changes")).toBe(0);
    // a new session finds what the old one has written
    await call(["RG.UNREGISTERALL"]);
    expect(await run("write_behind.py")).toBe("OK");
    expect(await rows()).toEqual(["['1', 'Ada', 37]", "['3', 'Grace', None]"]);
  },

  "rate_limiter.py": async () => {
    await call(["RG.CONFIGSET", "RateLimit", "3"]);
    expect(await run("rate_limiter.py")).toBe("OK");
    const push = (key: string): Promise<Value> => client.call("LPUSH", key, "x").catch((error: Error) => error.message);
    const replies = await Promise.all(Array.from({ length: 20 }, () => push("inbox:ada")));
    const refused = "ERR rate limit of inbox:ada exceeded, try again later";
    expect(replies.slice(0, 3)).toEqual([1, 2, 3]);
    expect(replies).toContain(refused);
    // two different seconds at most
    const accepted = replies.filter((reply) => reply !== refused);
    expect(accepted.length).toBeLessThanOrEqual(6);
    expect(await client.call("LLEN", "inbox:ada")).toBe(accepted.length);
    for (let n = 1; n <= 10; n++) expect(await push("other")).toBe(n);
    await expect.poll(() => push("inbox:ada")).toBe(accepted.length + 1);
  },

  "read_through_cache.py": async () => {
    await call(["HSET", "users", "1", "Ada", "2", "Alan"]);
    expect(await run("read_through_cache.py")).toBe("OK");
    const readers = await Promise.all(Array.from({ length: 20 }, () => connectClient(server?.port ?? 0)));
    const replies = await Promise.all(readers.map((reader) => reader.call("GET", "user:1")));
    for (const reader of readers) reader.close();
    expect(new Set(replies)).toEqual(new Set(["Ada"]));
    expect(await client.call("GET", "users:loads")).toBe("1");
    expect(await client.call("TTL", "user:1")).toBeGreaterThan(50);
    expect(await client.call("GET", "user:3")).toBe(null);
    await client.call("MGET", "user:1", "user:2");
    expect(await client.call("MGET", "user:1", "user:2")).toEqual(["Ada", "Alan"]);
  },

  "keyspace_log.py": async () => {
    expect(await run("keyspace_log.py")).toBe("OK");
    await call(["SET", "order:1", "new"], ["SET", "elsewhere", "x"], ["GET", "order:9"]);
    await call(["RENAME", "order:1", "order:2"], ["DEL", "order:2"]);
    // the log's execution reads the key: it has to be there until then, on a busy machine too
    await call(["SET", "order:3", "x", "PX", "3000"]);
    const events = async (): Promise<string[]> => {
      const log = (await client.call("XRANGE", "log:events", "-", "+")) as [string, string[]][];
      return log.map(([, fields]) => fields.filter((_, at) => at % 2 === 1).join(" "));
    };
    const written = [
      "1 set order:1 string",
      "2 rename_from order:1 empty",
      "3 rename_to order:2 string",
      "4 del order:2 empty",
      "5 set order:3 string",
      "6 expire order:3 string",
    ];
    expect(await events()).toEqual(written);
    await expect.poll(events).toEqual([...written, "7 expired order:3 empty"]);
  },

  "job_queue.py": async () => {
    expect(await run("job_queue.py")).toBe("OK");
    expect(await client.call("RG.TRIGGER", "job", "run", "count_words", "to be or not to be")).toEqual(["6"]);
    const clients = await Promise.all(Array.from({ length: 30 }, () => connectClient(server?.port ?? 0)));
    const jobs = clients.map((each, n) => each.call("RG.TRIGGER", "job", "run", "slow_reverse", `${n}.`));
    expect(await Promise.all(jobs)).toEqual(clients.map((_, n) => [`.${String(n).split("").reverse().join("")}`]));
    for (const each of clients) each.close();
    const [id] = (await client.call("RG.TRIGGER", "job", "leave", "slow_reverse", "hello")) as string[];
    await expect.poll(() => client.call("GET", `job:${id}`)).toBe('{"result": "olleh"}');
    await expect(client.call("RG.TRIGGER", "job", "run", "count_words", "a", "b")).rejects.toThrow(
      "positional argument",
    );
    await expect(client.call("RG.TRIGGER", "job", "run", "nothing")).rejects.toThrow("there is no job nothing");
    await expect.poll(() => client.call("XLEN", "jobs")).toBe(0);
  },
};

describe("examples", () => {
  it("are all tested", () => {
    expect(Object.keys(tests).sort()).toEqual([...scripts].sort());
  });

  it.each(Object.entries(tests))("%s", (_, test) => test());

  it.each(scripts)("%s says how to run it", (name) => {
    const header = readFileSync(new URL(name, folder), "utf8").split(/\n(?!#)/)[0];
    expect(header).toContain(`examples/${name}`);
    expect(header).toContain("RG.PYEXECUTE");
  });
});
