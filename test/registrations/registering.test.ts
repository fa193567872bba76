/** How registrations and sessions come and go on the running server: what no recording shows. */
import { describe, expect, it } from "vitest";
import { executions, fields, registrations, useServer, type Value } from "../support/use-server.ts";
import { reply } from "../support/replies.ts";

const setting = useServer();
const ask = (...args: string[]): Promise<Value> => reply(setting().client, ...args);
const script = (code: string, ...options: string[]): Promise<Value> => ask("RG.PYEXECUTE", code, ...options);
const noted = (): Promise<Value> => ask("LRANGE", "noted", "0", "-1");
const sessions = async (): Promise<Record<string, Value>[]> =>
  ((await ask("RG.PYDUMPSESSIONS")) as Value[]).map(fields);

describe("what a script declares", () => {
  it("takes effect when its body has ended, in the order of the calls", async () => {
    await script(`
def note(what): execute('RPUSH', 'noted', what)
GB().foreach(lambda r: note('event')).register('k', mode='sync', onRegistered=lambda: note('keys'))
GB('CommandReader').register(trigger='t', mode='sync', onRegistered=lambda: note('trigger'))
execute('SET', 'k', '1')
try: execute('RG.TRIGGER', 't')
except Exception as e: note(str(e).strip())
note('body')`);
    expect(await noted()).toEqual(["ERR subcommand not found", "body", "keys", "trigger"]);
    await ask("SET", "k", "2");
    expect(((await noted()) as Value[]).slice(4)).toEqual(["event"]);
    const ids = (await registrations(setting().client)).map(({ id }) => Number(id.split("-")[1]));
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
  });

  it("onRegistered runs in the session's namespace, for what can not be kept; its value is ignored", async () => {
    await script(`
GB('CommandReader').map(lambda r: cache.append(1) or len(cache)).register(
    trigger='t', onRegistered=lambda: globals().update(cache=[]) or 'ignored')`);
    expect([await ask("RG.TRIGGER", "t"), await ask("RG.TRIGGER", "t")]).toEqual([["1"], ["2"]]);
  });

  it("an exception in onRegistered is logged and changes nothing", async () => {
    const { server } = setting();
    const code = "GB('CommandReader').register(trigger='t', onRegistered=lambda: 1 // 0)";
    expect(await script(code)).toBe("OK");
    expect(await ask("RG.TRIGGER", "t")).toEqual(["['t']"]);
    await expect.poll(() => server.output()).toContain("ZeroDivisionError");
  });
});

describe("UPGRADE and REPLACE_WITH", () => {
  const BUSY = `
import time
def busy(r):
    execute('RPUSH', 'noted', 'begun ' + r['key'])
    while not execute('EXISTS', 'go'): time.sleep(0.01)
GB().foreach(busy).register('k:*', mode='async_local')`;

  it.each([
    ["UPGRADE", ["ID", "old", "UPGRADE"]],
    ["REPLACE_WITH", ["ID", "new", "REPLACE_WITH", "old"]],
  ])("%s: what waits of the old session is aborted, what runs ends", async (_name, options) => {
    await script(BUSY, "ID", "old");
    for (const key of ["k:1", "k:2", "k:3"]) await ask("SET", key, "v");
    await expect.poll(noted).toEqual(["begun k:1"]);
    const waiting = (await executions(setting().client)).filter(({ status }) => status === "created");
    expect(waiting).toHaveLength(2);
    expect(
      await script("GB().foreach(lambda r: execute('RPUSH', 'noted', 'new')).register('k:*', mode='sync')", ...options),
    ).toBe("OK");
    const left = (await executions(setting().client)).filter(({ status }) => status === "created");
    expect(left).toEqual([]);
    await ask("SET", "k:4", "v");
    await ask("SET", "go", "1");
    await expect.poll(() => ask("RG.PYDUMPSESSIONS", "DEAD")).toEqual([]);
    expect(await noted()).toEqual(["begun k:1", "new"]);
    expect((await sessions()).map(({ ID }) => ID)).toEqual([options[1]]);
  });

  it.each([
    ["fails", "execute('SET', 'ran', '1')\nraise ValueError('no')", /ValueError: no/],
    ["registers nothing", "execute('SET', 'ran', '1')", /^OK$/],
    ["only runs", "execute('SET', 'ran', '1')\nGB('ShardsIDReader').run()", /^1$/],
  ])("by a script that %s: the old session stays, the body has run", async (_name, code, answer) => {
    await script("GB('CommandReader').map(lambda r: 'old').register(trigger='t')", "ID", "old");
    const known = async (): Promise<unknown> => [
      await sessions(),
      (await registrations(setting().client)).map(({ id }) => id),
    ];
    const before = await known();
    for (const options of [
      ["ID", "old", "UPGRADE"],
      ["ID", "new", "REPLACE_WITH", "old"],
    ]) {
      await ask("DEL", "ran");
      expect(String([await script(code, ...options)].flat(3))).toMatch(answer);
      expect(await known()).toEqual(before);
      expect([await ask("RG.TRIGGER", "t"), await ask("GET", "ran")]).toEqual([["old"], "1"]);
    }
  });

  it("may use the triggers and sync hooks of the session that goes; triggers of no other", async () => {
    const both = (name: string): string => `
GB('CommandReader').map(lambda r: '${name}').register(trigger='t')
GB('CommandReader').map(lambda r: '${name}').register(hook='echo', mode='sync')`;
    await script(both("first"), "ID", "a");
    expect(await script(both("second"), "ID", "b", "REPLACE_WITH", "a")).toBe("OK");
    expect([await ask("RG.TRIGGER", "t"), await ask("ECHO", "x")]).toEqual([["second"], "second"]);
    expect(await script(both("third"), "ID", "c")).toContain("gears.error");
    expect(await script("GB('CommandReader').register(trigger='other')", "ID", "a")).toBe("OK");
    expect(await script(both("fourth"), "ID", "a", "UPGRADE")).toContain("gears.error");
    expect([await ask("RG.TRIGGER", "t"), await ask("ECHO", "x")]).toEqual([["second"], "second"]);
  });
});

describe("a session", () => {
  it("is known only when it registers something; its id is free again at once otherwise", async () => {
    for (const code of ["x = 1", "GB('ShardsIDReader').run()", "raise ValueError('no')"]) {
      await script(code, "ID", "app");
      expect(await sessions()).toEqual([]);
    }
    expect(await script("GB('CommandReader').register(trigger='t')", "ID", "app")).toBe("OK");
    expect(await script("x = 1", "ID", "app")).toBe("-Session app already exists");
  });

  it("gets what a step registers, and goes with the last of its registrations", async () => {
    await script(
      "GB('CommandReader').foreach(lambda r: GB('CommandReader').register(trigger=r[1])).register(trigger='t')",
      ...["ID", "app"],
    );
    await ask("RG.TRIGGER", "t", "late");
    expect(await sessions()).toMatchObject([{ ID: "app", registrations: [expect.any(String), expect.any(String)] }]);
    const [first, second] = await registrations(setting().client);
    await ask("RG.UNREGISTER", String(first?.id));
    expect(await ask("RG.TRIGGER", "late")).toEqual(["['late']"]);
    expect(await sessions()).toMatchObject([{ ID: "app" }]);
    await ask("RG.UNREGISTER", String(second?.id));
    expect(await sessions()).toEqual([]);
  });

  it("two scripts without ID never collide", async () => {
    for (const name of ["a", "b"]) await script(`GB('CommandReader').register(trigger='${name}')`);
    const ids = (await sessions()).map(({ ID }) => String(ID));
    expect(ids).toEqual([expect.stringMatching(/^[0-9a-f]{40}$/), expect.stringMatching(/^[0-9a-f]{40}$/)]);
    expect(new Set(ids).size).toBe(2);
  });

  it("requirements go when the session that needs them is replaced, not when it is unregistered", async () => {
    const names = async (): Promise<Value[]> =>
      ((await ask("RG.PYDUMPREQS")) as Value[]).map((one) => fields(one).Name ?? null);
    const trigger = "GB('CommandReader').register(trigger='t')";
    await script(trigger, "ID", "app", "REQUIREMENTS", "gearsclient==1.0.1");
    expect(await names()).toContain("gearsclient==1.0.1");
    await script(trigger, "ID", "app", "UPGRADE");
    expect(await names()).not.toContain("gearsclient==1.0.1");
    await script(trigger, "ID", "app", "UPGRADE", "REQUIREMENTS", "gearsclient==1.0.2");
    await ask("RG.UNREGISTERALL");
    expect(await names()).toContain("gearsclient==1.0.2");
  });
});

describe("modes", () => {
  it("a sync execution needs no thread: it runs while all are busy", async () => {
    const { connect } = setting();
    const busy = `
import time
def busy(r):
    execute('INCR', 'begun')
    while not execute('EXISTS', 'go'): time.sleep(0.01)
GB('ShardsIDReader').foreach(busy).run()`;
    await script(
      "GB().foreach(lambda r: execute('INCR', 'synced')).register('k', mode='sync')\nGB('CommandReader').register(trigger='t', mode='sync')",
    );
    const clients = await Promise.all([connect(), connect(), connect()]);
    const running = clients.map((client) => client.call("RG.PYEXECUTE", busy));
    await expect.poll(() => ask("GET", "begun")).toBe("3");
    await ask("SET", "k", "1");
    expect([await ask("GET", "synced"), await ask("RG.TRIGGER", "t", "x")]).toEqual(["1", ["['t', 'x']"]]);
    await ask("SET", "go", "1");
    expect(await Promise.all(running)).toEqual([
      [["1"], []],
      [["1"], []],
      [["1"], []],
    ]);
  });
});
