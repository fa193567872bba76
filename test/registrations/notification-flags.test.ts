/** Clients set `notify-keyspace-events` while the server needs it: the engine never tells less than both want. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EngineClient } from "../../src/engine/engine-client.ts";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { canonicalFlags } from "../../src/registrations/key-events.ts";
import { type Client, connectClient } from "../support/client.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

const redis = findRedisServer();
const PARAMETER = "notify-keyspace-events";

describe("a setting as the engine shows it", () => {
  it("is known beforehand", async () => {
    const engine = new EmbeddedEngine();
    await engine.start();
    const client = new EngineClient(engine.connect());
    const letters = "AKEg$lshzxetdnm";
    for (let set = 1; set < 2 ** letters.length; set += 37) {
      const flags = [...letters]
        .filter((_, bit) => (set >> bit) & 1)
        .reverse()
        .join("");
      await client.call("CONFIG", "SET", PARAMETER, flags);
      const [, shown] = (await client.call("CONFIG", "GET", PARAMETER)) as Buffer[];
      expect(canonicalFlags(flags), flags).toBe(String(shown));
    }
    await engine.stop();
  });
});

describe.each([
  ["embedded", () => true],
  ["by URL", () => redis.path !== undefined],
])("an engine %s", (kind, isThere) => {
  let engine: RedisServer | undefined;
  let server: RunningRegears;
  let client: Client;
  beforeAll(async () => {
    if (!isThere()) return;
    if (kind === "by URL") engine = await startRedisServer();
    server = await startRegears(engine ? ["--engine", `redis://127.0.0.1:${engine.port}`] : []);
    client = await connectClient(server.port);
    await client.call("CONFIG", "SET", PARAMETER, "Ex");
    const code =
      "GB('KeysReader').foreach(lambda r: execute('INCR', 'seen')).register('k:*', eventTypes=['set'], readValue=False)";
    await client.call("RG.PYEXECUTE", code);
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
    await engine?.stop();
  });

  const seen = async (): Promise<number> => Number((await client.call("GET", "seen")) ?? 0);

  it.skipIf(!isThere())(`loses no events when clients set it${isThere() ? "" : redis.skipped}`, async () => {
    const before = await seen();
    for (let i = 0; i < 20; i++) {
      await Promise.all([
        client.call("CONFIG", "SET", PARAMETER, ""),
        client.call("SET", `k:${i}`, "1"),
        client.call("CONFIG", "SET", PARAMETER, "gx"),
        client.call("SET", `k:${i}`, "2"),
      ]);
    }
    await expect.poll(seen).toBe(before + 40);
    expect(await client.call("CONFIG", "GET", PARAMETER)).toEqual([PARAMETER, "gx"]);
  });

  it.skipIf(!isThere())(`nor in a transaction, nor by a script${isThere() ? "" : redis.skipped}`, async () => {
    const before = await seen();
    const sets = Array.from({ length: 20 }, (_, i) => client.call("SET", `k:${i}`, "x"));
    await Promise.all(sets);
    const replies = [client.call("MULTI"), client.call("CONFIG", "SET", PARAMETER, "")];
    for (let i = 0; i < 20; i++) replies.push(client.call("SET", `k:${i}`, "x"));
    replies.push(client.call("CONFIG", "SET", PARAMETER, "KEA"), client.call("EXEC"));
    expect((await Promise.all(replies)).at(-1)).toEqual(Array.from({ length: 22 }, () => "OK"));
    const code = `execute('CONFIG', 'SET', '${PARAMETER}', '')\nfor i in range(20): execute('SET', 'k:%d' % i, 'x')`;
    await client.call("RG.PYEXECUTE", code);
    await expect.poll(seen).toBe(before + 60);
    expect(await client.call("CONFIG", "GET", PARAMETER)).toEqual([PARAMETER, ""]);
    await expect(client.call("CONFIG", "SET", PARAMETER, "Q")).rejects.toThrow("ERR");
    await client.call("RG.UNREGISTERALL");
    await client.call("CONFIG", "SET", PARAMETER, "Kx");
    expect(await client.call("CONFIG", "GET", PARAMETER)).toEqual([PARAMETER, "xK"]);
  });
});
