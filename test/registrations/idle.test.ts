/** RG.IDLE and RG.TIME: waiting for all that was begun, and moving the clock. */
import { describe, expect, it } from "vitest";
import { withClient } from "../support/client.ts";
import { useServer } from "../support/use-server.ts";

describe("RG.IDLE", () => {
  const setting = useServer();
  const call = (...command: string[]) => setting().client.call(...command);

  it("answers when all that was begun is done: scripts, events, streams", async () => {
    await call(
      "RG.PYEXECUTE",
      "import asyncio\nasync def slow(r):\n    await asyncio.sleep(0.05)\n    execute('INCR', 'done')\n" +
        "GB().foreach(slow).register('k:*', eventTypes=['set'])\n" +
        "GB('StreamReader').foreach(slow).register('s:*', batch=3, duration=100)",
    );
    for (let i = 0; i < 10; i++) await call("SET", `k:${i}`, "x");
    for (let i = 0; i < 4; i++) await call("XADD", "s:1", "*", "f", "v");
    await call("RG.PYEXECUTE", "GB('ShardsIDReader').foreach(lambda r: execute('INCR', 'done')).run()", "UNBLOCKING");
    expect(await call("RG.IDLE", "60000")).toBe("OK");
    expect(await call("GET", "done")).toBe("15");
    expect(await call("RG.IDLE")).toBe("OK");
  });

  it("says what is pending when the time is over, and passes who holds the engine", async () => {
    const script =
      "import time\ndef f(r):\n    with atomic():\n        time.sleep(1000)\nGB('ShardsIDReader').map(f).run()";
    const id = String(await call("RG.PYEXECUTE", script, "UNBLOCKING"));
    await withClient(setting().server.port, async (client) => {
      await expect(client.call("RG.IDLE", "50")).rejects.toThrow(
        "ERR not idle within 50 ms: 1 execution is unfinished",
      );
      await client.call("RG.ABORTEXECUTION", id);
      expect(await client.call("RG.IDLE", "60000")).toBe("OK");
    });
  });

  it("waits for time events that are being called, and not for those to come", async () => {
    await call("RG.PYEXECUTE", "registerTE(3600, lambda: None)");
    expect(await call("RG.IDLE", "60000")).toBe("OK");
  });

  it("refuses what is no time, and callers that can not wait", async () => {
    for (const wrong of ["-1", "1.5", "x", "9".repeat(15)])
      await expect(call("RG.IDLE", wrong)).rejects.toThrow("ERR milliseconds are a number");
    await call("MULTI");
    await call("RG.IDLE");
    const [reply] = (await call("EXEC")) as Error[];
    expect(reply?.message).toBe("ERR Blocking module command called from transaction");
  });

  it("has no clock that can be moved, unless asked for", async () => {
    await expect(call("RG.TIME", "FASTFORWARD", "1")).rejects.toThrow("--test-clock");
  });
});

describe("RG.TIME FASTFORWARD", () => {
  const setting = useServer(["--test-clock"]);
  const call = (...command: string[]) => setting().client.call(...command);

  it("lets time events fire as often as the time says", async () => {
    await call("RG.PYEXECUTE", "registerTE(60, lambda: execute('INCR', 'minutes'), 'every-minute')");
    expect(await call("RG.TIME", "FASTFORWARD", "3600000")).toBe("OK");
    expect(await call("GET", "minutes")).toBe("60");
  });

  it("lets keys expire, whose events are dealt with, and those of other databases", async () => {
    const script = "GB().foreach(lambda r: execute('RPUSH', 'gone', r['key'])).register('e:*', eventTypes=['expired'])";
    await call("RG.PYEXECUTE", script);
    await call("SET", "e:1", "x", "EX", "1000");
    await call("SET", "e:2", "x", "EX", "3000");
    await call("SELECT", "3");
    await call("SET", "other", "x", "EX", "1000");
    expect(await call("RG.TIME", "FASTFORWARD", "2000000")).toBe("OK");
    expect(await call("DBSIZE")).toBe(0);
    await call("SELECT", "0");
    expect(await call("LRANGE", "gone", "0", "-1")).toEqual(["e:1"]);
    expect(await call("TTL", "e:2")).toBeLessThanOrEqual(1000);
    // the clock that scripts' commands see is the same
    const ttl = "GB('ShardsIDReader').map(lambda x: execute('TTL', 'e:2') <= 1000).run()";
    expect(await call("RG.PYEXECUTE", ttl)).toEqual([["True"], []]);
  });

  it("ends the wait of streams for full batches", async () => {
    const script =
      "GB('StreamReader').foreach(lambda r: execute('INCR', 'n')).register('s', batch=100, duration=3600000)";
    await call("RG.PYEXECUTE", script);
    await call("XADD", "s", "*", "f", "v");
    await expect(call("RG.IDLE", "20")).rejects.toThrow("a batch of a stream waits for its duration");
    await call("RG.TIME", "FASTFORWARD", "3600000");
    expect(await call("GET", "n")).toBe("1");
    expect(await call("RG.IDLE", "60000")).toBe("OK");
  });

  it("says what holds the clock up when its own time is over, and goes on afterwards", async () => {
    const script = "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(1000)).run()";
    const id = String(await call("RG.PYEXECUTE", script, "UNBLOCKING"));
    await expect(call("RG.TIME", "FASTFORWARD", "1000", "50")).rejects.toThrow(
      "ERR the clock could not be moved on within 50 ms: 1 execution is unfinished",
    );
    await call("RG.ABORTEXECUTION", id);
    expect(await call("RG.TIME", "FASTFORWARD", "1000", "60000")).toBe("OK");
    await expect(call("RG.TIME", "FASTFORWARD", "1", "x")).rejects.toThrow("ERR milliseconds are a number");
  });

  it("refuses what would take too long, or is wrong", async () => {
    await expect(call("RG.TIME", "REWIND", "1")).rejects.toThrow("ERR syntax error");
    await expect(call("RG.TIME", "FASTFORWARD", "-1")).rejects.toThrow("ERR milliseconds are a number");
  });
});
