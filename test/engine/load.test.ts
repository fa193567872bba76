/** The embedded engine under many clients, floods and slow commands. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { EngineClient, encodeCommand } from "../../src/engine/engine-client.ts";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { plain } from "./engine.cases.ts";

const PING = encodeCommand(["PING"]);

let engine: EmbeddedEngine;
let client: EngineClient;

beforeEach(async () => {
  engine = new EmbeddedEngine();
  await engine.start();
  client = new EngineClient(engine.connect());
});
afterEach(() => engine.stop());

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function infoNumber(field: string): Promise<number> {
  const match = new RegExp(`^${field}:(\\d+)`, "m").exec(String(await client.call("INFO")));
  return Number(match?.[1]);
}

describe("many clients", () => {
  it("come and go, 100 000 times, and leave nothing behind", { timeout: 60_000 }, async () => {
    const visit = async (count: number): Promise<number> => {
      const start = performance.now();
      for (let done = 0; done < count; done += 100) {
        let open = 100;
        for (let i = 0; i < 100; i++) {
          const connection = engine.connect();
          connection.onData = (bytes) => {
            if (bytes.toString() === "+PONG\r\n") open--;
            connection.close();
          };
          connection.write(PING);
        }
        while (open > 0) await turn();
      }
      return performance.now() - start;
    };
    await visit(20_000);
    const early = await visit(20_000);
    await visit(40_000);
    const memory = await infoNumber("used_memory");
    const late = await visit(20_000);
    while ((await infoNumber("connected_clients")) > 1) await turn();
    expect(await infoNumber("total_connections_received")).toBeGreaterThan(100_000);
    expect((await infoNumber("used_memory")) - memory).toBeLessThan(500_000);
    // Descriptors are used again: a new client has one of the few that were needed at a time.
    const newest = new EngineClient(engine.connect());
    const [, descriptor] = / fd=(\d+) /.exec(String(await newest.call("CLIENT", "INFO"))) ?? [];
    expect(Number(descriptor)).toBeLessThan(4096 + 250);
    expect(late).toBeLessThan(early * 3 + 500);
  });

  it("are there at once, 10 000 of them, and do not slow one down", { timeout: 60_000 }, async () => {
    let replies = 0;
    /** Milliseconds of CPU that a PING and its reply take. */
    const costOfOne = (one: ReturnType<EmbeddedEngine["connect"]> | undefined): number => {
      const start = process.cpuUsage();
      for (let i = 0; i < 2000; i++) {
        one?.write(PING);
        one?.flushNow();
      }
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 2000 / 1000;
    };
    const single = engine.connect();
    costOfOne(single);
    const alone = costOfOne(single);
    single.close();
    const all = Array.from({ length: 10_000 }, () => {
      const connection = engine.connect();
      connection.onData = () => replies++;
      connection.write(PING);
      return connection;
    });
    while (replies < all.length) await turn();
    expect(await infoNumber("connected_clients")).toBe(10_001);
    const [one] = all;
    const each = costOfOne(one);
    expect(replies).toBe(12_000);
    // A walk over all of them would take ten times as long as the command.
    expect(each).toBeLessThan(alone * 5);
    expect(await client.call("PUBLISH", "nobody", "x")).toBe(0);
    for (const connection of all) connection.close();
    while ((await infoNumber("connected_clients")) > 1) await turn();
  });

  it("get what is published to all of them", { timeout: 30_000 }, async () => {
    let got = 0;
    for (let i = 0; i < 2000; i++) {
      const connection = engine.connect();
      connection.onData = (bytes) => {
        if (bytes.includes("hello")) got++;
      };
      connection.write(encodeCommand(["SUBSCRIBE", "c"]));
    }
    while (String(await client.call("PUBSUB", "NUMSUB", "c")) !== "c,2000") await turn();
    await client.call("PUBLISH", "c", "hello");
    while (got < 2000) await turn();
    expect(got).toBe(2000);
  });
});

/**
 * The longest time, in milliseconds, that the event loop did not come round while `done` was false. Time in which the
 * process had no processor does not count.
 */
async function longestPause(done: () => boolean): Promise<number> {
  let longest = 0;
  let last = performance.now();
  let lastUsage = process.cpuUsage();
  while (!done()) {
    await turn();
    const { user, system } = process.cpuUsage(lastUsage);
    const now = performance.now();
    longest = Math.max(longest, Math.min(now - last, (user + system) / 1000));
    last = now;
    lastUsage = process.cpuUsage();
  }
  return longest;
}

describe("a flood", () => {
  it("of cheap commands leaves time for others", { timeout: 30_000 }, async () => {
    const flood = engine.connect();
    let bytes = 0;
    flood.onData = (chunk) => {
      bytes += chunk.length;
    };
    const batch = Buffer.concat(Array.from({ length: 10_000 }, (_, i) => encodeCommand(["SET", `key:${i}`, "value"])));
    for (let i = 0; i < 30; i++) flood.write(batch);
    let answered = 0;
    const ask = async (): Promise<void> => {
      while (bytes < 30 * 10_000 * 5) {
        await client.call("PING");
        answered++;
      }
    };
    const asking = ask();
    const longest = await longestPause(() => bytes === 30 * 10_000 * 5);
    await asking;
    expect(answered).toBeGreaterThan(10);
    expect(longest).toBeLessThan(150);
  });

  it("of expensive commands leaves time for others, too", { timeout: 60_000 }, async () => {
    const fill = "for i = 1, 100000 do redis.call('SET', 'key:' .. i, 'x') end";
    await client.call("EVAL", fill, "0");
    const flood = engine.connect();
    let replies = 0;
    flood.onData = (chunk) => {
      replies += chunk.toString("latin1").split("*0\r\n").length - 1;
    };
    const count = 200;
    flood.write(Buffer.concat(Array.from({ length: count }, () => encodeCommand(["KEYS", "nothing*"]))));
    const start = performance.now();
    await longestPause(() => replies > 30);
    const perCommand = (performance.now() - start) / replies;
    const longest = await longestPause(() => replies === count);
    // All of them in one step would be 200 times as long.
    expect(longest).toBeLessThan(perCommand * 20 + 50);
    expect(plain(await client.call("PING"))).toBe("PONG");
  });

  it("of input is slowed down, and let go on", async () => {
    const connection = engine.connect();
    let drained = 0;
    let bytes = 0;
    connection.onDrain = () => drained++;
    connection.onData = (chunk) => {
      bytes += chunk.length;
    };
    const batch = Buffer.concat(Array.from({ length: 10_000 }, () => PING));
    let room = true;
    let written = 0;
    while (room) {
      room = connection.write(batch);
      written += 10_000;
    }
    expect(written * PING.length).toBeGreaterThan(1024 * 1024);
    while (drained === 0) await turn();
    while (bytes < written * 7) await turn();
    expect(drained).toBe(1);
    expect(connection.write(PING)).toBe(true);
  });
});

describe("clients that wait for one another", () => {
  it("go on without waiting for the clock", async () => {
    const one = new EngineClient(engine.connect());
    const two = new EngineClient(engine.connect());
    const start = performance.now();
    for (let i = 0; i < 20; i++) {
      const chain = [
        one.pipeline([
          ["BLPOP", "x", "0"],
          ["LPUSH", "y", "1"],
        ]),
        two.pipeline([["BLPOP", "y", "0"], ["PING"]]),
      ];
      await turn();
      await client.call("LPUSH", "x", "1");
      await Promise.all(chain);
    }
    // Left to the clock, each round would take a tenth of a second.
    expect(performance.now() - start).toBeLessThan(1000);
  });
});
