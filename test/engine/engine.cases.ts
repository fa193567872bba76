/** What every engine must do, whatever it is: run on each implementation. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EngineClient, EngineError, type EngineValue, encodeCommand } from "../../src/engine/engine-client.ts";
import { EngineCommands } from "../../src/engine/engine-commands.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { RawConnection } from "./raw-connection.ts";

/** Makes buffers readable for comparison. */
export function plain(value: EngineValue): unknown {
  if (Buffer.isBuffer(value)) return value.toString();
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof EngineError) return `-${value.message}`;
  return value;
}

/**
 * Declares the cases.
 * @param open gives a started engine and the way to end it
 */
export function engineCases(open: () => Promise<{ engine: Engine; stop: () => Promise<void> }>): void {
  describe("as an engine", () => {
    let engine: Engine;
    let stop: () => Promise<void>;
    let client: EngineClient;

    beforeAll(async () => {
      ({ engine, stop } = await open());
    });
    afterAll(() => stop());
    beforeEach(async () => {
      client?.close();
      client = new EngineClient(engine.connect());
      await client.pipeline([["FLUSHALL"], ["CONFIG", "SET", "notify-keyspace-events", ""]]);
    });

    it("keeps all bytes", async () => {
      const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      await client.call("SET", all, Buffer.concat([all, all]));
      expect(await client.call("GET", all)).toEqual(Buffer.concat([all, all]));
      expect(await client.call("GET", "missing")).toBeNull();
    });

    it("tells when there is room again, each time that it was full", async () => {
      const raw = new RawConnection(engine);
      let drained = 0;
      raw.connection.onDrain = () => drained++;
      for (let round = 1; round <= 3; round++) {
        let written = 1;
        while (raw.connection.write(encodeCommand(["SET", "k", Buffer.alloc(1_000_000)]))) written++;
        await expect.poll(() => drained).toBe(round);
        await raw.when(() => raw.text.length === 5 * written);
        raw.text = "";
      }
      raw.connection.close();
    });

    it("answers pipelines in order, errors as values", async () => {
      const commands = Array.from({ length: 5000 }, (_, i) => ["INCRBY", "n", String(i)]);
      const values = await client.pipeline([...commands, ["LPUSH", "n", "x"], ["GET", "n"]]);
      expect(values).toHaveLength(5002);
      expect(values[100]).toBe(5050);
      expect(plain(values[5000] ?? null)).toMatch(/^-WRONGTYPE /);
      expect(plain(values[5001] ?? null)).toBe(String((5000 * 4999) / 2));
    });

    it("rejects a call with the engine's error", async () => {
      const error = await client.call("GET").catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(EngineError);
      expect(String(error)).toBe("EngineError: ERR wrong number of arguments for 'get' command");
    });

    it("runs transactions and refuses those whose keys changed", async () => {
      const other = new EngineClient(engine.connect());
      expect(plain(await client.pipeline([["WATCH", "k"], ["MULTI"], ["INCR", "k"], ["EXEC"]]))).toEqual([
        ...["OK", "OK", "QUEUED"],
        [1],
      ]);
      await client.call("WATCH", "k");
      await other.call("SET", "k", "other");
      expect(plain(await client.pipeline([["MULTI"], ["INCR", "k"], ["EXEC"]]))).toEqual(["OK", "QUEUED", null]);
      other.close();
    });

    it("runs Lua", async () => {
      const script = "redis.call('SET', KEYS[1], ARGV[1]); return {1, redis.call('GET', KEYS[1]), {err='MY error'}}";
      expect(plain(await client.call("EVAL", script, "1", "k", "v"))).toEqual([1, "v", "-MY error"]);
    });

    it("publishes to channels and patterns", async () => {
      const subscriber = new EngineClient(engine.connect());
      const seen: unknown[] = [];
      const done = new Promise<void>((resolve) => {
        subscriber.onPush = (kind, values) => {
          seen.push([kind, ...values.map(plain)]);
          if (seen.length === 2) resolve();
        };
      });
      expect(plain(await subscriber.call("SUBSCRIBE", "a", "b"))).toEqual(["subscribe", "b", 2]);
      expect(plain(await subscriber.call("PSUBSCRIBE", "a*"))).toEqual(["psubscribe", "a*", 3]);
      expect(await client.call("PUBLISH", "a", "hello")).toBe(2);
      await done;
      expect(seen).toEqual([
        ["message", "a", "hello"],
        ["pmessage", "a*", "a", "hello"],
      ]);
      subscriber.close();
    });

    it("notifies of keyspace events, expiry without access among them", async () => {
      await client.call("CONFIG", "SET", "notify-keyspace-events", "KEA");
      const subscriber = new EngineClient(engine.connect());
      const seen: unknown[] = [];
      const done = new Promise<void>((resolve) => {
        subscriber.onPush = (_kind, [, channel = null, key = null]) => {
          seen.push(`${plain(channel)} ${plain(key)}`);
          if (seen.length === 3) resolve();
        };
      });
      await subscriber.call("PSUBSCRIBE", "__keyevent@*");
      await client.call("PSETEX", "k", "20", "v");
      await done;
      expect(seen).toEqual(["__keyevent@0__:set k", "__keyevent@0__:expire k", "__keyevent@0__:expired k"]);
      subscriber.close();
    });

    it("blocks one connection until another brings what it waits for", async () => {
      const other = new EngineClient(engine.connect());
      const popped = client.call("BLPOP", "list", "0");
      const after = client.call("PING");
      // The order across connections is not defined before the first has been read.
      for (;;) {
        const clients = String(await other.call("CLIENT", "LIST"));
        if (clients.includes("cmd=blpop")) break;
      }
      expect(await other.call("LPUSH", "list", "x")).toBe(1);
      expect(plain(await popped)).toEqual(["list", "x"]);
      expect(plain(await after)).toBe("PONG");
      expect(await client.call("BLPOP", "list", "0.05")).toBeNull();
      other.close();
    });

    it("reads streams, blocking too", async () => {
      const other = new EngineClient(engine.connect());
      await client.call("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM");
      const read = client.call("XREADGROUP", "GROUP", "g", "me", "BLOCK", "5000", "STREAMS", "s", ">");
      await other.call("XADD", "s", "1-1", "field", "value");
      expect(plain(await read)).toEqual([["s", [["1-1", ["field", "value"]]]]]);
      other.close();
    });

    it("speaks RESP3 when asked", async () => {
      const raw = new RawConnection(engine);
      raw.send("HELLO 3\r\nHSET h f v\r\nHGETALL h\r\nGET nothing\r\n");
      expect(await raw.until(/_\r\n$/)).toMatch(/^%7\r\n.*:1\r\n%1\r\n\$1\r\nf\r\n\$1\r\nv\r\n_\r\n$/s);
      raw.connection.close();
    });

    it("carries a value of 64 MB", { timeout: 60_000 }, async () => {
      const value = Buffer.alloc(64 * 1024 * 1024, "0123456789abcdef");
      await client.call("SET", "big", value);
      const back = await client.call("GET", "big");
      expect(Buffer.isBuffer(back) && back.equals(value)).toBe(true);
      await client.call("UNLINK", "big");
    });

    it("gives raw replies, many frames in one", async () => {
      const commands = [encodeCommand(["RPUSH", "l", "a", ""]), encodeCommand(["LRANGE", "l", "0", "-1"])];
      const bytes = Buffer.concat([...commands, encodeCommand(["NOPE"]), encodeCommand(["GET", "none"])]);
      const before = client.call("ECHO", "before");
      const raw = client.rawCall(bytes, 4);
      const after = client.call("ECHO", "after");
      expect((await raw).toString()).toMatch(
        /^:2\r\n\*2\r\n\$1\r\na\r\n\$0\r\n\r\n-ERR unknown command [^\r]*\r\n\$-1\r\n$/,
      );
      expect([plain(await before), plain(await after)]).toEqual(["before", "after"]);
    });

    it("delivers nothing while paused, and all afterwards", async () => {
      const raw = new RawConnection(engine);
      raw.send("PING\r\n");
      await raw.until(/\+PONG\r\n/);
      await client.call("SET", "k", Buffer.alloc(1_000_000));
      raw.bytes = 0;
      raw.connection.pause();
      raw.send("GET k\r\n".repeat(20));
      for (let i = 0; i < 50; i++) await client.call("PING");
      expect(raw.bytes).toBe(0);
      raw.connection.resume();
      await raw.when(() => raw.bytes === 20 * (1_000_000 + 12));
      raw.connection.close();
    });

    it("closes a paused reader that exceeds the output limit", async () => {
      const [, normal = ""] = (await client.call("CONFIG", "GET", "client-output-buffer-limit")) as Buffer[];
      await client.call("CONFIG", "SET", "client-output-buffer-limit", "normal 16mb 0 0");
      const raw = new RawConnection(engine);
      raw.send("CLIENT ID\r\n");
      const id = (await raw.until(/:\d+\r\n/)).slice(1).trim();
      const elements = Array.from({ length: 1000 }, () => Buffer.alloc(1000));
      for (let count = 0; count < 40; count++) await client.call("RPUSH", "l", ...elements);
      raw.connection.pause();
      raw.send("LRANGE l 0 -1\r\n");
      while (String(await client.call("CLIENT", "LIST", "ID", id)) !== "") await client.call("PING");
      raw.connection.resume();
      await raw.end();
      expect(raw.bytes).toBeLessThan(40_000_000);
      await client.call("CONFIG", "SET", "client-output-buffer-limit", normal);
    });

    it("tells when the engine closes a connection", async () => {
      const raw = new RawConnection(engine);
      raw.send("QUIT\r\n");
      expect(await raw.until(/\+OK\r\n/)).toBe("+OK\r\n");
      expect(await raw.end()).toBeUndefined();
      const killed = new RawConnection(engine);
      killed.send("CLIENT ID\r\n");
      const id = (await killed.until(/:\d+\r\n/)).slice(1).trim();
      expect(await client.call("CLIENT", "KILL", "ID", id)).toBe(1);
      await killed.end();
      const bad = new RawConnection(engine);
      bad.send("*1\r\nx\r\n");
      await bad.until(/^-ERR Protocol error: expected '\$', got 'x'\r\n/);
      await bad.end();
    });

    it("lets a connection go in the middle of anything", async () => {
      const count = async (): Promise<number> =>
        String(await client.call("CLIENT", "LIST"))
          .trim()
          .split("\n").length;
      const before = await count();
      for (const text of [
        "",
        "PING\r\n",
        "*2\r\n$4\r\nEC",
        "BLPOP nothing 0\r\n",
        "MULTI\r\nINCR x\r\n",
        "SUBSCRIBE c\r\n",
      ]) {
        const atOnce = new RawConnection(engine);
        atOnce.send(text);
        atOnce.connection.close();
        const later = new RawConnection(engine);
        later.send(`PING\r\n${text}`);
        await later.until(/PONG/);
        later.connection.close();
        later.text = "";
        await client.call("PING");
        expect([atOnce.closed, later.closed, later.text]).toEqual([false, false, ""]);
      }
      while ((await count()) > before) await client.call("PING");
      expect(await client.call("EXISTS", "x")).toBe(0);
    });

    it("tells its commands", async () => {
      const commands = new EngineCommands();
      await commands.load(client);
      expect(commands.all().length).toBeGreaterThan(200);
      expect(commands.find("get")).toMatchObject({ arity: 2, firstKey: 1, lastKey: 1, keyStep: 1, movable: false });
      expect(commands.find("set")?.flags.has("write")).toBe(true);
      expect(commands.find("eval")?.movable).toBe(true);
    });
  });
}
