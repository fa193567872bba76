/** What the server asks without a turn of Valkey's event loop is carried out as with it, and everybody gets what he is owed. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { EngineClient, encodeCommand } from "../../src/engine/engine-client.ts";
import type { EmbeddedConnection } from "../../src/engine/embedded-connection.ts";
import { EmbeddedEngine, type EmbeddedOptions } from "../../src/engine/embedded-engine.ts";
import { turns, until } from "../support/waiting.ts";

let engine = new EmbeddedEngine();
afterEach(() => {
  vi.useRealTimers();
  return engine.stop();
});

async function start(options: EmbeddedOptions = {}): Promise<EmbeddedConnection> {
  engine = new EmbeddedEngine(options);
  await engine.start();
  const own = engine.connect();
  run(own, "PING");
  return own;
}

/** What a connection of the server's own gets for a command, within the call. */
function run(connection: EmbeddedConnection, ...command: readonly (string | Buffer)[]): string {
  let got = "";
  connection.onData = (bytes) => {
    got += bytes.toString("latin1");
  };
  connection.write(encodeCommand(command));
  connection.flushNow();
  return got;
}

const ADDRESSES = { peer: "127.0.0.1:1", local: "127.0.0.1:2" };

describe("a command of the server's own", () => {
  it("gives the same reply as by the event loop", async () => {
    const commands: readonly (readonly (string | Buffer)[])[] = [
      ["SET", "k", Buffer.from([0, 255, 13, 10])],
      ["GET", "k"],
      ["INCR", "n"],
      ["INCR", "k"],
      ["NO", "SUCH"],
      ["SET", "k"],
      ["LPUSH", "l", ..."abcdefgh"],
      ["LRANGE", "l", "0", "-1"],
      ["EVAL", "return {1, 'two', {redis.call('GET', 'n')}}", "0"],
      ["SETRANGE", "long", "70000", "x"],
      ["GET", "long"],
      ["EXPIRE", "n", "100"],
      ["TTL", "n"],
      ["FLUSHALL"],
      ["GET", "n"],
    ];
    const direct = await start();
    const replies = commands.map((command) => run(direct, ...command));
    await engine.stop();
    const portable = await start({ portable: true });
    expect(commands.map((command) => run(portable, ...command))).toEqual(replies);
    expect(replies[1]).toBe("$4\r\n\u0000\u00ff\r\n\r\n");
  });

  it("that asks several things at once gets all answers, in their order", async () => {
    const own = await start();
    let got = "";
    own.onData = (bytes) => {
      got += bytes.toString();
    };
    for (let i = 0; i < 2_000; i++) own.write(encodeCommand(["INCR", "n"]));
    own.flushNow();
    expect(got).toBe(Array.from({ length: 2_000 }, (_, i) => `:${i + 1}\r\n`).join(""));
  });

  it("wakes who waits for what it brings, and tells subscribers", async () => {
    const own = await start();
    const [waiting, listening] = [engine.connect({ addresses: ADDRESSES }), engine.connect({ addresses: ADDRESSES })];
    const got: string[] = [];
    waiting.onData = (bytes) => got.push(`waiting ${bytes.toString()}`);
    listening.onData = (bytes) => got.push(`listening ${bytes.toString()}`);
    waiting.write(encodeCommand(["BLPOP", "list", "0"]));
    listening.write(encodeCommand(["SUBSCRIBE", "channel"]));
    waiting.flushNow();
    listening.flushNow();
    got.length = 0;
    expect(run(own, "LPUSH", "list", "value")).toBe(":1\r\n");
    expect(run(own, "PUBLISH", "channel", "message")).toBe(":1\r\n");
    expect(got).toEqual([
      "waiting *2\r\n$4\r\nlist\r\n$5\r\nvalue\r\n",
      "listening *3\r\n$7\r\nmessage\r\n$7\r\nchannel\r\n$7\r\nmessage\r\n",
    ]);
  });

  it("does not leave undone what Valkey puts off until its loop turns", async () => {
    const own = await start();
    const tracking = engine.connect({ addresses: ADDRESSES });
    let invalidated = "";
    tracking.onData = (bytes) => {
      invalidated += bytes.toString();
    };
    tracking.write(encodeCommand(["HELLO", "3"]));
    tracking.write(encodeCommand(["CLIENT", "TRACKING", "ON", "BCAST"]));
    tracking.flushNow();
    // no turn by the clock comes from now on, and what was begun is over
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    await turns();
    invalidated = "";
    expect(run(own, "SET", "watched", "1")).toBe("+OK\r\n");
    expect(invalidated).toBe("");
    await turns();
    expect(invalidated).toContain("watched");
  });

  it("that ends its own connection ends no more than that", async () => {
    const own = await start();
    let ended = false;
    own.onClose = () => {
      ended = true;
    };
    expect(run(own, "QUIT")).toBe("+OK\r\n");
    await until(() => ended);
    const other = engine.connect();
    expect(run(other, "CLIENT", "KILL", "ID", run(other, "CLIENT", "ID").slice(1, -2), "SKIPME", "no")).toMatch(
      /^(:1\r\n)?$/,
    );
    const third = engine.connect();
    expect(run(third, "PING")).toBe("+PONG\r\n");
  });

  it("is stopped when it is a script that does not end", async () => {
    const own = await start({ scriptTimeLimitMs: 100 });
    const start_ = performance.now();
    expect(run(own, "EVAL", "while true do end", "0")).toMatch(/^-ERR.*killed/i);
    expect(performance.now() - start_).toBeLessThan(5_000);
    expect(run(own, "PING")).toBe("+PONG\r\n");
  });

  it("is shown to those who monitor, as before", async () => {
    const own = await start();
    const monitor = engine.connect({ addresses: ADDRESSES });
    const lines: string[] = [];
    monitor.onData = (bytes) => lines.push(bytes.toString());
    monitor.monitor(true);
    monitor.write(encodeCommand(["MONITOR"]));
    monitor.flushNow();
    own.write(encodeCommand(["SET", "seen", "1"]));
    own.flushShown();
    await until(() => lines.join("").includes('"SET" "seen" "1"'));
  });

  it("costs less than two turns of the event loop", async () => {
    const time = (own: EmbeddedConnection): number => {
      own.onData = () => {};
      const incr = encodeCommand(["INCR", "n"]);
      const runs = Array.from({ length: 40 }, () => {
        const begun = performance.now();
        for (let i = 0; i < 500; i++) {
          own.write(incr);
          own.flushNow();
        }
        return performance.now() - begun;
      });
      return Math.min(...runs.slice(10));
    };
    const direct = time(await start());
    const first = engine;
    const own = await start();
    // somebody monitors: then it is the event loop that reads
    const monitor = engine.connect({ addresses: ADDRESSES });
    monitor.pause();
    monitor.monitor(true);
    expect(direct).toBeLessThan(time(own));
    await first.stop();
  });
});

describe("a client of the engine", () => {
  it("gets its replies in order, whoever runs beside it", async () => {
    const own = await start();
    const client = new EngineClient(engine.connect());
    const replies: Promise<unknown>[] = [];
    for (let i = 0; i < 300; i++) {
      replies.push(client.call("INCR", "shared").then((reply) => Number(reply)));
      run(own, "INCR", "other");
    }
    expect(await Promise.all(replies)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    expect(run(own, "GET", "other")).toBe("$3\r\n300\r\n");
  });
});
