/** Events in the background of which an interpreter gets several at a time: each is dealt with as if it had come alone. */
import { describe, expect, it } from "vitest";
import { onlyRegistration, registrations, useServer, type Value } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

const setting = useServer();
const COUNT = 200;

/** Registers a function of the event's number, and sends all events at once. It logs the number of each that it has ended. */
async function sendAll(...body: string[]): Promise<void> {
  const { client } = setting();
  const code = [
    "import asyncio, time",
    "def log(n): execute('RPUSH', 'log', str(n))",
    "def f(r):",
    "    n = int(r['key'][2:])",
    ...body.map((line) => `    ${line}`),
    "    log(n)",
    "GB('KeysReader').foreach(f).register('p:*', mode='async_local', readValue=False, eventTypes=['set'])",
  ];
  expect(await client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
  await Promise.all(Array.from({ length: COUNT }, (_, n) => client.call("SET", `p:${n}`, "x")));
}

const log = async (): Promise<number[]> =>
  ((await setting().client.call("LRANGE", "log", "0", "-1")) as string[]).map(Number);

const executions = async (): Promise<string[][]> => (await setting().client.call("RG.DUMPEXECUTIONS")) as string[][];

const allEnded = (): Promise<unknown> =>
  until(
    async () => (await executions()).every(([, , , status]) => status === "done" || status === "aborted"),
    "all ended",
  );

/** The numbers from `first` on, without some. */
const numbers = (first: number, ...without: number[]): number[] =>
  Array.from({ length: COUNT - first }, (_, at) => first + at).filter((n) => !without.includes(n));

/** Of the registration: triggered, success, failures, aborted. */
async function counts(): Promise<Value[]> {
  const {
    numTriggered = null,
    numSuccess = null,
    numFailures = null,
    numAborted = null,
  } = await onlyRegistration(setting().client);
  return [numTriggered, numSuccess, numFailures, numAborted];
}

const BLOCK = [
  "if n == 20:",
  "    execute('SET', 'blocks', '1')",
  "    while not execute('GET', 'go'): time.sleep(0.002)",
];

const blocks = (): Promise<unknown> =>
  until(async () => (await setting().client.call("GET", "blocks")) === "1", "one blocks the others");

describe("many events at once", () => {
  it("are dealt with in their order, one at a time, under ids in that order", async () => {
    await sendAll("if execute('INCR', 'inside') != 1: raise ValueError('beside another')", "execute('DECR', 'inside')");
    await allEnded();
    expect(await log()).toEqual(numbers(0));
    expect(await counts()).toEqual([COUNT, COUNT, 0, 0]);
    const ids = (await executions()).map(([, id]) => Number(id?.split("-")[1]));
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
  });

  it("fail each for itself", async () => {
    await sendAll("if n % 7 == 3: raise ValueError(n)");
    await allEnded();
    const failed = numbers(0).filter((n) => n % 7 === 3);
    expect(await log()).toEqual(numbers(0, ...failed));
    expect(await counts()).toEqual([COUNT, COUNT - failed.length, failed.length, 0]);
  });

  it("can be aborted as long as they wait, at once", async () => {
    const { client } = setting();
    await sendAll(...BLOCK);
    await blocks();
    const waiting = await until(async () => {
      const all = (await executions()).filter(([, , , status]) => status === "created");
      return all.length === COUNT - 21 ? all : undefined;
    }, "all before have ended");
    for (const at of [0, 1, 30, 100]) expect(await client.call("RG.ABORTEXECUTION", waiting[at]?.[1] ?? "")).toBe("OK");
    expect(await counts()).toEqual([COUNT, 20, 0, 4]);
    await client.call("SET", "go", "1");
    await allEnded();
    expect(await log()).toEqual(numbers(0, 21, 22, 51, 121));
    expect(await counts()).toEqual([COUNT, COUNT - 4, 0, 4]);
  });

  it("can be aborted at any time", async () => {
    const { client } = setting();
    await sendAll("time.sleep(0.0002)");
    const aborted = (await executions()).filter((_, at) => at % 10 === 9).map(([, id]) => String(id));
    await Promise.all(aborted.map((id) => client.call("RG.ABORTEXECUTION", id).catch(() => {})));
    await allEnded();
    const [triggered, success, failures, left] = (await counts()).map(Number);
    expect(triggered).toBe(COUNT);
    expect(Number(success) + Number(failures) + Number(left)).toBe(COUNT);
    const logged = await log();
    expect(logged).toEqual([...logged].sort((a, b) => a - b));
    expect(new Set(logged).size).toBe(logged.length);
    // one that is stopped may have logged already
    expect(logged.length).toBeGreaterThanOrEqual(Number(success));
    expect(logged.length).toBeLessThanOrEqual(COUNT - Number(left));
  });

  it("go with their registration when that is wanted, and run otherwise", async () => {
    const { client } = setting();
    for (const words of [["ABORTPENDING"], []]) {
      await client.call("DEL", "log", "go", "blocks");
      await sendAll(...BLOCK);
      await blocks();
      const [one] = await registrations(client);
      expect(await client.call("RG.UNREGISTER", one?.id ?? "", ...words)).toBe("OK");
      await client.call("SET", "go", "1");
      const expected = words.length > 0 ? numbers(0).slice(0, 21) : numbers(0);
      await until(
        async () => (await log()).length === expected.length && (await executions()).length === 0,
        "all ended",
      );
      expect(await log()).toEqual(expected);
    }
  });

  it("are dealt with once each when an interpreter dies over one", async () => {
    await sendAll("if n == 20:", "    x = None", "    for i in range(2000000): x = (x,)", "    hash(x)");
    await allEnded();
    expect(await log()).toEqual(numbers(0, 20));
    expect(await counts()).toEqual([COUNT, COUNT - 1, 1, 0]);
  });

  it("find another interpreter that is there when theirs dies, and live in that one only", async () => {
    const { client, connect } = setting();
    const others = await Promise.all([connect(), connect(), connect()]);
    const sleep = "import time\nGB('ShardsIDReader').foreach(lambda x: time.sleep(0.3)).run()";
    await Promise.all(others.map((other) => other.call("RG.PYEXECUTE", sleep)));
    const sessions = async (): Promise<number> => {
      const info = String(await client.call("RG.INFO"));
      return [...info.matchAll(/interpreter_sessions_\d+:(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
    };
    await sendAll("if n == 20:", "    x = None", "    for i in range(2000000): x = (x,)", "    hash(x)");
    await allEnded();
    expect([await log(), await sessions()]).toEqual([numbers(0, 20), 1]);
    await client.call("RG.UNREGISTERALL", "ABORTPENDING");
    expect(await sessions()).toBe(0);
  });

  it("begin while one of them waits for a coroutine", async () => {
    const { client } = setting();
    await sendAll(
      "async def later():",
      "    while not execute('GET', 'go'): await asyncio.sleep(0.002)",
      "    log(n)",
      "if n == 20: return later()",
    );
    await until(async () => (await log()).length === COUNT - 1, "all others have ended");
    await client.call("SET", "go", "1");
    await allEnded();
    expect(await log()).toEqual([...numbers(0, 20), 20]);
  });

  it("wait while somebody's script runs that has caused some of them", async () => {
    const { client } = setting();
    await sendAll();
    const script = "for i in range(300): execute('SET', 'p:' + str(1000 + i), 'x')\nexecute('RPUSH', 'log', '-1')";
    expect(await client.call("RG.PYEXECUTE", script)).toBe("OK");
    await allEnded();
    const logged = await log();
    const later = Array.from({ length: 300 }, (_, at) => 1000 + at);
    expect(logged.filter((n) => n >= 0)).toEqual([...numbers(0), ...later]);
    expect(logged.indexOf(-1)).toBeLessThan(logged.indexOf(1000));
  });
});
