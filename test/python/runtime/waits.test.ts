/** When others may run on top of code that waits: the rules of waits.py. */
import { beforeAll, describe, expect, test } from "vitest";
import { PythonUnderTest } from "./harness.ts";

let python: PythonUnderTest;
beforeAll(async () => {
  python = await PythonUnderTest.start();
});

/**
 * Triggers of a session; `body` is what `t` does with the text that it is called with. `put_on_top(name, argument)` has a trigger run as
 * soon as a wait is open; `opened` is how often that was so.
 */
const setUp = (body: string): string => `
import time
from regears import main as runtime
SHARES = 8
main.flags |= SHARES
main.ask("RG.PYEXECUTE", """
import asyncio, time
order = []
def t(x):
${body
  .split("\n")
  .map((line) => `    ${line}`)
  .join("\n")}
def add(x):
    order.append(x[1])
def nap(x):
    order.append('begins ' + x[1])
    time.sleep(float(x[2]))
    order.append('ends ' + x[1])
def spin(x):
    end = time.monotonic() + 0.5
    while time.monotonic() < end: pass
    order.append('has spun')
def fail(x):
    raise KeyError('own')
GB('CommandReader').map(lambda x: t(x)).register(trigger='t')
GB('CommandReader').map(lambda x: t(x)).register(trigger='sync', mode='sync')
for f in (add, nap, spin, fail): GB('CommandReader').foreach(f).register(trigger=f.__name__)
GB('CommandReader').map(lambda x: order).register(trigger='order')
""")
def put_on_top(*args):
    flow = next(main.handles)
    main.flows[flow] = {"results": [], "done": None}
    main.on_top.append(["event", flow, main.trigger(args[0]), [list(args)], main.flags])
    return flow
def opened():
    return sum(post[0] == "open" for post in main.posts)
def covers():
    return [post[1:] for post in main.posts if post[0] == "covers"]
`;

const run = (body: string, code: string): unknown => python.json(`${setUp(body)}\n${code}`);

const SLEEP = "order.append('begins')\ntime.sleep(0.3)\norder.append('ends')\nreturn order";

describe("a job runs on top of", () => {
  test("a sleep, and that of another", () => {
    expect(
      run(
        SLEEP,
        `
flows = [put_on_top("nap", "a", "0.02"), put_on_top("add", "b")]
reply = main.ask("RG.TRIGGER", "t", "x")
[reply, [flow - flows[0] for pair in covers() for flow in pair]]`,
      ),
    ).toEqual([["['begins', 'begins a', 'b', 'ends a', 'ends']"], [0, -1 + 3, 1, 0]]);
  });

  test.each([
    ["an event loop of its own", "asyncio.run(asyncio.sleep(0.5))\nreturn order"],
    ["a coroutine", "async def sleeps():\n    time.sleep(0.5)\n    return order\nreturn sleeps()"],
    ["the handling of an exception", "try: 1 / 0\nexcept ZeroDivisionError: time.sleep(0.5)\nreturn order"],
  ])("%s", (_name, body) => {
    expect(
      run(
        body,
        `
failing = put_on_top("fail")
put_on_top("add", "b")
reply = main.ask("RG.TRIGGER", "t", "x")
[reply, "ZeroDivisionError" in main.flows[failing]["done"][1][0], "KeyError: 'own'" in main.flows[failing]["done"][1][0]]`,
      ),
    ).toEqual([["['b']"], false, true]);
  });

  test("a reply that does not come", () => {
    expect(
      run(
        "execute('SLOW')\nreturn order",
        `
usual = main.take
def take(message):
    if message[0] == "call" and message[2] == "execute":
        main.slow = message[1]
    else:
        usual(message)
main.take = take
usual_open = main.post_open
def post_open():
    usual_open()
    if not main.on_top and main.slow:
        main.put(["reply", main.slow, 0, "OK"])
main.post_open = post_open
put_on_top("add", "a")
put_on_top("add", "b")
main.ask("RG.TRIGGER", "t", "x")`,
      ),
    ).toEqual(["['a', 'b']"]);
  });

  test("no call that makes a flow, which would be begun before its caller knows it", () => {
    expect(
      run(
        "async def counts():\n    return (await GB('ShardsIDReader').run())[0]\nreturn counts()",
        `
from regears.bridge import real_sleep
usual_take, usual_receive = main.take, main.receive
held = []
def take(message):
    usual_take(message)
    if message[0] == "call" and message[2] == "run":
        held.append(main.inbox.pop())
def receive(timeout_ms=None, turn=False):
    if held and not main.inbox:
        # long enough for a wait to be opened
        real_sleep(0.03)
        receive.asked = getattr(receive, "asked", 0) + 1
        return held.pop() if timeout_ms is None or receive.asked > 3 else None
    return usual_receive(timeout_ms, turn)
main.take, main.receive = take, receive
reply = main.ask("RG.TRIGGER", "t", "x")
[reply, covers()]`,
      ),
    ).toEqual([["['1']"], []]);
  });

  test("a wait that was claimed, though the job comes when that is over", () => {
    expect(
      run(
        SLEEP,
        `
job = put_on_top("add", "late")
message = main.on_top.popleft()
usual_open, usual_receive = main.post_open, main.receive
claimed = []
def post_open():
    main.wait_is_open = False
    claimed.append(time.monotonic())
main.post_open = post_open
def receive(timeout_ms=None, turn=False):
    if claimed and time.monotonic() - claimed[0] > 0.4:
        claimed.clear()
        return ["on_top", message]
    if claimed:
        main.real_sleep(0.01)
        return None
    return usual_receive(timeout_ms)
main.real_sleep = __import__("regears").bridge.real_sleep
main.receive = receive
main.ask("RG.TRIGGER", "t", "x")`,
      ),
    ).toEqual(["['begins', 'late', 'ends']"]);
  });
});

describe("nothing runs on top of", () => {
  test.each([
    ["a short sleep", "t", "time.sleep(0.009)"],
    ["an atomic block", "t", "with atomic():\n    time.sleep(0.05)"],
    [
      "code that is deep in the stack",
      "t",
      "def deep(n):\n    return deep(n - 1) if n else time.sleep(0.05)\ndeep(310)",
    ],
    ["what was sent without the flag", "no flag", "time.sleep(0.05)"],
  ])("%s", (_name, trigger, body) => {
    expect(
      run(
        `${body}\nreturn 1`,
        `
if ${JSON.stringify(trigger)} == "no flag": main.flags &= ~SHARES
put_on_top("add", "a")
[main.ask("RG.TRIGGER", "t", "x"), opened()]`,
      ),
    ).toEqual([["1"], 0]);
  });

  test("what is nested", () => {
    expect(
      run(
        "if x[0] == 't': execute('RG.TRIGGER', 'sync', 'x')\nelse: time.sleep(0.05)\nreturn 1",
        `
put_on_top("add", "a")
[main.ask("RG.TRIGGER", "t", "x"), opened()]`,
      ),
    ).toEqual([["1"], 0]);
  });

  test("a wait that is half over, or above such a one", () => {
    expect(
      run(
        "begun = time.monotonic()\ntime.sleep(0.2)\nreturn 1",
        `
usual = main.receive
seen = []
begun = []
def receive(timeout_ms=None, turn=False):
    if opened():
        begun or begun.append(time.monotonic())
        seen.append((time.monotonic() - begun[0], main.wait_is_open))
    return usual(timeout_ms)
main.receive = receive
put_on_top("nap", "a", "10")
main.on_top[0][3][0][2] = "0.3"
reply = main.ask("RG.TRIGGER", "t", "x")
half = 0.1
[reply, any(open for when, open in seen if when > half + 0.02), any(open for when, open in seen if 0.01 < when < half - 0.02)]`,
      ),
    ).toEqual([["1"], false, true]);
  });

  test("code that was held up, before it has waited for as long itself", () => {
    expect(
      run(
        "for _ in range(5): time.sleep(0.02)\norder.append('rests')\ntime.sleep(0.8)\ntime.sleep(0.02)\nreturn order",
        `
put_on_top("spin")
put_on_top("add", "b")
main.ask("RG.TRIGGER", "t", "x")`,
      ),
    ).toEqual(["['has spun', 'rests', 'b']"]);
  });
});

describe("code that is to stop", () => {
  test("while another runs on top of it stops when that has ended", () => {
    expect(
      run(
        SLEEP,
        `
from regears import abort
put_on_top("nap", "a", "0.02")
ready, reply = main.begin(["RG.TRIGGER", "t", "x"])
usual = main.post_covers
def post_covers(job, other):
    main.put(["abort", other])
main.post_covers = post_covers
main.serve(ready)
error = reply()
["gears.forcestopped" in error, main.ask("RG.TRIGGER", "order"), len(abort._armed)]`,
      ),
    ).toEqual([true, ["['begins', 'begins a', 'ends a']"], 0]);
  });

  test("leaves the job that its wait was claimed for to the serve loop", () => {
    expect(
      run(
        SLEEP,
        `
from regears.errors import GearsForceStopped
put_on_top("add", "a")
message = main.on_top.popleft()
usual = main.receive
state = []
def post_open():
    main.wait_is_open = False
    state.append("claimed")
main.post_open = post_open
def receive(timeout_ms=None, turn=False):
    if state == ["claimed"]:
        state.append("stopped")
        raise GearsForceStopped()
    if len(state) == 2:
        state.append("sent")
        return ["on_top", message]
    return usual(timeout_ms)
main.receive = receive
error = main.ask("RG.TRIGGER", "t", "x")
[error.startswith("['Traceback"), main.ask("RG.TRIGGER", "order")]`,
      ),
    ).toEqual([true, ["['begins', 'a']"]]);
  });
});
