/** Errors' texts, sessions, callbacks, and the traffic with the main thread. */
import { beforeAll, describe, expect, test } from "vitest";
import { PythonUnderTest } from "./harness.ts";

let python: PythonUnderTest;
beforeAll(async () => {
  python = await PythonUnderTest.start();
});

const ask = (...scripts: string[]): unknown[] =>
  python.json(`[main.ask("RG.PYEXECUTE", script) for script in inputs["scripts"]]`, { scripts }) as unknown[];

describe("texts of errors", () => {
  test.each([
    [
      "a user's class, and frames of users' code only",
      "class Mine(Exception): pass\ndef f(x):\n    raise Mine('own')\nGB('ShardsIDReader').aggregate(0, lambda a, r: f(r), lambda a, r: r).run()",
      String.raw`['Traceback (most recent call last):\n', '  File "<string>", line 4, in <lambda>\n', '  File "<string>", line 3, in f\n', 'not_main.Mine: own\n']`,
    ],
    [
      "an exception that was never raised as a cause",
      "def f(x):\n    raise ValueError('a') from KeyError('b')\nGB('ShardsIDReader').map(f).run()",
      String.raw`["KeyError: 'b'\n", '\nThe above exception was the direct cause of the following exception:\n\n', 'Traceback (most recent call last):\n', '  File "<string>", line 2, in f\n', 'ValueError: a\n']`,
    ],
    [
      "a text that can not be made",
      "class Bad(Exception):\n    def __str__(self): raise ValueError('no')\ndef f(x):\n    raise Bad()\nGB('ShardsIDReader').map(f).run()",
      String.raw`['Traceback (most recent call last):\n', '  File "<string>", line 4, in f\n', 'not_main.Bad: <exception str() failed>\n']`,
    ],
    [
      "StopIteration and GeneratorExit are ordinary",
      "def f(x):\n    raise GeneratorExit()\nGB('ShardsIDReader').map(f).run()",
      String.raw`['Traceback (most recent call last):\n', '  File "<string>", line 2, in f\n', 'GeneratorExit\n']`,
    ],
    [
      "no source lines' markers",
      "import textwrap\nGB('ShardsIDReader').map(lambda x: textwrap.dedent(5)).run()",
      /textwrap\.py", line \d+, in dedent\\n(?!.*\^).*TypeError/,
    ],
    [
      "a record that has no text",
      "class R:\n    def __str__(self): return 5\nGB('ShardsIDReader').map(lambda x: R()).run()",
      /^\['Traceback.*__str__ returned non-string/,
    ],
    [
      "the methods of the builder, as in RedisGears, and nothing of what they call",
      "def f(x):\n    return GB().avg(5)\nGB('ShardsIDReader').map(f).run()",
      /^\['Traceback \(most recent call last\):\\n', ' {2}File "<string>", line 2, in f\\n', ' {2}File "<string>", line \d+, in avg\\n', ' {2}File "<string>", line \d+, in deco\\n', 'gears\.error: map argument must be a function\\n'\]$/,
    ],
    ["no memory", "GB('ShardsIDReader').map(lambda x: [0] * (2 ** 30)).run()", /MemoryError/],
    [
      "endless recursion",
      "def f(x): return f(x)\nGB('ShardsIDReader').map(f).run()",
      /repeated \d+ more times.*RecursionError: maximum recursion/,
    ],
  ])("%s", (_name, script, text) => {
    const [reply] = ask(script) as [[unknown[], string[]]];
    expect(reply[0]).toEqual([]);
    if (typeof text === "string") expect(reply[1]).toEqual([text]);
    else expect(reply[1][0]).toMatch(text);
  });

  test("one line without tracebacks", () => {
    expect(
      python.json(`
main.flags = 0
[main.ask("RG.PYEXECUTE", script) for script in ("1/0", "GB('ShardsIDReader').map(lambda x: {}['k']).run()")]
`),
    ).toEqual([
      "Error type: <class 'ZeroDivisionError'>, Value: division by zero",
      [[], ["Error type: <class 'KeyError'>, Value: 'k'"]],
    ]);
  });
});

describe("register()", () => {
  const wrong: [string, string][] = [
    ["GB('KeysReader').register(prefix=5)", "regex argument must be a string"],
    ["GB('KeysReader').register(mode='fast')", "unknown execution mode"],
    ["GB('KeysReader').register(mode=None)", "execution mode must be a string"],
    ["GB('KeysReader').register(onRegistered=5)", "OnRegistered argument must be a function"],
    ["GB('KeysReader').register(eventTypes=5)", "given eventTypes is not iterable"],
    ["GB('KeysReader').register(eventTypes=[5])", "given event type is not string"],
    ["GB('KeysReader').register(keyTypes=5)", "given keyTypes is not iterable"],
    ["GB('KeysReader').register(keyTypes=[b'x'])", "given key type is not string"],
    ["GB('KeysReader').register(keyTypes=['tree'])", "unknown key type"],
    ["GB('KeysReader').register(commands=5)", "given commands is not iterable"],
    ["GB('KeysReader').register(commands=[5])", "given command type is not string"],
    ["GB('KeysReader').register(readValue=1)", "readValue is not boolean"],
    ["GB('StreamReader').register(batch='1')", "batch argument must be a number"],
    ["GB('StreamReader').register(batch=0)", "batch argument must be greater than 0"],
    ["GB('StreamReader').register(duration='1')", "duration argument must be a number"],
    ["GB('StreamReader').register(onFailedRetryInterval='1')", "retryInterval argument must be a number"],
    ["GB('StreamReader').register(onFailedPolicy='never')", "onFailedPolicy must be Continue/Abort/Retry"],
    ["GB('StreamReader').register(onFailedPolicy=1)", "onFailedPolicy must be a string (Continue/Abort/Retry)"],
    [
      "GB('StreamReader').register(onFailedPolicy='Abort', mode='sync')",
      "ExecutionMode sync can only be combined with OnFailedPolicy Continue",
    ],
    ["GB('StreamReader').register(trimStream=1)", "pyTrimmStream argument must be a boolean"],
    ["GB('CommandReader').register()", "no trigger or hook argument was given"],
    ["GB('CommandReader').register(trigger=5)", "trigger argument is not string"],
    ["GB('CommandReader').register(hook=5)", "hook argument is not string"],
    ["GB('CommandReader').register(hook='get', keyprefix=5)", "keyprefix argument is not string"],
    ["GB('CommandReader').register(trigger='t', inorder=1)", "inorder argument is be boolean"],
    [
      "GB('CommandReader').register(trigger='t', hook='get')",
      "trigger argument can not be given with keyprefix or hook",
    ],
    ["GB('PythonReader').register()", "given reader does not exists or does not support register"],
    ["GB('ShardsIDReader').register()", "given reader does not exists or does not support register"],
  ];

  test.each(wrong)("%s", (script, text) => {
    const [reply] = ask(script);
    expect(reply).toMatch(/^\['Traceback/);
    expect(reply).toContain(`gears.error: ${text}\\n`);
  });

  test("the main thread gets everything it needs", () => {
    const specs = python.json(`
main.ask("RG.PYEXECUTE", """
GB('KeysReader', desc='d').register('p:*', mode='sync', eventTypes=['set'], keyTypes=('hash',), commands='ab', readValue=False, other=1)
GB('StreamReader').register(batch=True, duration=5, onFailedPolicy='Retry', onRegistered=lambda: 1)
GB('CommandReader').register(hook='GET', keyprefix='k', inorder=True)
GB('KeysReader').register(regex='old')
""", "ID", "s")
[{k: v for k, v in spec.items() if k not in ("blob", "script")} for spec in main.registrations.values()] + [len(main.logs)]
`);
    const common = { session: "s", desc: null, has_on_registered: false, mode: "async" };
    const keys = { reader: "KeysReader", eventTypes: null, keyTypes: null, commands: null, readValue: true };
    expect(specs).toEqual([
      {
        ...common,
        ...keys,
        desc: "d",
        mode: "sync",
        prefix: "p:*",
        eventTypes: ["set"],
        keyTypes: ["hash"],
        commands: ["a", "b"],
        readValue: false,
      },
      {
        ...common,
        reader: "StreamReader",
        prefix: "*",
        batch: 1,
        duration: 5,
        onFailedPolicy: "retry",
        onFailedRetryInterval: 1,
        trimStream: true,
        has_on_registered: true,
      },
      { ...common, reader: "CommandReader", trigger: null, hook: "GET", keyprefix: "k", inorder: true },
      { ...common, ...keys, prefix: "old" },
      1,
    ]);
  });

  test("what a failing script declared is forgotten; onRegistered and time events run in the session", () => {
    expect(
      python.json(`
from regears import registrations, timers
for number in range(1000): registrations.unregister(number)
main.ask("RG.PYEXECUTE", "GB('CommandReader').register(trigger='t')\\n1/0")
left = [number for number in range(1000) if registrations.registrations.get(number)]
main.ask("RG.PYEXECUTE", """
state = []
async def wrong(): pass
def tick():
    state.append('tick')
    if len(state) > 2: raise ValueError('enough')
made = registerTE(1, tick)
GB('CommandReader').map(lambda x: (state, made)).register(trigger='t', onRegistered=lambda: state.append('ready'))
GB('CommandReader').register(trigger='u', onRegistered=wrong)
""")
for _ in range(3): main.put(["timer", 7, 0])
main.serve(lambda: not main.inbox)
[left, main.ask("RG.TRIGGER", "t"), [p[2] for p in main.posts if p[0] == "timer"], timers.timers.get(7), [text for _, text in main.logs]]
`),
    ).toEqual([
      [],
      ["(['ready', 'tick', 'tick'], True)"],
      ["ok", "error", "error"],
      null,
      [expect.stringMatching(/^GEARS: error in onRegistered of session [\w-]+: coroutines are not allowed here$/)],
    ]);
  });
});

test("what comes for a time event that is just being made again waits for that", () => {
  expect(
    python.json(`
from regears import main as runtime, serialise, timers
main.ask("RG.PYEXECUTE", "pass")
seen = []
def unpack(_session, blob):
    # as an interrupt lets it in while users' code runs
    runtime.perform(("timer", 8, 0))
    if not blob: raise ValueError("no function")
    return lambda: seen.append("called")
usual, serialise.unpack_function = serialise.unpack_function, unpack
try:
    posts = len(main.posts)
    for blob in (b"x", b""):
        runtime.perform(("restore_timer", "1:again", 8, blob))
        timers.drop(8)
    seen += [list(post[:3]) for post in main.posts[posts:]]
finally:
    serialise.unpack_function = usual
seen
`),
  ).toEqual([
    "called",
    ["timer_restored", 8, "ok"],
    ["timer", 8, "ok"],
    ["timer_restored", 8, "error"],
    ["timer", 8, "error"],
  ]);
});

describe("many things that are made again", () => {
  test("are made one after the other, however often each is interrupted, and called when they are there", () => {
    const [depth, called, ...posts] = python.json(`
import sys
from regears import main as runtime, serialise, timers, waits
COUNT = 200
depths, called, sessions = [], [], set()
def depth():
    frame, deep = sys._getframe(), 0
    while frame is not None:
        frame, deep = frame.f_back, deep + 1
    return deep
def unpack(session, blob):
    number = int(blob)
    depths.append(depth())
    sessions.add(session)
    # as an interrupt lets in what has come while users' code runs
    waits.serve_nested()
    return lambda: called.append(number)
usual, serialise.unpack_function = serialise.unpack_function, unpack
try:
    posts = len(main.posts)
    for number in range(1, COUNT + 1):
        main.put(["restore_timer", f"{number // 2}:many", number, str(number).encode()])
    for number in range(1, COUNT + 1):
        main.put(["nested", ["timer", number, 0]])
    main.serve(lambda: len(called) == COUNT)
    for number in range(1, COUNT + 1):
        timers.drop(number)
finally:
    serialise.unpack_function = usual
[max(depths) - min(depths), sorted(called) == list(range(1, COUNT + 1)), len(sessions)] + sorted({(post[0], post[2]) for post in main.posts[posts:]})
`) as [number, boolean, ...unknown[]];
    expect(depth).toBeLessThan(50);
    expect(called).toBe(true);
    expect(posts).toEqual([101, ["timer", "ok"], ["timer_restored", "ok"]]);
  });

  test("are made later when they come where little is left of the stack", () => {
    expect(
      python.json(`
from regears import serialise, timers, waits
seen = []
def deep(left):
    if left > 0:
        return deep(left - 1)
    waits.accept(["restore_timer", "1:deep", 8, b"x"])
    waits.accept(["nested", ["timer", 8, 0]])
    seen.append("goes on")
usual, serialise.unpack_function = serialise.unpack_function, lambda *_: seen.append("made") or (lambda: seen.append("called"))
try:
    deep(400)
    main.serve(lambda: not waits.jobs)
    timers.drop(8)
finally:
    serialise.unpack_function = usual
seen
`),
    ).toEqual(["goes on", "made", "called"]);
  });

  test("are made at once when an event comes for them, which what is beneath may wait for", () => {
    expect(
      python.json(`
from regears import main as runtime, registrations, waits
from regears.scripts import Session
made = []
class Registration:
    plain = ()
    def __init__(self, session): self.session, self.steps = session, ()
def restore(session, number, blob):
    if number == 50:
        waits.accept(["restore", "1:event", 51, b""])
        main.flows[900] = {"results": [], "done": None}
        waits.accept(["nested", ["event", 900, 51, [["a"]], main.flags]])
        made.append(main.flows[900]["done"] is not None)
    made.append(number)
    registrations.registrations.add(number, session, Registration(session))
usual, registrations.restore = registrations.restore, restore
try:
    runtime.perform(("restore", "1:event", 50, b""))
    made.append(registrations.registrations.get(50).session is registrations.registrations.get(51).session)
finally:
    registrations.restore = usual
    for number in (50, 51): registrations.registrations.pop(number)
[made, main.flows[900]["done"][:2]]
`),
    ).toEqual([
      [51, true, 50, true],
      ["done", []],
    ]);
  });
});

describe("a time event that is due while code runs", () => {
  test("is called on top of it, but waits where that has left little of the stack", () => {
    expect(
      python.json(`
from regears import main as runtime, timers, waits
from regears.scripts import Session
called = []
timers._add(8, Session("1:deep"), lambda: called.append("called"))
def deep(left):
    if left > 0:
        return deep(left - 1)
    waits.accept(["nested", ["timer", 8, 0]])
    called.append("goes on")
for frames in (10, 400):
    deep(frames)
    called.append("ends")
main.serve(lambda: not waits.jobs)
timers.drop(8)
called
`),
    ).toEqual(["called", "goes on", "ends", "goes on", "ends", "called"]);
  });

  test("is called as soon as there is room on the stack, however long the code goes on", () => {
    expect(
      python.json(`
from regears import timers, waits
from regears.scripts import Session
called = []
timers._add(8, Session("1:room"), lambda: called.append("called"))
def deep(left):
    if left > 0:
        return deep(left - 1)
    waits.accept(["nested", ["timer", 8, 0]])
# by the next interrupt, or while something is waited for
for go_on in (waits.serve_nested, lambda: waits.until(0)):
    deep(400)
    called.append("goes on")
    go_on()
    called.append("ends")
main.serve(lambda: not waits.jobs)
timers.drop(8)
called
`),
    ).toEqual(["goes on", "called", "ends", "goes on", "called", "ends"]);
  });

  test("is called again later when it could not be called", () => {
    expect(
      python.json(`
from regears import main as runtime, timers
from regears.scripts import Session
def call_timer_begin(number): raise MemoryError()
timers._add(8, Session("1:again"), lambda: None)
main.call_timer_begin = call_timer_begin
logs, posts = len(main.logs), len(main.posts)
runtime.perform(("timer", 8, 0))
del main.call_timer_begin
runtime.perform(("timer", 8, 0))
timers.drop(8)
[["MemoryError" in text for _, text in main.logs[logs:]]] + [list(post[:3]) for post in main.posts[posts:] if post[0] == "timer"]
`),
    ).toEqual([[true], ["timer", 8, "again"], ["timer", 8, "ok"]]);
  });
});

describe("sessions", () => {
  test("are known by their keys as long as they have registrations or time events", () => {
    expect(
      python.json(`
from regears import kept, scripts
first, second = kept.Kept(), kept.Kept()
session, other = scripts.Session("1:s"), scripts.Session("2:s")
known = lambda: [kept.session_of("1:s") is session, kept.session_of("2:s") is other]
seen = [known()]
first.add(1, session, "a"), first.add(1, session, "b"), second.add(1, session, "c"), first.add(2, other, "d")
seen += [known(), first.get(1), first.pop(1), first.get(1), first.pop(1), known(), second.pop(1), known(), first.pop(2), known()]
seen
`),
    ).toEqual([
      [false, false],
      ...[[true, true], "b", "b", null, null],
      ...[[true, true], "c", [false, true], "d", [false, false]],
    ]);
  });

  test("are freed when nothing holds them", () => {
    expect(
      python.json(
        `
import gc, weakref
from regears import scripts
seen = weakref.WeakSet()
made = scripts.Session.__init__
def note(self, session_id):
    made(self, session_id)
    seen.add(self)
scripts.Session.__init__ = note
for script in inputs["scripts"]:
    main.ask("RG.PYEXECUTE", script)
kept = main.ask("RG.PYEXECUTE", "GB('CommandReader').register(trigger='t')", "ID", "kept")
gc.collect()
before = [session.id for session in seen]
main.put(["unregister", next(iter(main.registrations))])
main.serve(lambda: not main.inbox)
gc.collect()
scripts.Session.__init__ = made
[before, len(seen)]
`,
        {
          scripts: [
            "def f(): return f\nbig = [0] * 1000",
            "1/0",
            "GB('ShardsIDReader').map(lambda x: x).run()",
            "kept = GB('ShardsIDReader').map(lambda x: 1/0).run()",
            "async def f(x): await asyncio.sleep(0)\nGB('ShardsIDReader').map(f).run()",
          ],
        },
      ),
    ).toEqual([["kept"], 0]);
  });

  test("a session can be handed on by hand", () => {
    expect(
      ask(`
def f(x):
    s = getGearsSession()
    setGearsSession(None)
    try:
        GB('ShardsIDReader')
        without = 'made'
    except Exception as e:
        without = str(e)
    with GearsSession(s):
        within = getGearsSession() is not None
    after = getGearsSession()
    setGearsSession(s)
    try:
        setGearsSession(5)
    except Exception as e:
        wrong = str(e)
    return [without, within, after, wrong]
GB('ShardsIDReader').map(f).run()`),
    ).toEqual([
      [
        [
          "['Can not create a gearsCtx on a python created thread', True, None, 'Given object is not of type GearsSession']",
        ],
        [],
      ],
    ]);
  });
});

describe("traffic", () => {
  test("jobs that come while a call waits run later, nested ones at once", () => {
    expect(
      python.json(`
main.ask("RG.PYEXECUTE", """
order = []
def slow(x):
    order.append('a')
    execute('MIX')
    order.append('b')
    return order
GB('CommandReader').map(slow).register(trigger='slow')
GB('CommandReader').foreach(lambda x: order.append(x[1])).register(trigger='note', mode='sync')
GB('CommandReader').map(lambda x: order).register(trigger='order')
""")
note = main.trigger("note")
usual = main.call_execute
def call_execute(args, context):
    if args[0] != "MIX":
        return usual(args, context)
    for flow in (50, 51, 52): main.flows[flow] = {"results": [], "done": None}
    main.put(["event", 50, note, [["note", "queued"]], 1])
    main.put(["reply", 10 ** 6, 0, "for somebody else"])
    main.put(["nested", ["event", 51, note, [["note", "nested"]], 5]])
    main.put(["nested", ["event", 52, note, [["note", b"\\xff"]], 69]])
    return "OK"
main.call_execute = call_execute
[main.ask("RG.TRIGGER", "slow"), main.ask("RG.TRIGGER", "order")]
`),
    ).toEqual([
      [String.raw`['a', 'nested', bytearray(b'\xff'), 'b']`],
      [String.raw`['a', 'nested', bytearray(b'\xff'), 'b', 'queued']`],
    ]);
  });

  test("nested jobs run while a script sleeps; sleep takes what time.sleep takes", () => {
    expect(
      python.json(`
main.ask("RG.PYEXECUTE", """
import time
seen = []
def f(x):
    time.sleep(0)
    time.sleep(0.05)
    wrong = []
    for bad in (-1, float('nan'), 'x'):
        try: time.sleep(bad)
        except (ValueError, TypeError) as e: wrong.append(type(e).__name__)
    return [seen, wrong]
GB('CommandReader').map(f).register(trigger='f')
GB('CommandReader').foreach(lambda x: seen.append(1)).register(trigger='n', mode='sync')
""")
ready, reply = main.begin(["RG.TRIGGER", "f"])
main.flows[50] = {"results": [], "done": None}
main.put(["nested", ["event", 50, main.trigger("n"), [["n"]], 5]])
main.serve(ready)
reply()
`),
    ).toEqual(["[[1], ['ValueError', 'ValueError', 'TypeError']]"]);
  });

  test("nested jobs run between the records of a busy flow that asks for nothing", () => {
    expect(
      python.json(`
main.flows[50] = {"results": [], "done": None}
usual = main.receive
def receive(timeout_ms=None):
    # comes when the flow is in progress
    if main.flows.get(1) and main.flows[1]["done"] is None and timeout_ms == 0 and main.flows[50]["done"] is None:
        return ["nested", ["event", 50, main.trigger("n"), [["n"]], 5]]
    return usual(timeout_ms)
main.receive = receive
main.ask("RG.PYEXECUTE", """
import time
seen = []
end = time.monotonic() + 5
GB('CommandReader').foreach(lambda x: seen.append(1)).register(trigger='n', mode='sync')
def forever():
    while not seen and time.monotonic() < end:
        yield 1
    if seen:
        yield 'served'
GB('PythonReader').filter(lambda x: x == 'served').count().map(lambda n: execute('SET', 'served', n)).run(forever)
""")
main.serve(lambda: "served" in main.engine.data)
main.engine.data["served"]
`),
    ).toBe("1");
  });

  test("executions that call themselves end with an error, not with the interpreter", () => {
    const [first, after] = python.json(`
main.ask("RG.PYEXECUTE", "GB('CommandReader').map(lambda x: execute('RG.TRIGGER', 't')).register(trigger='t', mode='sync')")
[main.ask("RG.TRIGGER", "t"), main.ask("RG.PYEXECUTE", "GB('ShardsIDReader').run()")]
`) as string[];
    expect(first).toContain("executions inside executions are nested too deeply");
    expect(after).toEqual([["1"], []]);
  });

  test("arguments and replies of commands", () => {
    expect(
      ask(`
class S(str):
    def __str__(self): return 'other'
def f(x):
    out = [execute('ECHO', a) for a in (1, None, 2.5, b'by', bytearray(b'ba'), 'é', S('s'), [1])]
    try: execute(5)
    except Exception as e: out.append(str(e))
    try: execute('SET', 'k', '\\ud800')
    except Exception as e: out.append(type(e).__name__)
    return out + [execute()]
GB('ShardsIDReader').map(f).run()`),
    ).toEqual([
      [
        [
          "['1', 'None', '2.5', 'by', 'ba', 'é', 'other', '[1]', 'the given command must be a string', 'UnicodeEncodeError', []]",
        ],
        [],
      ],
    ]);
  });

  test("types of the API say that they are in redisgears", () => {
    expect(
      ask("GB('ShardsIDReader').flatmap(lambda x: [type(gearsCtx()), type(atomic()), type(getGearsSession())]).run()"),
    ).toEqual([
      [
        [
          "<class 'redisgears.PyExecutionSession'>",
          "<class 'redisgears.PyAtomic'>",
          "<class 'redisgears.PyFlatExecution'>",
        ],
        [],
      ],
    ]);
  });

  test("log levels, its old form and the old names", () => {
    expect(
      python.json(`
main.ask("RG.PYEXECUTE", "log('a'); log('b', level='debug'); log('warning', 'c'); Log('d'); GearsConfigGet('x')")
main.logs
`),
    ).toEqual([
      ["notice", "GEARS: a"],
      ["debug", "GEARS: b"],
      ["warning", "GEARS: log(level, message) is deprecated, use log(message, level=level) instead"],
      ["warning", "GEARS: c"],
      ["warning", "GEARS: Log is deprecated, use log instead"],
      ["notice", "GEARS: d"],
      ["warning", "GEARS: GearsConfigGet is deprecated, use gearsConfigGet instead"],
    ]);
  });
});
