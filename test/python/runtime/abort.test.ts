/** Code that does not stop by itself is stopped, and the interpreter goes on. */
import { beforeAll, describe, expect, test } from "vitest";
import { PythonUnderTest } from "./harness.ts";

let python: PythonUnderTest;
beforeAll(async () => {
  python = await PythonUnderTest.start();
});

const ASK = `
from regears import abort
main.target = inputs["target"]
reply = main.ask("RG.PYEXECUTE", inputs["script"], seconds=10)
[reply, main.atomic, len(abort._armed), main.logs, main.ask("RG.PYEXECUTE", "GB('ShardsIDReader').map(lambda x: x * 3).run()")]
`;

const step = (body: string): string => `import time, json\ndef f(x):\n${body}\nGB('ShardsIDReader').map(f).run()`;

const STUBBORN: Record<string, string> = {
  "a busy loop": step("  while True: pass"),
  "a loop that catches everything": step(
    "  while True:\n    try:\n      while True: pass\n    except BaseException: pass",
  ),
  "a loop that returns from finally": step(
    "  while True:\n    try:\n      while True: pass\n    except: pass\n    finally: y = 1",
  ),
  "a long sleep": step("  time.sleep(60)"),
  "sleeps in a loop that catches everything": step(
    "  while True:\n    try: time.sleep(60)\n    except BaseException: pass",
  ),
  "commands in a loop that catches everything": step(
    "  while True:\n    try: execute('GET', 'a')\n    except BaseException: pass",
  ),
  "the standard library": step("  while True: json.dumps({'a': [1, 2, 3] * 1000}, indent=1)"),
  "a loop in an atomic block": step("  with atomic():\n    while True: pass"),
  "sleeps in an atomic block": step("  with atomic():\n    while True: time.sleep(0.001)"),
  "an event loop of its own": step("  asyncio.run(asyncio.sleep(60))"),
  "an endless reader":
    "def s():\n  n = 0\n  while True:\n    n += 1\n    yield n\nGB('PythonReader').filter(lambda x: False).run(s)",
  "an endless reader in C":
    "import itertools\ndef s():\n  yield from itertools.count()\nGB('PythonReader').count().run(s)",
  "copies of a zero value":
    "GB('PythonReader').aggregate([[0]] * 10, lambda a, r: 0, lambda a, r: 0).run(lambda: (1 for _ in iter(int, 1)))",
};

describe("an execution is stopped in", () => {
  test.each(Object.entries(STUBBORN))("%s", (_name, script) => {
    python.interruptAfter(400, 20);
    const began = performance.now();
    const [reply, atomic, armed, logs, after] = python.json(ASK, { script, target: 1 }) as [
      [unknown[], string[]],
      ...unknown[],
    ];
    expect(reply[0]).toEqual([]);
    expect(reply[1]).toHaveLength(1);
    expect(reply[1][0]).toMatch(/^\['Traceback .*'gears\.forcestopped\\n'\]$/);
    expect({ atomic, armed, logs, after }).toEqual({ atomic: null, armed: 0, logs: [], after: [["111"], []] });
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});

describe("besides", () => {
  test("a flow that waits for a coroutine is aborted, also when the code of that is busy", () => {
    python.interruptAfter(400, 20);
    const script = "async def f(x):\n  while True: pass\nGB('ShardsIDReader').map(f).run()";
    const [reply, atomic, armed, logs, after] = python.json(ASK, { script, target: 1 }) as unknown[];
    const expected = { reply: [[], []], atomic: null, armed: 0, logs: [], after: [["111"], []] };
    expect({ reply, atomic, armed, logs, after }).toEqual(expected);
  });

  test("results before the abort are kept", () => {
    python.interruptAfter(150);
    const script = "import time\ndef s():\n  yield 'early'\n  while True: time.sleep(0.01)\nGB('PythonReader').run(s)";
    const [reply] = python.json(ASK, { script, target: 1 }) as [unknown];
    expect(reply).toEqual([
      ["early"],
      [
        String.raw`['Traceback (most recent call last):\n', '  File "<string>", line 4, in s\n', 'gears.forcestopped\n']`,
      ],
    ]);
  });

  test("a script's body is stopped", () => {
    python.interruptAfter(150);
    const [reply] = python.json(ASK, { script: "while True: pass", target: 1 }) as [unknown];
    expect(reply).toBe(
      String.raw`['Traceback (most recent call last):\n', '  File "<string>", line 1, in <module>\n', 'gears.forcestopped\n']`,
    );
  });

  test("an interrupt for something else is ignored", () => {
    python.interruptAfter(20, 4);
    const script = step("  end = time.monotonic() + 0.2\n  while time.monotonic() < end: pass\n  return 'ended'");
    const [reply, , armed] = python.json(ASK, { script, target: 99 }) as unknown[];
    expect(reply).toEqual([["ended"], []]);
    expect(armed).toBe(0);
  });

  test("a flow that waits ends as aborted, without results and errors", () => {
    const outcome = python.json(`
begun = main.begin(["RG.PYEXECUTE", "async def f(x):\\n  try:\\n    await asyncio.sleep(60)\\n  finally:\\n    execute('SET', 'left', '1')\\nGB('ShardsIDReader').map(f).run()"])
main.serve(lambda: main.flows.get(1, {}).get("waiting"))
main.put(["abort", 1])
main.serve(begun[0])
main.serve(lambda: "left" in main.engine.data)
[main.flows[1]["done"][0], begun[1]()]
`);
    expect(outcome).toEqual(["aborted", [[], []]]);
  });

  test("what comes when the code has just ended does not end the loop of the interpreter", () => {
    const turns = python.json(`
from regears import loop, main as runtime
from regears.errors import GearsForceStopped
turns = []
def turn():
    turns.append("turn")
    raise GearsForceStopped() if len(turns) == 1 else SystemExit()
usual, loop.MAIN.turn = loop.MAIN.turn, turn
try:
    runtime.serve()
except SystemExit:
    pass
finally:
    loop.MAIN.turn = usual
turns
`);
    expect(turns).toEqual(["turn", "turn"]);
  });

  test("the abort of a flow that has ended does nothing", () => {
    const outcome = python.json(`
reply = main.ask("RG.PYEXECUTE", "GB('ShardsIDReader').run()")
main.put(["abort", 1])
main.serve(lambda: not main.inbox)
[reply, [post for post in main.posts if post[0] == "done"].__len__()]
`);
    expect(outcome).toEqual([[["1"], []], 1]);
  });
});
