/** BGSAVE, saves that begin by themselves, and rewriting: on real files, by copies of the engine in other threads. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { EngineClient } from "../../../src/engine/engine-client.ts";
import { failingFrom, watchedCalls } from "../../support/file-calls.ts";
import { engine, start, warnings } from "../embedded-setup.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "regears-fork-"));
});
// a thread that was killed may still be about to remove its file
afterEach(() => rmSync(directory, { recursive: true, maxRetries: 3 }));

const again = (config: Readonly<Record<string, string>> = {}, calls = watchedCalls(() => {})): Promise<EngineClient> =>
  start({ config: { save: "", ...config }, files: { directory, calls } });
const AOF = { appendonly: "yes", appendfsync: "always" };
const text = async (client: EngineClient, ...args: string[]): Promise<string> => String(await client.call(...args));
const info = async (client: EngineClient, field: string): Promise<string | undefined> =>
  new RegExp(`^${field}:(.*)\r$`, "m").exec(`${await text(client, "INFO", "everything")}\r\n`)?.[1];
const becomes = (client: EngineClient, field: string, value: string) =>
  vi.waitFor(async () => expect(await info(client, field)).toBe(value), { timeout: 30_000, interval: 20 });
const temporary = (): string[] => readdirSync(directory).filter((name) => name.startsWith("temp-"));
const manifest = (): string => readFileSync(join(directory, "appendonlydir/appendonly.aof.manifest"), "latin1");
/** A save that lasts until it is ended: there is a millisecond between two keys, and there are many. */
async function slowSave(client: EngineClient): Promise<void> {
  await client.call("EVAL", "for i=1,60000 do redis.call('SET', 'many:'..i, i) end", "0");
  await client.call("CONFIG", "SET", "rdb-key-save-delay", "1000");
  expect(await text(client, "BGSAVE")).toBe("Background saving started");
}

describe("BGSAVE", () => {
  it("saves what there was when it was sent, and tells of itself as Valkey does", async () => {
    let client = await again();
    await client.call("SET", "before", "1");
    const [saved] = await Promise.all([client.call("BGSAVE"), client.call("SET", "after", "1")]);
    expect(String(saved)).toBe("Background saving started");
    expect(await info(client, "rdb_bgsave_in_progress")).toBe("1");
    await expect(client.call("BGSAVE")).rejects.toThrow("Background save already in progress");
    await expect(client.call("SAVE")).rejects.toThrow("Background save already in progress");
    await becomes(client, "rdb_bgsave_in_progress", "0");
    expect(await info(client, "rdb_last_bgsave_status")).toBe("ok");
    expect(await info(client, "rdb_saves")).toBe("1");
    expect(await info(client, "total_forks")).toBe("1");
    expect(await info(client, "rdb_changes_since_last_save")).toBe("1");
    expect(Number(await info(client, "latest_fork_usec"))).toBeGreaterThan(0);
    expect(Math.abs(Number(await client.call("LASTSAVE")) - Date.now() / 1000)).toBeLessThan(60);
    expect(readdirSync(directory)).toEqual(["dump.rdb"]);
    client = await again();
    expect(await text(client, "KEYS", "*")).toBe("before");
    expect(warnings).toEqual([]);
  });

  it("begins by itself when enough has changed", async () => {
    const client = await again({ save: "1 2" });
    await client.call("MSET", "a", "1", "b", "2");
    await becomes(client, "rdb_saves", "1");
    await becomes(client, "rdb_changes_since_last_save", "0");
    expect(existsSync(join(directory, "dump.rdb"))).toBe(true);
  });

  it("that fails is told of, and stops writes until one has succeeded", async () => {
    // the setting only counts where saves begin by themselves
    const client = await again({ save: "3600 1000000" });
    const target = join(directory, "dump.rdb");
    mkdirSync(target);
    await client.call("BGSAVE");
    await becomes(client, "rdb_last_bgsave_status", "err");
    expect(warnings.join("\n")).toMatch(/writing in the background has failed: E.*rename/);
    await expect(client.call("SET", "a", "1")).rejects.toThrow("MISCONF");
    expect(await text(client, "ECHO", "x")).toBe("x");
    rmdirSync(target);
    await becomes(client, "rdb_bgsave_in_progress", "0");
    await client.call("BGSAVE");
    await becomes(client, "rdb_last_bgsave_status", "ok");
    expect(await text(client, "SET", "a", "1")).toBe("OK");
    expect(temporary()).toEqual([]);
  });

  it("is cancelled, which is no failure", async () => {
    const client = await again();
    await slowSave(client);
    expect(await text(client, "BGSAVE", "CANCEL")).toBe("Background saving cancelled");
    await becomes(client, "rdb_bgsave_in_progress", "0");
    expect(await info(client, "rdb_last_bgsave_status")).toBe("ok");
    await vi.waitFor(() => expect(readdirSync(directory)).toEqual([]));
    await expect(client.call("BGSAVE", "CANCEL")).rejects.toThrow("not in progress or scheduled");
  });

  it("that is scheduled waits for a rewriting, and can be cancelled while it waits", async () => {
    const client = await again(AOF);
    await client.call("EVAL", "for i=1,60000 do redis.call('SET', 'many:'..i, i) end", "0");
    await client.call("CONFIG", "SET", "rdb-key-save-delay", "1000");
    await client.call("BGREWRITEAOF");
    await client.call("CONFIG", "SET", "rdb-key-save-delay", "0");
    await expect(client.call("BGSAVE")).rejects.toThrow("Use BGSAVE SCHEDULE");
    expect(await text(client, "BGSAVE", "SCHEDULE")).toBe("Background saving scheduled");
    expect(await text(client, "BGSAVE", "CANCEL")).toBe("Scheduled background saving cancelled");
    await expect(client.call("BGSAVE", "CANCEL")).rejects.toThrow("not in progress or scheduled");
    expect(await info(client, "aof_rewrite_in_progress")).toBe("1");
    expect(await text(client, "BGSAVE", "SCHEDULE")).toBe("Background saving scheduled");
    await client.call("CONFIG", "SET", "appendonly", "no");
    await vi.waitFor(() => expect(existsSync(join(directory, "dump.rdb"))).toBe(true), 30_000);
    await expect(client.call("BGSAVE", "SOMETIME")).rejects.toThrow("syntax error");
  });

  it("is refused where there is no memory for a copy, and so is a rewriting; the log says how much is missing", async () => {
    const client = await again({ ...AOF, save: "3600 1000000" });
    await client.call("SET", "a", "1");
    const memory = vi.spyOn(process, "availableMemory").mockReturnValue(1024 * 1024);
    try {
      await expect(client.call("BGSAVE")).rejects.toThrow("ERR");
      expect(await info(client, "rdb_last_bgsave_status")).toBe("err");
      await expect(client.call("SET", "a", "2")).rejects.toThrow("MISCONF");
      expect(await text(client, "GET", "a")).toBe("1");
      await expect(client.call("BGREWRITEAOF")).rejects.toThrow("Can't execute an AOF background rewriting");
      expect(await info(client, "aof_last_bgrewrite_status")).toBe("err");
      const refused = /^a copy of the data .* was refused: it needs \d+ MB, and 1 MB are free$/;
      expect(warnings.filter((line) => refused.test(line))).toHaveLength(2);
    } finally {
      memory.mockRestore();
    }
    // Valkey saves by itself again some seconds after a failure
    await client.call("BGSAVE");
    await becomes(client, "rdb_last_bgsave_status", "ok");
    await client.call("BGREWRITEAOF");
    await becomes(client, "aof_last_bgrewrite_status", "ok");
    expect(await text(client, "SET", "a", "2")).toBe("OK");
  });

  it("is ended by SHUTDOWN, which saves what is newer", async () => {
    let client = await again({ save: "3600 1000000" });
    await slowSave(client);
    await client.call("SET", "newer", "1");
    await client.call("CONFIG", "SET", "rdb-key-save-delay", "0");
    const ended = new Promise<number>((resolve) => {
      engine.onExit = resolve;
    });
    client.call("SHUTDOWN", "SAVE").catch(() => {});
    expect(await ended).toBe(0);
    client = await again();
    expect(await text(client, "GET", "newer")).toBe("1");
    await vi.waitFor(() => expect(temporary()).toEqual([]));
  });

  it("leaves nothing when the server was killed", async () => {
    writeFileSync(join(directory, "temp-43.rdb"), "x");
    writeFileSync(join(directory, "temp-rewriteaof-bg-43.aof"), "x");
    writeFileSync(join(directory, "template.rdb"), "x");
    await again();
    expect(readdirSync(directory)).toEqual(["template.rdb"]);
  });
});

describe("rewriting the append-only file", () => {
  it("leaves a base and what was appended since", async () => {
    let client = await again(AOF);
    for (let n = 0; n < 50; n++) await client.call("INCR", "n");
    const [started] = await Promise.all([client.call("BGREWRITEAOF"), client.call("INCR", "n")]);
    expect(String(started)).toBe("Background append only file rewriting started");
    await client.call("INCR", "n");
    await becomes(client, "aof_rewrite_in_progress", "0");
    expect(await info(client, "aof_last_bgrewrite_status")).toBe("ok");
    expect(manifest()).toBe(
      "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n",
    );
    expect(readdirSync(join(directory, "appendonlydir")).sort()).toEqual(
      ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.manifest"].sort(),
    );
    expect(await info(client, "aof_base_size")).toBe(await info(client, "aof_current_size"));
    expect(temporary()).toEqual([]);
    await client.call("INCR", "n");
    client = await again(AOF);
    expect(await text(client, "GET", "n")).toBe("53");
  });

  it("begins by itself when the file has grown", async () => {
    const client = await again({ ...AOF, "auto-aof-rewrite-min-size": "1024", "auto-aof-rewrite-percentage": "100" });
    await client.call("SET", "a", "x".repeat(2000));
    await client.call("SET", "a", "1");
    await becomes(client, "aof_rewrites", "1");
    await becomes(client, "aof_rewrite_in_progress", "0");
    expect(Number(await info(client, "aof_current_size"))).toBeLessThan(1000);
  });

  it("comes first when appending begins while the server runs", async () => {
    let client = await again({ appendfsync: "always" });
    await client.call("SET", "a", "1");
    await client.call("CONFIG", "SET", "appendonly", "yes");
    await client.call("SET", "b", "1");
    await becomes(client, "aof_rewrite_in_progress", "0");
    await client.call("SET", "c", "1");
    expect(manifest()).toBe(
      "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n",
    );
    // also when the next one has just begun
    await client.call("BGREWRITEAOF");
    await client.call("CONFIG", "SET", "appendonly", "no");
    await client.call("CONFIG", "SET", "appendonly", "yes");
    await becomes(client, "aof_rewrite_in_progress", "0");
    await client.call("SET", "d", "1");
    client = await again(AOF);
    expect((await text(client, "KEYS", "*")).split(",").sort()).toEqual(["a", "b", "c", "d"]);
  });

  it("that is ended by SHUTDOWN loses nothing", async () => {
    let client = await again(AOF);
    await client.call("EVAL", "for i=1,60000 do redis.call('SET', 'many:'..i, i) end", "0");
    await client.call("CONFIG", "SET", "rdb-key-save-delay", "1000");
    await client.call("BGREWRITEAOF");
    await client.call("SET", "a", "1");
    const ended = new Promise<number>((resolve) => {
      engine.onExit = resolve;
    });
    client.call("SHUTDOWN").catch(() => {});
    expect(await ended).toBe(0);
    client = await again(AOF);
    expect(await text(client, "DBSIZE")).toBe("60001");
  });

  it("has all data on the disk whichever call of the file system fails at its end", async () => {
    let failures = 0;
    const config = { save: "", appendonly: "yes", appendfsync: "no" };
    for (let which = 1; ; which++) {
      let broken: ReturnType<typeof failingFrom> | undefined;
      // only the server's own calls, in which the new file takes the place of the old ones
      const calls = watchedCalls(() => {});
      const proxied = new Proxy(calls, {
        get: (target, name: keyof typeof calls) => (broken ? broken.calls[name] : target[name]),
      });
      let client = await start({ config, files: { directory, calls: proxied } });
      await client.call("INCR", "n");
      await client.call("BGREWRITEAOF");
      await client.call("INCR", "n");
      broken = failingFrom(which);
      await becomes(client, "aof_rewrite_in_progress", "0");
      const reached = broken.count() >= which;
      broken = undefined;
      if ((await info(client, "aof_last_bgrewrite_status")) === "err") failures++;
      await client.call("INCR", "n");
      client = await start({ config, files: { directory } });
      expect(await text(client, "GET", "n"), `call ${which}`).toBe(String(which * 3));
      await engine.stop();
      if (!reached) break;
    }
    expect(failures).toBeGreaterThan(2);
  });
});
