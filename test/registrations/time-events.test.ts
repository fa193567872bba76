/** Time events on the running server. Each test waits for the shortest time that there is, one second. */
import { describe, expect, it } from "vitest";
import { executions, useServer, type Value } from "../support/use-server.ts";
import { reply } from "../support/replies.ts";
import { EngineGate } from "../../src/engine/engine-gate.ts";
import { Session, SessionRegistry } from "../../src/executions/session.ts";
import { TimeEvents } from "../../src/registrations/time-events.ts";
import { FakeHost } from "../support/fake-host.ts";
import { turns, until } from "../support/waiting.ts";
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

  it("that take more time than there is are called in turn", async () => {
    await script(`
import time
def make(n):
    def tick():
        end = time.monotonic() + 0.08
        while time.monotonic() < end: pass
        execute('INCR', f'busy:{n}')
    return tick
for n in range(24): registerTE(1, make(n), f'busy event:{n}')`);
    const keys = Array.from({ length: 24 }, (_, n) => `busy:${n}`);
    const counts = async (): Promise<number[]> => ((await ask("MGET", ...keys)) as Value[]).map(Number);
    const all = await until(async () => {
      const now = await counts();
      return Math.max(...now) >= 4 ? now : undefined;
    }, "they are called");
    expect(Math.min(...all)).toBeGreaterThanOrEqual(3);
  });
});

/** Time events with the test in the place of clock, interpreters and engine. */
function timersAlone() {
  const called: unknown[] = [];
  const warnings: string[] = [];
  const exists: (() => Promise<number>)[] = [];
  const limits: (() => void)[] = [];
  const host = Object.assign(new FakeHost(), {
    runCallback: (_call: unknown, message: unknown) => called.push(message),
  });
  const clock = new FakeClock();
  const gate = new EngineGate();
  const client = { call: async () => exists.shift()?.() ?? 1, close: () => {} };
  const timers = new TimeEvents({
    connections: { open: () => client } as never,
    ...{ gate, host, clock, sessions: new SessionRegistry() },
    refusal: () => undefined,
    limitMs: 5_000,
    watchCall: ({ onLimit }) => {
      limits.push(onLimit);
      return { end: () => {} };
    },
    max: 10,
    log: { warn: (...args: unknown[]) => void warnings.push(String(args.at(-1))) },
  });
  const session = new Session("session");
  const home = {};
  session.home = home;
  const restore = (number: number, seconds: number): void =>
    timers.restore(session, { number, seconds, key: `k${number}`, blob: Buffer.alloc(0) });
  /** Its time has come. @returns how often functions were called so far */
  const forward = async (ms: number): Promise<number> => {
    clock.forward(ms);
    await turns();
    return called.length;
  };
  const begin = (number = 1): unknown => timers.handlers.timer_begin({ home: session.home } as never, { number });
  const end = (outcome: "ok" | "error" | "again", number = 1): void =>
    timers.handlers.timer({} as never, { number, outcome, text: "text" });
  return { timers, session, home, gate, called, warnings, exists, limits, restore, forward, begin, end };
}

describe("a time event's clock", () => {
  it("calls it when its time has come, and not when it was stopped before", async () => {
    const { timers, called, restore, forward } = timersAlone();
    restore(1, 60);
    restore(2, 3_600);
    expect(await forward(59_999)).toBe(0);
    expect(await forward(1)).toBe(1);
    expect(called).toEqual([["timer", 1, expect.any(Number)]]);
    timers.stop();
    expect(await forward(10_000_000)).toBe(1);
  });
});

describe("time events of one interpreter", () => {
  it("are called one after the other, in the order in which they are due", async () => {
    const { session, called, restore, forward, begin, end } = timersAlone();
    const numbers = (): unknown[] => (called as unknown[][]).map(([, number]) => number);
    for (const number of [1, 2, 3]) restore(number, 1);
    await forward(1_000);
    expect(numbers()).toEqual([1]);
    await begin(1);
    end("ok", 1);
    // it is due again before the others were called, which does not take their turns
    await forward(1_000);
    await begin(2);
    end("ok", 2);
    await turns();
    await begin(3);
    end("ok", 3);
    expect(await forward(0)).toBe(4);
    expect(numbers()).toEqual([1, 2, 3, 1]);
    expect(session.timers.size).toBe(3);
  });

  it("that wait for each other are called in the next one when it ends", async () => {
    const { timers, session, home, called, restore, forward } = timersAlone();
    for (const number of [1, 2, 3]) restore(number, 60);
    await forward(60_000);
    timers.onGone(home);
    session.home = {};
    expect(await forward(100)).toBe(2);
    expect(called.at(-1)).toEqual(["timer", 2, expect.any(Number)]);
  });
});

describe("a time event goes on", () => {
  it("when its session has no interpreter yet, as soon as it has one", async () => {
    const { session, home, restore, forward } = timersAlone();
    session.home = undefined;
    restore(1, 60);
    expect(await forward(60_000)).toBe(0);
    expect(await forward(100)).toBe(0);
    session.home = home;
    expect(await forward(100)).toBe(1);
  });

  it("when the engine could not tell whether its key is there", async () => {
    const { exists, warnings, restore, forward } = timersAlone();
    restore(1, 1);
    exists.push(() => Promise.reject(new Error("LOADING")));
    expect(await forward(1_000)).toBe(0);
    expect(warnings).toEqual(["a time event could not look for its key; it tries again"]);
    expect(await forward(1_000)).toBe(1);
  });

  it.each(["asks for its key", "waits for the engine", "is called", "has begun"])(
    "when its interpreter ends while it %s",
    async (state) => {
      const { timers, session, home, gate, exists, restore, forward, begin, end } = timersAlone();
      restore(1, 1);
      let tell = (): void => {};
      const told = new Promise<number>((resolve) => {
        tell = () => resolve(1);
      });
      const other = {};
      if (state === "asks for its key") exists.push(() => told);
      if (state === "waits for the engine") await gate.hold(other);
      const before = await forward(1_000);
      if (state === "has begun") await begin();
      timers.onGone(home);
      session.home = undefined;
      tell();
      gate.release(other);
      await turns();
      expect(gate.held).toBe(false);
      session.home = {};
      expect(await forward(1_000)).toBe(before + 1);
      await begin();
      end("ok");
      expect(await forward(1_000)).toBe(before + 2);
    },
  );

  it("when it could not be called, and ends when it was told to stop before that", async () => {
    const { gate, warnings, limits, restore, forward, begin, end } = timersAlone();
    restore(1, 1);
    await forward(1_000);
    await begin();
    end("again");
    expect(gate.held).toBe(false);
    expect(await forward(1_000)).toBe(2);
    await begin();
    limits.at(-1)?.();
    end("again");
    expect(warnings).toEqual([expect.stringMatching(/was stopped: it ran longer than script-time-limit/)]);
    expect(await forward(10_000)).toBe(2);
  });

  it("when it was told to stop and had just ended", async () => {
    const { timers, home, warnings, limits, restore, forward, begin, end } = timersAlone();
    restore(1, 1);
    await forward(1_000);
    await begin();
    limits.at(-1)?.();
    end("ok");
    await forward(1_000);
    timers.onGone(home);
    expect([await forward(1_000), warnings]).toEqual([3, []]);
  });
});
