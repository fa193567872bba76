/** Hooked commands on the running server: what no recording shows. */
import { describe, expect, it } from "vitest";
import { onlyRegistration, registrations, useServer, type Value } from "../support/use-server.ts";
import { reply } from "../support/replies.ts";

const setting = useServer();
const ask = (...args: string[]): Promise<Value> => reply(setting().client, ...args);
const script = (code: string, ...options: string[]): Promise<Value> => ask("RG.PYEXECUTE", code, ...options);
const hook = (name: string, step: string, more = "mode='sync'"): Promise<Value> =>
  script(`GB('CommandReader').map(${step}).register(hook='${name}', ${more})`);

const REFUSED = "ERR can not run a non-sync execution inside a MULTI/LUA (blocking is not allowed) or on loading.";

describe("what can be hooked", () => {
  it.each([
    ["nosuch", "", "Can not override an unexisting command"],
    ["eval", "", "Can not override a command which are not allowed inside a script"],
    ["multi", "", "Can not override a command which are not allowed inside a script"],
    ["subscribe", "", "Can not override a command which are not allowed inside a script"],
    ["xread", "keyprefix='a'", "Can not override a command with moveable keys by key prefix"],
    ["sort", "keyprefix='a'", "Can not override a command with moveable keys by key prefix"],
    ["ping", "keyprefix='a'", "Can not override a command by key prefix with none positive first key"],
    ["rg.pydumpreqs", "keyprefix='a'", "Can not override a command by key prefix with none positive first key"],
  ])("not %s with %j: %s", async (name, prefix, text) => {
    expect(await hook(name, "lambda r: 'x'", prefix)).toMatch(new RegExp(`^-.*gears\\.error: ${text}\\\\n'\\]$`));
    expect(await ask("RG.DUMPREGISTRATIONS")).toEqual([]);
  });

  it("commands with movable keys, without keyprefix", async () => {
    expect(await hook("xread", "lambda r: 'hooked'")).toBe("OK");
    expect(await ask("XREAD", "STREAMS", "s", "0")).toBe("hooked");
  });

  it("commands of the RG family, with the real one behind them", async () => {
    expect(
      await hook("Rg.ConfigGet", "lambda r: ['hooked', call_next(*r[1:])]", "mode='sync', convertToStr=False"),
    ).toBe("OK");
    expect(await ask("RG.CONFIGGET", "MaxExecutions")).toEqual(["hooked", [1000]]);
  });

  it("not what a hook that is not sync has already, in another script or in the same", async () => {
    await script("GB('CommandReader').register(hook='echo')", "ID", "first");
    const text = "Can not override a none sync registration";
    expect(await hook("echo", "lambda r: 'x'")).toContain(`gears.error: ${text}\\n`);
    const twice = "for n in range(2): GB('CommandReader').register(hook='ping')";
    expect(await script(twice)).toContain(`gears.error: ${text} which already created on this session\\n`);
    expect(await ask("PING", "x")).toBe("x");
    expect(await registrations(setting().client)).toHaveLength(1);
  });
});

describe("when a hook applies", () => {
  it("is decided before the command's arguments are counted", async () => {
    await hook("get", "lambda r: len(r)");
    expect(await ask("GET")).toBe("1");
    expect(await ask("GET", "a", "b", "c")).toBe("4");
  });

  it("keyprefix: the start of a key, in which a star is a star; with '' any key", async () => {
    await hook("get", "lambda r: 'star'", "mode='sync', keyprefix='a*'");
    expect([await ask("GET", "a*b"), await ask("GET", "ab")]).toEqual(["star", null]);
    await hook("get", "lambda r: 'any'", "mode='sync', keyprefix=''");
    expect([await ask("GET", "ab"), await ask("GET", "")]).toEqual(["any", "any"]);
    expect(await ask("GET")).toBe("-ERR wrong number of arguments for 'get' command");
  });

  it("keyprefix is looked at again with what call_next is given", async () => {
    await hook("get", "lambda r: 'inner ' + r[1]", "mode='sync', keyprefix='in:'");
    await hook(
      "get",
      "lambda r: [call_next('in:' + r[1]), call_next('out:' + r[1])]",
      "mode='sync', convertToStr=False",
    );
    await ask("SET", "out:k", "v");
    expect(await ask("GET", "k")).toEqual(["inner in:k", "v"]);
  });

  it("one that is not sync: never where nobody can wait, and the command does nothing", async () => {
    await hook("incr", "lambda r: call_next(*r[1:])", "mode='async_local'");
    await ask("MULTI");
    await ask("INCR", "n");
    expect(await ask("EXEC")).toEqual([`-${REFUSED}`]);
    expect(await ask("EVAL", "return redis.call('INCR', 'n')", "0")).toContain(`-${REFUSED}`);
    expect(await script("execute('INCR', 'n')")).toContain(`gears.error: ${REFUSED}`);
    expect(await ask("GET", "n")).toBeNull();
    expect(await onlyRegistration(setting().client)).toMatchObject({ numTriggered: 0, numAborted: 0 });
    expect(await ask("INCR", "n")).toBe("1");
  });

  it("execute() of the hooked command in its own hook enters the hook again", async () => {
    await script(`
def f(r): return r[1] if len(r[1]) > 3 else execute('ECHO', r[1] + '.')
GB('CommandReader').map(f).register(hook='echo', mode='sync')`);
    expect(await ask("ECHO", "a")).toBe("a...");
  });

  it("not to what the server itself reads for records", async () => {
    await ask("SET", "k", "v");
    await hook("get", "lambda r: 'hooked'");
    expect(await script("GB().map(lambda r: r['value']).run('k')")).toEqual([["v"], []]);
  });
});

describe("call_next", () => {
  it("of what the command refuses raises its error; the hook may answer for it", async () => {
    await ask("SET", "text", "x");
    await script(`
def f(r):
    try: return call_next(*r[1:])
    except Exception as e: return f'{type(e).__module__}.{type(e).__name__}: {e}'
GB('CommandReader').map(f).register(hook='incr', mode='sync')`);
    expect(await ask("INCR", "text")).toMatch(/^gears\.error: ERR value is not an integer or out of range\r?\n?$/);
    expect(await ask("INCR")).toBe("gears.error: Invalid argument");
    expect(await ask("INCR", "n")).toBe("1");
  });

  it("in a coroutine runs the next hook, and the command at the end", async () => {
    await hook("echo", "lambda r: 'inner ' + call_next(*r[1:])");
    await script(`
import asyncio
async def f(r):
    await asyncio.sleep(0.001)
    return 'outer ' + call_next(*r[1:])
GB('CommandReader').map(f).register(hook='echo', mode='async_local')`);
    expect(await ask("ECHO", "x")).toBe("outer inner x");
  });

  it("is for hooks only", async () => {
    await script("GB('CommandReader').map(lambda r: call_next('k')).register(trigger='t')");
    expect(await ask("RG.TRIGGER", "t")).toContain("gears.error: Failed executing command");
    expect(await script("call_next('k')")).toContain("gears.error: Can not get CommandHook ctx");
    await script("GB().foreach(lambda r: call_next('k')).register('k:*', mode='sync')", "ID", "keys");
    await ask("SET", "k:1", "v");
    const all = await registrations(setting().client);
    expect(all.at(-1)?.data.lastError).toContain("gears.error: Can not get CommandHook ctx");
  });

  it("fires the events of the real command, once", async () => {
    await hook("set", "lambda r: [call_next(*r[1:]), call_next(*r[1:])][0]");
    await script("GB().foreach(lambda r: execute('INCR', 'events')).register('k:*', mode='sync')");
    expect(await ask("SET", "k:1", "v")).toBe("OK");
    expect(await ask("GET", "events")).toBe("2");
  });
});

describe("hooks and the commands of a KeysReader", () => {
  const OVERRIDE =
    "GB().foreach(lambda r: override_reply('overridden')).register('*', commands=['get'], eventTypes=['keymiss'], mode='sync')";

  it("a command that a hook takes is not intercepted by `commands` when the hook runs it", async () => {
    await script(OVERRIDE);
    expect(await ask("GET", "missing")).toBe("overridden");
    await hook("get", "lambda r: call_next(*r[1:])", "mode='sync', keyprefix='h:'");
    expect([await ask("GET", "h:missing"), await ask("GET", "missing")]).toEqual(["None", "overridden"]);
  });

  it("what is overridden has happened", async () => {
    await script(
      "GB().foreach(lambda r: override_reply('-no such luck')).register('*', commands=['set'], mode='sync')",
    );
    expect(await ask("SET", "k", "v")).toBe("-no such luck");
    expect(await ask("GET", "k")).toBe("v");
  });

  it("a command with a wrong number of arguments has the engine's error", async () => {
    await script(OVERRIDE);
    expect(await ask("GET")).toBe("-ERR wrong number of arguments for 'get' command");
    expect(await ask("GET", "a", "b")).toBe("-ERR wrong number of arguments for 'get' command");
  });

  it("the command's own error is its reply, and without an event nothing is started", async () => {
    await ask("SET", "text", "x");
    await script("GB().foreach(lambda r: override_reply('x')).register('*', commands=['incr'], mode='async_local')");
    expect(await ask("INCR", "text")).toBe("-ERR value is not an integer or out of range");
    expect(await onlyRegistration(setting().client)).toMatchObject({ numTriggered: 0 });
  });

  it("out of memory, an intercepted write is refused before it happens", async () => {
    await script("GB().foreach(lambda r: override_reply('x')).register('*', commands=['set'], mode='sync')");
    const [, before] = (await ask("CONFIG", "GET", "maxmemory")) as string[];
    await ask("CONFIG", "SET", "maxmemory", "1");
    try {
      expect(await ask("SET", "k", "v")).toBe("-OOM command not allowed when used memory > 'maxmemory'.");
      expect(await onlyRegistration(setting().client)).toMatchObject({ numTriggered: 0 });
    } finally {
      await ask("CONFIG", "SET", "maxmemory", String(before));
    }
    expect(await ask("GET", "k")).toBeNull();
  });
});
