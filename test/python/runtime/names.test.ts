/** What the objects of the API say of themselves, where they are found, and which of them can be pickled. */
import { beforeAll, describe, expect, test } from "vitest";
import { PythonUnderTest } from "./harness.ts";

let python: PythonUnderTest;
beforeAll(async () => {
  python = await PythonUnderTest.start();
});

const ask = (script: string): unknown => python.json(`main.ask("RG.PYEXECUTE", inputs["script"])`, { script });

/** The value of an expression in a script, which must have JSON. */
function shown(expression: string, before = ""): unknown {
  const script = `
import json
${before}
def source(): yield json.dumps(${expression})
GB('PythonReader').run(source)`;
  const [results, errors] = ask(script) as [string[], string[]];
  expect(errors).toEqual([]);
  return JSON.parse(String(results[0]));
}

describe("names", () => {
  test.each([
    ["GB", "not_main", "GearsBuilder", "<class 'not_main.GearsBuilder'>"],
    ["GearsSession", "not_main", "GearsSession", "<class 'not_main.GearsSession'>"],
    ["GearsFuture", "not_main", "GearsFuture", "<class 'not_main.GearsFuture'>"],
    ["PyFlatExecution", "redisgears", "PyFlatExecution", "<class 'redisgears.PyFlatExecution'>"],
    ["redisgears.PyAtomic", "redisgears", "PyAtomic", "<class 'redisgears.PyAtomic'>"],
    ["redisgears.PyExecutionSession", "redisgears", "PyExecutionSession", "<class 'redisgears.PyExecutionSession'>"],
    ["redisgears.PyFuture", "redisgears", "Future", "<class 'redisgears.Future'>"],
    ["redisgears.GearsError", "gears", "error", "<class 'gears.error'>"],
    ["redisgears.GearsFlatError", "gears", "flat_error", "<class 'gears.flat_error'>"],
    ["redisgears.GearsForceStopped", "gears", "forcestopped", "<class 'gears.forcestopped'>"],
  ])("of the class %s", (kind, module, name, text) => {
    expect(shown(`[${kind}.__module__, ${kind}.__name__, ${kind}.__qualname__, repr(${kind})]`)).toEqual([
      module,
      name,
      name,
      text,
    ]);
  });

  test("of functions that are written in C there", () => {
    const names = {
      execute: "executeCommand",
      atomic: "atomicCtx",
      log: "log",
      configGet: "config_get",
      hashtag: "getMyHashTag",
      isAsyncAllow: "isAsyncAllow",
      isInAtomicBlock: "isInAtomicBlock",
      gearsFuture: "gearsFutureCtx",
      call_next: "callNext",
      get_command: "getCommand",
      override_reply: "overrideReply",
      flat_error: "flatError",
      registerTE: "registerTimeEvent",
      gearsCtx: "gearsCtx",
      getGearsSession: "getGearsSession",
      setGearsSession: "setGearsSession",
      registerGearsThread: "registerGearsThread",
    };
    const facts = "{name: [value.__module__, value.__qualname__, getattr(redisgears, value.__name__) is value]";
    const found = shown(`${facts} for name, value in globals().items() if name in ${JSON.stringify(names)}}`);
    const expected = Object.entries(names).map(([name, native]) => [name, ["redisgears", native, true]]);
    expect(found).toEqual(Object.fromEntries(expected));
  });

  test("of functions that are written in Python there", () => {
    const names = [
      ...["createFuture", "setFutureResults", "setFutureException", "runCoroutine", "gearsConfigGet", "Log"],
      ...["ConfigGet", "GearsConfigGet", "createKeysOnlyReader", "shardReaderCallback"],
    ];
    const facts = `[[eval(name).__module__, eval(name).__qualname__] for name in ${JSON.stringify(names)}]`;
    expect(shown(facts)).toEqual(names.map((name) => ["not_main", name]));
    expect(shown("[GB.map.__module__, GB.map.__name__, GB.map.__qualname__]")).toEqual([
      "not_main",
      "deco",
      "createDecorator.<locals>.deco",
    ]);
  });

  test("of instances", () => {
    const texts = "[str(gearsCtx()), str(getGearsSession())]";
    expect(shown(texts)).toEqual(["PyFlatExecution", "PyExecutionSession"]);
    const reprs = "[repr(x).partition(' at ')[0] for x in (GB(), gearsCtx(), atomic(), getGearsSession())]";
    expect(shown(reprs)).toEqual([
      "<not_main.GearsBuilder object",
      "<redisgears.PyFlatExecution object",
      "<redisgears.PyAtomic object",
      "<redisgears.PyExecutionSession object",
    ]);
  });

  test("the script's namespace is not_main, and what it defines is there", () => {
    const before = "class Mine: pass\ndef f(): pass";
    expect(shown("[__name__, Mine.__module__, f.__module__, repr(Mine), sys.argv]", before)).toEqual([
      "not_main",
      "not_main",
      "not_main",
      "<class 'not_main.Mine'>",
      ["Embeded"],
    ]);
  });
});

describe("help and dir", () => {
  test("every function and method of the API has a help text, and nothing of the server's own files in it", () => {
    const before = `
import pydoc
kinds = (GB, PyFlatExecution, redisgears.PyFuture, GearsSession)
functions = [value for value in vars(redisgears).values() if callable(value)]
functions += [value for value in globals().values() if getattr(value, '__module__', '') == 'not_main']
texts = [pydoc.plain(pydoc.render_doc(value)) for value in (*kinds, *functions)]
methods = [getattr(kind, name) for kind in kinds for name in dir(kind) if not name.startswith('_')]
silent = [value.__qualname__ for value in (*methods, *functions) if not value.__doc__ and value is not source]
`;
    expect(
      shown("[silent, [text for text in texts if 'regears' in text][:1]]", `def source(): pass\n${before}`),
    ).toEqual([[], []]);
  });

  test("a builder and its flow have the methods that RedisGears lists", () => {
    const low = [
      ...["accumulate", "batchgroupby", "collect", "filter", "flatmap", "foreach", "groupby", "limit"],
      ...["localgroupby", "map", "register", "repartition", "run"],
    ];
    const list = (kind: string): unknown => shown(`[name for name in dir(${kind}) if not name.startswith('_')]`);
    expect(list("PyFlatExecution")).toEqual(low);
    const high = ["aggregate", "aggregateby", "avg", "count", "countby", "distinct", "sort"];
    expect(list("GearsBuilder")).toEqual([...low, ...high].sort());
    expect(shown("[name for name in vars(GB()) if not name.startswith('_')]")).toEqual([
      "realReader",
      "reader",
      "gearsCtx",
      "defaultArg",
    ]);
    expect(list("redisgears.PyFuture")).toEqual(["continueFailed", "continueRun"]);
  });
});

describe("__main__", () => {
  test("has what scripts begin with, for modules that they import", () => {
    const before = `
import __main__
from __main__ import GB as builder, GearsBuilder, configGet, gearsConfigGet, execute, atomic, runCoroutine
begun_with = [name for name in globals() if name not in ('__main__', 'builder', 'json')]
`;
    expect(
      shown(
        "[builder is GB, configGet('nothing'), [name for name in begun_with if not hasattr(__main__, name)], __main__.__name__]",
        before,
      ),
    ).toEqual([true, null, [], "not_main"]);
  });

  test("is not the script's own namespace", () => {
    expect(shown("[hasattr(__main__, 'mine'), '__main__' in vars(__main__)]", "import __main__\nmine = 1")).toEqual([
      false,
      false,
    ]);
  });

  test("a module built on it registers from its own functions, as redgrease does", () => {
    const script = `
module = types.ModuleType('lib')
sys.modules['lib'] = module
exec("""
from __main__ import GB
from redisgears import executeCommand as execute, atomicCtx as atomic, getMyHashTag as hashtag
def add(r): return [r[1], hashtag()]
def register(): GB('CommandReader').map(add).register(trigger='lib')
""", vars(module))
import lib
lib.register()`;
    const called = `[main.ask("RG.PYEXECUTE", inputs["script"]), main.ask("RG.TRIGGER", "lib", "v")]`;
    expect(python.json(called, { script })).toEqual(["OK", ["['v', '06S']"]]);
  });
});

describe("pickling", () => {
  test("what stands for something in the server can not be pickled", () => {
    const before = `
def failure(value, dump):
    try:
        dump(value)
    except BaseException as error:
        return f'{type(error).__name__}: {error}'
values = [gearsCtx(), atomic(), getGearsSession(), GB()]
`;
    const names = ["PyFlatExecution", "PyAtomic", "PyExecutionSession", "PyFlatExecution"];
    const texts = names.map((name) => `TypeError: cannot pickle '${name}' object`);
    expect(shown("[failure(value, dumps) for value in values]", before)).toEqual(texts);
    expect(shown("[failure(value, pickle.dumps) for value in values[:3]]", before)).toEqual(texts.slice(0, 3));
  });

  test("functions and classes of the API are pickled by name, with what refers to them", () => {
    const before = `
class Mine(GB):
    def run(self): return 'mine'
def f(): return [GB, execute, log, createFuture, redisgears.PyFuture, redisgears.GearsError, GearsSession]
values = [*f(), gearsCtx, PyFlatExecution, Log, runCoroutine, GearsFuture, redisgears.PyAtomic]
copies = loads(dumps(values))
mine, again = loads(dumps((Mine, f)))
`;
    expect(
      shown(
        "[[a is b for a, b in zip(values, copies)].count(True) == len(values), mine.__mro__[1] is GB, again() == f(), b'regears' in dumps(values)]",
        before,
      ),
    ).toEqual([true, true, true, false]);
  });
});
