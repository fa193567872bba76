import { readdir } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { type EngineClient, encodeCommand } from "../../src/engine/client.ts";
import { encodeWhole, raw } from "../../src/resp/reply.ts";
import { DATA_FILE } from "../../src/store/data.ts";
import { SaveCommands } from "../../src/store/save-commands.ts";
import { callerOf, pathOf, sendThrough, viewOf } from "../support/path.ts";
import { type DataServer, startData } from "./support.ts";
import { newFolder } from "../support/folders.ts";
import { until } from "../support/waiting.ts";

const CLIENT = callerOf();
const IN_TRANSACTION = callerOf({ canWait: false });

async function setUp(options: { scheduled?: boolean; directory?: string } = {}) {
  const directory = options.directory ?? newFolder();
  const server = await startData(directory);
  const commands = new SaveCommands({ ...server, scheduled: options.scheduled ?? true });
  const path = pathOf(commands);
  const client = server.connections.open();
  /** What the gateway does with a command. @returns the bytes that the client gets */
  const send = (...args: string[]): Promise<string> => sendOn(client, ...args);
  const sendOn = async (connection: EngineClient, ...args: string[]): Promise<string> => {
    const words = args.map((arg) => Buffer.from(arg));
    return (await sendThrough(path, words, CLIENT, (bytes) => connection.rawCall(bytes, 1))).toString();
  };
  return { ...server, directory, commands, send, sendOn, files: () => readdir(directory) };
}

const settled = async ({ snapshots }: Pick<DataServer, "snapshots">): Promise<void> => {
  await until(() => !snapshots.status.saving);
};

const ended = ({ engine }: Pick<DataServer, "engine">): Promise<number> =>
  new Promise((resolve) => {
    engine.onExit = resolve;
  });

describe("commands that save", () => {
  it("SAVE saves, and LASTSAVE tells when", async () => {
    const { send, files, client, snapshots } = await setUp();
    await client.call("SET", "k", "v");
    expect(await send("SAVE")).toBe("+OK\r\n");
    expect(await files()).toEqual([DATA_FILE]);
    const last = Math.floor(snapshots.status.lastSave / 1000);
    expect(await send("LASTSAVE")).toBe(`:${last}\r\n`);
    expect(Date.now() / 1000 - last).toBeLessThan(10);
  });

  it("BGSAVE answers at once, and once at a time", async () => {
    const server = await setUp();
    const { send, client, files } = server;
    await client.pipeline(Array.from({ length: 3000 }, (_, i) => ["SET", `k${i}`, "v"]));
    expect(await send("BGSAVE")).toBe("+Background saving started\r\n");
    expect(await send("INFO", "persistence")).toContain("\r\nrdb_bgsave_in_progress:1\r\n");
    expect(await send("BGSAVE")).toBe("-ERR Background save already in progress\r\n");
    expect(await send("SAVE")).toBe("-ERR Background save already in progress\r\n");
    await settled(server);
    expect(await files()).toEqual([DATA_FILE]);
    expect(await send("BGSAVE", "SCHEDULE")).toBe("+Background saving started\r\n");
    await settled(server);
  });

  it("BGSAVE in a transaction saves as well, and the engine does not go on trying", async () => {
    const server = await setUp();
    const { send, client, commands } = server;
    await client.call("SET", "k", "v");
    // What the gateway does at EXEC.
    const queued = await client.pipeline([["MULTI"], ["BGSAVE"], ["EXEC"]]);
    const reply = Buffer.from(`+${String(queued.at(-1))}\r\n`);
    const handling = commands.handle("bgsave", viewOf([]));
    expect(handling?.way).toBe("after");
    expect(await handling?.run(IN_TRANSACTION, async () => reply)).toEqual(raw(reply));
    expect(reply.toString()).toBe("+Background saving scheduled\r\n");
    await settled(server);
    expect(await server.files()).toEqual([DATA_FILE]);
    expect(await send("BGSAVE", "CANCEL")).toMatch(/^-ERR Background saving is currently not in progress/);
  });

  it("leave refusals to the engine", async () => {
    const { send, sendOn, client, connections, files } = await setUp();
    await client.call("ACL", "SETUSER", "bob", "on", ">x", "+@all", "-@admin", "~*");
    const bob = connections.open();
    await bob.call("AUTH", "bob", "x");
    for (const command of ["SAVE", "BGSAVE", "LASTSAVE", "SHUTDOWN"]) {
      expect(await sendOn(bob, command)).toMatch(/^-NOPERM .*(save|shutdown)/);
    }
    expect(await send("SAVE", "x")).toBe("-ERR wrong number of arguments for 'save' command\r\n");
    expect(await send("BGSAVE", "x")).toBe("-ERR syntax error\r\n");
    expect(await send("SHUTDOWN", "x")).toBe("-ERR syntax error\r\n");
    expect(await files()).toEqual([]);
  });

  it("answer an error when it can not be done, and writes go on", async () => {
    const { send, client, snapshots } = await setUp({ directory: "/dev/null/nowhere" });
    await client.call("SET", "k", "v");
    expect(await send("SAVE")).toBe("-ERR the data can not be saved: ENOTDIR: not a directory\r\n");
    expect(await send("INFO", "persistence")).toContain("rdb_last_bgsave_status:err\r\n");
    await client.call("CONFIG", "SET", "save", "1 1");
    expect(String(await client.call("SET", "k", "w"))).toBe("OK");
    expect(await send("SHUTDOWN")).toMatch(/^-ERR Errors trying to SHUTDOWN/);
    expect(await snapshots.changes()).toBe(2);
  });

  it("INFO has our figures, whole and in both protocols", async () => {
    const { send, client, commands } = await setUp();
    await client.pipeline([
      ["SET", "k", "v"],
      ["SET", "k", "w"],
    ]);
    const before = await send("INFO");
    expect(before).toContain("\r\nrdb_changes_since_last_save:2\r\n");
    expect(before).toContain("\r\nrdb_last_bgsave_time_sec:-1\r\n");
    await send("SAVE");
    const after = await send("INFO", "persistence");
    expect(after).toContain("\r\nrdb_changes_since_last_save:0\r\n");
    expect(after).toContain("\r\nrdb_last_bgsave_time_sec:0\r\n");
    expect(after).toContain("\r\naof_enabled:0\r\n");
    expect(Number(/^\$(\d+)/.exec(after)?.[1])).toBe(after.length - after.indexOf("\r\n") - 4);
    const plain = await client.rawCall(encodeCommand(["INFO", "persistence"]), 1);
    const body = plain.subarray(plain.indexOf("\n") + 1);
    const modern = Buffer.concat([Buffer.from(`=${body.length + 2}\r\ntxt:`), body]);
    const reply = await commands.handle("info", viewOf([]))?.run(CLIENT, async () => modern);
    if (!reply) throw new Error("unchanged");
    const verbatim = encodeWhole(reply, 3).toString();
    expect(verbatim).toContain("\r\nrdb_last_bgsave_time_sec:0\r\n");
    expect(verbatim).toMatch(/^=\d+\r\ntxt:# Persistence\r\n/);
    expect(Number(/^=(\d+)/.exec(verbatim)?.[1])).toBe(verbatim.length - verbatim.indexOf("\r\n") - 4);
    expect(await send("INFO", "clients")).not.toContain("rdb_");
  });
});

describe("SHUTDOWN", () => {
  it.each([
    [true, ["SHUTDOWN"], true],
    [true, ["SHUTDOWN", "NOW"], true],
    [true, ["shutdown", "nosave"], false],
    [false, ["SHUTDOWN"], false],
    [false, ["SHUTDOWN", "SAVE"], true],
  ])("with a schedule: %s, %s saves: %s", async (scheduled, command, saves) => {
    const server = await setUp({ scheduled });
    await server.client.call("SET", "k", "v");
    const exit = ended(server);
    await server.send(...command).catch(() => {});
    expect(await exit).toBe(0);
    expect(await server.files()).toEqual(saves ? [DATA_FILE] : []);
    expect(server.gate.held).toBe(false);
    if (saves) expect(String(await (await startData(server.directory)).client.call("GET", "k"))).toBe("v");
  });

  it("takes the place of a snapshot that is being made", async () => {
    const server = await setUp();
    await server.client.pipeline(Array.from({ length: 5000 }, (_, i) => ["SET", `k${i}`, "v"]));
    const background = server.snapshots.save(false).catch((error: Error) => error.name);
    const exit = ended(server);
    await server.send("SHUTDOWN").catch(() => {});
    expect(await exit).toBe(0);
    expect(await background).toBe("Interrupted");
    expect(await (await startData(server.directory)).client.call("DBSIZE")).toBe(5000);
  });

  it("does not happen without a snapshot, unless it is forced", async () => {
    const server = await setUp({ directory: "/dev/null/nowhere" });
    expect(await server.send("SHUTDOWN", "SAVE")).toMatch(/^-ERR Errors trying to SHUTDOWN/);
    expect(String(await server.client.call("PING"))).toBe("PONG");
    const exit = ended(server);
    await server.send("SHUTDOWN", "FORCE").catch(() => {});
    expect(await exit).toBe(0);
  });

  it("is refused in a transaction", async () => {
    const { commands, client } = await setUp();
    const ask = (): Promise<Buffer> => Promise.reject(new Error("asked"));
    expect((await sendThrough(pathOf(commands), [Buffer.from("SHUTDOWN")], IN_TRANSACTION, ask)).toString()).toBe(
      "-ERR Command 'shutdown' not allowed inside a transaction\r\n",
    );
    expect(String(await client.call("PING"))).toBe("PONG");
  });

  it("ABORT is the engine's", async () => {
    const { send } = await setUp();
    expect(await send("SHUTDOWN", "ABORT")).toMatch(/^-ERR No shutdown in progress/);
  });
});
