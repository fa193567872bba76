/** What survives a restart with `dir`, and what begins anew. */
import { afterEach, describe, expect, it } from "vitest";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { fields, registrations } from "../support/use-server.ts";
import { errorOf } from "../support/errors.ts";
import { newFolder } from "../support/folders.ts";
import { until } from "../support/waiting.ts";

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function start(directory: string, ...more: string[]): Promise<{ client: Client; server: RunningRegears }> {
  const server = await startRegears(["--dir", directory, ...more]);
  const client = await connectClient(server.port);
  stops.push(async () => {
    client.close();
    await server.stop("SIGKILL");
  });
  return { client, server };
}

const SCRIPT = `
import collections
class Counter:
    def __init__(self): self.calls = collections.Counter()
    def add(self, name):
        self.calls[name] += 1
        return self.calls[name]
counter, n = Counter(), 5
def up(call):
    global n
    n += 1
    return [n, counter.add('up')]
def down(call):
    global n
    n -= 1
    return n
GB('CommandReader', desc='goes up').map(up).register(trigger='up', onRegistered=lambda: execute('INCR', 'registered'))
GB('CommandReader').map(down).register(trigger='down', mode='sync')
GB('KeysReader').foreach(lambda r: execute('INCR', 'events')).register(prefix='k:*', mode='sync')
GB('StreamReader').foreach(lambda r: execute('RPUSH', 'read', r['value']['n'])).register(prefix='s', batch=2)
GB('CommandReader').map(lambda c: call_next(*c[1:]) + '!').register(hook='echo', mode='sync')
`;

describe("a restart", () => {
  it("brings registrations, sessions and data back, with the globals of register()", async () => {
    const directory = newFolder();
    const first = await start(directory);
    expect(await first.client.call("RG.PYEXECUTE", SCRIPT, "ID", "app", "DESCRIPTION", "the app")).toBe("OK");
    expect(await first.client.call("RG.TRIGGER", "up")).toEqual(["[6, 1]"]);
    expect(await first.client.call("RG.TRIGGER", "up")).toEqual(["[7, 2]"]);
    for (const n of ["1", "2", "3"]) await first.client.call("XADD", "s", "*", "n", n);
    await first.client.call("SET", "k:1", "x");
    await expect.poll(() => first.client.call("LRANGE", "read", "0", "-1")).toEqual(["1", "2"]);
    let old: Value = null;
    for (let n = 0; n < 20; n++)
      old = await first.client.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()", "UNBLOCKING");
    const before = await registrations(first.client);
    expect(await first.server.stop()).toBe(0);

    const { client } = await start(directory);
    const after = await registrations(client);
    expect(after.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
    expect(after.map(({ data }) => data.args)).toEqual(before.map(({ data }) => data.args));
    // of the stream, what waits is read at once
    for (const { data } of after.filter(({ data: { status } }) => status === undefined)) {
      expect(data).toMatchObject({ numTriggered: 0, numSuccess: 0, lastError: null });
    }
    const [session] = (await client.call("RG.PYDUMPSESSIONS")) as Value[];
    expect(fields(session)).toMatchObject({
      ...{ ID: "app", sessionDescription: "the app" },
      registrations: after.map(({ id }) => id),
    });
    expect(await client.call("RG.TRIGGER", "up")).toEqual(["[6, 1]"]);
    // one namespace for all of the session
    expect(await client.call("RG.TRIGGER", "down")).toEqual(["5"]);
    expect(await client.call("GET", "k:1")).toBe("x");
    expect(await client.call("ECHO", "hi")).toBe("hi!");
    expect(await client.call("GET", "registered")).toBe("2");
    await client.call("SET", "k:2", "x");
    expect(await client.call("GET", "events")).toBe("2");
    await expect.poll(() => client.call("LRANGE", "read", "0", "-1")).toEqual(["1", "2", "3"]);
    expect(await errorOf(client.call("RG.GETRESULTS", String(old)))).toBe("execution plan does not exist");
    // ids go on above
    await client.call("RG.PYEXECUTE", "GB('CommandReader').register(trigger='new')");
    const number = ({ id }: { id: string }): number => Number(id.split("-")[1]);
    const all = await registrations(client);
    expect(Math.max(...after.map(number))).toBeLessThan(number(all.at(-1) ?? { id: "" }));
    expect(new Set(all.map(({ id }) => id)).size).toBe(6);
  });

  it("after kill -9 has every registration that was answered, and none that was unregistered", async () => {
    const directory = newFolder();
    const first = await start(directory);
    for (let n = 0; n < 20; n++) {
      const script = `GB('CommandReader').map(lambda c: ${n}).register(trigger='t${n}')`;
      expect(await first.client.call("RG.PYEXECUTE", script)).toBe("OK");
    }
    await first.client.call("RG.PYEXECUTE", "GB('CommandReader').map(lambda c: 20).register(trigger='t20')");
    const [gone] = await registrations(first.client);
    await first.client.call("RG.UNREGISTER", gone?.id ?? "");
    await first.server.stop("SIGKILL");
    const { client } = await start(directory);
    expect(await errorOf(client.call("RG.TRIGGER", "t0"))).toBe("ERR subcommand not found");
    for (let n = 1; n <= 20; n++) expect(await client.call("RG.TRIGGER", `t${n}`)).toEqual([String(n)]);
  });

  it("processes again what was being processed when the server was killed", async () => {
    const directory = newFolder();
    const first = await start(directory);
    await first.client.call(
      "RG.PYEXECUTE",
      `
import time
def work(message):
    execute('RPUSH', 'begun', message['value']['n'])
    if execute('GET', 'slow'): time.sleep(60)
    execute('RPUSH', 'ended', message['value']['n'])
GB('StreamReader').foreach(work).register(prefix='s', batch=1, mode='async_local')
`,
    );
    await first.client.call("XADD", "s", "*", "n", "1");
    await expect.poll(() => first.client.call("LRANGE", "ended", "0", "-1")).toEqual(["1"]);
    await first.client.call("SET", "slow", "yes");
    for (const n of ["2", "3"]) await first.client.call("XADD", "s", "*", "n", n);
    await expect.poll(() => first.client.call("LRANGE", "begun", "0", "-1")).toEqual(["1", "2"]);
    await first.client.call("SET", "saved", "1");
    expect(await first.client.call("SAVE")).toBe("OK");
    await first.server.stop("SIGKILL");
    const { client } = await start(directory, "--save", "");
    await expect.poll(() => client.call("LRANGE", "begun", "0", "-1")).toEqual(["1", "2", "2"]);
    expect(await client.call("LRANGE", "ended", "0", "-1")).toEqual(["1"]);
    expect(await client.call("XLEN", "s")).toBe(2);
  });

  it("begins anew with executions, configuration and the status of streams", async () => {
    const directory = newFolder();
    const first = await start(directory);
    const script = `
def work(message):
    if not execute('EXISTS', 'good'): raise ValueError('bad')
    execute('RPUSH', 'read', message['id'])
GB('StreamReader').foreach(work).register(prefix='s', mode='async_local', onFailedPolicy='abort')
`;
    await first.client.call("RG.PYEXECUTE", script);
    await first.client.call("XADD", "s", "1-1", "a", "b");
    const statusOf = async (client: Client): Promise<Value> => (await registrations(client))[0]?.data.status ?? null;
    await expect.poll(() => statusOf(first.client)).toBe("ABORTED");
    await first.client.call("XADD", "s", "2-1", "a", "b");
    await first.client.call("RG.CONFIGSET", "MaxExecutions", "7", "own", "value");
    await first.client.call("SET", "good", "1");
    await first.server.stop();

    const { client } = await start(directory);
    await expect.poll(() => client.call("LRANGE", "read", "0", "-1")).toEqual(["1-1", "2-1"]);
    expect(await statusOf(client)).toBe("OK");
    const [limit, own] = (await client.call("RG.CONFIGGET", "MaxExecutions", "own")) as Value[];
    expect([limit, String(own)]).toEqual([1000, expect.stringContaining("Unsupported config parameter: own")]);
    const ids = ((await client.call("RG.DUMPEXECUTIONS")) as Value[]).map((one) => String(fields(one).executionId));
    expect(ids.at(0)).toBe(`${"0".repeat(40)}-0`);
  });

  it("without a directory keeps nothing, and the log says so", async () => {
    const server = await startRegears();
    const client = await connectClient(server.port);
    stops.push(() => server.stop("SIGKILL"));
    await client.call("RG.PYEXECUTE", "GB('CommandReader').register(trigger='t')");
    await expect.poll(() => server.output()).toContain("registrations are not kept over a restart");
    client.close();
  });
});

describe("time events", () => {
  const TICKS = `
n = 40
def tick():
    global n
    n += 1
    execute('RPUSH', 'ticks', n)
execute('SET', 'created', str(registerTE(1, tick, 'ticker')))
`;
  const startMovable = (directory: string): ReturnType<typeof start> => start(directory, "--test-clock");
  /** Time passes until a time event of the same interval was called twice: what another one does has been done then. */
  const pass = async (client: Client): Promise<void> => {
    await client.call("RG.PYEXECUTE", "registerTE(1, lambda: execute('INCR', 'marker'), 'marking')");
    await client.call("DEL", "marker");
    await until(async () => {
      await client.call("RG.TIME", "FASTFORWARD", "1000");
      return Number(await client.call("GET", "marker")) >= 2;
    }, "the marker is called twice");
  };

  it("with a key survive a restart, though their session has no registrations", async () => {
    const directory = newFolder();
    const first = await startMovable(directory);
    await first.client.call("RG.PYEXECUTE", TICKS);
    expect(await first.client.call("GET", "created")).toBe("True");
    expect(await first.client.call("EXISTS", "ticker")).toBe(1);
    await first.client.call("RG.PYEXECUTE", TICKS);
    expect(await first.client.call("GET", "created")).toBe("False");
    await pass(first.client);
    expect(await first.client.call("LRANGE", "ticks", "0", "0")).toEqual(["41"]);
    expect(await first.client.call("RG.PYDUMPSESSIONS")).toEqual([]);
    await first.client.call("DEL", "ticks");
    await first.server.stop();

    const second = await startMovable(directory);
    await pass(second.client);
    // the globals are those of registerTE()
    expect(await second.client.call("LRANGE", "ticks", "0", "0")).toEqual(["41"]);
    await second.client.call("DEL", "ticker");
    await pass(second.client);
    // what was on its way has arrived
    await second.client.call("DEL", "ticks");
    await pass(second.client);
    expect(await second.client.call("EXISTS", "ticks")).toBe(0);
    await second.server.stop();

    const { client } = await startMovable(directory);
    await pass(client);
    expect(await client.call("EXISTS", "ticks")).toBe(0);
  });

  it("with a key go on in another interpreter when theirs dies; others end, and hold nobody up", async () => {
    const { client, server } = await startMovable(newFolder());
    await client.call(
      "RG.PYEXECUTE",
      `${TICKS}
registerTE(1, lambda: execute('INCR', 'keyless'))
def stuck(c):
    execute('SET', 'stuck', '1')
    while True:
        try: sum(range(10**13))
        except BaseException: pass
GB('CommandReader').map(stuck).register(trigger='stuck', mode='async_local')
`,
    );
    await pass(client);
    expect(await client.call("LRANGE", "ticks", "0", "0")).toEqual(["41"]);
    const other = await connectClient(server.port);
    const stuck = errorOf(other.call("RG.TRIGGER", "stuck"));
    await until(() => client.call("GET", "stuck"));
    const [running] = ((await client.call("RG.DUMPEXECUTIONS")) as Value[]).map(fields);
    await client.call("RG.ABORTEXECUTION", String(running?.executionId));
    await stuck;
    other.close();
    await until(() => server.output().includes("its interpreter died"), "the interpreter is gone");
    await client.call("DEL", "ticks");
    const keyless = await client.call("GET", "keyless");
    await pass(client);
    expect(await client.call("LRANGE", "ticks", "0", "0")).toEqual(["41"]);
    expect(await client.call("GET", "keyless")).toBe(keyless);
  });

  it("that fail are stopped and logged, with their session", async () => {
    const { client, server } = await startMovable(newFolder());
    await client.call(
      "RG.PYEXECUTE",
      `
def fail():
    execute('INCR', 'failed')
    raise ValueError('no more')
registerTE(1, fail, 'failing')
GB('CommandReader').register(trigger='t')
`,
      "ID",
      "unlucky",
    );
    await pass(client);
    expect(await client.call("GET", "failed")).toBe("1");
    expect(server.output()).toMatch(/time event of session unlucky.*no more/);
    expect(await client.call("EXISTS", "failing")).toBe(1);
  });
});
