/** Clients and scripts that make the server hold more than it should: what it holds, and how long others wait meanwhile. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { until } from "../support/waiting.ts";
import { pingsDuring } from "../support/ping-probe.ts";
import { connectPlain, request } from "../support/plain-client.ts";
import { pidOf, residentBytes } from "../support/processes.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

const MB = 1024 * 1024;
/**
 * Most milliseconds for a PING, without those in which other processes had the core. With nothing else on the machine it is
 * less than 100; memory is slower when others use it, too. What these tests are about would take seconds.
 */
const PATIENCE_MS = Number(process.env.REGEARS_PING_LIMIT_MS ?? 500);

let server: RunningRegears;
let client: Client;
beforeAll(async () => {
  server = await startRegears(["--client-output-limit", "64mb"]);
  client = await connectClient(server.port);
  await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()");
  await client.call("SETRANGE", "million", "999999", "x");
  await client.call("SETRANGE", "hundred", "99999999", "x");
}, 90_000);
afterAll(() => server.stop());

/** What the server's process holds, in bytes. */
const memory = (): number => residentBytes(pidOf(server));

/** Waits until the engine carries out none of these commands any more, though it does others 500 times in between. */
async function untilNothingIsDone(names: readonly string[]): Promise<void> {
  const done = async (): Promise<string> => {
    const stats = String(await client.call("INFO", "commandstats"));
    return names.map((name) => new RegExp(`^cmdstat_${name}:calls=(\\d+)`, "m").exec(stats)?.[1]).join(" ");
  };
  let before = "";
  await until(async () => {
    const now = await done();
    if (now === before) return true;
    before = now;
    for (let times = 0; times < 500; times++) await client.call("PING");
    return false;
  });
}

/** Lets PINGs and the memory be watched while something happens; its pause is the time in which harm would be done. */
async function watched(harm: () => Promise<void>): Promise<{ grown: number; heldMs: number }> {
  const before = memory();
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, memory());
  }, 5);
  const { pings } = await pingsDuring(server.port, harm, pidOf(server)).finally(() => clearInterval(timer));
  return { grown: most - before, heldMs: pings.heldMs };
}

describe.skipIf(process.platform !== "linux")("a client that does not read", () => {
  it.each([
    ["3000 values of 1 MB", 3000, "million"],
    ["400 values of 100 MB", 400, "hundred"],
  ])(
    "does not make the server hold %s",
    async (_what, count, key) => {
      const reader = await connectPlain(server.port);
      reader.socket.pause();
      const { grown, heldMs } = await watched(async () => {
        reader.write(Buffer.concat(Array.from({ length: count }, () => request("GET", key))));
        await untilNothingIsDone(["get"]);
      });
      reader.destroy();
      expect(grown).toBeLessThan(128 * MB);
      expect(heldMs).toBeLessThan(PATIENCE_MS);
    },
    60_000,
  );

  it("nor one value of which it asks for many and overwrites it in between", async () => {
    const reader = await connectPlain(server.port);
    reader.socket.pause();
    const value = "x".repeat(MB);
    const { grown } = await watched(async () => {
      for (let count = 0; count < 150; count++)
        reader.write(Buffer.concat([request("SET", "changing", value), request("GET", "changing")]));
      await untilNothingIsDone(["get", "set"]);
    });
    reader.destroy();
    expect(grown).toBeLessThan(128 * MB);
    await client.call("DEL", "changing");
  }, 120_000);

  it("gets no message of a channel any more when too many wait", async () => {
    const reader = await connectPlain(server.port);
    reader.send("SUBSCRIBE", "c");
    await reader.until(() => reader.pending.endsWith(":1\r\n"));
    reader.socket.pause();
    const message = "x".repeat(MB / 2);
    const { grown } = await watched(async () => {
      while ((await client.call("PUBLISH", "c", message)) === 1);
    });
    expect(grown).toBeLessThan(128 * MB);
    reader.destroy();
  }, 120_000);
});

it("a client that sends slow commands behind cheap ones in one piece does not keep others waiting for all of them", async () => {
  const sender = await connectPlain(server.port);
  const cheap = Buffer.concat(Array.from({ length: 5_000 }, () => request("GET", "nothing")));
  const slow = request("EVAL", "for i = 1, 400000 do end", "0");
  const both = Buffer.concat([cheap.subarray(0, cheap.length / 5), ...Array.from({ length: 600 }, () => slow)]);
  sender.write(cheap);
  await sender.until(() => sender.pending.length === 5_000 * "$-1\r\n".length);
  const { pings, result: allMs } = await pingsDuring(
    server.port,
    async () => {
      const began = performance.now();
      sender.write(both);
      await sender.until(() => sender.pending.length === (6_000 + 600) * "$-1\r\n".length, 60_000);
      return performance.now() - began;
    },
    pidOf(server),
  );
  sender.destroy();
  // a step holds fifty of them at most, and all of them would be in one; a busy machine makes all of it slower
  expect(pings.heldMs).toBeLessThan(PATIENCE_MS + 0.4 * allMs);
});

describe("a reply of several GB", () => {
  it("to a client does not end the server", async () => {
    const reader = await connectPlain(server.port);
    reader.socket.removeAllListeners("data");
    let bytes = 0;
    const { grown, heldMs } = await watched(async () => {
      reader.socket.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      reader.send("MGET", ...Array.from({ length: 45 }, () => "hundred"));
      await until(() => bytes >= 500 * MB);
    });
    reader.destroy();
    expect(grown).toBeLessThan(256 * MB);
    expect(heldMs).toBeLessThan(PATIENCE_MS);
    expect(await client.call("PING")).toBe("PONG");
  }, 120_000);

  it("to a script is an error for it, and its interpreter goes on", async () => {
    const script = `
def ask(_):
    try:
        return str(len(execute('MGET', *['hundred'] * 45)))
    except Exception as error:
        return type(error).__name__ + ' ' + str(error).strip()
GB('ShardsIDReader').map(ask).map(lambda told: [told, execute('STRLEN', 'million')]).run()`;
    const { heldMs } = await watched(async () => {
      expect(await client.call("RG.PYEXECUTE", script)).toEqual([
        [expect.stringMatching(/^\['error ERR the reply is longer than \d+ bytes', 1000000\]$/)],
        [],
      ]);
    });
    expect(heldMs).toBeLessThan(PATIENCE_MS);
  }, 120_000);

  it("that has to be held whole is an error for the client", async () => {
    const other = await connectClient(server.port);
    await other.call("MULTI");
    await other.call("INFO", "server");
    await other.call("MGET", "hundred", "hundred", "hundred");
    await expect(other.call("EXEC")).rejects.toThrow("ERR the reply is longer than");
    expect(await other.call("PING")).toBe("PONG");
    other.close();
  }, 120_000);
});
