/** Messages that a script writes itself: whatever they hold, they end its interpreter at most, and nobody else notices. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Client, Value } from "../support/client.ts";
import { admin, bystander, connectMallory, forging, server, setTheScene } from "../support/mallory.ts";
import { ATTACKS, servesDuring } from "../support/serving.ts";

const FORGE = forging("forged");
const NONE_OF_MINE = /died: it sent what it may not: job \d+ is none of this interpreter's/;

let mallory: Client;

setTheScene();
beforeAll(async () => {
  mallory = await connectMallory();
});
afterAll(() => mallory?.close());

/** What a script of mallory's answers; the text of an error. */
const run = (code: string): Promise<Value> =>
  mallory.call("RG.PYEXECUTE", FORGE + code).catch((error: Error) => error.message);

/** How many interpreters were ended for this reason. */
const counted = async (reason: "message" | "flood"): Promise<number> => {
  const info = String(await admin.call("INFO", "regears"));
  return Number(new RegExp(`interpreter_restarts_total_${reason}:(\\d+)`).exec(info)?.[1]);
};

describe("a forged message ends its interpreter and touches nobody else", () => {
  it.each([
    [
      "register: builders NaN",
      "calls.call('register', nan, spec, 0)",
      "register, builders: marshal: expected an int, found type 103",
    ],
    [
      "register: builders -2",
      "calls.call('register', -2, spec, 0)",
      "register, builders: expected an integer from 0 to 9007199254740991",
    ],
    [
      "register: builders 2 ** 70",
      "calls.call('register', 2 ** 70, spec, 0)",
      "register, builders: expected an integer from 0 to 9007199254740991",
    ],
    [
      "register: eventTypes 5",
      "calls.call('register', 0, {**spec, 'reader': 'KeysReader', 'prefix': '*', 'eventTypes': 5}, 0)",
      "register, spec: marshal: expected a list, found type 105",
    ],
    [
      "register: a reader that there is not",
      "calls.call('register', 0, {**spec, 'reader': 'PythonReader'}, 0)",
      "register, spec: expected one of KeysReader, StreamReader, CommandReader",
    ],
    [
      "register: an own id",
      "calls.call('register', 0, {**spec, 'number': 0}, 0)",
      "register, spec: expected each known key once",
    ],
    [
      "register: the session of another",
      "calls.call('register', 0, {**spec, 'session': '1:bystander'}, 0)",
      "the session is another user's",
    ],
    [
      "time_event: the session of another",
      "calls.call('time_event', 1, None, b'', '1:bystander', 0)",
      "the session is another user's",
    ],
    ["run: the session of another", "calls.call('run', [], 0, '1:bystander')", "the session is another user's"],
    [
      "run: steps that are none",
      "calls.call('run', [1, 2], 0, key)",
      "run, steps: marshal: expected a list, found type 105",
    ],
    [
      "a job that was never given out",
      "calls.call('atomic', 1, 987654321)",
      "job 987654321 is none of this interpreter's",
    ],
    [
      "a job below zero",
      "calls.call('execute', ['PING'], -1001)",
      "execute, job: expected an integer from 0 to 9007199254740991",
    ],
    [
      "done of the script itself",
      "calls.post('done', handle, [], 'done', [], 0, 0, [], [], False)\nwhile True: pass",
      "done of ",
    ],
    ["results of the script itself", "calls.post('results', handle, ['x'], [])", "results of "],
    ["waiting of the script itself", "calls.post('waiting', handle, [])", "waiting of "],
    [
      "an end of the script that is none",
      "calls.post('script', handle, 5, 'x', [], 1)",
      "script, error: marshal: expected text, found type 105",
    ],
    [
      "a flow that begins without a thread",
      "calls.post('script', handle, None, 0, [[], 'x', []], True)",
      "script: no thread was lent to begin its flow",
    ],
    [
      "a time event made again, unasked",
      "for n in range(50): calls.post('timer_restored', n, 'error', 'x')",
      "timer_restored: nobody has asked for 0",
    ],
    [
      "a time event that failed, unasked",
      "for n in range(50): calls.post('timer', n, 'error', 'x')",
      "timer: nobody has asked for 0",
    ],
    [
      "a registration made again, unasked",
      "for n in range(50): calls.post('restored', n, 'error', 'x')",
      "restored: nobody has asked for 0",
    ],
    [
      "an answer without a question",
      "for n in range(50): calls.post('answer', n, 'ok', '')",
      "answer: question 0 was not asked",
    ],
    ["the cursor of another", "calls.call('keys_next', 10 ** 6)", "cursor 1000000 is none of this interpreter's"],
    [
      "a cursor to close, of another",
      "calls.post('keys_close', 10 ** 6)",
      "cursor 1000000 is none of this interpreter's",
    ],
    [
      "no message at all",
      "import os\nos.write(bridge.fd, b'\\xff' + os.urandom(100))",
      "message: marshal: expected a list, found type 127",
    ],
    ["an operation that there is not", "calls.call('shutdown')", "shutdown: expected a known operation"],
    [
      "too many elements",
      "bridge.send(['call', 1, 'execute', [b''] * 30_000_000, 0])",
      "execute, args: expected a list of 1 to 262144",
    ],
    [
      "an integer of a megabyte",
      "calls.call('time_event', (1 << 5_000_000) - 1, None, b'', key, 0)",
      "time_event, seconds: marshal: an integer is too large",
    ],
    [
      "a long name of an option",
      "calls.call('config_get', '\\u4e2d' * 5_000_000)",
      "config_get, key: marshal: text of more than 65536 bytes",
    ],
    [
      "a long name of a trigger",
      "calls.call('register', 0, {**spec, 'trigger': '\\u4e2d' * 5_000_000}, 0)",
      "register, spec: marshal: text of more than 65536 bytes",
    ],
    [
      "a long name of a session",
      "calls.call('register', 0, {**spec, 'session': '1:' + '\\u4e2d' * 5_000_000}, 0)",
      "register, spec: marshal: text of more than 65536 bytes",
    ],
    [
      "a long name of a key",
      "calls.call('time_event', 1, '\\u4e2d' * 5_000_000, b'', key, 0)",
      "time_event, key: marshal: text of more than 65536 bytes",
    ],
    [
      "a long pattern",
      "calls.call('keys_open', '\\u4e2d' * 5_000_000, False, True, 0)",
      "keys_open, pattern: expected at most 65536 bytes",
    ],
    [
      "a long error",
      "calls.post('script', handle, '\\u4e2d' * 5_000_000, 0, None, False)",
      "script, error: marshal: text of more than 1048640 bytes",
    ],
    [
      "long descriptions of steps",
      "calls.call('run', [('a', 'b', '\\u4e2d' * 3000)] * 1_500, 0, key)",
      "run, steps: marshal: too much text",
    ],
    [
      "a registration of 70 MB",
      "calls.call('register', 0, {**spec, 'blob': bytes(70_000_000)}, 0)",
      "register, spec: expected at most 67108864 bytes",
    ],
    [
      "where it is, unasked",
      "calls.post('sample', handle, '', 0, 0, [])\nwhile True: pass",
      "sample: nobody has asked for one",
    ],
    [
      "a long line for the log",
      "bridge.send(['post', 'log', 'notice', 'x' * 60_000_000, 0, 0])",
      "log, text: marshal: text of more than 65792 bytes",
    ],
  ])("%s", async (_name, code, reason) => {
    const before = await counted("message");
    expect(await servesDuring(server, () => run(code))).toContain(`died: it sent what it may not: ${reason}`);
    expect(await counted("message")).toBeGreaterThan(before);
    await bystander.check();
  });

  it("whatever jobs of others it names", async () => {
    // that of the trigger that waits is among them; those that have ended are nobody's
    for (const post of [
      "'results', n, ['x'], []",
      "'done', n, [], 'done', [], 0, 0, [], [], False",
      "'waiting', n, []",
      "'running', n",
    ]) {
      expect(await run(`for n in range(1, handle): calls.post(${post})\ncalls.call('config_get', 'x')`)).toMatch(
        NONE_OF_MINE,
      );
      await bystander.check();
    }
    await bystander.checkWaiting();
  });

  it("and is logged once, with the reason", async () => {
    const before = server.output().length;
    expect(await run("for _ in range(100): calls.post('shutdown')")).toContain(
      "died: it sent what it may not: shutdown",
    );
    await bystander.check();
    const lines = server.output().slice(before).split("\n");
    expect(lines.filter((line) => /interpreter/.test(line))).toHaveLength(1);
    expect(lines.find((line) => /interpreter/.test(line))).toMatch(/shutdown: expected a known operation/);
  });

  it("while time events of others are called, and executions of others wait", () => bystander.checkWaiting());
});

describe("an execution whose script forges its end", () => {
  it("ends with its interpreter when it goes on with an event that it was not given", async () => {
    const forged = `${FORGE}
GB('ShardsIDReader').foreach(lambda _: calls.post('done', CONTEXT.get().handle, [], 'done', [], 0, 0, [], [], True)).run()`;
    expect(String(await mallory.call("RG.PYEXECUTE", forged))).toContain("done: no event was given ahead");
    await bystander.check();
  });

  it("can be aborted", async () => {
    const forged = `${FORGE}
def forge(x):
    calls.post('done', CONTEXT.get().handle, [], 'done', [], 0, 0, [], [], False)
    while True: pass
GB('PythonReader').map(forge).run(lambda: (yield 1))`;
    const id = String(await mallory.call("RG.PYEXECUTE", forged, "UNBLOCKING"));
    await expect.poll(() => admin.call("RG.ABORTEXECUTION", id)).toBe("OK");
    // what comes next in its interpreter can be aborted too, though that still runs
    const next = String(await mallory.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()", "UNBLOCKING"));
    expect(await admin.call("RG.ABORTEXECUTION", next)).toBe("OK");
    await bystander.check();
  });
});

describe("a wrong use of the API is the script's error and no more", () => {
  it.each([
    ["too many arguments", "execute('DEL', *([b''] * 15_000_000))", /at most 262144 arguments/],
    ["a time of a megabyte", "registerTE((1 << 1_500_000) - 1, lambda: 1)", /time argument must be a long/],
    ["a time that is a float", "registerTE(1.5, lambda: 1)", /time argument must be a long/],
    ["a batch of a megabyte", "GB('StreamReader').register('s', batch=(1 << 1_500_000) - 1)", /batch is out of range/],
    ["eventTypes 5", "GB('KeysReader').register(eventTypes=5)", /given eventTypes is not iterable/],
    ["a long name of an option", "configGet('\\u4e2d' * 5_000_000)", /at most 65536 bytes/],
    ["a long key", "registerTE(1, lambda: 1, '\\u4e2d' * 5_000_000)", /key may have at most 65536 bytes/],
    ["a long pattern", "GB().run('\\u4e2d' * 5_000_000)", /pattern may have at most 65536 bytes/],
    ["a long prefix", "GB().register('\\u4e2d' * 5_000_000)", /prefix may have at most 65536 bytes/],
    ["a long description", "GB(desc='\\u4e2d' * 5_000_000).register()", /desc may have at most 65536 bytes/],
    ["event types without end", "GB().register(eventTypes=['x'] * 1_000_000)", /at most 4096 eventTypes/],
    ["long event types", "GB().register(eventTypes=['x' * 1_000] * 100)", /eventTypes may have at most 65536 bytes/],
    [
      "a registration of 70 MB",
      "big = bytes(70_000_000)\nGB().map(lambda x: big).register()",
      /may have at most 67108864 bytes/,
    ],
    ["a long error", "raise Exception('\\u4e2d' * 5_000_000)", /\(\d+ characters\)$/],
    ["a step too many", "b = GB()\nfor _ in range(20_000): b.map(lambda x: x)\nb.run()", /at most 10000 steps/],
  ])("%s", async (_name, code, error) => {
    const before = await counted("message");
    expect(await servesDuring(server, () => run(code))).toMatch(error);
    expect(await counted("message")).toBe(before);
  });

  it("a result of too many elements", async () => {
    const code = "GB('PythonReader').run(lambda: (yield [1] * 1_100_000), convertToStr=False)";
    expect(await run(code)).toEqual([[], [expect.stringMatching(/more than 1048576 elements/)]]);
  });

  it("many results of many elements are several messages", async () => {
    const code = `def read():
    for _ in range(30): yield [1] * 50_000
GB('PythonReader').run(read, convertToStr=False)`;
    const [results] = (await run(code)) as [number[][]];
    expect(results.map((record) => record.length)).toEqual(Array.from({ length: 30 }, () => 50_000));
  });

  it("a step with a long error", async () => {
    const before = await counted("message");
    const code =
      "def bad(x): raise Exception('\\u4e2d' * 5_000_000)\nGB('PythonReader').map(bad).run(lambda: (yield 1))";
    const [, errors] = (await servesDuring(server, () => run(code))) as [Value, string[]];
    expect(errors).toEqual([expect.stringMatching(/\(\d+ characters\)$/)]);
    expect(await counted("message")).toBe(before);
  });

  it("many steps", async () => {
    const names = "b = GB('PythonReader')\nfor _ in range(300): b.map(f)\nb.run(lambda: (yield 1))";
    expect(await run(`def f${"n".repeat(2_000)}(x): return x\nf = f${"n".repeat(2_000)}\n${names}`)).toEqual([
      ["1"],
      [],
    ]);
  });

  it("more errors than are kept", async () => {
    const code = `def bad(x): raise Exception(x)
GB('PythonReader').flatmap(lambda x: x).map(bad).run(lambda: (yield list(range(70_000))))`;
    const [, errors] = (await run(code)) as [Value, string[]];
    expect(errors).toHaveLength(65_536);
    expect(errors.at(-1)).toBe("and 4465 errors more");
  });
});

/** A flood takes its time where others want the processors too. */
const FLOOD_TIMEOUT_MS = 300_000;

describe.skipIf(!ATTACKS)("a flood (npm run attacks)", { timeout: FLOOD_TIMEOUT_MS }, () => {
  // what it has left behind goes with its interpreter
  afterEach(() => run("calls.post('shutdown')"));

  it.each([
    ["of time events", "for i in range(200_000): bridge.send(['call', i, 'time_event', 1, None, b'', key, 0])"],
    ["of time events, each awaited", "for i in range(200_000): calls.call('time_event', 1, None, b'', key, 0)"],
    ["of flows", "for i in range(200_000): bridge.send(['call', i, 'run', [], 0, key])"],
    ["of walks over keys", "for i in range(60): bridge.send(['call', i, 'keys_open', '*', False, True, 0])"],
    ["of commands", "for i in range(200_000): bridge.send(['call', i, 'execute', ['PING'], 0])"],
    ["of large answers", "for i in range(400): bridge.send(['call', i, 'execute', ['GET', 'a:large'], 0])"],
    ["of large messages", "for i in range(200): bridge.send(['call', i, 'execute', ['ECHO', bytes(1 << 20)], 0])"],
    ["of posts", "for i in range(200_000): calls.post('results', 0, [])"],
    ["of lines", "for i in range(200_000): calls.log('notice', 'x' * 1_000)"],
    ["of long lines", "for i in range(100): log('x' * 60_000_000)"],
  ])("%s waits, and others are served", async (_name, code) => {
    await admin.call("SET", "a:large", "x".repeat(4_000_000));
    for (let i = 0; i < 300; i++) await admin.call("SET", `a:key:${i}`, "x".repeat(100_000));
    const before = await memory();
    await servesDuring(server, () => run(code));
    expect((await memory()) - before).toBeLessThan(600e6);
    await bystander.check();
    for (let i = 0; i < 300; i++) await admin.call("DEL", `a:key:${i}`);
  });

  it("of flows that are awaited meets max-pending-executions", async () => {
    expect(await run("while True: calls.call('run', [], 0, key)")).toMatch(/max-pending-executions/);
    await bystander.check();
  });

  it("of time events meets max-registrations", async () => {
    expect(await run("while True: registerTE(100_000, lambda: 1)")).toMatch(/max-registrations/);
    await bystander.check();
  });

  it("of lines is cut, and counted by its bytes", async () => {
    const before = server.output().length;
    await run("for i in range(2_000): log('y' * 100_000)");
    await admin.call("PING");
    expect(server.output().length - before).toBeLessThan(4_000_000);
    expect(server.output().slice(before)).toMatch(/y\.\.\. \(100007 characters\)/);
  });
});

async function memory(): Promise<number> {
  return Number(/resident_memory_bytes:(\d+)/.exec(String(await admin.call("INFO", "regears")))?.[1]);
}
