import { describe, expect, it } from "vitest";
import { EngineClient, encodeCommand } from "../../src/engine/engine-client.ts";
import type { EmbeddedConnection } from "../../src/engine/embedded-connection.ts";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { ENGINE_DOWN } from "../../src/engine/engine.ts";
import { InternalError } from "../../src/errors.ts";
import { engine, start, warnings } from "./embedded-setup.ts";
import { engineCases, plain } from "./engine.cases.ts";
import { RawConnection } from "./raw-connection.ts";

describe("EmbeddedEngine", () => {
  engineCases(async () => {
    const engine = new EmbeddedEngine();
    await engine.start();
    return { engine, stop: () => engine.stop() };
  });
});

describe("EmbeddedEngine without knowledge of the build", () => {
  engineCases(async () => {
    const engine = new EmbeddedEngine({ portable: true });
    await engine.start();
    return { engine, stop: () => engine.stop() };
  });
});

/** Gathers what a connection gets, with its name, in the order of delivery. */
function record(connection: EmbeddedConnection, name: string, into: string[]): EmbeddedConnection {
  connection.onData = (bytes) => into.push(`${name} ${bytes.toString("latin1")}`);
  return connection;
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("warnings", () => {
  it("are of what it is told to do and can not, but not of what others do for it", async () => {
    const client = await start();
    await expect(client.call("SAVE")).rejects.toThrow("ERR");
    await expect(client.call("BGSAVE")).rejects.toThrow("ERR");
    await expect(client.call("SHUTDOWN", "SAVE")).rejects.toThrow("Errors trying to SHUTDOWN");
    await client.call("SHUTDOWN", "NOSAVE").catch(() => {});
    // what was asked for in so many words, and could not be done
    expect(warnings).toEqual([
      "Error trying to save the DB, can't exit.",
      "Errors trying to shut down the server. Check the logs for more information.",
    ]);
  });
});

describe("flushNow", () => {
  it("answers within the call, for a new connection too", async () => {
    const client = await start();
    await client.call("SET", "k", "v");
    const got: string[] = [];
    const connection = record(engine.connect(), "new", got);
    connection.write(encodeCommand(["GET", "k"]));
    connection.flushNow();
    expect(got).toEqual(["new $1\r\nv\r\n"]);
    expect(String(client.ask(encodeCommand(["INCR", "n"])))).toBe(":1\r\n");
  });

  it("carries out all that was written, after slow commands too", async () => {
    await start();
    const connection = engine.connect();
    let replies = 0;
    connection.onData = (bytes) => {
      replies += bytes.toString("latin1").split("\r\n").length - 1;
    };
    const slow = encodeCommand(["EVAL", "for i = 1, 3000000 do end return 1", "0"]);
    for (const one of [encodeCommand(["INCR", "n"]), slow, encodeCommand(["INCRBY", "n", "1".repeat(15)])]) {
      replies = 0;
      const count = one === slow ? 3 : 5000;
      connection.write(Buffer.concat(Array.from({ length: count }, () => one)));
      connection.flushNow();
      expect(replies).toBe(count);
    }
  });

  it("does not carry out what others wrote", async () => {
    await start();
    const got: string[] = [];
    const first = record(engine.connect(), "first", got);
    const second = record(engine.connect(), "second", got);
    for (const connection of [first, second]) {
      connection.write(encodeCommand(["PING"]));
      connection.flushNow();
    }
    got.length = 0;
    first.write(encodeCommand(["INCR", "n"]));
    second.write(encodeCommand(["INCR", "n"]));
    second.flushNow();
    expect(got).toEqual(["second :1\r\n"]);
    await tick();
    expect(got).toEqual(["second :1\r\n", "first :2\r\n"]);
  });

  it("keeps the order when a receiver flushes inside a delivery", async () => {
    await start();
    const got: string[] = [];
    const asks = engine.connect();
    const other = record(engine.connect(), "other", got);
    for (const connection of [asks, other]) {
      connection.write(encodeCommand(["PING"]));
      connection.flushNow();
    }
    got.length = 0;
    asks.onData = (bytes) => {
      got.push(`asks ${bytes}`);
      if (bytes.toString() === ":1\r\n") {
        other.write(encodeCommand(["ECHO", "b"]));
        asks.write(encodeCommand(["INCR", "n"]));
        asks.flushNow();
      }
    };
    asks.write(encodeCommand(["INCR", "n"]));
    other.write(encodeCommand(["ECHO", "a"]));
    for (let i = 0; i < 5; i++) await tick();
    expect(got.filter((text) => text.startsWith("asks"))).toEqual(["asks :1\r\n", "asks :2\r\n"]);
    expect(got.filter((text) => text.startsWith("other")).join("")).toBe("other $1\r\na\r\nother $1\r\nb\r\n");
  });
});

describe("the order of delivery", () => {
  it("tells a priority connection of events before the reply of the command that caused them", async () => {
    const client = await start({ config: { "notify-keyspace-events": "KA" } });
    const got: string[] = [];
    const writer = record(engine.connect(), "reply", got);
    const plainListener = record(engine.connect(), "plain", got);
    const listener = record(engine.connect({ priority: true }), "event", got);
    for (const connection of [plainListener, listener]) {
      connection.write(encodeCommand(["PSUBSCRIBE", "__keyspace@*"]));
      connection.flushNow();
    }
    await client.call("PING");
    got.length = 0;
    writer.write(encodeCommand(["SET", "k", "v"]));
    await tick();
    expect(got.map((text) => text.split(" ")[0])).toEqual(["event", expect.any(String), expect.any(String)]);
    got.length = 0;
    writer.write(encodeCommand(["SET", "k", "w"]));
    writer.flushNow();
    expect(got[0]).toContain("event *4");
    expect(got).toContain("reply +OK\r\n");
  });

  it("does so when the events are more than Valkey writes at once", async () => {
    await start({ config: { "notify-keyspace-events": "KA" } });
    let text = "";
    const listener = engine.connect({ priority: true });
    listener.write(encodeCommand(["PSUBSCRIBE", "__keyspace@*"]));
    listener.flushNow();
    listener.onData = (bytes) => {
      text += bytes.toString("latin1");
    };
    const writer = engine.connect();
    const script = "for i = 1, 5000 do redis.call('SET', string.rep('k', 100) .. i, 'v') end";
    for (const flush of [true, false]) {
      text = "";
      const before = new Promise<number>((resolve) => {
        writer.onData = () => resolve(text.split("pmessage").length - 1);
      });
      writer.write(encodeCommand(["EVAL", script, "0"]));
      if (flush) writer.flushNow();
      expect(await before).toBe(5000);
    }
  });
});

it("gives a paused connection its last bytes and its end when it goes on", async () => {
  await start();
  const got: string[] = [];
  const pauser = engine.connect({ priority: true });
  const paused = record(engine.connect(), "paused", got);
  paused.onClose = () => got.push("closed");
  pauser.onData = () => paused.pause();
  for (const connection of [pauser, paused]) connection.write(encodeCommand([connection === paused ? "QUIT" : "PING"]));
  for (let i = 0; i < 5; i++) await tick();
  expect(got).toEqual([]);
  paused.resume();
  await tick();
  expect(got).toEqual(["paused +OK\r\n", "closed"]);
});

describe("scripts that do not end", () => {
  const endless = ["EVAL", "redis.call('SET', 'k', 'v'); while true do end", "0"];

  it("are stopped, also when they have written", async () => {
    const client = await start({ scriptTimeLimitMs: 100 });
    const other = new EngineClient(engine.connect());
    const replies = await client.pipeline([["EVAL", "while true do end", "0"], endless, ["GET", "k"]]);
    expect(plain(replies)).toEqual([
      expect.stringMatching(/^-ERR Script killed by user/),
      expect.stringMatching(/^-ERR Script killed by user/),
      "v",
    ]);
    await other.call(
      "FUNCTION",
      "LOAD",
      "#!lua name=l\nredis.register_function('f', function() while true do end end)",
    );
    await expect(other.call("FCALL", "f", "0")).rejects.toThrow(/killed/i);
    const stubborn = "while true do pcall(function() while true do end end) end";
    await expect(other.call("EVAL", stubborn, "0")).rejects.toThrow(/killed/i);
    expect(warnings.filter((text) => text.startsWith("a script"))).toEqual([
      "a script ran longer than 100 ms and was stopped",
      "a script ran longer than 100 ms and was stopped; what it had written stays",
      "a script ran longer than 100 ms and was stopped",
      "a script ran longer than 100 ms and was stopped",
    ]);
    expect(plain(await other.call("EVAL", "return 'next'", "0"))).toBe("next");
  });

  it("may ask for rights, which ends a build of Valkey that is not mended", async () => {
    const client = await start();
    await client.call("ACL", "SETUSER", "default", "-config");
    const script =
      "return {redis.acl_check_cmd('set', 'a', 'b') and 1 or 0, redis.acl_check_cmd('config', 'get', 'a') and 1 or 0}";
    for (let round = 0; round < 3; round++) expect(await client.call("EVAL", script, "0")).toEqual([1, 0]);
    await expect(client.call("EVAL", "return redis.acl_check_cmd('nosuch')", "0")).rejects.toThrow("Invalid command");
  });

  it("end an engine of an unknown build", async () => {
    const client = await start({ scriptTimeLimitMs: 100, portable: true });
    const ended = new Promise((resolve) => {
      engine.onExit = (...end) => resolve(end);
    });
    await expect(client.call(...endless)).rejects.toThrow("ended by a fault");
    expect(await ended).toEqual([1, expect.any(InternalError)]);
  });

  it("run as long as they like when there is no limit", async () => {
    const client = await start({ scriptTimeLimitMs: 0, config: { "busy-reply-threshold": "10" } });
    const script = "for i = 1, 20000000 do end return 'done'";
    expect(plain(await client.call("EVAL", script, "0"))).toBe("done");
  });
});

describe("the end", () => {
  it("by SHUTDOWN closes everything and tells the code", async () => {
    const client = await start();
    const idle = new RawConnection(engine);
    const codes: unknown[] = [];
    engine.onExit = (...end) => codes.push(end);
    await expect(client.call("SHUTDOWN", "NOSAVE")).rejects.toThrow("the engine closed the connection");
    expect(await idle.end()).toBeUndefined();
    expect(codes).toEqual([[0, undefined]]);
    const late = new RawConnection(engine);
    late.send("PING\r\n");
    expect(await late.end()).toMatchObject({ message: ENGINE_DOWN });
  });

  it("by stop() closes everything, and is not an exit", async () => {
    const client = await start();
    const codes: unknown[] = [];
    engine.onExit = (...end) => codes.push(end);
    const waiting = client.call("BLPOP", "x", "0");
    await engine.stop();
    await expect(waiting).rejects.toThrow("the engine closed the connection");
    expect(codes).toEqual([]);
  });
});

it("refuses a forged payload, which would end it when it is used", async () => {
  const client = await start();
  // a set in a listpack that does not end where it says
  const payload = Buffer.from("140d0d000000fe00816102946202ff5000d08af4da4dd72693", "hex");
  await expect(client.call("RESTORE", "k", "0", payload)).rejects.toThrow("ERR Bad data format");
  await client.call("SADD", "k", "a", "b");
  const dump = (await client.call("DUMP", "k")) as Buffer;
  expect(plain(await client.call("RESTORE", "copy", "0", dump))).toBe("OK");
});

describe("settings", () => {
  it("are applied", async () => {
    const client = await start({ config: { maxmemory: "100mb", requirepass: "secret" } });
    await expect(client.call("PING")).rejects.toThrow("NOAUTH");
    await client.call("AUTH", "secret");
    expect(plain(await client.call("CONFIG", "GET", "maxmemory"))).toEqual(["maxmemory", "104857600"]);
  });

  it("that are wrong keep it from starting", async () => {
    await expect(start({ config: { maxmemory: "much" } })).rejects.toThrow(
      "the engine refuses maxmemory: argument must be a memory value",
    );
    await expect(start({ config: { nonsense: "1" } })).rejects.toThrow(
      "the engine refuses nonsense: Bad directive or wrong number of arguments",
    );
    await expect(start({ portable: true, config: { maxmemory: "much" } })).rejects.toThrow(
      "the engine refuses maxmemory: ERR CONFIG SET failed",
    );
  });

  it("give each engine its own randomness and the right time", async () => {
    const first = await start();
    const before = Date.now() / 1000;
    const [seconds = null, micros = null] = (await first.call("TIME")) as Buffer[];
    const told = Number(plain(seconds)) + Number(plain(micros)) / 1e6;
    expect(told).toBeGreaterThan(before - 0.01);
    expect(told).toBeLessThan(Date.now() / 1000 + 0.01);
    const ids = [await first.call("ACL", "GENPASS")];
    await engine.stop();
    ids.push(await (await start()).call("ACL", "GENPASS"));
    expect(ids[0]).not.toEqual(ids[1]);
    expect(plain(ids[0] ?? null)).toMatch(/^[\da-f]{64}$/);
  });
});
