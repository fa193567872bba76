/** Registrations as bytes, and back in a session that knows nothing of them. */
import { beforeAll, expect, test } from "vitest";
import { PythonUnderTest } from "./harness.ts";

let python: PythonUnderTest;
beforeAll(async () => {
  python = await PythonUnderTest.start();
});

/** Registers, forgets everything, makes the registrations again from their bytes, and calls the triggers. */
const MOVE = `
from regears import registrations
assert main.ask("RG.PYEXECUTE", inputs["script"]) == "OK", main.ask("RG.PYEXECUTE", inputs["script"])
blobs = {number: spec["blob"] for number, spec in main.registrations.items()}
for number in blobs: registrations.unregister(number)
for number, blob in blobs.items():
    main.put(["restore", "moved", number, blob])
main.serve(lambda: not main.inbox)
restored = [main.flows[f"restored {number}"]["done"] for number in blobs]
assert all(outcome == ("ok", "") for outcome in restored), restored
[main.ask("RG.TRIGGER", *call) for call in inputs["calls"]]
`;

const move = (script: string, ...calls: string[][]): unknown => python.json(MOVE, { script, calls });

test("functions, closures, recursion and the globals they refer to", () => {
  const script = `
import json, re
K = 5
def helper(x): return x * K
def outer(n):
    def inner(x): return helper(x) + n
    return inner
def fact(n): return 1 if n < 2 else n * fact(n - 1)
add = outer(10)
def both():
    shared = 0
    def up():
        nonlocal shared
        shared += 1
        return shared
    def get(): return shared
    return up, get
up, get = both()
GB('CommandReader').map(lambda r: [add(1), fact(5), json.dumps([re.sub('a', 'b', r[1])]), up(), get()]).register(trigger='t')
`;
  expect(move(script, ["t", "banana"], ["t", "x"])).toEqual([
    [`[15, 120, '["bbnbnb"]', 1, 1]`],
    [`[15, 120, '["x"]', 2, 2]`],
  ]);
});

test("classes of all kinds", () => {
  const script = `
import abc, collections, dataclasses, enum
K = 1
class A:
    z = 3
    def __init__(self, v): self.v = v
    def m(self, x): return self.v + x + K
    @staticmethod
    def st(x): return x + 1
    @classmethod
    def cl(cls): return cls.__name__
    @property
    def p(self): return self.v
class B(A):
    __slots__ = ('q',)
    def m(self, x): return super().m(x) * 2
class E(enum.Enum):
    X = 1
    Y = 2
    def twice(self): return self.value * 2
@dataclasses.dataclass
class D:
    a: int
    b: list = dataclasses.field(default_factory=list)
class I(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
class J(I):
    def f(self): return 9
P = collections.namedtuple('P', 'x y')
made = B(7)
def t(r):
    try:
        I()
        abstract = False
    except TypeError:
        abstract = True
    return [A(7).m(1), made.m(1), isinstance(made, A), A.st(1), B.cl(), A(4).p, E.X.name, E(2).twice(), repr(D(1)), J().f(), P(1, y=2).y, abstract]
GB('CommandReader').map(t).register(trigger='t')
`;
  expect(move(script, ["t"])).toEqual([["[9, 18, True, 2, 'B', 4, 'X', 4, 'D(a=1, b=[])', 9, 2, True]"]]);
});

test("composed operations, and steps of every kind", () => {
  const script = `
GB('CommandReader').flatmap(lambda r: r[1:]).filter(lambda x: x).foreach(lambda x: None).countby().map(lambda r: (r['key'], r['value'])).sort().limit(2).register(trigger='count')
GB('CommandReader').flatmap(lambda r: r[1:]).map(lambda x: int(x)).avg().register(trigger='avg')
GB('CommandReader').flatmap(lambda r: r[1:]).distinct().repartition(lambda x: x).count().register(trigger='distinct', convertToStr=False)
GB('CommandReader').flatmap(lambda r: r[1:]).batchgroupby(lambda x: x, lambda k, rs: len(rs)).map(lambda r: r['value']).accumulate(lambda a, r: max(a or 0, r)).register(trigger='most')
`;
  const calls = [
    ["count", "b", "a", "b", "c"],
    ["avg", "1", "2"],
    ["distinct", "x", "y", "x"],
    ["most", "x", "y", "x"],
  ];
  expect(move(script, ...calls)).toEqual([["('a', 1)", "('b', 2)"], ["1.5"], [2], ["2"]]);
});

test("all registrations of a session share one namespace again, as it was when they were registered", () => {
  const script = `
box = {}
n = 5
def put(r):
    global n
    n += 1
    box[r[1]] = n
GB('CommandReader').foreach(put).register(trigger='put')
GB('CommandReader').map(lambda r: (box.get(r[1]), n)).register(trigger='get')
n = 100
box['late'] = 1
`;
  expect(move(script, ["get", "a"], ["put", "a"], ["get", "a"], ["get", "late"])).toEqual([
    ["(None, 5)"],
    ["['put', 'a']"],
    ["(6, 6)"],
    ["(None, 6)"],
  ]);
});

test("the API's names work as in a fresh script", () => {
  const script = `
log = []
async def later(r):
    log.append(r[1])
    await asyncio.sleep(0)
    execute('SET', 'k', r[1])
    return [len(log), isInAtomicBlock(), execute('GET', 'k'), loop.is_running(), __name__]
GB('CommandReader').map(later).register(trigger='t')
`;
  expect(move(script, ["t", "v"])).toEqual([["[1, False, 'v', True, 'not_main']"]]);
});

test("what can not be packed is an error that names the callback", () => {
  const replies = python.json(
    `
[main.ask("RG.PYEXECUTE", script) for script in inputs["scripts"]]
`,
    {
      scripts: [
        "import threading\nlock = threading.Lock()\ndef f(r):\n  with lock: return r\nGB('CommandReader').map(f).register(trigger='t')",
        "g = (i for i in range(3))\nGB('CommandReader').map(lambda r: next(g)).register(trigger='t')",
        "s = getGearsSession()\nGB('CommandReader').map(lambda r: setGearsSession(s)).register(trigger='t')",
      ],
    },
  ) as string[];
  expect(replies[0]).toContain(
    "gears.error: Error occured when serialized a python callback, callback=f error=cannot pickle '_thread.lock' object",
  );
  // the line of the method of the builder is there, as in RedisGears; none of what it calls are
  expect(replies[0]).toMatch(
    /^\['Traceback \(most recent call last\):\\n', ' {2}File "<string>", line 5, in <module>\\n', ' {2}File "<string>", line \d+, in register\\n', "gears\.error: /,
  );
  expect(replies[1]).toContain("callback=<lambda> error=cannot pickle 'generator' object");
  expect(replies[2]).toContain("callback=<lambda> error=cannot pickle 'PyExecutionSession' object");
});

test("bytes of another Python, or broken ones, are refused", () => {
  expect(
    python.json(`
main.ask("RG.PYEXECUTE", "GB('CommandReader').register(trigger='t')")
blob = next(iter(main.registrations.values()))["blob"]
main.put(["restore", "s", 70, b"RGF1" + b"0000" + blob[8:]])
main.put(["restore", "s", 71, blob[:-5]])
main.serve(lambda: not main.inbox)
[main.flows["restored 70"]["done"], main.flows["restored 71"]["done"][0]]
`),
  ).toEqual([
    ["error", "Error type: <class 'gears.error'>, Value: Registration was serialised by another version of Python"],
    "error",
  ]);
});

test("dumps and loads of scripts and the cloudpickle module", () => {
  const script = `
import cloudpickle
from cloudpickle.cloudpickle import subimport
K = 2
def f(x): return x * K
class C:
    def m(self): return f(3)
copied, kind = loads(dumps((f, C)))
same = cloudpickle.loads(cloudpickle.dumps(lambda x: copied(x) + 1))
K = 100
GB('ShardsIDReader').map(lambda x: [copied(4), kind().m(), same(5), CloudPickler is cloudpickle.CloudPickler, subimport('json').__name__]).run()
`;
  expect(python.json(`main.ask("RG.PYEXECUTE", inputs["script"])`, { script })).toEqual([
    ["[8, 6, 11, True, 'json']"],
    [],
  ]);
});

test("what cloudpickle writes names nothing that only this server has, and classes come back as themselves", () => {
  const script = `
import abc, cloudpickle, collections, enum, json, pickletools
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
class Square(Shape):
    """four sides"""
    __slots__ = ('side',)
    def __init__(self, side): self.side = side
    def area(self): return product(self.side, self.side)
    @property
    def double(self): return Square(2 * self.side)
class Colour(enum.Enum):
    RED = 1
def product(a, b=1, *, c=1): return a * b * c
def outer(n):
    def inner(m): return n if m == 0 else inner(m - 1)
    return inner
values = [Square(3), Square, Colour.RED, Shape, product, outer(7), {1: 2}.keys(), {1: 2}.items(), collections.OrderedDict(a=1).values(), type(None), json]
`;
  const checks = `
pickled = cloudpickle.dumps(values)
texts = [arg for _, arg, _ in pickletools.genops(pickled) if type(arg) is str]
modules = [text for text in texts if 'regears' in text]
got = cloudpickle.loads(pickled)
facts = [got[1] is Square, got[2] is Colour.RED, got[3] is Shape, got[4](2, 3, c=4), got[5](3), [list(view) for view in got[6:9]], got[9:]]
other = cloudpickle.loads(pickled.replace(cloudpickle._ids[Square].encode(), b'0' * 32))
facts += [other[0].double.side, other[1].__doc__, other[1] is Square, hasattr(other[0], '__dict__'), modules]
GB('ShardsIDReader').map(lambda x: facts).run()
`;
  expect(python.json(`main.ask("RG.PYEXECUTE", inputs["script"])`, { script: script + checks })).toEqual([
    [
      "[True, True, True, 24, 7, [[1], [(1, 2)], [1]], [<class 'NoneType'>, <module 'json' from '/lib/python314.zip/json/__init__.py'>], 6, 'four sides', False, True, []]",
    ],
    [],
  ]);
});
