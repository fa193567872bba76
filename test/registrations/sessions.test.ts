/** Sessions that come, go and change while everything is in use. */
import { describe, expect, it } from "vitest";
import {
  type Client,
  executions,
  fields,
  onlyRegistration,
  registrations,
  useServer,
  type Value,
} from "../support/use-server.ts";
import { errorOf } from "../support/errors.ts";
import { pidOf, residentMb } from "../support/processes.ts";

const setting = useServer();

/** Calls again and again until it is told to stop. @returns tells it, and gives the replies' texts */
function flood(clients: readonly Client[], ...command: string[]): () => Promise<string[]> {
  let going = true;
  const replies: string[] = [];
  const all = clients.map(async (client) => {
    while (going) replies.push(String(await client.call(...command)));
  });
  return async () => {
    going = false;
    await Promise.all(all);
    return replies;
  };
}

const clientsOf = (connect: () => Promise<Client>, count: number): Promise<Client[]> =>
  Promise.all(Array.from({ length: count }, () => connect()));

describe("a session under load", () => {
  it.each(["sync", "async_local"])("is upgraded without a single failed call (%s)", async (mode) => {
    const { client, connect } = setting();
    const version = (number: number): Promise<Value> =>
      client.call(
        "RG.PYEXECUTE",
        `V = ${number}\nGB('CommandReader').map(lambda c: V).register(trigger='version', mode='${mode}')`,
        "ID",
        "app",
        "UPGRADE",
      );
    await version(1);
    const stop = flood(await clientsOf(connect, 8), "RG.TRIGGER", "version");
    for (let number = 2; number <= 12; number++) {
      expect(await version(number)).toBe("OK");
      expect(await client.call("RG.TRIGGER", "version")).toEqual([String(number)]);
    }
    const replies = (await stop()).map((reply) => (/^\d+$/.test(reply) ? Number(reply) : reply));
    expect(replies.length).toBeGreaterThan(50);
    expect(replies.filter((reply) => typeof reply === "string" || reply < 1 || reply > 12)).toEqual([]);
    expect(await registrations(client)).toHaveLength(1);
    await expect.poll(() => client.call("RG.PYDUMPSESSIONS", "DEAD")).toEqual([]);
  });

  it("an upgrade that fails leaves the old one as it was", async () => {
    const { client } = setting();
    const script = "GB('CommandReader').map(lambda c: 'old').register(trigger='t')";
    await client.call("RG.PYEXECUTE", script, "ID", "app");
    const before = await registrations(client);
    const failing = "GB('CommandReader').map(lambda c: 'new').register(trigger='t')\nraise ValueError('no')";
    expect(await errorOf(client.call("RG.PYEXECUTE", failing, "ID", "app", "UPGRADE"))).toContain("ValueError: no");
    expect(await client.call("RG.PYEXECUTE", "pass", "ID", "app", "UPGRADE")).toBe("OK");
    expect((await registrations(client)).map(({ id }) => id)).toEqual(before.map(({ id }) => id));
    expect(await client.call("RG.TRIGGER", "t")).toEqual(["old"]);
  });

  it("UNREGISTER lets running executions end; ABORTPENDING stops those that wait", async () => {
    const { client, connect } = setting();
    await client.call(
      "RG.PYEXECUTE",
      `
import time
def slow(record):
    execute('INCR', 'begun')
    while not execute('GET', 'go'): time.sleep(0.01)
    execute('INCR', 'ended')
GB('KeysReader').foreach(slow).register(prefix='k:*', mode='async_local')
`,
    );
    for (let n = 0; n < 5; n++) await client.call("SET", `k:${n}`, "x");
    await expect.poll(() => client.call("GET", "begun")).toBe("1");
    const [registration] = await registrations(client);
    expect(await client.call("RG.UNREGISTER", registration?.id ?? "", "ABORTPENDING")).toBe("OK");
    expect(await client.call("RG.DUMPREGISTRATIONS")).toEqual([]);
    const other = await connect();
    await other.call("SET", "go", "1");
    await expect.poll(() => client.call("GET", "ended")).toBe("1");
    await expect.poll(() => executions(client)).toEqual([]);
    expect(await client.call("GET", "begun")).toBe("1");
    await client.call("SET", "k:9", "x");
    const marker = "GB('KeysReader').foreach(lambda r: execute('INCR', 'marker')).register('m:*', mode='async_local')";
    await client.call("RG.PYEXECUTE", marker);
    await client.call("SET", "m:1", "x");
    await expect.poll(() => client.call("GET", "marker")).toBe("1");
    expect(await client.call("GET", "begun")).toBe("1");
  });

  it("background work of a script that registered nothing can register, and makes its session known", async () => {
    const { client } = setting();
    const script = `
async def later():
    GB('CommandReader').map(lambda x: n).register(trigger='late')
n = 5
runCoroutine(later(), delay=0.01)
`;
    expect(await client.call("RG.PYEXECUTE", script, "ID", "background")).toBe("OK");
    await expect.poll(async () => (await registrations(client)).length).toBe(1);
    expect(await client.call("RG.TRIGGER", "late")).toEqual(["5"]);
    expect(await errorOf(client.call("RG.PYEXECUTE", script, "ID", "background"))).toBe(
      "Session background already exists",
    );
  });

  describe("what a session that is gone would register", () => {
    const gone = "the session of this registration is gone";
    const late = `
import time, asyncio
def register():
    try:
        return GB('CommandReader').map(lambda x: 'old').register(trigger='late')
    except Exception as error:
        return str(error)
def step(call):
    while not execute('GET', 'go'): time.sleep(0.01)
    return register()
async def background():
    while not execute('GET', 'go'): await asyncio.sleep(0.01)
    execute('SET', 'outcome', register())
runCoroutine(background())
GB('CommandReader').map(step).register(trigger='step', mode='async_local')
`;
    const next = "GB('CommandReader').map(lambda x: 'new').register(trigger='new')";

    it.each([
      ["replaced by UPGRADE", ["UPGRADE"], []],
      ["unregistered, and its id used again", [], ["RG.UNREGISTERALL"]],
    ])("is refused, and its successor is left alone: %s", async (_name, options, before) => {
      const { client, connect } = setting();
      await client.call("RG.PYEXECUTE", late, "ID", "app");
      const call = (await connect()).call("RG.TRIGGER", "step");
      await expect.poll(async () => (await executions(client)).map(({ status }) => status)).toEqual(["running"]);
      if (before.length > 0) await client.call(...(before as [string]));
      expect(await client.call("RG.PYEXECUTE", next, "ID", "app", ...options)).toBe("OK");
      const [only] = await registrations(client);
      await client.call("SET", "go", "1");
      expect(await call).toEqual([gone]);
      await expect.poll(() => client.call("GET", "outcome")).toBe(gone);
      expect((await registrations(client)).map(({ id }) => id)).toEqual([only?.id]);
      const [session] = (await client.call("RG.PYDUMPSESSIONS")) as Value[];
      expect(fields(session as Value)).toMatchObject({ ID: "app", linked: "primary", registrations: [only?.id] });
      expect(await client.call("RG.TRIGGER", "new")).toEqual(["new"]);
      expect(await errorOf(client.call("RG.PYEXECUTE", next, "ID", "app"))).toBe("Session app already exists");
    });
  });

  it("FLUSHALL leaves registrations alone, also stream readers in the middle of their work", async () => {
    const { client } = setting();
    await client.call(
      "RG.PYEXECUTE",
      `
GB('StreamReader').foreach(lambda m: execute('INCR', 'read')).register(prefix='s:*', batch=3, duration=20)
GB('KeysReader').foreach(lambda r: execute('INCR', 'events')).register(prefix='k:*', eventTypes=['set'], mode='sync')
`,
    );
    for (let round = 0; round < 10; round++) {
      await Promise.all([
        ...Array.from({ length: 50 }, (_, n) => client.call("XADD", `s:${n % 5}`, "*", "n", String(n))),
        client.call("FLUSHALL"),
        ...Array.from({ length: 50 }, (_, n) => client.call("SET", `k:${n}`, "x")),
      ]);
    }
    expect(await registrations(client)).toHaveLength(2);
    await expect.poll(async () => (await executions(client)).filter(({ status }) => status !== "done")).toEqual([]);
    await client.call("FLUSHALL");
    await client.call("XADD", "s:1", "*", "n", "last");
    await expect.poll(() => client.call("GET", "read")).toBe("1");
    await client.call("SET", "k:1", "x");
    expect(await client.call("GET", "events")).toBe("1");
  });

  it("a flood of clients during all of it gets all its replies", async () => {
    const { client, connect, server } = setting();
    const stop = flood(await clientsOf(connect, 6), "SET", "k:flood", "x");
    const stopStream = flood(await clientsOf(connect, 2), "XADD", "s:flood", "*", "a", "b");
    const app = (n: number): string => `
import asyncio
N = ${n}
def count(record): execute('INCR', 'counted')
async def later(call):
    await asyncio.sleep(0.05)
    return N
GB('KeysReader').foreach(count).register(prefix='k:*', mode='sync' if N % 2 else 'async_local')
GB('StreamReader').foreach(lambda m: execute('INCR', 'read')).register(prefix='s:*', batch=10, duration=10)
GB('CommandReader').map(later).register(trigger='later', mode='async_local')
GB('CommandReader').map(lambda c: call_next(*c[1:])).register(hook='ping', mode='sync')
`;
    for (let n = 0; n < 8; n++) {
      expect(await client.call("RG.PYEXECUTE", app(n), "ID", "app", "UPGRADE")).toBe("OK");
      const calls = Array.from({ length: 3 }, () => client.call("RG.TRIGGER", "later"));
      expect(await client.call("PING")).toBe("PONG");
      if (n % 3 === 0) await client.call("FLUSHALL");
      if (n % 4 === 3) await client.call("RG.UNREGISTERALL", "ABORTPENDING");
      for (const call of calls) expect(await call).toEqual([String(n)]);
    }
    const replies = await stop();
    const added = await stopStream();
    expect(replies.length).toBeGreaterThan(100);
    expect(new Set(replies)).toEqual(new Set(["OK"]));
    expect(added.every((id) => /^\d+-\d+$/.test(id))).toBe(true);
    expect(server.process.exitCode).toBeNull();
    await client.call("RG.UNREGISTERALL", "ABORTPENDING");
    await expect.poll(async () => (await executions(client)).filter(({ status }) => status !== "done")).toEqual([]);
    expect(await client.call("RG.PYDUMPSESSIONS")).toEqual([]);
  });
});

describe("memory", () => {
  it("comes back: 500 times registered and unregistered", { timeout: 120_000 }, async () => {
    const { client, server } = setting();
    const script = `
ballast = bytearray(1_000_000)
table = {n: str(n) for n in range(2_000)}
GB('CommandReader').map(lambda c: table[7]).register(trigger='t')
GB('KeysReader').foreach(lambda r: table).register(prefix='m:*', mode='sync')
`;
    const round = async (): Promise<void> => {
      await client.call("RG.PYEXECUTE", script);
      expect(await client.call("RG.TRIGGER", "t")).toEqual(["7"]);
      await client.call("SET", "m:1", "x");
      await client.call("RG.UNREGISTERALL");
    };
    const heap = async (): Promise<number> => Number(fields(await client.call("RG.PYSTATS")).CurrAllocated);
    for (let n = 0; n < 50; n++) await round();
    const before = { heap: await heap(), process: residentMb(pidOf(server)) };
    for (let n = 0; n < 500; n++) await round();
    const grown = { heap: (await heap()) - before.heap, process: residentMb(pidOf(server)) - before.process };
    console.info(
      `500 sessions of 1 MB: Python's heap grew by ${(grown.heap / 1e6).toFixed(1)} MB, ` +
        `the process by ${grown.process} MB`,
    );
    expect(grown.heap).toBeLessThan(40e6);
    expect(grown.process).toBeLessThan(150);
    expect(await client.call("RG.PYDUMPSESSIONS")).toEqual([]);
  });
});

describe("RG.PYPROFILE", () => {
  it("shows what took time in the callbacks of a session", async () => {
    const { client } = setting();
    await client.call(
      "RG.PYEXECUTE",
      `
def expensive(n): return sum(i * i for i in range(n))
def step(call): return expensive(20_000)
GB('CommandReader').map(step).register(trigger='t')
`,
      "ID",
      "profiled",
    );
    await client.call("RG.TRIGGER", "t");
    expect(await errorOf(client.call("RG.PYPROFILE", "STATS", "profiled"))).toContain("TypeError");
    await client.call("RG.CONFIGSET", "ProfileExecutions", "1");
    try {
      for (let n = 0; n < 3; n++) await client.call("RG.TRIGGER", "t");
      const stats = String(await client.call("RG.PYPROFILE", "STATS", "profiled", "cumulative"));
      expect(stats).toMatch(/\n\s+3\s+[\d.]+\s+[\d.]+\s+[\d.]+\s+[\d.]+ .*\(expensive\)/);
      expect(stats).toContain("Ordered by: cumulative time");
      expect(await client.call("RG.PYPROFILE", "RESET", "profiled")).toBe("OK");
      expect(await errorOf(client.call("RG.PYPROFILE", "STATS", "profiled"))).toContain("TypeError");
    } finally {
      await client.call("RG.CONFIGSET", "ProfileExecutions", "0");
    }
    expect((await onlyRegistration(client)).numSuccess).toBe(4);
    expect(await errorOf(client.call("RG.PYPROFILE", "STATS", "nobody"))).toBe("session does not exists");
  });
});
