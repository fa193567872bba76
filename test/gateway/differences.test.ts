/** Where Regears differs from RedisGears 1.2 on purpose, and what it answers where RedisGears ends or breaks its replies. */
import { describe, expect, it } from "vitest";
import { executions, fields, onlyRegistration, useServer, type Value } from "../support/use-server.ts";
import { connectPlain } from "../support/plain-client.ts";
import { reply } from "../support/replies.ts";

const setting = useServer();
const ask = (...args: string[]): Promise<Value> => reply(setting().client, ...args);
const script = (...args: string[]): Promise<Value> => ask("RG.PYEXECUTE", ...args);

describe("results that look like errors or statuses", () => {
  const SIGNS = "def signs(): yield from ['-1', '+x', '-', '+', '', ':5']";

  it("of runs are strings, whichever way they are read", async () => {
    const { client } = setting();
    const run = `${SIGNS}\nGB('PythonReader').run(signs)`;
    const results = [["-1", "+x", "-", "+", "", ":5"], []];
    expect(await client.call("RG.PYEXECUTE", run)).toEqual(results);
    const id = String(await client.call("RG.PYEXECUTE", run, "UNBLOCKING"));
    expect(await client.call("RG.GETRESULTSBLOCKING", id)).toEqual(results);
    expect(await client.call("RG.GETRESULTS", id)).toEqual(results);
  });

  it("of triggers and hooks are errors and statuses, as in RedisGears", async () => {
    await script(`
GB('CommandReader').map(lambda r: r[1]).register(trigger='t', mode='sync')
GB('CommandReader').map(lambda r: r[1]).register(hook='echo', mode='async_local')`);
    expect([await ask("RG.TRIGGER", "t", "-no"), await ask("RG.TRIGGER", "t", "+yes")]).toEqual([["-no"], ["yes"]]);
    expect([await ask("ECHO", "-no"), await ask("ECHO", "+yes"), await ask("ECHO", ":5")]).toEqual([
      "-no",
      "yes",
      ":5",
    ]);
  });
});

describe("NUL bytes cut nothing", () => {
  it("in arguments, keys, values, results and errors", async () => {
    await script(`
def f(r):
    if r[1] == 'fail': raise flat_error(r[2])
    execute('SET', r[1], r[2])
    return execute('GET', r[1])
GB('CommandReader').map(f).register(trigger='t', mode='sync')
GB().foreach(lambda r: execute('RPUSH', 'noted', r['key'], r['value'])).register('k*', mode='sync')`);
    expect(await ask("RG.TRIGGER", "t", "k\0a", "v\0b")).toEqual(["v\0b"]);
    expect(await ask("GET", "k\0a")).toBe("v\0b");
    expect(await ask("LRANGE", "noted", "0", "-1")).toEqual(["k\0a", "v\0b"]);
    expect(await ask("RG.TRIGGER", "t", "fail", "e\0f")).toBe("-e\0f");
    expect(await script("GB().map(lambda r: r['key']).run('k\\0*')")).toEqual([["k\0a"], []]);
  });

  it("in scripts: Python says what it thinks of them", async () => {
    expect(await script("execute('SET', 'ran', '1')\n\0\nx = 1")).toMatch(/^-.*(SyntaxError|ValueError).*null bytes/);
    expect(await ask("EXISTS", "ran")).toBe(0);
  });
});

describe("what has no reply of its own in RedisGears", () => {
  it.each([
    ["a number beyond 64 bits is a string", "2 ** 64", "$20\r\n18446744073709551616"],
    ["one below, too", "-2 ** 63 - 1", "$20\r\n-9223372036854775809"],
    ["the largest within is an integer", "2 ** 63 - 1", ":9223372036854775807"],
    ["the least within, too", "-2 ** 63", ":-9223372036854775808"],
    ["a lone surrogate is replaced", "'a\\ud800b'", `$11\r\na${"\ufffd".repeat(3)}b`],
  ])("%s", async (_name, value, bytes) => {
    const client = await connectPlain(setting().server.port);
    client.send("RG.PYEXECUTE", `GB('ShardsIDReader').map(lambda r: ${value}).run(convertToStr=False)`);
    await client.expect(`*2\r\n*1\r\n${bytes}\r\n*0\r\n`);
    client.destroy();
  });
});

describe("UNBLOCKING", () => {
  const outcome = async (...args: string[]): Promise<Value> => {
    const id = String(await script(...args, "UNBLOCKING"));
    expect(id).toMatch(/^0{40}-\d+$/);
    return ask("RG.GETRESULTSBLOCKING", id);
  };

  it.each([
    ["x = 1", "OK"],
    ["GB('CommandReader').register(trigger='t')", "OK"],
    ["GB('ShardsIDReader').run()", [["1"], []]],
    ["GB('ShardsIDReader').run()\nGB('CommandReader').register(trigger='t')", [["1"], []]],
    ["raise ValueError('no')", expect.stringContaining("-['Traceback")],
    ["GB('ShardsIDReader').run()\nraise ValueError('no')", expect.stringContaining("ValueError: no")],
    ["GB('ShardsIDReader').run()\nGB('CommandReader').register()", expect.stringContaining("gears.error")],
    ["x =", expect.stringContaining("SyntaxError")],
  ])("%j answers an id, and its outcome is %j", async (code, expected) => {
    expect(await outcome(code)).toEqual(expected);
  });

  it("the execution of a script is listed, kept, dropped and counted like any other", async () => {
    const id = String(await script("x = 1", "UNBLOCKING"));
    expect(await ask("RG.GETRESULTSBLOCKING", id)).toBe("OK");
    const listed = ((await ask("RG.DUMPEXECUTIONS")) as Value[]).map(fields);
    expect(listed).toContainEqual({ executionId: id, status: "done", registered: 0 });
    expect([await ask("RG.GETRESULTS", id), await ask("RG.GETRESULTS", id)]).toEqual(["OK", "OK"]);
    expect(await ask("RG.DROPEXECUTION", id)).toBe("OK");
    expect(await ask("RG.GETRESULTS", id)).toBe("-execution plan does not exist");
  });
});

describe("the store", () => {
  it("reading a result counts as use: what was not read goes first", async () => {
    const run = async (): Promise<string> => {
      const id = String(await script("GB('ShardsIDReader').run()", "UNBLOCKING"));
      await ask("RG.GETRESULTSBLOCKING", id);
      return id;
    };
    // a lower limit takes effect one by one, so that it is exact only for a store that is below it
    for (const { id } of await executions(setting().client)) await ask("RG.DROPEXECUTION", id);
    await ask("RG.CONFIGSET", "MaxExecutions", "3");
    try {
      const [first, second, third] = [await run(), await run(), await run()];
      expect(await ask("RG.GETRESULTS", first)).toEqual([["1"], []]);
      await run();
      const found = await Promise.all([first, second, third].map((id) => ask("RG.GETRESULTS", id)));
      expect(found).toEqual([[["1"], []], "-execution plan does not exist", [["1"], []]]);
    } finally {
      await ask("RG.CONFIGSET", "MaxExecutions", "1000");
    }
  });
});

describe("Python", () => {
  it("has no threads; registerGearsThread() is there and does nothing", async () => {
    expect(await script("import threading\nthreading.Thread(target=print).start()")).toMatch(/^-.*Error/);
    expect(await script("from redisgears import registerGearsThread\nregisterGearsThread()")).toBe("OK");
  });

  it("a script's body does not keep others from being served; atomic() keeps their commands from the engine", async () => {
    const other = await setting().connect();
    const body = "import time\nwhile not execute('EXISTS', 'go'): time.sleep(0.005)";
    const running = script(body);
    expect(await other.call("SET", "go", "1")).toBe("OK");
    expect(await running).toBe("OK");
    const atomic = script("with atomic():\n    for n in range(200): execute('INCR', 'n')");
    const seen: Value[] = [];
    for (let done = false; !done; ) {
      done = await Promise.race([atomic.then(() => true), other.call("GET", "n").then((n) => !seen.push(n))]);
    }
    expect(seen.filter((n) => n !== null && n !== "200")).toEqual([]);
  });

  it("ProfileExecutions measures the steps of a run", async () => {
    await ask("RG.CONFIGSET", "ProfileExecutions", "1");
    try {
      const run =
        "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(0.02)).run(convertToStr=False, collect=False)";
      const id = String(await script(run, "UNBLOCKING"));
      await ask("RG.GETRESULTSBLOCKING", id);
      const plan = fields(fields(((await ask("RG.GETEXECUTION", id)) as Value[])[0]).execution_plan);
      expect(fields((plan.steps as Value[])[0]).duration).toBeGreaterThanOrEqual(20);
      expect(plan.total_duration).toBeGreaterThanOrEqual(20);
    } finally {
      await ask("RG.CONFIGSET", "ProfileExecutions", "0");
    }
  });
});

it("a KeysReader in mode sync with a coroutine goes on in the background", async () => {
  await script(`
import asyncio
async def f(r):
    await asyncio.sleep(0.001)
    execute('SET', 'late', r['key'])
GB().foreach(f).register('k', mode='sync')`);
  expect(await ask("SET", "k", "v")).toBe("OK");
  await expect.poll(() => ask("GET", "late")).toBe("k");
  await expect.poll(async () => (await onlyRegistration(setting().client)).numSuccess).toBe(1);
});
