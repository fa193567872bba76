/** Dumps that a Redis server wrote: they are loaded with everything that is in them. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { connectClient, type Client } from "../support/client.ts";
import { findRedisServer, startRedisServer } from "../support/redis-server.ts";
import { request } from "../support/plain-client.ts";
import { runRegears } from "../support/regears.ts";
import { readModuleData } from "../../src/store/rdb/module-data.ts";
import { figure } from "../support/figures.ts";
import { newFolder } from "../support/folders.ts";
import { startData } from "./support.ts";

const GEARS = new URL("./fixtures/redisgears-1.2.13.rdb", import.meta.url);
const redis = findRedisServer();

/**
 * Small and large values of all types, which are written in different ways.
 * @param divisor of scores
 */
async function fill(client: Client, divisor: number): Promise<void> {
  const many = Array.from({ length: 700 }, (_, at) => `element ${at}`);
  const long = "long ".repeat(20);
  await client.call("CONFIG", "SET", "list-max-listpack-size", "-1");
  await client.call("SET", "string", long);
  for (const number of ["1", "-200", "70000", "5000000000"]) await client.call("SET", `number ${number}`, number);
  await client.call("SET", "expires", "1", "PX", "100000000");
  await client.call("RPUSH", "list", "a", "1");
  await client.call("RPUSH", "long list", ...many, long.repeat(500));
  await client.call("SADD", "integers", "1", "2", "70000");
  await client.call("SADD", "large set", ...many);
  await client.call("HSET", "hash", "f", "v");
  await client.call("HSET", "large hash", ...many);
  await client.call("ZADD", "zset", "1.5", "a", "-inf", "b");
  await client.call("ZADD", "large zset", ...many.flatMap((element, at) => [String(at / divisor), element]));
  for (let at = 1; at <= 250; at++) await client.call("XADD", "stream", `${at}-1`, "f", `v${at}`);
  await client.call("XDEL", "stream", "7-1", "250-1");
  await client.call("XGROUP", "CREATE", "stream", "group", "5-1");
  await client.call("XGROUP", "CREATE", "stream", "idle", "$");
  await client.call("XREADGROUP", "GROUP", "group", "alice", "COUNT", "3", "STREAMS", "stream", ">");
  await client.call("XREADGROUP", "GROUP", "group", "bob", "COUNT", "2", "STREAMS", "stream", ">");
  await client.call("PFADD", "hll", ...many);
  await client.call("GEOADD", "geo", "13.4", "52.5", "Berlin");
  await client.call("SETBIT", "bits", "1000", "1");
  await client.call("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 'f' end)");
  await client.call("SELECT", "5");
  await client.call("SET", "elsewhere", "1");
  await client.call("SELECT", "0");
}

/** How a value is read, by its type; what has no order is sorted. */
const READ: Readonly<Record<string, (key: string) => (readonly string[])[]>> = {
  string: (key) => [["GET", key]],
  list: (key) => [["LRANGE", key, "0", "-1"]],
  set: (key) => [["SMEMBERS", key]],
  hash: (key) => [["HGETALL", key]],
  zset: (key) => [["ZRANGE", key, "0", "-1", "WITHSCORES"]],
  stream: (key) => [
    ["XRANGE", key, "-", "+"],
    ["XLEN", key],
    ["XPENDING", key, "group"],
    ["XPENDING", key, "group", "-", "+", "10"],
    ["XREAD", "STREAMS", key, "249-0"],
  ],
};
const WITHOUT_ORDER: ReadonlySet<string> = new Set(["set", "hash"]);

type Ask = (...args: readonly string[]) => Promise<unknown>;

/** Everything that clients can see of the data, as text. */
async function contents(ask: Ask): Promise<string[]> {
  const lines: string[] = [];
  for (const database of ["0", "5"]) {
    await ask("SELECT", database);
    for (const key of (await asTexts(ask("KEYS", "*"))).sort()) {
      const type = String(await ask("TYPE", key));
      lines.push(`${database} ${key} ${type} ${await ask("PEXPIRETIME", key)}`);
      for (const command of READ[type]?.(key) ?? []) {
        const texts = await asTexts(ask(...command));
        // how long something has been pending changes
        const shown = command[0] === "XPENDING" ? texts.filter((text) => !/^\d{1,7}$/.test(text)) : texts;
        lines.push((WITHOUT_ORDER.has(type) ? shown.sort() : shown).join(" "));
      }
    }
  }
  await ask("SELECT", "0");
  return lines;
}

const asTexts = async (reply: Promise<unknown>): Promise<string[]> => {
  const value = await reply;
  const texts = (Array.isArray(value) ? value.flat(9) : [value]).map(String);
  // Valkey writes fractions as short as it can
  return texts.map((text) => (/^-?\d+\.\d+$/.test(text) ? String(Number(text)) : text));
};

describe.skipIf(!redis.path)(`the dump of a redis-server${redis.skipped}`, () => {
  it("is loaded with all types, streams with their groups, expiries, functions and databases", async () => {
    const server = await startRedisServer(["--enable-debug-command", "yes"]);
    const directory = newFolder();
    try {
      const client = await connectClient(server.port);
      await fill(client, 7);
      const before = await contents((...args) => client.call(...args));
      expect(before.length).toBeGreaterThan(40);
      await client.call("SAVE");
      const [, folder = ""] = (await client.call("CONFIG", "GET", "dir")) as string[];
      copyFileSync(join(folder, "dump.rdb"), join(directory, "dump.rdb"));
      client.close();
      const { client: inside } = await startData(directory);
      expect(await contents((...args) => inside.call(...args))).toEqual(before);
      expect(String(await inside.call("FCALL", "f", "0"))).toBe("f");
      expect(readModuleData(join(directory, "dump.rdb"))).toMatchObject({ keys: 0 });
    } finally {
      await server.stop();
    }
  });
});

/** `npm run figures` takes a million. */
const KEYS = Number(process.env.REGEARS_DUMP_KEYS ?? 20_000);

describe.skipIf(!redis.path)(`a dump of ${KEYS} keys of a redis-server${redis.skipped}`, { timeout: 300_000 }, () => {
  it("is loaded equal by DEBUG DIGEST, also with all types in it", async () => {
    const server = await startRedisServer(["--enable-debug-command", "yes"]);
    const directory = newFolder();
    try {
      const client = await connectClient(server.port);
      await client.call("DEBUG", "POPULATE", String(KEYS));
      // a digest has scores as text, and Valkey writes most of them shorter
      await fill(client, 8);
      const [count, digest] = [await client.call("DBSIZE"), await client.call("DEBUG", "DIGEST")];
      await client.call("SAVE");
      const [, folder = ""] = (await client.call("CONFIG", "GET", "dir")) as string[];
      copyFileSync(join(folder, "dump.rdb"), join(directory, "dump.rdb"));
      client.close();
      const begun = performance.now();
      const { client: inside, engine } = await startData(directory);
      const took = performance.now() - begun;
      expect(await inside.call("DBSIZE")).toBe(count);
      const ours = await engine.withDebug(() => inside.call("DEBUG", "DIGEST"));
      expect(String(ours)).toBe(String(digest));
      figure(
        "persistence/6-redis",
        `a \`dump.rdb\` of redis-server 7.0 with ${KEYS} keys and all types, streams with groups, expiries and functions`,
        `loaded in ${(took / 1000).toFixed(2)} s, equal by \`DEBUG DIGEST\``,
      );
    } finally {
      await server.stop();
    }
  });
});

describe("the dump of a Redis with RedisGears", () => {
  it("is loaded without its module data, of which the log tells, and kept as it was", async () => {
    const directory = newFolder();
    writeFileSync(join(directory, "dump.rdb"), readFileSync(GEARS));
    for (const appendonly of [false, true]) {
      const { client, log, stop } = await startData(directory, { appendonly });
      const text = async (...args: string[]): Promise<string> => String(await client.call(...args));
      expect(await text("DBSIZE")).toBe("10");
      expect(await text("MGET", "a:1", "a:2", "a:3", "seen", "messages")).toBe("v1,v2,v3,3,3");
      expect(await text("EXISTS", "timer:1")).toBe("0");
      expect(Number(await text("TTL", "t"))).toBeGreaterThan(0);
      expect(await text("XINFO", "GROUPS", "jobs")).toContain("__gears_consumer_group__");
      if (!appendonly) {
        expect(log.matching(/has data of modules, which are left out; the file is kept as/)).toHaveLength(1);
        expect(log.matching(/of RedisGears: session 'first' \(counts what is set\)/)).toHaveLength(1);
        expect(log.matching(/of RedisGears: time event with the key 'timer:1' every 600 seconds/)).toHaveLength(1);
      }
      await stop();
    }
    const kept = readdirSync(directory).find((name) => name.startsWith("dump.rdb.with-modules-"));
    expect(readFileSync(join(directory, String(kept)))).toEqual(readFileSync(GEARS));
  });

  it("is loaded as the first file of a log, too", async () => {
    const directory = newFolder();
    writeFileSync(join(directory, "dump.rdb"), readFileSync(GEARS));
    const { client } = await startData(directory, { appendonly: true });
    expect(String(await client.call("DBSIZE"))).toBe("10");
    expect(readFileSync(join(directory, "dump.rdb"))).toEqual(readFileSync(GEARS));
  });

  it("is listed by migrate", async () => {
    const { exited, output } = runRegears(["migrate", GEARS.pathname]);
    expect(await exited).toBe(0);
    expect(output().trim().split("\n")).toEqual([
      "session 'second'",
      expect.stringMatching(
        /-6: StreamReader, register\(prefix='jobs', batch=10, duration=1000, onFailedPolicy='retry', onFailedRetryInterval=1, trimStream=True, mode='async'\)$/,
      ),
      "session 'first' (counts what is set)",
      expect.stringMatching(
        /-1: KeysReader, register\(prefix='a:\*', eventTypes=\['set', 'del'\], keyTypes=\['string'\], readValue=True, mode='sync'\)$/,
      ),
      expect.stringMatching(/-3: CommandReader, register\(trigger='answer', mode='async'\)$/),
      "session 'c55d2afa6d6e708957578135c2e324befed6cdf4'",
      expect.stringMatching(
        /-11: KeysReader, register\(prefix='b:\*', eventTypes=\['keymiss'\], commands=\['get'\], readValue=True, mode='async_local'\)$/,
      ),
      expect.stringMatching(/-9: CommandReader, register\(hook='hset', mode='sync'\)$/),
      "time event with the key 'timer:1' every 600 seconds, of session 'c55d2afa6d6e708957578135c2e324befed6cdf4'",
    ]);
  });

  it("that is damaged is refused, wherever it is cut or a byte is wrong", async () => {
    const directory = newFolder();
    const whole = readFileSync(GEARS);
    const path = join(directory, "dump.rdb");
    for (let at = 9; at < whole.length; at += 97) {
      writeFileSync(path, whole.subarray(0, at));
      expect(() => readModuleData(path), `cut at ${at}`).toThrow();
      const wrong = Buffer.from(whole);
      wrong[at] = (wrong[at] ?? 0) ^ 1;
      writeFileSync(path, wrong);
      expect(() => readModuleData(path), `wrong at ${at}`).toThrow();
    }
    await expect(startData(directory)).rejects.toThrow(/can not be loaded/);
  });
});

describe("the log of a Redis with RedisGears", () => {
  const logged = (...commands: string[][]): Buffer => Buffer.concat(commands.map((words) => request(...words)));
  const CHANGES = logged(
    ["SELECT", "0"],
    ["SET", "before", "1"],
    ["RG.INNERREGISTER", "payload\r\n*1\r\n".repeat(50_000)],
    ["MULTI"],
    ["rg.innerunregister", "0000-1"],
    ["SET", "after", "1"],
    ["EXEC"],
  );
  const CUT = logged(["SET", "cut", "1"]).subarray(0, -4);
  const writeLog = (directory: string, changes: Buffer): void => {
    const folder = join(directory, "appendonlydir");
    mkdirSync(folder);
    writeFileSync(join(folder, "appendonly.aof.1.base.rdb"), readFileSync(GEARS));
    writeFileSync(join(folder, "appendonly.aof.1.incr.aof"), changes);
    const files = ["file appendonly.aof.1.base.rdb seq 1 type b", "file appendonly.aof.1.incr.aof seq 1 type i"];
    writeFileSync(join(folder, "appendonly.aof.manifest"), `${files.join("\n")}\n`);
  };

  it("is loaded without its commands, of which the log tells, and kept as it was", async () => {
    const directory = newFolder();
    writeLog(directory, Buffer.concat([CHANGES, CUT]));
    const { client, log } = await startData(directory, { appendonly: true });
    const text = async (...args: string[]): Promise<string> => String(await client.call(...args));
    expect(await text("MGET", "a:1", "before", "after")).toBe("v1,1,1");
    expect(await text("EXISTS", "cut")).toBe("0");
    expect(log.matching(/of RedisGears: session 'first'/)).toHaveLength(1);
    expect(log.matching(/of RedisGears: 1 commands RG\.INNERREGISTER in the log of changes/)).toHaveLength(1);
    expect(log.matching(/of RedisGears: 1 commands RG\.INNERUNREGISTER in the log of changes/)).toHaveLength(1);
    const folder = join(directory, "appendonlydir");
    const kept = readdirSync(folder).find((name) => name.startsWith("appendonly.aof.1.incr.aof.with-modules-"));
    expect(readFileSync(join(folder, String(kept))).equals(Buffer.concat([CHANGES, CUT]))).toBe(true);
  });

  it("that is one file, as before Redis 7, is loaded with what follows the dump in it", async () => {
    const directory = newFolder();
    writeFileSync(join(directory, "appendonly.aof"), Buffer.concat([readFileSync(GEARS), CHANGES]));
    const { client } = await startData(directory, { appendonly: true });
    expect(String(await client.call("MGET", "a:1", "before", "after"))).toBe("v1,1,1");
  });

  it("with commands of another module is refused with their names, and loaded without them when that is asked for", async () => {
    const directory = newFolder();
    writeLog(directory, Buffer.concat([CHANGES, logged(["JSON.SET", "doc", "$", "1"], ["SET", "last", "1"])]));
    await expect(startData(directory, { appendonly: true })).rejects.toThrow(
      /incr\.aof can not be loaded: it has 1 commands JSON\.SET\. Start once with --skip-module-data/,
    );
    const { client } = await startData(directory, { appendonly: true, skipModuleData: true });
    expect(String(await client.call("MGET", "before", "after", "last"))).toBe("1,1,1");
    expect(String(await client.call("EXISTS", "doc"))).toBe("0");
  });
});

describe("the dump of a Redis with another module", () => {
  /** The time event's type of data gets another name, and the checksum says that there is none. */
  const foreign = (): Buffer => {
    const bytes = readFileSync(GEARS);
    const type = Buffer.from("81ae0fed8a679ebc02", "hex");
    bytes[bytes.indexOf(type) + 1] = 0xaf;
    bytes.fill(0, bytes.length - 8);
    return bytes;
  };

  it("is refused with its name, and loaded without its data when that is asked for", async () => {
    const directory = newFolder();
    writeFileSync(join(directory, "dump.rdb"), foreign());
    await expect(startData(directory)).rejects.toThrow(
      /the data in .*dump\.rdb can not be loaded: it has data of a module \('r\S+'\): the keys 'timer:1'\. Start once with --skip-module-data/,
    );
    expect(readFileSync(join(directory, "dump.rdb"))).toEqual(foreign());
    const { client, log } = await startData(directory, { skipModuleData: true });
    expect(String(await client.call("DBSIZE"))).toBe("10");
    expect(log.matching(/left out: data of a module .*'timer:1'/)).toHaveLength(1);
  });
});
