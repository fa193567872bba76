import { appendFile, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { EngineClient } from "../../src/engine/client.ts";
import { DATA_FILE, DataSnapshots, SaveInProgress } from "../../src/store/data.ts";
import { DISK, type FileSystem } from "../../src/store/disk.ts";
import { contents, newDirectory, startData } from "./support.ts";

const names = (directory: string): Promise<string[]> => readdir(directory);

async function fillWithEveryType(client: EngineClient): Promise<void> {
  const binary = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const later = String(Date.now() + 3_600_000);
  const commands: (readonly (string | Buffer)[])[] = [
    ["SET", "string", binary],
    ["SET", binary, "binary key"],
    ["SET", "", "empty key"],
    ["SET", "integer", "12345"],
    ["SET", "expiring", "v", "PXAT", later],
    ["SET", "long", "x".repeat(300_000)],
    ["SETBIT", "bits", "1000", "1"],
    ["APPEND", "appended", "a"],
    ["RPUSH", "list", "a", binary, "3"],
    ["RPUSH", "big list", ...Array.from({ length: 5000 }, (_, i) => `element ${i}`)],
    ["SADD", "integers", "1", "2", "3"],
    ["SADD", "set", "a", binary],
    ["SADD", "big set", ...Array.from({ length: 2000 }, (_, i) => `member ${i}`)],
    ["HSET", "hash", "f", "v", binary, binary],
    ["HSET", "hash with expiry", "stays", "1", "goes", "2"],
    ["HPEXPIREAT", "hash with expiry", later, "FIELDS", "1", "goes"],
    ["ZADD", "sorted", "1.5", "a", "-inf", "b", "+inf", binary],
    ["ZADD", "big sorted", ...Array.from({ length: 500 }, (_, i) => [String(i / 3), `m${i}`]).flat()],
    ["GEOADD", "geo", "13.36", "38.11", "Palermo"],
    ["PFADD", "log", "a", "b", "c"],
    ["XADD", "stream", "1-1", "f", "v"],
    ["XADD", "stream", "2-1", "f", binary],
    ["XADD", "stream", "3-1", "g", "w"],
    ["XDEL", "stream", "1-1"],
    ["XGROUP", "CREATE", "stream", "group", "0"],
    ["XREADGROUP", "GROUP", "group", "reader", "COUNT", "1", "STREAMS", "stream", ">"],
    ["XGROUP", "CREATE", "empty stream", "group", "$", "MKSTREAM"],
    ["FUNCTION", "LOAD", "#!lua name=own\nredis.register_function('answer', function() return 42 end)"],
    ["FUNCTION", "LOAD", "#!lua name=__regears\nredis.register_function('__r', function() return 1 end)"],
  ];
  for (let database = 1; database < 16; database++) {
    commands.push(["SELECT", String(database)], ["SET", `of ${database}`, String(database)], ["SET", "same", "key"]);
  }
  commands.push(["SELECT", "0"]);
  for (const command of commands) await client.call(...command);
}

describe("a snapshot", () => {
  it("brings back every type, binary keys, expiry, all databases and functions", async () => {
    const directory = await newDirectory();
    const first = await startData(directory);
    await fillWithEveryType(first.client);
    const before = await contents(first.client);
    expect(before.size).toBeGreaterThan(50);
    await first.snapshots.save(false);
    await first.stop();

    const { client, log } = await startData(directory);
    expect(await contents(client)).toEqual(before);
    expect(await client.call("FCALL", "answer", "0")).toBe(42);
    expect(String(await client.call("FUNCTION", "LIST"))).not.toContain("__regears");
    const pending = await client.call("XPENDING", "stream", "group");
    expect(String(pending)).toBe("1,2-1,2-1,reader,1");
    expect(log.lines).toEqual([expect.stringMatching(new RegExp(`^info ${before.size} keys loaded in `))]);
  });

  it("has the same content when clients have to wait for it", async () => {
    const directory = await newDirectory();
    const first = await startData(directory);
    await fillWithEveryType(first.client);
    const before = await contents(first.client);
    await first.snapshots.save(true);
    await first.stop();
    expect(await contents((await startData(directory)).client)).toEqual(before);
  });

  it("leaves out what has expired meanwhile", async () => {
    const directory = await newDirectory();
    const first = await startData(directory);
    await first.client.call("SET", "soon", "v", "PX", "1500");
    await first.client.call("SET", "later", "v", "PX", "100000");
    await first.snapshots.save(true);
    await first.stop();
    await new Promise((resolve) => setTimeout(resolve, 1_520));
    const { client, log } = await startData(directory);
    expect(String(await client.call("KEYS", "*"))).toBe("later");
    expect(log.lines).toEqual([expect.stringMatching(/^info 1 keys loaded in .*, 1 had expired$/)]);
  });

  it("of nothing is loaded as nothing", async () => {
    const directory = await newDirectory();
    const first = await startData(directory);
    await first.snapshots.save(true);
    await first.stop();
    expect(await (await startData(directory)).client.call("DBSIZE")).toBe(0);
  });

  it("is of one moment, whatever clients do meanwhile", { timeout: 60_000 }, async () => {
    const directory = await newDirectory();
    const first = await startData(directory);
    const total = 4200;
    for (let i = 0; i < total; i++) first.client.pipeline([["SET", `token:${i}:0`, "x".repeat(100)]]);
    await first.client.pipeline([
      ["SET", "count", "0"],
      ["SELECT", "5"],
      ["SET", "count", "0"],
    ]);
    // Moves tokens to other names and databases: a snapshot that is not of one moment loses some, or has them twice.
    let writing = true;
    let moves = 0;
    const move = async (seed: number): Promise<void> => {
      const writer = first.connections.open();
      const version = new Map<number, number>();
      for (let i = seed; writing; i = (i + 14) % total) {
        await new Promise<void>((resolve) => first.gate.whenOpen(writer, resolve));
        const [old, next] = [version.get(i) ?? 0, (version.get(i) ?? 0) + 1];
        version.set(i, next);
        const hop = old % 3;
        const commands =
          hop === 2
            ? [
                ["MULTI"],
                ["MOVE", `token:${i}:${old}`, "5"],
                ["INCR", "count"],
                ["EXEC"],
                ["SELECT", "5"],
                ["RENAME", `token:${i}:${old}`, `token:${i}:${next}`],
                ["MOVE", `token:${i}:${next}`, "0"],
                ["SELECT", "0"],
              ]
            : [["MULTI"], ["RENAME", `token:${i}:${old}`, `token:${i}:${next}`], ["INCR", "count"], ["EXEC"]];
        for (const reply of await writer.pipeline(commands)) expect(reply).not.toBeInstanceOf(Error);
        moves++;
      }
    };
    const movers = [0, 1, 2, 3, 4, 5, 6].map((seed) => move(2 * seed));
    for (let round = 0; round < 3; round++) {
      const began = moves;
      await first.snapshots.save(false);
      expect(moves).toBeGreaterThan(began);
      const second = await startData(directory);
      const read = await second.client.pipeline([
        ["GET", "count"],
        ["KEYS", "token:*"],
        ["SELECT", "5"],
        ["KEYS", "token:*"],
      ]);
      const [here, away] = [read[1] as Buffer[], read[3] as Buffer[]].map((keys) =>
        keys.map((key) => key.toString().split(":").map(Number)),
      ) as [number[][], number[][]];
      const tokens = [...here, ...away].map(([, token]) => token);
      expect(new Set(tokens).size).toBe(total);
      const renames = [...here, ...away].reduce((sum, [, , version = 0]) => sum + version, 0);
      const onTheirWay = away.filter(([, , version = 0]) => version % 3 === 2).length;
      expect(renames + onTheirWay).toBe(Number(read[0]));
      expect(tokens.length).toBe(total);
      await second.stop();
    }
    writing = false;
    await Promise.all(movers);
  });

  it("is begun anew when everything is replaced meanwhile", async () => {
    const directory = await newDirectory();
    const first = await startData(directory);
    const fill = async (): Promise<void> => {
      await first.client.pipeline(Array.from({ length: 3000 }, (_, i) => ["SET", `k${i}`, "v"]));
    };
    const batches = async (): Promise<number> =>
      Number(/cmdstat_eval_ro:calls=(\d+)/.exec(String(await first.client.call("INFO", "commandstats")))?.[1] ?? 0);
    for (const replace of [["FLUSHALL"], ["SWAPDB", "0", "3"]]) {
      await fill();
      const begun = await batches();
      const saving = first.snapshots.save(false);
      while ((await batches()) < begun + 3) await new Promise((resolve) => setImmediate(resolve));
      await first.client.pipeline([replace, ["SET", "after", replace.join(" ")]]);
      await saving;
      const second = await startData(directory);
      expect(await contents(second.client)).toEqual(await contents(first.client));
      await second.stop();
    }
  });

  it("knows what was changed since", async () => {
    const { client, snapshots } = await startData(await newDirectory());
    expect(await snapshots.changes()).toBe(0);
    await client.pipeline([
      ["SET", "a", "1"],
      ["INCR", "a"],
      ["GET", "a"],
    ]);
    expect(await snapshots.changes()).toBe(2);
    await snapshots.save(false);
    expect(await snapshots.changes()).toBe(0);
  });

  it("is not made twice at a time, and can be interrupted", async () => {
    const directory = await newDirectory();
    const { client, snapshots, log } = await startData(directory);
    await client.pipeline(Array.from({ length: 5000 }, (_, i) => ["SET", `k${i}`, "v"]));
    const saving = snapshots.save(false);
    await expect(snapshots.save(true)).rejects.toThrow(SaveInProgress);
    await Promise.all([expect(saving).rejects.toThrow(), snapshots.interrupt()]);
    expect(await names(directory)).toEqual([]);
    const again = snapshots.save(false);
    await Promise.all([expect(again).rejects.toThrow(), snapshots.saveLast()]);
    expect(await names(directory)).toEqual([DATA_FILE]);
    expect(log.lines).toEqual([]);
  });

  it("that waits for the gate can be cut short by whoever holds it", async () => {
    const { snapshots, gate, client } = await startData(await newDirectory());
    await client.call("SET", "k", "v");
    const holder = {};
    await gate.hold(holder);
    const saving = snapshots.save(false);
    // It has read the one key, and waits, after so many commands of ours.
    for (let turn = 0; turn < 50; turn++) await client.call("PING");
    await Promise.all([expect(saving).rejects.toThrow(), snapshots.saveLast(holder)]);
    gate.release(holder);
    await snapshots.save(true);
    expect(gate.held).toBe(false);
  });

  it("lets clients wait only when it is to", async () => {
    const { client, snapshots, gate } = await startData(await newDirectory());
    await client.pipeline(Array.from({ length: 20_000 }, (_, i) => ["SET", `k${i}`, "v"]));
    /** Milliseconds that clients have to wait. */
    const heldDuring = async (exclusive: boolean): Promise<number> => {
      let held = 0;
      let done = false;
      const saving = snapshots.save(exclusive).finally(() => {
        done = true;
      });
      for (let last = performance.now(); !done; last = performance.now()) {
        await new Promise((resolve) => setImmediate(resolve));
        if (gate.held) held += performance.now() - last;
      }
      await saving;
      return held;
    };
    expect(10 * (await heldDuring(false))).toBeLessThan(await heldDuring(true));
    expect(gate.held).toBe(false);
  });
});

describe("a damaged snapshot", () => {
  it("is refused; repaired it gives way to the one before, wherever a byte is wrong or its end is missing", {
    timeout: 120_000,
  }, async () => {
    const directory = await newDirectory();
    const first = await startData(directory, { repair: true });
    const strict = new DataSnapshots({ ...first, directory, version: "1.2.3" });
    await first.client.call("SET", "k", "before");
    await first.snapshots.save(true);
    await first.client.call("SET", "k", "after");
    await first.snapshots.save(true);
    const path = join(directory, DATA_FILE);
    const [good, before] = [await readFile(path), await readFile(`${path}.bak`)];
    const load = async (bytes: Buffer): Promise<string[]> => {
      await writeFile(path, bytes);
      await first.client.call("FLUSHALL");
      if (!bytes.equals(good)) {
        await expect(strict.load()).rejects.toThrow(/^the data in .* is damaged: .*--repair/);
        expect(await first.client.call("DBSIZE")).toBe(0);
      }
      first.log.lines.length = 0;
      await first.snapshots.load();
      expect(await readFile(`${path}.bak`)).toEqual(before);
      return [String(await first.client.call("GET", "k")), ...first.log.lines];
    };
    expect(await load(good)).toEqual(["after", expect.stringMatching(/^info 1 keys/)]);
    for (let at = 0; at < good.length; at += 3) {
      const damaged = Buffer.from(good);
      damaged[at] = (damaged[at] ?? 0) ^ 0x11;
      for (const bytes of [damaged, good.subarray(0, at)]) {
        expect(await load(bytes)).toEqual([
          "before",
          expect.stringMatching(/^error the data in .* is damaged: .*\.damaged-/),
          expect.stringMatching(/^warn the data of the snapshot before is used/),
          expect.stringMatching(/^info 1 keys/),
        ]);
      }
    }
    expect((await load(Buffer.concat([good, Buffer.from("x")])))[0]).toBe("before");
  });

  it("is never written over, and what can be read of it is used when there is no other", async () => {
    const directory = await newDirectory();
    const first = await startData(directory);
    await first.client.pipeline(Array.from({ length: 20_000 }, (_, i) => ["SET", `k${i}`, `value ${i}`]));
    await first.snapshots.save(true);
    await first.stop();
    const path = join(directory, DATA_FILE);
    const whole = await readFile(path);
    await writeFile(path, whole.subarray(0, whole.length / 2));

    await expect(startData(directory)).rejects.toThrow("is damaged: its end is missing");
    const second = await startData(directory, { repair: true });
    const size = Number(await second.client.call("DBSIZE"));
    expect(size).toBeGreaterThan(8000);
    expect(size).toBeLessThan(12_000);
    expect(second.log.matching(/^warn \d+ keys could be read .*; the rest is lost/)).toHaveLength(1);
    const aside = (await names(directory)).find((name) => name.includes(".damaged-"));
    expect((await stat(join(directory, String(aside)))).size).toBe(Math.floor(whole.length / 2));
    // What could be read is safe before anybody is served.
    await second.stop();
    expect(await (await startData(directory)).client.call("DBSIZE")).toBe(size);
  });

  it("is missed when the one before it is there", async () => {
    const directory = await newDirectory();
    const first = await startData(directory);
    await first.client.call("SET", "k", "1");
    for (let i = 0; i < 2; i++) await first.snapshots.save(true);
    await rm(join(directory, DATA_FILE));
    await expect(startData(directory)).rejects.toThrow(/is missing, and .*\.bak is there/);
    await startData(directory, { repair: true });
    expect(await (await startData(directory)).client.call("GET", "k")).toEqual(Buffer.from("1"));
  });

  it("that is no snapshot at all is kept", async () => {
    const directory = await newDirectory();
    await writeFile(join(directory, DATA_FILE), "REDIS0011");
    await expect(startData(directory)).rejects.toThrow("it is no snapshot of Regears");
    await writeFile(join(directory, DATA_FILE), "RGSDATA\x02 and more");
    await expect(startData(directory)).rejects.toThrow("another version of Regears wrote it, in format 2");
    const { client } = await startData(directory, { repair: true });
    expect(await client.call("DBSIZE")).toBe(0);
    expect(await names(directory)).toEqual([DATA_FILE, expect.stringContaining(".damaged-")]);
  });
});

describe("the engine's limits", () => {
  it("do not stop what was there before from coming back", async () => {
    const directory = await newDirectory();
    const first = await startData(directory);
    await first.client.call("RPUSH", "big", ...Array.from({ length: 1000 }, (_, i) => `${i}`.repeat(1000)));
    await first.client.call("SET", "long", "x".repeat(3_000_000));
    await first.client.call("CONFIG", "SET", "rdbcompression", "no");
    await first.snapshots.save(true);
    await first.stop();
    const config = { maxmemory: "1mb", "proto-max-bulk-len": "1mb", requirepass: "secret" };
    const { client, log } = await startData(directory, {}, config);
    expect(await client.call("STRLEN", "long")).toBe(3_000_000);
    expect(String(await client.call("CONFIG", "GET", "maxmemory"))).toBe("maxmemory,1048576");
    expect(String(await client.call("CONFIG", "GET", "proto-max-bulk-len"))).toBe("proto-max-bulk-len,1048576");
    expect(log.matching(/refuses/)).toEqual([]);
  });

  it("that make it refuse a value end the start; repaired the snapshot is left where it can be found", async () => {
    const directory = await newDirectory();
    const first = await startData(directory, { repair: true });
    await first.client.call("FUNCTION", "LOAD", "#!lua name=own\nredis.register_function('f', function() end)");
    await first.snapshots.save(true);
    await first.client.call("FUNCTION", "FLUSH");
    await first.client.call("FUNCTION", "LOAD", "#!lua name=other\nredis.register_function('f', function() end)");
    const strict = new DataSnapshots({ ...first, directory, version: "1.2.3" });
    await expect(strict.load()).rejects.toThrow(/^the engine refuses 1 keys or libraries .*already exists/);
    await first.snapshots.load();
    expect(first.log.matching(/^error the engine refuses 1 keys or libraries .*already exists/)).toHaveLength(1);
    expect(await names(directory)).toContainEqual(expect.stringContaining(".refused-"));
  });
});

describe("a disk that refuses", () => {
  it("leaves what was there, is told of once, and does no harm", async () => {
    const directory = await newDirectory();
    let full = false;
    const disk: FileSystem = {
      ...DISK,
      open: async (path, ...rest) => {
        const file = await DISK.open(path, ...rest);
        if (full) file.appendFile = () => Promise.reject(new Error("ENOSPC: no space left on device"));
        return file;
      },
    };
    const first = await startData(directory, { disk });
    await first.client.call("SET", "k", "1");
    await first.snapshots.save(false);
    await first.client.call("SET", "k", "2");
    full = true;
    for (let i = 0; i < 2; i++) await expect(first.snapshots.save(false)).rejects.toThrow("ENOSPC");
    expect(first.log.lines).toEqual(["error the data can not be saved: ENOSPC: no space left on device"]);
    expect(first.snapshots.status.lastFailed).toBe(true);
    expect(await names(directory)).toEqual([DATA_FILE]);
    expect(first.gate.held).toBe(false);
    expect(String(await first.client.call("SET", "k", "3"))).toBe("OK");
    expect(await first.snapshots.changes()).toBe(2);
    expect(await (await startData(directory)).client.call("GET", "k")).toEqual(Buffer.from("1"));
    full = false;
    await first.snapshots.save(false);
    expect(first.log.lines.at(-1)).toBe("info the data is kept again");
    expect(await (await startData(directory)).client.call("GET", "k")).toEqual(Buffer.from("3"));
  });

  it("does not keep the server from starting", async () => {
    const directory = await newDirectory();
    await appendFile(join(directory, "file"), "");
    const { client, snapshots, log } = await startData(join(directory, "file/dir"));
    expect(String(await client.call("SET", "k", "v"))).toBe("OK");
    await expect(snapshots.save(true)).rejects.toThrow();
    expect(log.matching(/^error/).length).toBeGreaterThan(0);
  });
});

describe("100 000 keys", () => {
  it("are saved and loaded in a few seconds, with short pauses for others", { timeout: 60_000 }, async () => {
    const directory = await newDirectory();
    const first = await startData(directory);
    for (let i = 0; i < 100_000; i += 1000) {
      await first.client.pipeline(Array.from({ length: 1000 }, (_, j) => ["SET", `key:${i + j}`, `value of ${i + j}`]));
    }
    const timed = async (what: string, act: () => Promise<unknown>): Promise<void> => {
      const begin = performance.now();
      let longest = 0;
      let last = begin;
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 1);
      await act();
      clearInterval(timer);
      const took = performance.now() - begin;
      console.log(`${what}: ${took.toFixed(0)} ms, longest turn ${longest.toFixed(1)} ms`);
      expect(took).toBeLessThan(20_000);
    };
    await timed("beside clients", () => first.snapshots.save(false));
    await timed("clients wait", () => first.snapshots.save(true));
    console.log(`${(await stat(join(directory, DATA_FILE))).size} bytes`);
    await first.client.call("FLUSHALL");
    await timed("loading", () => first.snapshots.load());
    expect(await first.client.call("DBSIZE")).toBe(100_000);
  });
});
