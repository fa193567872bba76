/** CLIENT LIST, INFO and KILL show and find clients of the embedded engine by their addresses. */
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectPlain, type PlainClient } from "../support/plain-client.ts";
import { newFolder } from "../support/folders.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

const directory = newFolder();
const path = join(directory, "socket");
let server: RunningRegears;
beforeAll(async () => {
  server = await startRegears(["--unixsocket", path]);
});
afterAll(async () => {
  await server?.stop();
});

/** A client that is known to the engine, and its address. */
async function enter(): Promise<{ client: PlainClient; address: string }> {
  const client = await connectPlain(server.port);
  client.send("PING");
  await client.expect("+PONG\r\n");
  const { port } = client.socket.address() as AddressInfo;
  return { client, address: `127.0.0.1:${port}` };
}

async function ask(client: PlainClient, ...words: string[]): Promise<string> {
  await client.read(client.pending.length);
  client.send(...words);
  client.send("ECHO", "end");
  await client.until(() => client.pending.endsWith("$3\r\nend\r\n"));
  return (await client.read(client.pending.length)).replace(/\$3\r\nend\r\n$/, "");
}

describe("the addresses of clients", () => {
  it("are in CLIENT INFO and CLIENT LIST, in both protocols and in transactions", async () => {
    const { client, address } = await enter();
    const line = `addr=${address} laddr=127.0.0.1:${server.port} fd=`;
    expect(await ask(client, "CLIENT", "INFO")).toContain(line);
    const other = await enter();
    const list = await ask(client, "CLIENT", "LIST");
    expect(list).toContain(line);
    expect(list).toContain(`addr=${other.address} `);
    const [, length] = /^\$(\d+)\r\n/.exec(list) ?? [];
    expect(list).toHaveLength(`$${length}\r\n`.length + Number(length) + 2);
    client.send("MULTI");
    client.send("CLIENT", "INFO");
    client.send("EXEC");
    await client.expect("+OK\r\n+QUEUED\r\n");
    await client.until(() => client.pending.endsWith("\n\r\n"));
    expect(client.pending).toContain(line);
    await ask(client, "HELLO", "3");
    expect(await ask(client, "CLIENT", "INFO")).toMatch(new RegExp(`^=\\d+\\r\\ntxt:id=\\d+ ${line}`));
    client.destroy();
    other.client.destroy();
  });

  it("are the path of a unix socket", async () => {
    const client = await connectPlain(path);
    expect(await ask(client, "CLIENT", "INFO")).toContain(`addr=${path}:0 laddr=${path}:0 `);
    client.destroy();
  });

  it("find clients to kill", async () => {
    const { client: killer, address: own } = await enter();
    const [first, second, third] = [await enter(), await enter(), await enter()];
    expect(await ask(killer, "CLIENT", "KILL", "ADDR", first.address)).toBe(":1\r\n");
    await first.client.until(() => first.client.closed);
    expect(await ask(killer, "CLIENT", "KILL", "ADDR", first.address)).toBe(":0\r\n");
    expect(await ask(killer, "CLIENT", "KILL", "TYPE", "pubsub", "ADDR", second.address)).toBe(":0\r\n");
    expect(await ask(killer, "CLIENT", "KILL", second.address)).toBe("+OK\r\n");
    await second.client.until(() => second.client.closed);
    expect(await ask(killer, "CLIENT", "KILL", second.address)).toBe("-ERR No such client\r\n");
    expect(await ask(killer, "CLIENT", "KILL", "ADDR", third.address, "SKIPME")).toContain("-ERR");
    expect(await ask(killer, "CLIENT", "KILL", "ADDR", own)).toBe(":0\r\n");
    expect(await ask(killer, "CLIENT", "KILL", "LADDR", `127.0.0.1:${server.port}`)).toBe(":1\r\n");
    await third.client.until(() => third.client.closed);
    killer.destroy();
  });

  it("are not for users without the right to CLIENT KILL", async () => {
    const { client } = await enter();
    const victim = await enter();
    await ask(client, "ACL", "SETUSER", "weak", "on", "nopass", "+@all", "-client|kill");
    await ask(client, "AUTH", "weak", "x");
    expect(await ask(client, "CLIENT", "KILL", "ADDR", victim.address)).toMatch(/^-NOPERM/);
    expect(await ask(victim.client, "PING")).toBe("+PONG\r\n");
    client.destroy();
    victim.client.destroy();
  });
});
