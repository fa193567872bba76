/** MONITOR in front of the embedded engine, which sees neither addresses nor which connections are the server's own. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { connectPlain, type PlainClient } from "../support/plain-client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

const folder = newFolder();
const path = join(folder, "socket");
let server: RunningRegears;
beforeAll(async () => {
  server = await startRegears(["--unixsocket", path]);
}, 90_000);
afterAll(async () => {
  await server.stop();
});

async function connectMonitor(): Promise<PlainClient> {
  const monitor = await connectPlain(server.port);
  monitor.send("MONITOR");
  await monitor.expect("+OK\r\n");
  return monitor;
}

/** The lines up to the one that this very call causes: `[database origin] words`. */
async function linesOf(monitor: PlainClient): Promise<string[]> {
  const marker = await connectClient(server.port);
  await marker.call("ECHO", "marker");
  await monitor.until(() => /"ECHO" "marker"\r\n$/.test(monitor.pending));
  marker.close();
  const lines = (await monitor.read(monitor.pending.length))
    .split("\r\n")
    .slice(0, -2)
    .filter((line) => line !== "+PONG");
  return lines.map((line) => {
    expect(line).toMatch(/^\+\d+\.\d{6} \[\d+ [^\] ]+\] "/);
    return line.slice(line.indexOf("["));
  });
}

it("says where each command comes from", async () => {
  const monitor = await connectMonitor();
  const [one, other, local] = [
    await connectPlain(server.port),
    await connectPlain(server.port),
    await connectPlain(path),
  ];
  const [at, otherAt] = [one, other].map(({ socket }) => `127.0.0.1:${socket.localPort}`);
  // sent at the same time, and many: the engine reads both in one go
  for (let count = 0; count < 200; count++) {
    one.send("SET", "a", String(count));
    other.send("SET", "b", String(count));
  }
  one.send("EVAL", "redis.call('SELECT', 3) return redis.call('SET', 'c', ARGV[1])", "0", '] "x');
  await one.until(() => one.bytesReceived === 201 * 5);
  await other.until(() => other.bytesReceived === 200 * 5);
  local.send("GET", "a");
  await local.expect("$3\r\n199\r\n");
  monitor.send("PING");
  const lines = await linesOf(monitor);
  for (const [key, address] of [
    ["a", at],
    ["b", otherAt],
  ] as const) {
    const wanted = Array.from({ length: 200 }, (_, count) => `[0 ${address}] "SET" "${key}" "${count}"`);
    expect(lines.filter((line) => line.includes(`"SET" "${key}"`))).toEqual(wanted);
  }
  expect(lines.find((line) => line.includes('"EVAL"'))).toContain(`[0 ${at}] `);
  expect(lines).toContain('[3 lua] "SET" "c" "] \\"x"');
  expect(lines).toContain(`[0 unix:${path}] "GET" "a"`);
  expect(lines.some((line) => line.startsWith(`[0 127.0.0.1:${monitor.socket.localPort}] "PING"`))).toBe(true);
  for (const client of [monitor, one, other, local]) client.destroy();
});

it("shows what scripts do, and nothing that the server does for itself", async () => {
  const monitor = await connectMonitor();
  const client = await connectClient(server.port);
  const script = "GB('KeysReader').map(lambda r: execute('HSET', 'h', 'field', r['key'])).run('a')";
  await client.call("SET", "a", "1");
  await client.call("RG.PYEXECUTE", script);
  await client.call("RG.CONFIGGET", "MaxExecutions");
  await client.call("RG.CONFIGSET", "MaxExecutions", "1000");
  const lines = await linesOf(monitor);
  expect(lines.map((line) => line.replace(/^\[0 \S+\] /, "")).map((words) => words.split(" ")[0])).toEqual([
    ...['"SET"', '"RG.PYEXECUTE"', '"HSET"', '"RG.CONFIGGET"', '"RG.CONFIGSET"'],
  ]);
  expect(lines[2]).toBe('[0 127.0.0.1:0] "HSET" "h" "field" "a"');
  client.close();
  monitor.destroy();
});

it("ends with RESET, and is refused without the right to it", async () => {
  const monitor = await connectMonitor();
  monitor.send("RESET");
  await monitor.expect("+RESET\r\n");
  const client = await connectClient(server.port);
  await client.call("SET", "after", "1");
  monitor.send("PING");
  await monitor.expect("+PONG\r\n");
  await client.call("ACL", "SETUSER", "few", "on", "nopass", "+@all", "-monitor");
  monitor.send("AUTH", "few", "x");
  monitor.send("MONITOR");
  monitor.send("PING");
  await monitor.until(() => monitor.pending.endsWith("+PONG\r\n"));
  expect(monitor.pending).toContain("-NOPERM");
  client.close();
  monitor.destroy();
});

it("disconnects who does not read, and goes on for the others", async () => {
  const small = await startRegears(["--client-output-limit", "2mb"]);
  try {
    const slow = await connectPlain(small.port);
    slow.send("MONITOR");
    await slow.expect("+OK\r\n");
    slow.socket.pause();
    const client = await connectClient(small.port);
    const value = "x".repeat(100_000);
    // the kernel takes some MB of them
    const monitors = async (): Promise<boolean> => String(await client.call("CLIENT", "LIST")).includes("cmd=monitor");
    while (await monitors()) await client.call("SET", "k", value);
    expect(await client.call("PING")).toBe("PONG");
    client.close();
    slow.destroy();
  } finally {
    await small.stop();
  }
}, 120_000);

it("shows each command once while registrations in mode sync hold the engine for it", async () => {
  const client = await connectClient(server.port);
  await client.call("RG.PYEXECUTE", "GB('KeysReader').foreach(lambda x: None).register('zz*', mode='sync')");
  const monitor = await connectMonitor();
  const one = await connectPlain(server.port);
  const at = `127.0.0.1:${one.socket.localPort}`;
  one.send("SET", "a", "1");
  one.send("MULTI");
  one.send("SET", "x", "1");
  one.send("INCRBY", "x", "1");
  one.send("EXEC");
  await one.until(() => one.pending.endsWith("*2\r\n+OK\r\n:2\r\n"));
  const lines = (await linesOf(monitor)).filter((line) => line.includes(at));
  expect(lines.filter((line) => /"(SET|INCRBY)"/.test(line))).toEqual([
    `[0 ${at}] "SET" "a" "1"`,
    `[0 ${at}] "SET" "x" "1"`,
    `[0 ${at}] "INCRBY" "x" "1"`,
  ]);
  await client.call("RG.UNREGISTERALL");
  client.close();
  monitor.socket.destroy();
});
