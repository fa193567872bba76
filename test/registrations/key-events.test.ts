/** KeysReader registrations on the running server: events, filters and re-entry that no recording shows. */
import { describe, expect, it } from "vitest";
import { registrations, useServer, type Value } from "../support/use-server.ts";
import { reply } from "../support/replies.ts";

const setting = useServer();
const ask = (...args: string[]): Promise<Value> => reply(setting().client, ...args);
const send = (line: string): Promise<Value> => ask(...line.split(" "));
const script = (code: string, ...options: string[]): Promise<Value> => ask("RG.PYEXECUTE", code, ...options);
const noted = (): Promise<Value> => ask("LRANGE", "noted", "0", "-1");
/** Registers, for these arguments, a reader that notes `event key type` of each event in `noted`. */
const note = (args: string): Promise<Value> =>
  script(`
def note(r): execute('RPUSH', 'noted', ' '.join(str(r.get(name)) for name in ('event', 'key', 'type')))
GB().foreach(note).register(${args})`);

describe("events of commands", () => {
  it.each([
    ["APPEND k v", ["append k string"]],
    ["SETRANGE k 3 v", ["setrange k string"]],
    ["DECRBY k 2", ["incrby k string"]],
    ["INCRBYFLOAT k 2", ["incrbyfloat k string"]],
    ["HSET h f v", ["hset h hash"]],
    ["HINCRBY h f 1", ["hincrby h hash"]],
    ["SADD s m", ["sadd s set"]],
    ["ZADD z 1 m", ["zadd z zset"]],
    ["ZINCRBY z 1 m", ["zincr z zset"]],
    ["XADD x 1-1 f v", ["xadd x unknown"]],
    ["PFADD p v", ["pfadd p string"]],
    ["SETEX k 100 v", ["set k string", "expire k string"]],
    ["SET k v NX", ["set k string"]],
    ["SET k v XX", []],
    ["DEL k", []],
    ["EXPIRE k 100", []],
    ["SELECT 0", []],
  ])("%s: %j", async (command, events) => {
    await note("'*', mode='sync'");
    await send(command);
    expect(await noted()).toEqual(events);
  });

  it.each([
    ["SET k v", "EXPIRE k 100", ["expire k"]],
    ["SET k v EX 100", "PERSIST k", ["persist k"]],
    ["SET k v", "UNLINK k", ["del k"]],
    ["SET k v", "GETEX k EX 100", ["expire k"]],
    ["HSET h f v", "HDEL h f", ["hdel h", "del h"]],
    ["RPUSH l a b", "LTRIM l 0 0", ["ltrim l"]],
    ["RPUSH l a", "LSET l 0 b", ["lset l"]],
    ["SADD s a", "SMOVE s s2 a", ["srem s", "del s", "sadd s2"]],
    ["RPUSH l b a", "SORT l ALPHA STORE l2", ["sortstore l2"]],
    ["SADD s a", "SUNIONSTORE s2 s", ["sunionstore s2"]],
    ["SET k v", "RENAME k k", []],
    ["SET k v", "COPY k k2 REPLACE", ["copy_to k2"]],
    ["SET k v", "MOVE k 1", ["move_from k", "move_to k"]],
  ])("after %s, %s: %j", async (before, command, events) => {
    await send(before);
    await note("'*', mode='sync'");
    await send(command);
    // whether a key that is about to go still has its type differs between engines
    expect(((await noted()) as string[]).map((one) => one.split(" ").slice(0, 2).join(" "))).toEqual(events);
  });
});

describe("filters", () => {
  it("all that are given have to pass", async () => {
    await note("'k:*', mode='sync', eventTypes=['set', 'del'], keyTypes=['string'], commands=['set', 'getdel']");
    for (const line of ["SET k:1 v", "SET j:1 v", "MSET k:2 v", "APPEND k:1 v", "DEL k:1", "SET k:3 v", "GETDEL k:3"]) {
      await send(line);
    }
    expect(await noted()).toEqual(["set k:1 string", "set k:3 string"]);
  });

  it.each([
    ["'*b'", ["*b"]],
    ["'a*b*'", ["a*b1"]],
    ["''", []],
    ["'a'", ["a"]],
    ["'[ab]*'", ["[ab]x"]],
  ])("prefix %s", async (prefix, keys) => {
    await note(`${prefix}, mode='sync'`);
    for (const key of ["*b", "xb", "a*b1", "axb1", "a", "ab", "[ab]x"]) await ask("SET", key, "v");
    expect(await noted()).toEqual(keys.map((key) => `set ${key} string`));
  });

  it("the event 'new' of a key is not delivered, also when it is asked for", async () => {
    await note("'k:*', mode='sync', eventTypes=['new', 'set']");
    await send("SET k:1 v");
    expect(await noted()).toEqual(["set k:1 string"]);
  });
});

describe("re-entry", () => {
  it("what a sync execution changes fires no KeysReader of any mode, through streams and hooks neither", async () => {
    const noting = (what: string): string => `lambda r: execute('RPUSH', 'noted', '${what}')`;
    await script(`
GB().foreach(${noting("async")}).register('b', mode='async_local')
GB().foreach(${noting("sync")}).register('b', mode='sync')
GB('StreamReader').foreach(${noting("stream")}).foreach(lambda r: execute('SET', 'b', '1')).register('s', mode='sync')
GB('CommandReader').foreach(${noting("hook")}).map(lambda r: call_next(*r[1:])).register(hook='append', mode='sync')
def f(r):
    execute('SET', 'b', '1')
    execute('XADD', 's', '*', 'f', 'v')
    execute('APPEND', 'b', '2')
GB().foreach(f).register('a', mode='sync')`);
    await send("SET a 1");
    await send("SET marker 1");
    expect(await noted()).toEqual(["stream", "hook"]);
    expect(await ask("GET", "b")).toBe("12");
    const triggered = (await registrations(setting().client)).map(({ data }) => data.numTriggered);
    expect(triggered.slice(0, 2)).toEqual([0, 0]);
    await send("SET b 3");
    await expect.poll(noted).toEqual(expect.arrayContaining(["sync", "async"]));
  });

  it.each([
    ["a trigger", "GB('CommandReader').foreach(write).register(trigger='t', mode='sync')", ["RG.TRIGGER", "t"]],
    ["a trigger in the background", "GB('CommandReader').foreach(write).register(trigger='t')", ["RG.TRIGGER", "t"]],
    ["a hook", "GB('CommandReader').foreach(write).register(hook='echo', mode='sync')", ["ECHO", "x"]],
    ["a StreamReader", "GB('StreamReader').foreach(write).register('s', mode='sync')", ["XADD", "s", "*", "f", "v"]],
    ["a batch run", "", ["RG.PYEXECUTE", "GB('ShardsIDReader').foreach(lambda r: execute('SET', 'b', '1')).run()"]],
    ["a script's body", "", ["RG.PYEXECUTE", "execute('SET', 'b', '1')"]],
    ["a Lua script", "", ["EVAL", "return redis.call('SET', 'b', '1')", "0"]],
  ])("what %s changes does", async (_name, registration, command) => {
    await note("'b', mode='sync'");
    await script(`def write(r): execute('SET', 'b', '1')\n${registration}`);
    await ask(...command);
    expect(await noted()).toEqual(["set b string"]);
  });

  it("within MULTI each sync execution sees the value of its moment, one in the background the last", async () => {
    const noting = (mode: string): string =>
      `GB().foreach(lambda r: execute('RPUSH', '${mode}', r['value'])).register('k', mode='${mode}')`;
    await script(`${noting("sync")}\n${noting("async_local")}`);
    await send("MULTI");
    await send("SET k 1");
    await send("SET k 2");
    await send("EXEC");
    expect(await ask("LRANGE", "sync", "0", "-1")).toEqual(["1", "2"]);
    await expect.poll(() => ask("LRANGE", "async_local", "0", "-1")).toEqual(["2", "2"]);
  });
});

describe("commands", () => {
  it("every event that a listed command causes fires; the same event by another command does not", async () => {
    await note("'*', mode='sync', commands=['RENAME', 'setEX']");
    for (const line of ["SETEX a 100 v", "SET b v", "EXPIRE b 100", "RENAME a c"]) await send(line);
    expect(await noted()).toEqual(["set a string", "expire a string", "rename_from a empty", "rename_to c string"]);
  });

  it("in MULTI and Lua a background execution is not linked, a sync one may override", async () => {
    await script(`
def f(r):
    execute('RPUSH', 'noted', str(get_command()))
GB().foreach(f).register('bg:*', mode='async_local', commands=['get'], eventTypes=['keymiss'])
GB().foreach(lambda r: override_reply('made')).register('sync:*', mode='sync', commands=['get'], eventTypes=['keymiss'])`);
    await send("MULTI");
    await send("GET bg:1");
    await send("GET sync:1");
    expect(await send("EXEC")).toEqual([null, "made"]);
    expect(await ask("EVAL", "return redis.call('GET', 'bg:2')", "0")).toBeNull();
    expect(await ask("EVAL", "return redis.call('GET', 'sync:2')", "0")).toBe("made");
    await expect
      .poll(async () => (await registrations(setting().client))[0]?.data)
      .toMatchObject({ numFailures: 2, lastError: expect.stringContaining("gears.error: Can not get command ctx") });
    expect(await noted()).toEqual([]);
  });

  it("a coroutine in a sync registration holds its client until it ends, and may override", async () => {
    await script(`
import asyncio
async def f(r):
    await asyncio.sleep(0.02)
    override_reply([get_command(), 'late'])
GB().foreach(f).register('*', mode='sync', commands=['get'], eventTypes=['keymiss'])`);
    expect(await send("gEt x")).toEqual([["gEt", "x"], "late"]);
  });
});
