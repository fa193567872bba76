/** Replies longer than anybody should hold at once, from the embedded engine: to clients, and to the server itself. */
import { describe, expect, it } from "vitest";
import { EngineClient, encodeCommand } from "../../src/engine/engine-client.ts";
import type { EmbeddedConnection } from "../../src/engine/embedded-connection.ts";
import { engine, start, warnings } from "./embedded-setup.ts";
import { plain } from "./engine.cases.ts";
import { until } from "../support/waiting.ts";

const MB = 1024 * 1024;
const addresses = { peer: "192.0.2.1:1000", local: "192.0.2.2:6379" };

interface Reader {
  readonly connection: EmbeddedConnection;
  bytes: number;
  longest: number;
  closed: boolean;
}

/** A client's connection of which only the sizes are kept. */
function connectReader(): Reader {
  const reader: Reader = { connection: engine.connect({ addresses }), bytes: 0, longest: 0, closed: false };
  reader.connection.onData = (bytes) => {
    reader.bytes += bytes.length;
    reader.longest = Math.max(reader.longest, bytes.length);
  };
  reader.connection.onClose = () => {
    reader.closed = true;
  };
  return reader;
}

/** The reader reads no more until it is resumed. */
function pauseAfterMegabyte(reader: Reader): void {
  reader.connection.onData = (bytes) => {
    const before = reader.bytes;
    reader.bytes += bytes.length;
    if (before < MB && reader.bytes >= MB) reader.connection.pause();
  };
}

const send = ({ connection }: Reader, ...words: string[]): boolean => connection.write(encodeCommand(words));

describe("a client", () => {
  it("gets long replies in small pieces, and others are served in between", async () => {
    const client = await start();
    await client.call("SETRANGE", "k", String(20 * MB), "x");
    const reader = connectReader();
    send(reader, "MGET", ...Array.from({ length: 5 }, () => "k"));
    await until(() => reader.bytes > 0);
    await client.call("PING");
    expect(reader.bytes).toBeLessThan(100 * MB);
    await until(() => reader.bytes > 100 * MB);
    expect(reader.longest).toBeLessThanOrEqual(64 * 1024);
  });

  it("whose replies are longer than 4 GiB is given up, and nothing else", async () => {
    const client = await start();
    await client.call("SETRANGE", "k", "99999999", "x");
    const reader = connectReader();
    send(reader, "MGET", ...Array.from({ length: 45 }, () => "k"));
    await until(() => reader.closed);
    expect(reader.bytes).toBeGreaterThan(4000 * MB);
    expect(warnings).toEqual(["a client was disconnected, whose replies are longer than 4 GiB"]);
    expect(plain(await client.call("STRLEN", "k"))).toBe(100_000_000);
  }, 300_000);

  it("that does not read long replies has no more commands carried out until it does", async () => {
    const client = await start();
    await client.call("SETRANGE", "k", String(MB), "x");
    const reader = connectReader();
    pauseAfterMegabyte(reader);
    for (let count = 0; count < 200; count++) send(reader, "GET", "k");
    for (let count = 0; count < 500; count++) send(reader, "INCR", "n");
    await until(() => reader.bytes >= MB);
    for (let round = 0; round < 20; round++) await client.call("PING");
    expect(plain(await client.call("GET", "n"))).toBe(null);
    const stats = String(await client.call("INFO", "commandstats"));
    expect(Number(/cmdstat_get:calls=(\d+)/.exec(stats)?.[1])).toBeLessThan(100);
    reader.connection.resume();
    // heads, line ends and the replies of INCR
    await until(() => reader.bytes === 200 * (MB + 1 + "$1048577\r\n\r\n".length) + 9 * 4 + 90 * 5 + 401 * 6);
    expect(plain(await client.call("GET", "n"))).toBe("500");
  }, 60_000);

  it("that does not read short replies has all its commands carried out: it may read when it has sent them all", async () => {
    const client = await start();
    const reader = connectReader();
    reader.connection.pause();
    for (let count = 0; count < 100; count++) {
      reader.connection.write(Buffer.concat(Array.from({ length: 1000 }, () => encodeCommand(["INCR", "n"]))));
    }
    while (plain(await client.call("GET", "n")) !== "100000") await client.call("PING");
    expect(reader.bytes).toBe(0);
    reader.connection.resume();
    await until(() => reader.bytes > 700_000);
  });

  it("is disconnected when the engine would hold more than the limit for it; the server's own replies may be longer", async () => {
    const client = await start({ clientOutputLimit: 4 * MB });
    for (let count = 0; count < 20; count++)
      await client.call("RPUSH", "l", ...Array.from({ length: 500 }, () => Buffer.alloc(1000)));
    const reader = connectReader();
    send(reader, "LRANGE", "l", "0", "-1");
    await until(() => reader.closed);
    expect(reader.bytes).toBeLessThan(5 * MB);
    expect(await client.call("LRANGE", "l", "0", "-1")).toHaveLength(10_000);
    await client.call("CONFIG", "SET", "client-output-buffer-limit", "normal 32mb 0 0");
    const other = connectReader();
    send(other, "LRANGE", "l", "0", "-1");
    await until(() => other.bytes > 10_000_000);
    await client.call("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0");
    send(other, "LRANGE", "l", "0", "-1");
    await until(() => other.closed);
  });

  it("that waits with its commands goes on waiting while somebody holds the engine", async () => {
    const client = await start();
    await client.call("SETRANGE", "k", String(4 * MB), "x");
    const reader = connectReader();
    pauseAfterMegabyte(reader);
    for (let count = 0; count < 40; count++) send(reader, "GET", "k");
    send(reader, "SET", "done", "1");
    await until(() => reader.bytes >= MB);
    engine.settle();
    reader.connection.resume();
    for (let round = 0; round < 50; round++) await client.call("PING");
    expect(plain(await client.call("GET", "done"))).toBe(null);
    engine.release();
    await until(() => reader.bytes > 160 * MB);
    expect(plain(await client.call("GET", "done"))).toBe("1");
  }, 60_000);
});

describe("the server's own connections", () => {
  it("end with a reply that is too long, and say so", async () => {
    const client = await start();
    await client.call("SETRANGE", "k", String(3 * MB), "x");
    const small = new EngineClient(engine.connect(), 5 * MB);
    expect((await small.rawCall(encodeCommand(["GET", "k"]), 1)).length).toBeGreaterThan(3 * MB);
    const long = small.rawCall(encodeCommand(["MGET", "k", "k"]), 1);
    const later = small.call("PING");
    await expect(long).rejects.toThrow(`ERR the reply is longer than ${5 * MB} bytes`);
    await expect(later).rejects.toThrow("longer than");
    const values = new EngineClient(engine.connect(), 5 * MB);
    await expect(values.call("MGET", "k", "k")).rejects.toThrow("longer than");
    expect(plain(await client.call("PING"))).toBe("PONG");
  });
});
