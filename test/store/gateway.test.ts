import { readdir } from "node:fs/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { explainsFailures } from "../../src/store/data-commands.ts";
import { startGateway, type TestGateway } from "../support/gateway.ts";
import { pathOf } from "../support/path.ts";
import { newFolder } from "../support/folders.ts";
import { startData } from "./support.ts";

let gateway: TestGateway | undefined;

afterEach(() => gateway?.stop());

async function setUp() {
  const directory = newFolder();
  const server = await startData(directory, {}, { save: "3600 1" });
  const { engine, gate } = server;
  const path = pathOf(explainsFailures(() => engine.takeFileFailure()));
  gateway = await startGateway(engine, { gate, path });
  return { ...server, directory, gateway, connect: gateway.connect };
}

describe("clients of the gateway", () => {
  it("save, alone and in transactions, among other commands", async () => {
    const { connect, directory, client: inside } = await setUp();
    const client = await connect();
    for (const command of [["SET", "k", "v"], ["SAVE"], ["GET", "k"], ["LASTSAVE", "x"]]) client.send(...command);
    await client.expect("+OK\r\n+OK\r\n$1\r\nv\r\n-ERR wrong number of arguments for 'lastsave' command\r\n");
    expect(await readdir(directory)).toEqual(["dump.rdb"]);
    for (const command of [["MULTI"], ["SAVE"], ["EXEC"]]) client.send(...command);
    await client.expect("+OK\r\n-ERR Command 'save' not allowed inside a transaction\r\n");
    await client.expect("-EXECABORT Transaction discarded because of previous errors.\r\n");
    for (const command of [["MULTI"], ["SET", "k", "w"], ["BGSAVE"], ["GET", "k"], ["EXEC"]]) client.send(...command);
    await client.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n");
    await client.expect("*3\r\n+OK\r\n+Background saving scheduled\r\n$1\r\nw\r\n");
    await vi.waitFor(async () => {
      expect(String(await inside.call("INFO", "persistence"))).toContain("rdb_changes_since_last_save:0\r\n");
    }, 5_000);
  });

  it("need the right to", async () => {
    const { connect, client: inside, directory } = await setUp();
    await inside.call("ACL", "SETUSER", "bob", "on", ">x", "+@all", "-@admin", "~*");
    await inside.call("ACL", "SETUSER", "default", "resetpass", ">secret");
    const client = await connect();
    for (const command of ["SAVE", "BGSAVE", "LASTSAVE", "SHUTDOWN"]) {
      client.send(command);
      await client.expect("-NOAUTH Authentication required.\r\n");
    }
    client.send("AUTH", "bob", "x");
    await client.expect("+OK\r\n");
    client.send("SHUTDOWN");
    await client.expect("-NOPERM User bob has no permissions to run the 'shutdown' command\r\n");
    client.send("SAVE");
    await client.expect("-NOPERM User bob has no permissions to run the 'save' command\r\n");
    expect(await readdir(directory)).toEqual([]);
  });

  it("shut the server down without losing what others were told to be done", async () => {
    const { connect, directory, engine } = await setUp();
    const exit = new Promise((resolve) => {
      engine.onExit = resolve;
    });
    const [writer, last] = [await connect(), await connect()];
    let told = 0;
    const writing = (async () => {
      for (let n = 1; ; n++) {
        writer.send("SET", "n", String(n));
        await writer.expect("+OK\r\n");
        told = n;
      }
    })().catch(() => {});
    await writer.until(() => told > 50);
    last.send("SHUTDOWN");
    expect(await last.readToEnd()).toBe("");
    expect(await exit).toBe(0);
    await writing;
    const kept = Number(await (await startData(directory)).client.call("GET", "n"));
    expect(kept).toBeGreaterThanOrEqual(told);
  });

  it("see the figures in INFO, in both protocols", async () => {
    const { connect } = await setUp();
    const client = await connect();
    client.send("SET", "k", "v");
    await client.expect("+OK\r\n");
    client.send("INFO", "persistence");
    await client.until(() => client.pending.includes("slot_migration"));
    expect(client.pending).toContain("rdb_changes_since_last_save:1\r\n");
    const modern = await connect();
    modern.send("HELLO", "3");
    modern.send("PING");
    await modern.until(() => modern.pending.endsWith("+PONG\r\n"));
    await modern.read(modern.pending.length);
    modern.send("INFO", "persistence");
    modern.send("PING");
    await modern.until(() => modern.pending.endsWith("+PONG\r\n"));
    const [, length] = /^=(\d+)\r\ntxt:/.exec(modern.pending) ?? [];
    expect(modern.pending.length).toBe(`=${length}\r\n`.length + Number(length) + "\r\n+PONG\r\n".length);
    expect(modern.pending).toContain("rdb_last_bgsave_time_sec:-1\r\n");
  });
});
