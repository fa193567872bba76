/** Coroutines in the steps of flows and registrations: what no recording shows. */
import { describe, expect, it } from "vitest";
import { executions, useServer, type Value } from "../support/use-server.ts";
import { reply } from "../support/replies.ts";

const setting = useServer();
const ask = (...args: string[]): Promise<Value> => reply(setting().client, ...args);
const script = (code: string, ...options: string[]): Promise<Value> => ask("RG.PYEXECUTE", code, ...options);

/** `later(f)` is `f` as a coroutine that waits a moment before it gives its value. */
const LATER = `
import asyncio
def later(f):
    async def coroutine(*args):
        await asyncio.sleep(0.001)
        return f(*args)
    return lambda *args: coroutine(*args)
def numbers(): yield from [1, 2, 3, 4]
`;
const flow = (steps: string): Promise<Value> => script(`${LATER}\nGB('PythonReader').${steps}.run(numbers)`);

describe("a step whose function returns a coroutine", () => {
  it.each([
    ["map(later(lambda x: x * 2))", ["2", "4", "6", "8"]],
    ["flatmap(later(lambda x: [x, x])).count()", ["8"]],
    ["filter(later(lambda x: x > 2))", ["3", "4"]],
    ["foreach(later(lambda x: None))", ["1", "2", "3", "4"]],
    ["accumulate(later(lambda a, x: (a or 0) + x))", ["10"]],
    ["aggregate(0, later(lambda a, x: a + x), later(lambda a, b: a + b))", ["10"]],
    ["groupby(lambda x: 'k', later(lambda k, a, x: (a or 0) + x))", ["{'key': 'k', 'value': 10}"]],
    ["localgroupby(lambda x: 'k', later(lambda k, a, x: (a or 0) + x))", ["{'key': 'k', 'value': 10}"]],
    [
      "aggregateby(lambda x: 'k', 0, later(lambda k, a, x: a + x), later(lambda k, a, b: a + b))",
      ["{'key': 'k', 'value': 10}"],
    ],
  ])("%s", async (steps, results) => {
    expect(await flow(steps)).toEqual([results, []]);
  });

  it.each([
    ["groupby(later(lambda x: x), lambda k, a, x: x)", "coroutine are not allow on extractor"],
    ["localgroupby(later(lambda x: x), lambda k, a, x: x)", "coroutine are not allow on extractor"],
    ["batchgroupby(later(lambda x: x), lambda k, r: r)", "coroutine are not allow on extractor"],
    ["repartition(later(lambda x: x))", "coroutine are not allow on extractor"],
    ["batchgroupby(lambda x: 'k', later(lambda k, r: 1))", "coroutine are not allow on reduce"],
  ])("%s is an error", async (steps, text) => {
    const [results, errors] = (await flow(steps)) as [Value[], string[]];
    expect([results, errors.length]).toEqual([[], 1]);
    expect(errors[0]).toContain(text);
  });
});

describe("in a coroutine", () => {
  it("what belongs to the step works after await, and what belongs to its call does not", async () => {
    await script(`
import asyncio
async def f(r):
    await asyncio.sleep(0.001)
    try: gearsFuture()
    except Exception as e: future = f'{type(e).__module__}.{type(e).__name__}'
    other = await GB('ShardsIDReader').run()
    return [isAsyncAllow(), future, execute('PING'), other]
GB('CommandReader').map(f).register(trigger='t', mode='sync')`);
    expect(await ask("RG.TRIGGER", "t")).toEqual(["[False, 'gears.error', 'PONG', [['1'], []]]"]);
  });

  it("atomic() keeps others out, and an exception leaves only its text", async () => {
    await script(`
import asyncio
async def f(r):
    await asyncio.sleep(0.001)
    with atomic():
        execute('INCR', 'n')
        execute('INCR', 'n')
    raise ValueError('said ' + execute('GET', 'n'))
GB('CommandReader').map(f).register(trigger='t')`);
    expect(await ask("RG.TRIGGER", "t")).toBe("-said 2");
  });

  it("code that is busy does not keep its execution from being aborted as one that waits", async () => {
    await script(`
async def f(r):
    execute('SET', 'busy', '1')
    while True: pass
GB().foreach(f).register('key', mode='async')`);
    await ask("SET", "key", "1");
    await expect.poll(() => ask("GET", "busy")).toBe("1");
    const [{ id } = { id: "" }] = await executions(setting().client);
    await ask("RG.ABORTEXECUTION", id);
    expect(await ask("RG.GETRESULTS", id)).toEqual([[], []]);
    expect(JSON.stringify(await ask("RG.DUMPREGISTRATIONS"))).toMatch(
      /"numFailures",0,"numAborted",1,.*"lastError",null/,
    );
  });

  it("that fails the others in flight still deliver, in order", async () => {
    const steps = `map(later(lambda x: 1 // (x - 2)))`;
    const [results, errors] = (await flow(steps)) as [Value[], string[]];
    expect(results).toEqual(["-1", "1", "0"]);
    expect(errors).toEqual([expect.stringMatching(/division|zero/)]);
  });
});

describe("an execution that waits", () => {
  const HELD = `
import asyncio
async def held(r):
    execute('INCR', 'begun')
    while not execute('EXISTS', 'go'): await asyncio.sleep(0.005)
    return 'ended'
`;
  it("leaves the queue of an inorder trigger to the next call", async () => {
    const { connect } = setting();
    await script(`${HELD}\nGB('CommandReader').map(held).register(trigger='t', mode='async_local', inorder=True)`);
    const calls = [(await connect()).call("RG.TRIGGER", "t"), (await connect()).call("RG.TRIGGER", "t")];
    await expect.poll(() => ask("GET", "begun")).toBe("2");
    await ask("SET", "go", "1");
    expect(await Promise.all(calls)).toEqual([["ended"], ["ended"]]);
  });

  it("takes no thread from others, and stays `running` for ever when nobody completes its future", async () => {
    const lost = "async def f(r): return await createFuture()\nGB('ShardsIDReader').map(f).run()";
    const ids: string[] = [];
    for (let n = 0; n < 8; n++) ids.push(String(await script(lost, "UNBLOCKING")));
    expect(await script("GB('ShardsIDReader').run()")).toEqual([["1"], []]);
    const states = (await executions(setting().client)).filter(({ id }) => ids.includes(id));
    expect(states.map(({ status }) => status)).toEqual(ids.map(() => "running"));
    for (const id of ids) expect(await ask("RG.ABORTEXECUTION", id)).toBe("OK");
    for (const id of ids) expect(await ask("RG.GETRESULTS", id)).toEqual([[], []]);
  });
});

describe("where nothing may wait", () => {
  it("earlier steps have had their effect when a coroutine is refused; isAsyncAllow() tells beforehand", async () => {
    await script(`
import asyncio
async def wait(r): await asyncio.sleep(0.001)
def effect(r): execute('RPUSH', 'noted', str(isAsyncAllow()))
GB('CommandReader').foreach(effect).foreach(wait).map(lambda r: 'waited').register(trigger='t', mode='sync')`);
    const refusal = "-Error type: <class 'gears.error'>, Value: Creating async record is not allowed";
    await ask("MULTI");
    await ask("RG.TRIGGER", "t");
    expect(await ask("EXEC")).toEqual([refusal]);
    expect(await ask("EVAL", "return redis.call('RG.TRIGGER', 't')", "0")).toContain(refusal);
    expect(await script("execute('RG.TRIGGER', 't')")).toContain(refusal.slice(1));
    expect(await ask("RG.TRIGGER", "t")).toEqual(["waited"]);
    expect(await ask("LRANGE", "noted", "0", "-1")).toEqual(["False", "False", "False", "True"]);
  });

  it("an onRegistered that is a coroutine is not run, and the log says so", async () => {
    const { server } = setting();
    await script(`
async def f(): execute('SET', 'ran', '1')
GB('CommandReader').register(trigger='t', onRegistered=f)`);
    expect(await ask("RG.TRIGGER", "t")).toEqual(["['t']"]);
    await expect.poll(() => server.output()).toMatch(/coroutines? .*not allow/i);
    expect(await ask("GET", "ran")).toBeNull();
  });
});
