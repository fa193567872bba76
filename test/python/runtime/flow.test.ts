/** Executions: waiting for coroutines and futures, what is told to the main thread, and when. */
import { beforeAll, describe, expect, test } from "vitest";
import { PythonUnderTest } from "./harness.ts";

let python: PythonUnderTest;
beforeAll(async () => {
  python = await PythonUnderTest.start();
});

const ask = (...scripts: string[]): unknown[] =>
  python.json(`[main.ask("RG.PYEXECUTE", script) for script in inputs["scripts"]]`, { scripts }) as unknown[];

const source = (items: string): string => `def source():\n    yield from ${items}\n`;

describe("coroutines", () => {
  test("results keep the order of the records, whoever ends first", () => {
    const script = `${source("range(6)")}
async def f(x):
    await asyncio.sleep(0.01 * (6 - x))
    return x
async def even(x):
    await asyncio.sleep(0.01 * (x % 3))
    return x % 2 == 0
GB('PythonReader').map(f).filter(even).flatmap(lambda x: [x, x + 100]).run(source)`;
    expect(ask(script)).toEqual([[["100", "0", "102", "2", "104", "4"], []]]);
  });

  test("at most a thousand records are in flight, and all of them come through", () => {
    const script = `${source("range(2500)")}
now = most = 0
async def f(x):
    global now, most
    now += 1
    most = max(most, now)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    now -= 1
    return x
GB('PythonReader').map(f).count().map(lambda n: (n, most)).run(source)`;
    expect(ask(script)).toEqual([[["(2500, 1000)"], []]]);
  });

  test("accumulators take one record at a time", () => {
    const script = `${source("[3, 1, 2]")}
order = []
async def add(a, r):
    order.append(('in', r))
    await asyncio.sleep(0.001 * r)
    order.append(('out', r))
    return (a or 0) + r
async def reduce(k, a, r):
    await asyncio.sleep(0)
    return (a or []) + [r]
GB('PythonReader').accumulate(add).map(lambda n: (n, [w for w, r in order], [r for w, r in order])).run(source)`;
    const grouped = `${source("[3, 1, 2]")}
async def reduce(k, a, r):
    await asyncio.sleep(0)
    return (a or []) + [r]
GB('PythonReader').groupby(lambda x: x % 2, reduce).map(lambda r: (r['key'], r['value'])).sort().run(source)`;
    expect(ask(script, grouped)).toEqual([
      [["(6, ['in', 'out', 'in', 'out', 'in', 'out'], [3, 3, 1, 1, 2, 2])"], []],
      [["('0', [2])", "('1', [3, 1])"], []],
    ]);
  });

  test("an error of an accumulating coroutine loses what was accumulated", () => {
    const script = `
async def add(a, r):
    if r == 2:
        raise ValueError('two')
    return (a or 0) + r
GB('ShardsIDReader').flatmap(lambda x: [4, 3, 2, 1]).accumulate(add).run()`;
    expect(ask(script)).toEqual([[["7"], ["two"]]]);
  });

  test.each([
    ["a record", "7", 0],
    ["an error", "1 // 0", 1],
  ])("a full window takes one more record and no other: %s", (_title, value, errors) => {
    const script = `seen = []
def f(x):
    seen.append(x)
    return x if x < 3 else ${value}
GB('ShardsIDReader').flatmap(lambda r: list(range(8, -1, -1))).map(f).limit(2, 1).run()
GB('CommandReader').map(lambda r: seen).register(trigger='seen')`;
    const [reply, seen] = python.json(
      `
main.ask("RG.PYEXECUTE", inputs["script"])
main.serve(lambda: main.flows[1]["done"] is not None)
[[main.flows[1]["results"], len(main.flows[1]["done"][1])], main.ask("RG.TRIGGER", "seen")]
`,
      { script },
    ) as [unknown, unknown];
    expect([reply, seen]).toEqual([[["1", "2"], errors], ["[0, 1, 2, 3]"]]);
  });

  test("the main thread is told when a flow waits and when it goes on", () => {
    const script = "async def f(x):\n    await asyncio.sleep(0.01)\nGB('ShardsIDReader').map(f).run()";
    const told = python.json(
      `
main.ask("RG.PYEXECUTE", inputs["script"])
[post[0] for post in main.posts]
`,
      { script },
    );
    expect(told).toEqual(["script", "waiting", "running", "done"]);
  });

  test("where the caller can not wait, a coroutine or future is an error", () => {
    const outcome = python.json(`
main.ask("RG.PYEXECUTE", """
async def f(x): return 1
GB('CommandReader').map(f).register(trigger='c', mode='sync')
GB('CommandReader').map(lambda x: gearsFuture()).register(trigger='f', mode='sync')
GB('CommandReader').map(lambda x: isAsyncAllow()).register(trigger='a', mode='sync')
""")
main.flags |= 4
[main.ask("RG.TRIGGER", name) for name in "cfa"]
`) as string[];
    expect(outcome[0]).toBe("Error type: <class 'gears.error'>, Value: Creating async record is not allowed");
    expect(outcome[1]).toContain("gears.error: Creating async record is not allowed");
    expect(outcome[2]).toEqual(["False"]);
  });

  test("asyncio.run, threads' stand-in and the loop's own functions work in a step", () => {
    const script = `
async def g(x):
    await asyncio.sleep(0.01)
    return x + await asyncio.to_thread(lambda: 'b')
def f(x):
    return [asyncio.run(g('a')), asyncio.get_event_loop() is loop, loop.run_until_complete(g('c'))]
async def h(x):
    queue, lock = asyncio.Queue(), asyncio.Lock()
    async def put():
        async with lock:
            await queue.put(x[0])
    asyncio.create_task(put())
    async with asyncio.timeout(1):
        return await queue.get()
GB('ShardsIDReader').map(f).map(h).run()`;
    expect(ask(script)).toEqual([[["ab"], []]]);
  });
});

describe("gearsFuture", () => {
  const misuse = (callback: string, step = "map(f)"): string =>
    `def f(*args):\n    ${callback}\nGB('ShardsIDReader').${step}.run()`;

  test.each([
    ["two in one call", misuse("gearsFuture(); gearsFuture()"), "Can not create async record twice on the same step"],
    ["arguments", misuse("gearsFuture(1)"), "Future gets no arguments"],
    ["an extractor", misuse("gearsFuture()", "groupby(f, lambda k, a, r: r)"), "Step does not support async"],
    ["a batch reducer", misuse("gearsFuture()", "batchgroupby(lambda x: x, f)"), "Step does not support async"],
    ["continueRun without value", misuse("gearsFuture().continueRun()"), "Continue function expect an object"],
    [
      "a coroutine",
      "async def f(x): gearsFuture()\nGB('ShardsIDReader').map(f).run()",
      "only be created inside certain",
    ],
  ])("%s", (_name, script, text) => {
    const [reply] = ask(script) as [[unknown[], string[]]];
    expect(reply[0]).toEqual([]);
    expect(reply[1][0]).toContain(text);
  });

  test("one that is not returned is ignored; each call may make one", () => {
    const script = `${source("range(3)")}
def f(x):
    future = gearsFuture()
    return x
GB('PythonReader').map(f).run(source)`;
    expect(ask(script)).toEqual([[["0", "1", "2"], []]]);
  });

  test("runCoroutine continues one, with a value or an error, after a delay", () => {
    const script = `${source("['a', 'b']")}
async def g(x):
    if x == 'b':
        raise KeyError('gone')
    return x.upper()
def f(x):
    future = gearsFuture()
    runCoroutine(g(x), future, delay=0.01)
    return future
GB('PythonReader').map(f).run(source)`;
    expect(ask(script)).toEqual([[["A"], ["'gone'"]]]);
  });
});

describe("background work", () => {
  test("arguments can be given by name", () => {
    const script = `
async def g(x):
    return execute('ECHO', x)
session = getGearsSession()
def f(x):
    future, other = gearsFuture(), createFuture()
    setFutureResults(f=other, value='done')
    setFutureException(f=createFuture(), exc='lost')
    async def both():
        return [await g(x), await other]
    runCoroutine(coro=both(), f=future, delay=0, s=session)
    return future
GB('ShardsIDReader').map(f).run()`;
    expect(ask(script)).toEqual([[["['1', 'done']"], []]]);
  });

  test("the loop stays, whoever closes or stops it", () => {
    const script = `
async def f(x=None):
    await asyncio.sleep(0)
    return 5
own = asyncio.get_event_loop()
own.run_until_complete(f())
own.stop()
own.close()
GB('ShardsIDReader').map(lambda x: own.run_until_complete(f())).map(f).run()`;
    expect(ask(script, script)).toEqual([
      [["5"], []],
      [["5"], []],
    ]);
  });

  test("what a task that nobody awaits raises is logged", () => {
    const script = `
async def fail():
    raise ValueError('unseen')
async def f(x):
    asyncio.create_task(fail())
    await asyncio.sleep(0.01)
GB('ShardsIDReader').map(f).run()`;
    const logs = python.json(`main.ask("RG.PYEXECUTE", inputs["script"]) and main.logs`, { script });
    expect(logs).toContainEqual(["warning", "Task exception was never retrieved: ValueError('unseen')"]);
  });
});

describe("what the main thread is told", () => {
  test("results come in batches, converted for replies", () => {
    const outcome = python.json(`
main.ask("RG.PYEXECUTE", """
def source():
    yield from [1, True, 1.5, -0.0, float('nan'), 2**70, 'x', b'ab', [1, [2.0, None]], None, (1,), {}, bytearray(b'x'), -5]
GB('PythonReader').run(source, convertToStr=False)
""")
first = main.flows[1]["results"]
main.ask("RG.PYEXECUTE", "def s():\\n    yield from range(10000)\\nGB('PythonReader').run(s)")
[first, [len(post[2]) for post in main.posts if post[0] in ("results", "done") and post[1] == 2]]
`);
    const no = "PY RECORD";
    const bytes = { base64: "YWI=" };
    expect(outcome).toEqual([
      [
        1,
        1,
        "1.500000",
        "-0.000000",
        "nan",
        "1180591620717411303424",
        "x",
        bytes,
        [1, ["2.000000", no]],
        no,
        no,
        no,
        no,
        -5,
      ],
      [4096, 4096, 1808],
    ]);
  });

  test.each([
    ["begins by itself with a lent thread", true, "GB('ShardsIDReader').run()", true],
    ["waits to be started without one", false, "GB('ShardsIDReader').run()", false],
    [
      "waits for registrations to take effect",
      true,
      "GB('CommandReader').register(trigger='t')\nGB('ShardsIDReader').run()",
      false,
    ],
  ])("a flow %s", (_title, lent, script, begins) => {
    const outcome = python.json(
      `
main.lent = inputs["lent"]
main.ask("RG.PYEXECUTE", inputs["script"])
main.serve(lambda: main.flows[1]["done"] is not None)
[[post[-1] for post in main.posts if post[0] == "script"], main.flows[1]["results"]]
`,
      { lent, script },
    );
    expect(outcome).toEqual([[begins], ["1"]]);
  });

  test("a script's flow: steps last first, reader; builders made", () => {
    const [, made, run] = python.json(`
begun = main.begin(["RG.PYEXECUTE", """
def e(r): return r
GB(); GB()
GB().map(lambda r: r).flatmap(lambda r: r).limit(1).localgroupby(e, lambda k, a, r: r).repartition(e).count().run()
"""])
main.serve(lambda: main.scripts[1] is not None)
main.scripts[1]
`) as [string, number, [string[][], string]];
    expect(made).toBe(3);
    expect(run[1]).toBe("KeysReader");
    expect(run[0].map(([type, name]) => [type, name])).toEqual([
      ["collect", "collect"],
      ["map", "RedisGearsPy_PyCallbackMapper"],
      ["accumulate", "RedisGearsPy_PyCallbackAccumulate"],
      ["collect", "collect"],
      ["accumulate", "RedisGearsPy_PyCallbackAccumulate"],
      ["map", "GetValueMapper"],
      ["repartition", "repartition"],
      ["extractkey", "RedisGearsPy_PyCallbackExtractor"],
      ["map", "RedisGearsPy_ToPyRecordMapper"],
      ["accumulatebykey", "RedisGearsPy_PyCallbackAccumulateByKey"],
      ["extractkey", "RedisGearsPy_PyCallbackExtractor"],
      ["limit", "limit"],
      ["flatmap", "flatmap"],
      ["map", "RedisGearsPy_PyCallbackFlatMapper"],
      ["map", "RedisGearsPy_PyCallbackMapper"],
      ["map", "RedisGearsPy_ToPyRecordMapper"],
    ]);
    expect(run[0][1]?.[2]).toMatch(/^<function GearsBuilder\.run\.<locals>\.<lambda> at 0x/);
    expect(run[0][7]?.[2]).toMatch(/^<function e at 0x/);
  });

  test("times of each step, in the order of the steps, when profiling", () => {
    const [done, report, reset, empty] = python.json(`
main.flags |= 2
main.ask("RG.PYEXECUTE", """
import time
def slow(r):
    time.sleep(0.2)
    return r
GB('CommandReader').map(slow).register(trigger='t', mode='sync')
""", "ID", "profiled")
main.ask("RG.TRIGGER", "t")
main.put(["profile", 1, "profiled", "stats", ""])
main.put(["profile", 2, "profiled", "reset"])
main.put(["profile", 3, "profiled", "stats", "cumulative"])
main.serve(lambda: not main.inbox)
done = [post for post in main.posts if post[0] == "done"][0]
[done[3:], *[main.flows[f"profile {n}"]["done"] for n in (1, 2, 3)]]
`) as [[string, string[], number, number, number[], number], string[], string[], string[]];
    const steps = done[4];
    expect(steps).toHaveLength(4);
    expect(steps[2]).toBeGreaterThanOrEqual(190);
    expect(Math.max(steps[0] ?? 0, steps[1] ?? 0, steps[3] ?? 0)).toBeLessThan(steps[2] ?? 0);
    expect(done[2]).toBeGreaterThanOrEqual(190);
    expect(report[0]).toBe("ok");
    expect(report[1]).toMatch(/function calls[\s\S]*\(slow\)/);
    expect(reset).toEqual(["ok", ""]);
    expect(empty[0]).toBe("error");
    expect(empty[1]).toContain("TypeError: Cannot create or construct");
  });

  test("a flow that is never started is forgotten; an unknown one ends as aborted", () => {
    expect(
      python.json(`
from regears.flow import flows
main.post_script = lambda job, *rest: main.scripts.__setitem__(job, rest)
main.begin(["RG.PYEXECUTE", "GB().run()"])
main.serve(lambda: main.scripts[1] is not None)
declared = list(flows)
main.flows[1] = main.flows[2] = {"results": [], "done": None}
main.put(["discard", 1])
main.put(["start", 1, 1])
main.put(["event", 2, 99, [["x"]], 1])
main.serve(lambda: not main.inbox)
[declared, list(flows), main.flows[1]["done"][0], main.flows[2]["done"][0]]
`),
    ).toEqual([[1], [], "aborted", "aborted"]);
  });
});

describe("run() inside steps and coroutines", () => {
  test("errors are in the awaited value; the parent goes on", () => {
    const script = `
async def f(x):
    results, errors = await GB('ShardsIDReader').map(lambda r: 1 / 0).run()
    more = await GB('ShardsIDReader').map(lambda r: {'n': 1}).run(convertToStr=False)
    return [results, len(errors), 'division by zero' in errors[0], more]
GB('ShardsIDReader').map(f).run()`;
    expect(ask(script)).toEqual([[["[[], 1, True, [[{'n': 1}], []]]"], []]]);
  });

  test("several at once, from a plain step, without waiting", () => {
    const outcome = python.json(`
reply = main.ask("RG.PYEXECUTE", """
def f(x):
    for i in range(3):
        GB('ShardsIDReader').foreach(lambda r, i=i: execute('RPUSH', 'l', i)).run()
    return 'started'
GB('ShardsIDReader').map(f).run()
""")
main.serve(lambda: len(main.engine.data.get("l", ())) == 3 and not main.inbox)
[reply, main.engine.data["l"], [post[3] for post in main.posts if post[0] == "done"]]
`);
    expect(outcome).toEqual([
      [["started"], []],
      ["0", "1", "2"],
      ["done", "done", "done", "done"],
    ]);
  });
});
