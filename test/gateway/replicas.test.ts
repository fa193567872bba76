/** Replicas of the embedded engine: what they send and get, and a real one where there is one. */
import { type ChildProcess, spawn } from "node:child_process";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { connectPlain, type PlainClient } from "../support/plain-client.ts";
import { freePort } from "../support/ports.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

let server: RunningRegears;
let client: Client;
let replica: PlainClient;
beforeAll(async () => {
  server = await startRegears(["--dir", newFolder(), "--save", ""]);
  client = await connectClient(server.port);
});
afterAll(async () => {
  client.close();
  await server.stop();
});
beforeEach(async () => {
  await client.call("FLUSHALL");
  replica = await connectPlain(server.port);
});
afterEach(() => replica.socket.destroy());

const info = async (field: string): Promise<string | undefined> =>
  new RegExp(`^${field}:(.*?)\r?$`, "m").exec(String(await client.call("INFO")))?.[1];

/** Takes the dump. @returns the replication's id and offset, and the dump */
async function synchronize(): Promise<{ id: string; offset: number; dump: string }> {
  replica.send("REPLCONF", "listening-port", "1");
  replica.send("REPLCONF", "capa", "eof", "capa", "psync2");
  replica.send("REPLCONF", "version", "9.1.0");
  await replica.expect("+OK\r\n+OK\r\n+OK\r\n");
  replica.send("PSYNC", "?", "-1");
  // before the dump there may be empty lines, by which a replica knows that the server is there
  const whole = /^\n*\+FULLRESYNC (\w{40}) (\d+)\r\n\n*\$(\d+)\r\n/;
  await replica.until(() => {
    const [head = "", , , length] = whole.exec(replica.pending) ?? [];
    return head !== "" && replica.pending.length >= head.length + Number(length);
  });
  const [head = "", id = "", offset, length] = whole.exec(replica.pending) ?? [];
  await replica.read(head.length);
  const dump = await replica.read(Number(length));
  return { id, offset: Number(offset), dump };
}

/** What is sent to replicas for a command. */
const streamed = (...words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;

describe("a replica", () => {
  it("gets a dump, what has changed since, and what it has missed", async () => {
    await client.call("SET", "before", "x".repeat(300_000));
    const { id, offset, dump } = await synchronize();
    expect(dump).toMatch(/^VALKEY080/);
    expect(dump).toContain("before");
    await client.call("SET", "after", "1");
    await replica.until(() => replica.pending.includes(streamed("SET", "after", "1")));
    expect(await info("connected_slaves")).toBe("1");
    expect(await info("slave0")).toMatch(/port=1,state=online/);
    // it tells how far it is, which nobody answers
    const waiting = client.call("WAIT", "1", "0");
    await replica.until(() => replica.pending.includes(streamed("REPLCONF", "GETACK", "*")));
    replica.send("REPLCONF", "ACK", "1000000");
    expect(await waiting).toBe(1);

    replica.socket.destroy();
    await vi.waitFor(async () => expect(await info("connected_slaves")).toBe("0"));
    await client.call("SET", "missed", "1");
    replica = await connectPlain(server.port);
    replica.send("REPLCONF", "capa", "psync2");
    await replica.expect("+OK\r\n");
    replica.send("PSYNC", id, String(offset + 1));
    await replica.until(() => replica.pending.includes(streamed("SET", "missed", "1")));
    expect(replica.pending).toMatch(/^\+CONTINUE \w{40}\r\n/);
    expect(replica.pending).toContain(streamed("SET", "after", "1"));
  });

  it("may only be one from then on", async () => {
    await synchronize();
    replica.send("CONFIG", "SET", "dir", "/");
    await replica.until(() => replica.closed);
    expect(replica.pending).not.toContain("-ERR");
  });

  it("that only wants the dump, in the old way, is let go afterwards", async () => {
    await client.call("SET", "a", "1");
    replica.send("REPLCONF", "rdb-only", "1");
    await replica.expect("+OK\r\n");
    replica.send("SYNC");
    await replica.until(() => replica.closed);
    expect(replica.pending).toMatch(/^\n*\$\d+\r\nVALKEY080/);
  });

  it("needs the right to be one", async () => {
    await client.call("ACL", "SETUSER", "reader", "on", ">p", "~*", "+@read");
    replica.send("AUTH", "reader", "p");
    await replica.expect("+OK\r\n");
    replica.send("PSYNC", "?", "-1");
    await replica.until(() => replica.pending.includes("NOPERM"));
    expect(await info("connected_slaves")).toBe("0");
  });

  it("is none inside MULTI", async () => {
    replica.write("MULTI\r\nPSYNC ? -1\r\nREPLCONF ACK 1\r\nEXEC\r\nPING\r\n");
    await replica.until(() => replica.pending.endsWith("+PONG\r\n"));
    expect(replica.pending).toMatch(/^\+OK\r\n-ERR .*\r\n-ERR .*\r\n-EXECABORT .*\r\n\+PONG\r\n$/);
  });

  it("is none of a server without a folder", async () => {
    const other = await startRegears();
    const plain = await connectPlain(other.port);
    plain.write("PSYNC ? -1\r\nPING\r\n");
    await plain.expect("-ERR replication is not available through this server\r\n+PONG\r\n");
    plain.socket.destroy();
    await other.stop();
  });
});

const program = process.env.REGEARS_VALKEY_SERVER;
describe(`a real Valkey${program ? "" : " (skipped: REGEARS_VALKEY_SERVER names no valkey-server 9)"}`, () => {
  it.skipIf(!program)("replicates from this server, and goes on after a cut", async () => {
    await client.call("EVAL", "for i=1,50000 do redis.call('SET', 'key:'..i, i) end", "0");
    await client.call("XADD", "stream", "1-1", "f", "v");
    const port = await freePort();
    const options = ["--port", String(port), "--dir", newFolder(), "--save", ""];
    const real: ChildProcess = spawn(program as string, [...options, "--replicaof", `127.0.0.1 ${server.port}`]);
    try {
      const there = await vi.waitFor(() => connectClient(port));
      await vi.waitFor(async () => expect(await there.call("DBSIZE")).toBe(50_001), { timeout: 30_000 });
      await client.call("SET", "live", "1");
      expect(await client.call("WAIT", "1", "10000")).toBe(1);
      expect(await there.call("GET", "live")).toBe("1");
      await client.call("CLIENT", "KILL", "TYPE", "replica");
      await client.call("SET", "missed", "1");
      await vi.waitFor(async () => expect(await there.call("GET", "missed")).toBe("1"), { timeout: 30_000 });
      expect(Number(await info("sync_partial_ok"))).toBeGreaterThan(0);
      expect(await there.call("XLEN", "stream")).toBe(1);
      there.close();
    } finally {
      real.kill("SIGKILL");
    }
  });
});
