/** Calls of `sync` triggers in pipelines, which an interpreter gets together: each is dealt with as if it had come alone. */
import { describe, expect, it } from "vitest";
import { HOW, inChunks } from "../support/chunks.ts";
import { onlyRegistration, useServer, type Value } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

const setting = useServer(["--script-time-limit", "1000"]);
const COUNT = 100;

/** Registers a trigger `t` that gives what the function's body returns for the word `w`, the number `n`. */
async function register(...body: string[]): Promise<void> {
  const code = [
    ...HOW,
    "def f(r):",
    "    how()",
    "    w = r[1]",
    "    n = int(w)",
    ...body.map((line) => `    ${line}`),
  ];
  code.push("GB('CommandReader').map(f).register(trigger='t', mode='sync')");
  expect(await setting().client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
}

/** Sends commands at once. An error reply becomes its text. */
async function pipeline(commands: readonly (readonly [string, ...string[]])[]): Promise<Value[]> {
  const { client } = setting();
  // the right to call triggers is asked for once
  await client.call("RG.TRIGGER", "none").catch(() => {});
  return Promise.all(commands.map((command) => client.call(...command).catch((error: Error) => error.message)));
}

const calls = (count = COUNT): [string, string, string][] =>
  Array.from({ length: count }, (_, n) => ["RG.TRIGGER", "t", String(n)]);

describe("calls of a trigger in a pipeline", () => {
  it("answer each what its execution gives, in order", async () => {
    await register("return [w, execute('INCR', 'count')]");
    expect(await pipeline(calls())).toEqual(calls().map((_, n) => [`['${n}', ${n + 1}]`]));
    expect(await inChunks(setting().client)).toBeGreaterThan(COUNT / 4);
    const { numTriggered, numSuccess, numFailures } = await onlyRegistration(setting().client);
    expect([numTriggered, numSuccess, numFailures]).toEqual([COUNT, COUNT, 0]);
    // executions of triggers are not kept
    expect(await setting().client.call("RG.DUMPEXECUTIONS")).toEqual([]);
  });

  it("fail each for itself, and may answer statuses and errors", async () => {
    await register(
      "if n % 10 == 3: raise ValueError(f'no {n}')",
      "if n % 10 == 4: return '-ERR mine'",
      "return '+YES'",
    );
    const replies = (await pipeline(calls())).map((reply) => (Array.isArray(reply) ? reply.map(String) : reply));
    for (const [n, reply] of replies.entries()) {
      if (n % 10 === 3) expect(reply).toContain(`no ${n}`);
      else expect(reply).toEqual([n % 10 === 4 ? "ReplyError: ERR mine" : "YES"]);
    }
    const { numSuccess, numFailures } = await onlyRegistration(setting().client);
    expect([numSuccess, numFailures]).toEqual([COUNT * 0.9, COUNT * 0.1]);
    expect(await inChunks(setting().client)).toBeGreaterThan(COUNT / 4);
  });

  it("are among commands of other kinds, of other triggers, and wrong ones", async () => {
    await register("return execute('GET', 'set')");
    const other = "GB('CommandReader').map(lambda r: 'other').register(trigger='other', mode='async')";
    await setting().client.call("RG.PYEXECUTE", other);
    const one = (set: string): [string, ...string[]][] => [
      ["SET", "set", set],
      ["RG.TRIGGER", "t", "1"],
      ["RG.TRIGGER", "t", "2"],
      ["RG.TRIGGER", "other"],
      ["RG.TRIGGER"],
      ["RG.TRIGGER", "none"],
      ["rg.trigger", "t", "3"],
      ["RG.TRIGGER", "t", "4"],
    ];
    const wanted = (set: string): Value[] => {
      const arity = "ERR wrong number of arguments for 'rg.trigger' command";
      return ["OK", [set], [set], ["other"], arity, "ERR subcommand not found", [set], [set]];
    };
    expect(await pipeline([...one("a"), ...one("b"), ...one("c")])).toEqual([..."abc"].flatMap(wanted));
  });

  it("take bytes, and more of them than fit together", async () => {
    const code = [...HOW, "def f(r):", "    how()", "    return f'{type(r[1]).__name__} {len(r[1])}'"];
    code.push("GB('CommandReader').map(f).register(trigger='t', mode='sync')");
    const { client } = setting();
    expect(await client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
    const words = Array.from({ length: 40 }, (_, n) => Buffer.alloc(n === 7 ? 100_000 : n * 400, n % 2 ? 0xff : 0x61));
    await client.call("RG.TRIGGER", "t", "x");
    const replies = await Promise.all(words.map((word) => client.call("RG.TRIGGER", "t", word)));
    const wanted = words.map(({ length }, n) => [`${n % 2 && length > 0 ? "bytearray" : "str"} ${length}`]);
    expect(replies).toEqual(wanted);
    expect(await inChunks(setting().client)).toBeGreaterThan(2);
  });

  it("may wait for a coroutine", async () => {
    const code = ["import asyncio", "async def f(r):", "    await asyncio.sleep(0.001)", "    return r[1]"];
    code.push("GB('CommandReader').map(f).register(trigger='t', mode='sync')");
    expect(await setting().client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
    expect(await pipeline(calls(20))).toEqual(calls(20).map((_, n) => [String(n)]));
  });

  it("may log, ask the server, and take long", async () => {
    await register(
      "if n % 7 == 0: log(f'line {n}')",
      "if n == 20: return str(execute('RG.DUMPEXECUTIONS')[-1][3])",
      "if n == 30: time.sleep(0.05)",
      "if n == 40: return call_next()",
      "return w",
    );
    const replies = await pipeline(calls());
    expect(replies[20]).toEqual(["running"]);
    expect(String(replies[40])).toContain("Failed executing command");
    expect(replies.filter((_, n) => n !== 20 && n !== 40)).toEqual(
      calls()
        .map((_, n) => [String(n)])
        .filter((_, n) => n !== 20 && n !== 40),
    );
  });

  it("cause events as others do, in their order", async () => {
    await register("execute('SET', f'p:{n}', w)", "execute('RPUSH', 'log', f'trigger {w}')", "return w");
    const code =
      "GB().foreach(lambda r: execute('RPUSH', 'log', 'event ' + r['key'])).register('p:*', mode='sync', readValue=False, eventTypes=['set'])";
    await setting().client.call("RG.PYEXECUTE", code);
    const background =
      "GB().foreach(lambda r: execute('RPUSH', 'later', r['key'])).register('p:*', mode='async_local', readValue=False, eventTypes=['set'])";
    await setting().client.call("RG.PYEXECUTE", background);
    expect(await pipeline(calls())).toEqual(calls().map((_, n) => [String(n)]));
    const { client } = setting();
    expect(await client.call("LRANGE", "log", "0", "-1")).toEqual(
      calls().flatMap((_, n) => [`event p:${n}`, `trigger ${n}`]),
    );
    await until(async () => (await client.call("LLEN", "later")) === COUNT, "all are seen in the background");
    expect(await client.call("LRANGE", "later", "0", "-1")).toEqual(calls().map((_, n) => `p:${n}`));
  });

  it("whose interpreter has to be ended answer that, and others go on", async () => {
    await register(
      "while n == 20:",
      "    try:",
      "        while True: pass",
      "    except BaseException: pass",
      "return w",
    );
    const replies = await pipeline(calls(40));
    expect(String(replies[20])).toContain("script-time-limit");
    expect(replies.filter((_, n) => n !== 20)).toEqual(
      calls(40)
        .map((_, n) => [String(n)])
        .filter((_, n) => n !== 20),
    );
  });
});
