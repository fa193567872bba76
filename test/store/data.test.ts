import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import type { FileCalls } from "../../src/engine/files/engine-folder.ts";
import { failingFrom } from "../support/file-calls.ts";
import { figure } from "../support/figures.ts";
import { newFolder } from "../support/folders.ts";
import { contents, type DataServer, startData } from "./support.ts";

const filled = async (server: DataServer): Promise<Map<string, string>> => {
  const { client } = server;
  await client.pipeline([
    ["SET", Buffer.from([0, 255, 10, 13]), Buffer.from([0, 1, 254])],
    ["SET", "expires", "1", "EX", "1000"],
    ["RPUSH", "list", ...Array.from({ length: 300 }, (_, at) => `element ${at}`)],
    ["SADD", "set", "a", "b", "1"],
    ["SADD", "numbers", "1", "2", "3"],
    ["HSET", "hash", "f", "v", "g", "w"],
    ["HEXPIRE", "hash", "1000", "FIELDS", "1", "f"],
    ["ZADD", "zset", "1.5", "a", "-inf", "b"],
    ["XADD", "stream", "1-1", "f", "v"],
    ["XADD", "stream", "2-1", "f", "w"],
    ["XGROUP", "CREATE", "stream", "group", "0"],
    ["XREADGROUP", "GROUP", "group", "me", "COUNT", "1", "STREAMS", "stream", ">"],
    ["PFADD", "hll", "a", "b"],
    ["GEOADD", "geo", "13.4", "52.5", "Berlin"],
    ["SETBIT", "bits", "1000", "1"],
    ["FUNCTION", "LOAD", "#!lua name=lib\nserver.register_function('f', function() return 'f' end)"],
    ["SELECT", "9"],
    ["SET", "elsewhere", "1"],
    ["SELECT", "0"],
  ]);
  return contents(client);
};

describe("data on the disk", () => {
  it("have every type, binary keys, expiry, all databases and functions, in a dump and in a log", async () => {
    const directory = newFolder();
    const first = await startData(directory);
    const before = await filled(first);
    expect(before.size).toBe(12);
    await first.saves.save();
    await first.stop();
    const second = await startData(directory);
    expect(await contents(second.client)).toEqual(before);
    expect(String(await second.client.call("FCALL", "f", "0"))).toBe("f");
    await second.stop();

    const third = await startData(directory, { appendonly: true });
    expect(await contents(third.client)).toEqual(before);
    await third.client.call("DEL", "list");
    await third.client.call("XADD", "stream", "3-1", "f", "x");
    const after = await contents(third.client);
    await third.stop();
    const fourth = await startData(directory, { appendonly: true });
    expect(await contents(fourth.client)).toEqual(after);
    const pending = await fourth.client.call("XPENDING", "stream", "group");
    expect(JSON.stringify(pending)).toContain(JSON.stringify(Buffer.from("me")));
  });

  it("are saved in the background when the engine wants to, and not while somebody holds the gate", async () => {
    const { client, gate, connections } = await startData(newFolder());
    const last = async (): Promise<string> => String(await client.call("INFO", "persistence"));
    const owner = {};
    await gate.hold(owner);
    await client.call("SET", "half", "1");
    expect(String(await client.call("BGSAVE"))).toBe("Background saving started");
    await client.call("SET", "whole", "1");
    const other = connections.open();
    await other.call("PING");
    expect(await last()).toContain("rdb_changes_since_last_save:2\r\n");
    gate.release(owner);
    await vi.waitFor(async () => expect(await last()).toContain("rdb_changes_since_last_save:0\r\n"));
  });

  it("are due when they would be lost, and something is to be saved at all", async () => {
    const { client, saves } = await startData(newFolder(), {}, { save: "3600 1" });
    expect(await saves.isDue()).toBe(false);
    await client.call("SET", "a", "1");
    expect(await saves.isDue()).toBe(true);
    await client.call("CONFIG", "SET", "save", "");
    expect(await saves.isDue()).toBe(false);
  });

  it("that can not be saved are told of once, with the reason, and writes go on", async () => {
    const directory = newFolder();
    const { calls, mend } = failingFrom(1, "ENOSPC", 1000);
    const { client, saves, log } = await startData(directory, { calls });
    await client.call("SET", "a", "1");
    for (let time = 0; time < 2; time++) await expect(saves.save()).rejects.toThrow("ENOSPC");
    expect(log.matching(/^error/)).toEqual(["error the data can not be saved: ENOSPC: no space left on device"]);
    expect(String(await client.call("INFO", "persistence"))).toContain("rdb_last_bgsave_status:err\r\n");
    expect(String(await client.call("SET", "b", "1"))).toBe("OK");
    mend();
    await saves.save();
    expect(log.matching(/kept again/)).toHaveLength(1);
    expect(String(await client.call("INFO", "persistence"))).toContain("rdb_last_bgsave_status:ok\r\n");
    expect(readdirSync(directory)).toEqual(["dump.rdb"]);
  });

  it("are as they were, whichever operation of a save fails", async () => {
    const directory = newFolder();
    for (let which = 1; ; which++) {
      const { calls, count } = failingFrom(which);
      const server = await startData(directory, { calls });
      await server.client.call("SET", "number", String(which));
      const failed = await server.saves.save().then(
        () => false,
        () => true,
      );
      await server.stop();
      const again = await startData(directory);
      const kept = Number(await again.client.call("GET", "number"));
      // the last operation brings the new name of the file to the disk
      expect([which, which - 1]).toContain(kept);
      if (!failed) expect(kept).toBe(which);
      await again.client.call("SET", "number", String(which));
      await again.saves.save();
      await again.stop();
      if (count() < which) return expect(which).toBeGreaterThan(3);
    }
  });
});

describe("a log of changes", () => {
  it("begins with the dump when there is one, so that nothing is lost by asking for it", async () => {
    const directory = newFolder();
    const first = await startData(directory);
    await first.client.call("SET", "a", "1");
    await first.saves.save();
    await first.stop();
    const dump = readFileSync(join(directory, "dump.rdb"));
    const second = await startData(directory, { appendonly: true });
    expect(String(await second.client.call("GET", "a"))).toBe("1");
    expect(second.log.matching(/begins with the data/)).toHaveLength(1);
    await second.client.call("DEL", "a");
    await second.stop();
    expect(readFileSync(join(directory, "dump.rdb"))).toEqual(dump);
    expect(statSync(join(directory, "appendonlydir")).mode & 0o077).toBe(0);
    const third = await startData(directory, { appendonly: true });
    expect(await third.client.call("GET", "a")).toBeNull();
    await third.stop();
    const fourth = await startData(directory);
    expect(fourth.log.matching(/which is not read: appendonly is no/)).toHaveLength(1);
  });

  it("of a Redis that had one file is taken over", async () => {
    const directory = newFolder();
    writeFileSync(join(directory, "appendonly.aof"), "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n");
    const { client } = await startData(directory, { appendonly: true });
    expect(String(await client.call("GET", "a"))).toBe("1");
    expect(existsSync(join(directory, "appendonlydir/appendonly.aof.manifest"))).toBe(true);
  });

  it.each([
    ["everysec", "ENOSPC"],
    ["everysec", "EROFS"],
    ["always", "EIO"],
  ] as const)(
    "with appendfsync %s loses nothing that was answered, whichever operation fails with %s",
    { timeout: 600_000 },
    async (mode, code) => {
      let failures = 0;
      let answered = 0;
      for (let which = 1; which <= 200; which += FAULTS_APART) {
        const directory = newFolder();
        const { calls, count } = failingFrom(which, code, 2);
        const keys = await written(directory, mode, calls);
        if (count() >= which) failures++;
        answered += keys.length;
        const again = await startData(directory, { appendonly: true });
        expect(Number(await again.client.call("EXISTS", ...keys, "none")), `operation ${which}`).toBe(keys.length);
        await again.stop();
      }
      expect(failures).toBeGreaterThan(1);
      figure(
        `persistence/6-faults-${mode}-${code.toLowerCase()}`,
        `${failures} of the first 200 operations that change the disk, each of which fails once with ${code} (\`appendfsync ${mode}\`)`,
        mode === "always"
          ? `${answered} writes answered, none lost; the server ends with the reason`
          : `${answered} writes answered, none lost; \`MISCONF …\` until it works again, while reads are served`,
      );
    },
  );
});

/** Of 200 operations each is failed when `REGEARS_DISK_FAULTS` is set, otherwise some of them. */
const FAULTS_APART = process.env.REGEARS_DISK_FAULTS ? 1 : 23;
/** Enough for 200 operations that change the disk: each change is written, and with `always` brought to the disk. */
const CHANGES = 200;

/** Changes data on a disk that fails. @returns the keys whose change was answered */
async function written(directory: string, mode: "everysec" | "always", calls: FileCalls): Promise<string[]> {
  let server: DataServer;
  try {
    server = await startData(directory, { appendonly: true, calls }, { appendfsync: mode });
  } catch (error) {
    expect(String(error)).toMatch(/the engine does not start: /);
    return [];
  }
  const answered: string[] = [];
  let isAlive = true;
  for (let n = 0; n < CHANGES && isAlive; n++) {
    const key = `key ${n}`;
    await server.client.call("SET", key, "1").then(
      () => answered.push(key),
      async (error: Error) => {
        // it can not take back what it has changed
        isAlive = mode === "everysec";
        if (!isAlive) return;
        expect(error.message).toMatch(/^MISCONF Errors writing to the AOF file: /);
        for (const some of answered.slice(-1)) expect(String(await server.client.call("GET", some))).toBe("1");
      },
    );
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (isAlive)
    await vi.waitFor(async () => expect(String(await server.client.call("SET", "last", "1"))).toBe("OK"), 5_000);
  await server.stop();
  return answered;
}

describe("data that can not be loaded", () => {
  it("are refused with the file and the reason; repaired they are kept under another name", async () => {
    const directory = newFolder();
    writeFileSync(join(directory, "dump.rdb"), "REDIS0099 of a later version");
    await expect(startData(directory)).rejects.toThrow(
      /^the data in .*dump\.rdb can not be loaded: Can't handle RDB format version 99\. Put a good copy/,
    );
    const { client, log } = await startData(directory, { repair: true });
    expect(await client.call("DBSIZE")).toBe(0);
    expect(log.matching(/^error .*It is now .*dump\.rdb\.damaged-/)).toHaveLength(1);
  });

  it("are refused when the folder of the log is a file, or the dump a folder", async () => {
    const directory = newFolder();
    writeFileSync(join(directory, "appendonlydir"), "");
    await expect(startData(directory, { appendonly: true })).rejects.toThrow(/append/i);
    mkdirSync(join(directory, "dump.rdb"));
    await expect(startData(directory)).rejects.toThrow("can not be read: EISDIR");
  });
});
