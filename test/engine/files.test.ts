import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { EngineClient } from "../../src/engine/engine-client.ts";
import type { EmbeddedOptions } from "../../src/engine/embedded-engine.ts";
import { InternalConnections } from "../../src/engine/internal-connections.ts";
import { ThreadWords } from "../../src/engine/shared-memory.ts";
import { failingFrom, watchedCalls, WRITING } from "../support/file-calls.ts";
import { engine, start, warnings } from "./embedded-setup.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "regears-engine-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const AOF = { save: "", appendonly: "yes" };
/** The present engine is given up, as if it had been killed, and another one started. */
const again = (config: EmbeddedOptions["config"], calls = watchedCalls(() => {})): Promise<EngineClient> =>
  start({ config: config ?? {}, files: { directory, calls } });
const log = (): string => readFileSync(join(directory, "appendonlydir/appendonly.aof.1.incr.aof"), "latin1");
const text = async (client: EngineClient, ...args: string[]): Promise<string> => String(await client.call(...args));

describe("the engine's settings", () => {
  it("are there when it boots, also those that can not be changed afterwards", async () => {
    const client = await again({ save: "900 1 60 5", dbfilename: "other.rdb", requirepass: 'p"\\\u00e4 x', hz: "20" });
    expect(await text(client, "AUTH", 'p"\\\u00e4 x')).toBe("OK");
    expect(await text(client, "CONFIG", "GET", "save")).toBe("save,900 1 60 5");
    expect(await text(client, "CONFIG", "GET", "dbfilename")).toBe("dbfilename,other.rdb");
    expect(await text(client, "CONFIG", "SET", "save", "100 2")).toBe("OK");
    expect(await text(client, "CONFIG", "GET", "save")).toBe("save,100 2");
  });

  it("reach a build that is not known when it has booted, but for those that it takes at its boot only", async () => {
    const portable = (config: Record<string, string>): Promise<EngineClient> =>
      start({ portable: true, config, files: { directory } });
    const client = await portable({ save: "60 1", dbfilename: "dump.rdb", appenddirname: "appendonlydir" });
    expect(await text(client, "CONFIG", "GET", "save")).toBe("save,60 1");
    await client.call("SET", "a", "1");
    expect(await text(client, "SAVE")).toBe("OK");
    expect(readdirSync(directory)).toEqual(["dump.rdb"]);
    await expect(portable({ appendonly: "yes" })).rejects.toThrow(/^the engine refuses appendonly: /);
    await expect(portable({ dbfilename: "other.rdb" })).rejects.toThrow(/^the engine refuses dbfilename: /);
  });

  it("end the start when it refuses one", async () => {
    await expect(again({ "maxmemory-policy": "none" })).rejects.toThrow(
      /^the engine refuses maxmemory-policy: argument\(s\) must be one of/,
    );
  });
});

describe("the engine's own files", () => {
  it("are a dump that it writes and loads", async () => {
    let client = await again({ save: "" });
    await client.call("SET", "a", "1");
    expect(await text(client, "SAVE")).toBe("OK");
    expect(readFileSync(join(directory, "dump.rdb"), "latin1")).toMatch(/^VALKEY080/);
    expect(readdirSync(directory)).toEqual(["dump.rdb"]);
    client = await again({ save: "" });
    expect(await text(client, "GET", "a")).toBe("1");
  });

  it("are nowhere without a folder", async () => {
    const client = await start();
    await expect(client.call("SAVE")).rejects.toThrow("ERR");
    expect(engine.takeFileFailure()).toMatchObject({ code: "EROFS" });
    expect(engine.takeFileFailure()).toBeUndefined();
  });

  it("are a log, which is written before the reply and read at the next start", async () => {
    let client = await again(AOF);
    await client.call("SET", "a", "1");
    expect(log()).toContain("SET\r\n$1\r\na\r\n$1\r\n1");
    await client.call("RPUSH", "l", "x", "y");
    client = await again(AOF);
    expect(await text(client, "LRANGE", "l", "0", "-1")).toBe("x,y");
    expect(await text(client, "GET", "a")).toBe("1");
  });

  it("bring the log to the disk each second without holding anybody up", async () => {
    const calls: string[] = [];
    const client = await again(
      AOF,
      watchedCalls((name) => calls.push(name)),
    );
    calls.length = 0;
    await client.call("SET", "a", "1");
    await vi.waitFor(() => expect(calls).toContain("fdatasync"), 5_000);
    expect(calls).not.toContain("fdatasyncSync");
  });

  it("refuse changes while the log can not be brought to the disk, and take them again", async () => {
    let broken = false;
    const client = await again(
      AOF,
      watchedCalls((name) => {
        if (broken && name === "fdatasync") throw Object.assign(new Error("EIO: fdatasync"), { code: "EIO" });
      }),
    );
    broken = true;
    await client.call("SET", "a", "1");
    await vi.waitFor(() => expect(client.call("SET", "b", "1")).rejects.toThrow(/^MISCONF.*I\/O error/), 5_000);
    expect(await text(client, "GET", "a")).toBe("1");
    broken = false;
    await vi.waitFor(async () => expect(await text(client, "SET", "b", "1")).toBe("OK"), 5_000);
    expect(warnings.join()).toContain("the append-only file can not be brought to the disk: Error: EIO");
  });

  it("have each change on the disk before its reply, and of several clients at once, when it is to be so always", async () => {
    const calls: string[] = [];
    const client = await again(
      { ...AOF, appendfsync: "always" },
      watchedCalls((name) => {
        if (WRITING.has(name)) calls.push(name);
      }),
    );
    calls.length = 0;
    await client.call("SET", "a", "1");
    expect(calls).toEqual(["writeSync", "fdatasyncSync"]);
    calls.length = 0;
    const all = Array.from({ length: 10 }, () => {
      const connection = engine.connect();
      return new Promise<void>((resolve) => {
        connection.onData = () => {
          calls.push("reply");
          resolve();
        };
        connection.write(Buffer.from("SET b 1\r\n"));
      });
    });
    await Promise.all(all);
    expect(calls).toEqual(["writeSync", "fdatasyncSync", ...all.map(() => "reply")]);
  });

  it("have each change of the server's own on the disk before its reply, too, which no turn of the loop brings", async () => {
    const calls: string[] = [];
    await again(
      { ...AOF, appendfsync: "always" },
      watchedCalls((name) => {
        if (WRITING.has(name)) calls.push(name);
      }),
    );
    const connections = new InternalConnections(engine);
    await connections.start("");
    const connection = connections.lend();
    expect(connection).toBeDefined();
    const client = connections.open();
    await client.call("SET", "a", "1");
    calls.length = 0;
    const replied = client.call("SET", "a", "2").then(() => calls.push("reply"));
    await replied;
    expect(calls).toEqual(["writeSync", "fdatasyncSync", "reply"]);
  });

  it("are this thread's: others are kept out while each change has to be on the disk", async () => {
    const client = await again(AOF);
    const connections = new InternalConnections(engine);
    await connections.start("");
    const threads = engine.share(
      () => new Map([["set", -3]]),
      () => connections.lend(),
    );
    const thread = threads?.add();
    if (!thread) throw new Error("the engine can not be shared here");
    const words = new ThreadWords(thread.share.words, thread.share.thread);
    thread.open();
    expect(words.open).toBe(true);
    await client.call("CONFIG", "SET", "appendfsync", "always");
    expect(words.open).toBe(false);
    thread.open();
    expect(words.open).toBe(false);
    await client.call("CONFIG", "SET", "appendfsync", "everysec");
    thread.open();
    expect(words.open).toBe(true);
  });

  it("end the engine when a change that was to be on the disk always is not", async () => {
    const { calls } = failingFrom(1);
    let isOn = false;
    const client = await again(
      { ...AOF, appendfsync: "always" },
      watchedCalls((name) => {
        if (isOn && WRITING.has(name)) calls.unlinkSync("/none");
      }),
    );
    const ended = new Promise<number>((resolve) => {
      engine.onExit = resolve;
    });
    isOn = true;
    await expect(client.call("SET", "a", "1")).rejects.toThrow();
    expect(await ended).toBe(1);
    expect(warnings.join()).toContain("Can't recover from AOF write error when the AOF fsync policy is 'always'");
  });
});
