/** Time events on the running server. Each test waits for the shortest time that there is, one second. */
import { describe, expect, it } from "vitest";
import { executions, useServer, type Value } from "../support/use-server.ts";
import { reply } from "../support/replies.ts";
import { EngineGate } from "../../src/engine/engine-gate.ts";
import { Session, SessionRegistry } from "../../src/executions/session.ts";
import { TimeEvents } from "../../src/registrations/time-events.ts";
import { FakeHost } from "../support/fake-host.ts";
import { FakeClock } from "./set-up.ts";

const setting = useServer();
const ask = (...args: string[]): Promise<Value> => reply(setting().client, ...args);
const script = (code: string): Promise<Value> => ask("RG.PYEXECUTE", code);
const count = async (key: string): Promise<number> => Number(await ask("GET", key));

describe("a time event", () => {
  it("with a key: is refused while the key is there, is a key to see, and ends with it", async () => {
    await script(`
execute('SET', 'taken', 'x')
execute('RPUSH', 'made', str(registerTE(1, lambda: execute('INCR', 'never'), 'taken')))
execute('RPUSH', 'made', str(registerTE(1, lambda: execute('INCR', 'kept'), 'kept:key')))
execute('RPUSH', 'made', str(registerTE(1, lambda: execute('INCR', 'deleted'), 'deleted:key')))
execute('RPUSH', 'made', str(registerTE(1, lambda: execute('INCR', 'free'))))`);
    expect(await ask("LRANGE", "made", "0", "-1")).toEqual(["False", "True", "True", "True"]);
    expect([await ask("EXISTS", "kept:key"), await ask("KEYS", "*:key")]).toEqual([
      1,
      expect.arrayContaining(["kept:key", "deleted:key"]),
    ]);
    expect(await ask("DEL", "deleted:key")).toBe(1);
    await expect.poll(() => count("kept")).toBeGreaterThan(1);
    expect(await count("free")).toBeGreaterThan(0);
    expect([await count("deleted"), await count("never"), await ask("GET", "taken")]).toEqual([0, 0, "x"]);
  });

  it("that raises is not called again, and its key stays; others go on in the session's namespace", async () => {
    await script(`
n = 0
def fails():
    execute('INCR', 'failed')
    raise ValueError('once')
def counts():
    global n
    n += 1
    execute('SET', 'n', str(n))
    if n == 1: GB('ShardsIDReader').foreach(lambda r: execute('INCR', 'ran')).run()
registerTE(1, fails, 'fails:key')
registerTE(1, counts, 'counts:key')`);
    const before = (await executions(setting().client)).length;
    await expect.poll(() => count("n")).toBeGreaterThan(2);
    expect([await count("failed"), await ask("EXISTS", "fails:key")]).toEqual([1, 1]);
    await expect.poll(() => count("ran")).toBe(1);
    await expect.poll(async () => (await executions(setting().client)).length).toBe(before);
  });
});

describe("many time events", () => {
  it("that are due at once in one interpreter are all called, again and again", async () => {
    const script40 = Array.from(
      { length: 40 },
      (_, n) => `registerTE(1, lambda: execute('INCR', 'many:${n}'), 'event:${n}')`,
    );
    await script(script40.join("\n"));
    const least = async (): Promise<number> =>
      Math.min(...(await Promise.all(Array.from({ length: 40 }, (_, n) => count(`many:${n}`)))));
    await expect.poll(least, { timeout: 30_000 }).toBeGreaterThan(1);
  });
});

describe("a time event's clock", () => {
  it("calls it when its time has come, and not when it was stopped before", async () => {
    const called: unknown[] = [];
    const host = Object.assign(new FakeHost(), {
      runCallback: (_call: unknown, message: unknown) => called.push(message),
    });
    const clock = new FakeClock();
    const client = { call: async () => 1, close: () => {} };
    const timers = new TimeEvents({
      connections: { open: () => client } as never,
      ...{ gate: new EngineGate(), host, clock, sessions: new SessionRegistry() },
      ...{
        refusal: () => undefined,
        limitMs: 0,
        watchCall: () => ({ end: () => {} }),
        max: 10,
        log: { warn: () => {} },
      },
    });
    const session = new Session(undefined);
    session.home = {};
    for (const [number, seconds] of [
      [1, 60],
      [2, 3_600],
    ] as const)
      timers.restore(session, { number, seconds, key: `k${number}`, blob: Buffer.alloc(0) });
    clock.forward(59_999);
    await new Promise(setImmediate);
    expect(called).toEqual([]);
    clock.forward(1);
    await expect.poll(() => called.length).toBe(1);
    expect(called).toEqual([["timer", 1, expect.any(Number)]]);
    timers.stop();
    clock.forward(10_000_000);
    await new Promise(setImmediate);
    expect(called).toHaveLength(1);
  });
});
