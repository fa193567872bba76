/** Statements of docs/spec/python.md that no recording covers. */
import { beforeAll, describe, expect, test } from "vitest";
import { PythonUnderTest } from "./harness.ts";

let python: PythonUnderTest;
beforeAll(async () => {
  python = await PythonUnderTest.start();
});

const ask = (script: string): unknown => python.json(`main.ask("RG.PYEXECUTE", inputs["script"])`, { script });

/** Runs steps over the numbers from 1 to 5, with a callback `bad` that fails for 3. */
function over1to5(steps: string): [string[], string[]] {
  const script = `
def source(): yield from range(1, 6)
def bad(x):
    if x == 3: raise ValueError('three')
    return x
GB('PythonReader').${steps}.run(source)`;
  return ask(script) as [string[], string[]];
}

describe("what an error leaves (section 6)", () => {
  test.each([
    ["map(bad)", ["1", "2"], 1],
    ["filter(lambda x: bad(x) or True)", ["1", "2"], 1],
    ["foreach(bad)", ["1", "2"], 1],
    ["repartition(bad)", ["1", "2"], 1],
    ["map(bad).count()", ["2"], 1],
    ["map(bad).accumulate(lambda a, x: (a or 0) + x)", ["3"], 1],
    ["map(bad).sort()", ["1", "2"], 1],
    ["accumulate(lambda a, x: bad(x))", [], 1],
    ["map(bad).limit(1)", ["1"], 0],
    ["map(bad).limit(2)", ["1", "2"], 1],
    ["groupby(lambda x: 'odd' if x % 2 else 'even', lambda k, a, x: bad(x))", ["{'key': 'even', 'value': 2}"], 1],
    ["batchgroupby(lambda x: x % 2, lambda k, r: bad(3))", [], 2],
    ["limit(1).flatmap(lambda x: [1, 2, 3, 4, 5]).map(bad)", ["5", "4", "2", "1"], 1],
  ])("%s", (steps, results, errors) => {
    const [found, texts] = over1to5(steps);
    expect(found).toEqual(results);
    expect(texts).toHaveLength(errors);
    for (const text of texts) expect(text).toContain("ValueError: three");
  });
});

describe("steps (sections 4 and 5)", () => {
  test.each([
    ["aggregate(zero=0, seqOp=lambda a, x: a + x, combOp=lambda a, b: a + b)", ["15"]],
    ["aggregate(0, max, combOp=max)", ["5"]],
    [
      "aggregateby(extractor=lambda x: x % 2, zero=0, seqOp=lambda k, a, x: a + x, combOp=lambda k, a, b: a + b)",
      ["{'key': '1', 'value': 9}", "{'key': '0', 'value': 6}"],
    ],
    [
      "__localAggregateby__(lambda x: x > 3, [], lambda k, a, x: a + [x])",
      ["{'key': 'False', 'value': [1, 2, 3]}", "{'key': 'True', 'value': [4, 5]}"],
    ],
    ["countby(extractor=lambda x: None)", ["{'key': 'None', 'value': 5}"]],
    ["avg(extractor=lambda x: x * 2)", ["6.0"]],
    ["sort(reverse=False)", ["5", "4", "3", "2", "1"]],
    ["distinct().count()", ["5"]],
    ["filter(lambda x: False).count()", []],
    ["filter(lambda x: False).avg()", []],
    ["filter(lambda x: False).aggregate([], lambda a, x: a, lambda a, b: a)", []],
    ["limit(2, 1)", ["2", "3"]],
    ["limit(0)", []],
    ["limit(-1)", ["1", "2", "3", "4", "5"]],
  ])("%s", (steps, results) => {
    const [found, errors] = over1to5(steps);
    expect(errors).toEqual([]);
    expect([...found].sort()).toEqual([...results].sort());
  });

  test("the zero of the caller is never changed, and stands for whatever is false", () => {
    const script = `
zero = {'n': []}
def add(a, x):
    a['n'].append(x)
    return a
def source(): yield from [1, 2, 3]
def seq(a, x): return 0 if x == 2 else add(a, x)
GB('PythonReader').aggregate(zero, seq, lambda a, b: b).map(lambda x: [x, zero]).run(source)`;
    expect(ask(script)).toEqual([["[{'n': [3]}, {'n': []}]"], []]);
  });
});

describe("builders (sections 3, 8 and 9)", () => {
  test("each run() and register() appends its own str and collect", () => {
    const script = `
b = GB('CommandReader')
b.register(trigger='one')
b.map(lambda x: [type(x).__name__, x]).register(trigger='two', convertToStr=False, collect=False)`;
    const called = `[main.ask("RG.PYEXECUTE", inputs["script"]), main.ask("RG.TRIGGER", "one"), main.ask("RG.TRIGGER", "two")]`;
    expect(python.json(called, { script })).toEqual(["OK", ["['one']"], [["str", "['two']"]]]);
  });

  test.each([
    ["GB('ShardsIDReader', 'x').run('y')", [["1"], []]],
    ["GB('StreamReader', 's').run('')", [[], []]],
    ["GB('KeysOnlyReader').run('a*', mode='async')", /TypeError: .*'mode'/],
    [
      "GB('KeysOnlyReader').run('a*', patternGenerator=5)",
      [[], [expect.stringMatching(/TypeError: 'int' object is not callable/)]],
    ],
    ["GB('KeysOnlyReader').run(patternGenerator=lambda: ('a', True))", [[], []]],
  ])("%s", (call, reply) => {
    if (reply instanceof RegExp) expect(ask(call)).toMatch(reply);
    else expect(ask(call)).toEqual(reply);
  });

  test("regex stands for prefix, with a warning, and a CommandReader looks at neither", () => {
    const script = "GB('CommandReader').register(5, trigger='t')\nGB().register('a', regex='b*')";
    const said = `
reply = main.ask("RG.PYEXECUTE", inputs["script"])
[reply, [message for level, message in main.logs if level == 'warning']]
`;
    const [reply, [warning]] = python.json(said, { script }) as [unknown, string[]];
    expect(reply).toBe("OK");
    expect(warning).toContain("deprecated");
  });

  test("register() in a step takes effect at once", () => {
    const script = `
def f(x):
    GB('CommandReader').map(lambda r: 'new').register(trigger='late')
    return execute('RG.TRIGGER', 'late')
GB('CommandReader').map(f).register(trigger='t', mode='sync')`;
    const called = `[main.ask("RG.PYEXECUTE", inputs["script"]), main.ask("RG.TRIGGER", "t"), main.ask("RG.TRIGGER", "late")]`;
    const [, , late] = python.json(called, { script }) as unknown[];
    expect(late).toEqual(["new"]);
  });
});

describe("futures (section 11)", () => {
  test.each([
    ["an extractor", "groupby(lambda x: gearsFuture(), lambda k, a, x: 1)", "Step does not support async"],
    [
      "the reducer of batchgroupby",
      "batchgroupby(lambda x: x, lambda k, r: gearsFuture())",
      "Step does not support async",
    ],
    ["repartition", "repartition(lambda x: gearsFuture())", "Step does not support async"],
  ])("gearsFuture() in %s is an error", (_name, steps, text) => {
    const [, errors] = ask(`GB('ShardsIDReader').${steps}.run()`) as [unknown, string[]];
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain(text);
  });

  test("one that is lost is an error", () => {
    const script = "GB('ShardsIDReader').map(lambda x: gearsFuture()).run()";
    expect(ask(script)).toEqual([[], ["Async record did not called continue"]]);
  });

  test.each([
    ["map(lambda x: keep(gearsFuture(), 'value'))", ["value"]],
    ["flatmap(lambda x: keep(gearsFuture(), ['a', 'b']))", ["b", "a"]],
    ["filter(lambda x: keep(gearsFuture(), True))", ["1"]],
    ["foreach(lambda x: keep(gearsFuture(), False))", ["1"]],
    ["accumulate(lambda a, x: keep(gearsFuture(), 'sum'))", ["sum"]],
    ["groupby(lambda x: 'key', lambda k, a, x: keep(gearsFuture(), 'sum'))", ["{'key': 'key', 'value': 'sum'}"]],
  ])("a future that is made and not returned changes nothing: %s", (steps, results) => {
    // RedisGears puts None in place of what accumulate and groupby return then, and drops their exceptions
    const script = `def keep(future, value): return value\nGB('ShardsIDReader').${steps}.run()`;
    expect(ask(script)).toEqual([results, []]);
  });

  test.each([
    "accumulate(lambda a, x: fail(gearsFuture()))",
    "groupby(lambda x: 'key', lambda k, a, x: fail(gearsFuture()))",
  ])("nor does it hide an exception: %s", (steps) => {
    const script = `def fail(future): raise ValueError('seen')\nGB('ShardsIDReader').${steps}.run()`;
    expect(ask(script)).toEqual([[], [expect.stringContaining("ValueError: seen")]]);
  });

  test("runCoroutine without a future drops what comes of the coroutine; with a delay it begins later", () => {
    const script = `
import time
seen = []
async def fails(): raise ValueError('dropped')
async def note(): seen.append(time.monotonic())
def f(x):
    begun, held = time.monotonic(), gearsFuture()
    runCoroutine(fails())
    async def both():
        await note()
        return seen[0] - begun >= 0.05
    runCoroutine(both(), held, delay=0.05)
    return held
GB('ShardsIDReader').map(f).run()`;
    expect(ask(script)).toEqual([["True"], []]);
  });
});

describe("readers (section 10)", () => {
  const withKeys = (script: string): unknown =>
    python.json(
      `
main.ask("SET", "a", "1")
main.ask("XADD", "s", "1-1", "f", "v", "g", "w")
main.ask("XADD", "s", "2-1", "f", "x")
main.ask("RG.PYEXECUTE", inputs["script"])`,
      { script },
    );

  test.each([
    ["GB().map(lambda r: list(r)).run('a')", ["['event', 'key', 'type', 'value']"]],
    ["GB().map(lambda r: [list(r), r['event']]).run('a', readValue=False)", ["[['event', 'key'], None]"]],
    ["GB().run('missing', noScan=True)", ["{'event': None, 'key': 'missing', 'type': 'empty', 'value': None}"]],
    [
      "GB('StreamReader').map(lambda r: [list(r), r['id']]).run('s', fromId='1-1')",
      ["[['key', 'id', 'value'], '2-1']"],
    ],
    ["GB('StreamReader').map(lambda r: r['value']).limit(1).run('s')", ["{'f': 'v', 'g': 'w'}"]],
  ])("%s", (script, results) => {
    expect(withKeys(script)).toEqual([results, []]);
  });
});
