/**
 * Commands of `execute()` that interpreters carry out in their own threads: whatever is in force applies to them as to all
 * others, from the reply on that says so.
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Client, callOnce, connectClient, type Value, withClient } from "../support/client.ts";
import { connectPlain } from "../support/plain-client.ts";
import type { RunningRegears } from "../support/regears.ts";
import { executions, useServer } from "../support/use-server.ts";
import { endServersAfterEach, startServer } from "./support.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";

endServersAfterEach();

/** How often something changes while a script sends commands without an end. */
const ROUNDS = Number(process.env.REGEARS_DIRECT_ROUNDS ?? 10);
const LOOP = "while True: execute('INCR', 'n')";

// no limit: on a busy machine a block would meet it
const ARGS = ["--execution-threads", "2", "--script-time-limit", "0"];

const setting = useServer(ARGS);
let server: RunningRegears;
let client: Client;
beforeEach(() => {
  ({ server, client } = setting());
});
// what runs without an end goes with its test
afterEach(async () => {
  for (const { id, status } of await executions(client))
    if (status !== "done") await callOnce(server.port, "RG.ABORTEXECUTION", id).catch(() => {});
});

const count = async (key = "n"): Promise<number> => Number((await client.call("GET", key)) ?? 0);

/** Commands of `execute()` so far, and how many of them the main thread has seen. */
async function executed(): Promise<number> {
  const info = String(await client.call("INFO", "regears"));
  return Number(/calls_total_execute:(\d+)/.exec(info)?.[1] ?? 0);
}

/** Starts a script that sends commands without an end. */
async function startLoop(code = LOOP, user?: string): Promise<string> {
  const before = await count();
  const id = await withClient(server.port, async (other) => {
    if (user !== undefined) await other.call("AUTH", user, "pw");
    return String(await other.call("RG.PYEXECUTE", code, "UNBLOCKING"));
  });
  await until(async () => (await count()) > before + 100, "it has begun");
  return id;
}

/** Nothing is counted any more, though scripts carry out commands. */
async function expectStanding(): Promise<void> {
  const before = await count();
  await callOnce(server.port, "RG.PYEXECUTE", "for i in range(100): execute('EXISTS', 'n')");
  expect(await count()).toBe(before);
}

const goesOn = (): Promise<unknown> => {
  let before: number | undefined;
  return until(async () => {
    const now = await count();
    before ??= now;
    return now > before;
  }, "it goes on");
};

describe("a script that sends commands without an end", () => {
  it("counts as one that asks, and each command is there", async () => {
    const before = await executed();
    await client.call("RG.PYEXECUTE", "for i in range(5000): execute('INCR', 'n')");
    expect(await count()).toBe(5_000);
    expect(await executed()).toBe(before + 5_000);
  });

  it("is hooked from the reply on that says so, and no more when that is over", async () => {
    await startLoop();
    for (let round = 0; round < ROUNDS; round++) {
      const hook = "GB('CommandReader').map(lambda r: 'hooked').register(hook='incr', mode='sync')";
      await client.call("RG.PYEXECUTE", hook);
      await expectStanding();
      const [[, id]] = (await client.call("RG.DUMPREGISTRATIONS")) as [string[]];
      await client.call("RG.UNREGISTER", id as string);
      await goesOn();
    }
  });

  it("causes an event for each command, from the reply on that says so", async () => {
    await startLoop();
    const code = "GB('KeysReader').foreach(lambda r: execute('HINCRBY', 'seen', 'n', 1)).register('n', mode='sync')";
    for (let round = 0; round < ROUNDS; round++) {
      await client.call("RG.PYEXECUTE", code);
      // both are read at once
      const read = "return {redis.call('GET', 'n'), redis.call('HGET', 'seen', 'n') or '0'}";
      const first = ((await client.call("EVAL", read, "0")) as string[]).map(Number) as [number, number];
      await goesOn();
      const second = ((await client.call("EVAL", read, "0")) as string[]).map(Number) as [number, number];
      expect(second[1] - first[1]).toBe(second[0] - first[0]);
      const [[, id]] = (await client.call("RG.DUMPREGISTRATIONS")) as [string[]];
      await client.call("RG.UNREGISTER", id as string);
    }
  });

  it("has the rights that its user has, from the reply on that says so", async () => {
    await client.call("ACL", "SETUSER", "worker", "reset", "on", ">pw", "~*", "&*", "+@all");
    const code = "while True:\n    try: execute('INCR', 'n')\n    except Exception: pass";
    await startLoop(code, "worker");
    for (let round = 0; round < ROUNDS; round++) {
      await client.call("ACL", "SETUSER", "worker", "-incr");
      await expectStanding();
      await client.call("ACL", "SETUSER", "worker", "~*", "+@all");
      await goesOn();
    }
  });

  it("does nothing while another one holds the engine", async () => {
    await startLoop();
    const code = [
      "def held(_):",
      "    with atomic():",
      "        before = execute('GET', 'n')",
      "        for i in range(100): execute('EXISTS', 'n')",
      "        return before == execute('GET', 'n')",
      "GB('ShardsIDReader').map(held).run()",
    ].join("\n");
    for (let round = 0; round < ROUNDS; round++) {
      expect(await callOnce(server.port, "RG.PYEXECUTE", code)).toEqual([["True"], []]);
      await goesOn();
    }
  });

  it("is seen whole when it holds the engine itself", async () => {
    const code =
      "def block(_):\n    with atomic():\n        for i in range(3000): execute('INCR', 'n')\nGB('ShardsIDReader').foreach(block).run()";
    let isRunning = true;
    const seen = new Set<number>();
    const reader = withClient(server.port, async (other) => {
      while (isRunning) seen.add(Number((await other.call("GET", "n")) ?? 0) % 3_000);
    });
    for (let round = 0; round < 10; round++) await client.call("RG.PYEXECUTE", code);
    isRunning = false;
    await reader;
    expect(await count()).toBe(30_000);
    expect([...seen]).toEqual([0]);
  });

  it("waits when clients are told to, and loses nothing", async () => {
    const code = "for i in range(200000): execute('INCR', 'n')\nexecute('SET', 'done', '1')";
    await startLoop(code);
    await client.call("CLIENT", "PAUSE", "100000", "WRITE");
    const before = await count();
    for (let i = 0; i < 100; i++) await client.call("PING");
    expect(await count()).toBe(before);
    await client.call("CLIENT", "UNPAUSE");
    await until(async () => (await client.call("GET", "done")) === "1", "it is done");
    expect(await count()).toBe(200_000);
  });

  it("is shown to those who monitor", async () => {
    await startLoop("import time\nwhile True:\n    execute('INCR', 'n')\n    time.sleep(0.001)");
    const watching = await connectPlain(server.port);
    watching.send("MONITOR");
    await watching.expect("+OK\r\n");
    const from = await count();
    const lines = (): number => watching.pending.split('"INCR" "n"').length - 1;
    await watching.until(() => lines() >= 200);
    // each of them, and not those few that the main thread happens to see
    expect(lines()).toBeGreaterThanOrEqual((await count()) - from - 50);
    watching.socket.destroy();
  });

  it("leaves others their turn", async () => {
    for (const key of ["n", "m"]) await startLoop(`while True:\n    execute('INCR', 'n'); execute('INCR', '${key}')`);
    let slowest = 0;
    for (let i = 0; i < 200; i++) {
      const begun = performance.now();
      await client.call("SET", "k", "v");
      slowest = Math.max(slowest, performance.now() - begun);
    }
    expect(slowest).toBeLessThan(1_000);
  });

  it("is ended in the middle of it, as often as it comes", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const stubborn =
        "while True:\n    try:\n        while True: execute('INCR', 'n')\n    except BaseException: pass";
      const id = await startLoop(round % 5 === 0 ? stubborn : LOOP);
      expect(await callOnce(server.port, "RG.ABORTEXECUTION", id)).toBe("OK");
      await expectStanding();
    }
    expect(await client.call("PING")).toBe("PONG");
    expect(server.output()).not.toMatch(/"level":"(error|fatal)"/);
  });
});

describe("what a script sends", () => {
  it("reaches clients that wait for it", async () => {
    const waiting = withClient(server.port, (other) => other.call("BLPOP", "list", "0"));
    await client.call("RG.PYEXECUTE", "execute('SET', 'a', '1')");
    // it sends nothing more that could have the engine look at who waits
    const code = "import time\nexecute('GET', 'a')\nexecute('LPUSH', 'list', 'value')\ntime.sleep(1000)";
    const id = String(await client.call("RG.PYEXECUTE", code, "UNBLOCKING"));
    expect(await waiting).toEqual(["list", "value"]);
    await client.call("RG.ABORTEXECUTION", id);
  });

  it("fails as it does otherwise", async () => {
    const code = (command: string): string =>
      `execute('GET', 'a')\nGB('ShardsIDReader').map(lambda r: execute(${command})).run()`;
    const run = async (command: string): Promise<string> => {
      const [, errors] = (await client.call("RG.PYEXECUTE", code(command))) as [string[], string[]];
      return errors.join();
    };
    await client.call("SET", "text", "x");
    expect(await run("'INCR', 'text'")).toContain("ERR value is not an integer or out of range");
    expect(await run("'LPUSH', 'text', 'y'")).toContain("WRONGTYPE");
    expect(await run("'GET'")).toContain("Invalid argument");
    expect(await run("'NOSUCH'")).toContain("No such file or directory");
    await client.call("CONFIG", "SET", "maxmemory", "1mb");
    expect(await run("'SETRANGE', 'big', '2000000', 'x'")).toContain("OOM");
    await client.call("CONFIG", "SET", "maxmemory", "0");
  });

  it("comes back as it is, whatever bytes it has", async () => {
    const code = [
      "import os",
      "execute('GET', 'a')",
      "def check(_):",
      "    value = bytes(range(256)) * 400",
      "    execute('SET', 'bytes', value)",
      "    got = execute('GET', 'bytes')",
      "    execute('RPUSH', 'l', *['%d' % i for i in range(1000)])",
      "    return [bytes(got) == value, len(execute('LRANGE', 'l', '0', '-1')), execute('GET', 'none'), execute('STRLEN', 'bytes')]",
      "GB('ShardsIDReader').map(check).run()",
    ].join("\n");
    expect(await client.call("RG.PYEXECUTE", code)).toEqual([["[True, 1000, None, 102400]"], []]);
  });
});

describe("a flow that sends commands while registrations want events", () => {
  const flow = (body: string): string => `def f(_):\n    ${body}\nGB('ShardsIDReader').map(f).run()`;
  const triggered = async (): Promise<number> => {
    const [row] = (await client.call("RG.DUMPREGISTRATIONS")) as Value[][];
    const data = row?.[row.indexOf("RegistrationData") + 1] as Value[];
    return Number(data[data.indexOf("numTriggered") + 1]);
  };
  const register = (handler: string, options = "'n'"): Promise<unknown> =>
    client.call("RG.PYEXECUTE", `GB('KeysReader').foreach(${handler}).register(${options}, mode='async_local')`);

  it("has caused all its events when its end is told", async () => {
    await register("lambda r: None");
    for (let round = 1; round <= ROUNDS; round++) {
      await client.call("RG.PYEXECUTE", flow("for i in range(300): execute('INCR', 'n')"));
      expect(await triggered()).toBe(round * 300);
    }
  });

  it("has caused the events of all that another thread sees", async () => {
    await register("lambda r: None");
    const loop = flow("while True: execute('INCR', 'n')");
    const id = String(await client.call("RG.PYEXECUTE", loop, "UNBLOCKING"));
    await goesOn();
    for (let round = 0; round < ROUNDS; round++) {
      const [[seen]] = (await callOnce(
        server.port,
        "RG.PYEXECUTE",
        flow("for i in range(100): execute('GET', 'other')\n    return execute('GET', 'n')"),
      )) as [string[]];
      expect(await triggered()).toBeGreaterThanOrEqual(Number(seen));
    }
    const known = await count();
    expect(await triggered()).toBeGreaterThanOrEqual(known);
    await client.call("RG.ABORTEXECUTION", id);
    expect(await triggered()).toBe(await count());
  });

  it("has its events in their order, and so have the others", async () => {
    await register("lambda r: execute('RPUSH', 'noted', r['key'])", "'e*'");
    const script = client.call("RG.PYEXECUTE", flow("for i in range(500): execute('SET', 'e:a%d' % i, 'x')"));
    await withClient(server.port, async (other) => {
      await Promise.all(Array.from({ length: 500 }, (_, i) => other.call("SET", `e:b${i}`, "x")));
    });
    await script;
    await until(async () => Number(await client.call("LLEN", "noted")) >= 1_000, "all have run");
    const noted = (await client.call("LRANGE", "noted", "0", "-1")) as string[];
    for (const who of ["a", "b"])
      expect(noted.filter((key) => key[2] === who)).toEqual(Array.from({ length: 500 }, (_, i) => `e:${who}${i}`));
  });

  it("does not make events begin before the end of the body that causes them", async () => {
    await register("lambda r: execute('RPUSH', 'found', str(execute('GET', 'flag')))", "'e', eventTypes=['set']");
    for (let round = 0; round < ROUNDS; round++) {
      await client.call("RG.PYEXECUTE", flow("return execute('GET', 'e')"));
      const body =
        "execute('SET', 'flag', 'no')\nexecute('SET', 'e', '1')\nimport time\ntime.sleep(0.005)\nexecute('SET', 'flag', 'yes')";
      await client.call("RG.PYEXECUTE", body);
      await until(async () => Number(await client.call("LLEN", "found")) > round, "it has run");
    }
    expect(new Set((await client.call("LRANGE", "found", "0", "-1")) as string[])).toEqual(new Set(["yes"]));
  });
});

describe("words and replies of all kinds", () => {
  const words = [
    ...["'text'", "'h\\u00e9'", "''", "'x' * 63", "'x' * 65", "'x' * 70000", "'\\ud800'", "Text('sub')"],
    ...["b''", "b'bytes'", "b'\\xff\\x00'", "bytearray(b'array')", "array.array('b', [1, 2])", "Shown()"],
    ...["0", "7", "-5", "2**31 - 1", "2**31", "-2**31", "2**45 + 1", "10**30", "True", "None", "1.5", "Number.one"],
    ...["[1, 'a']", "(1,)", "{'a': 1}", "str"],
  ];
  const replies = [
    ...["'ECHO', ''", "'ECHO', 'x' * 65525", "'ECHO', 'x' * 65531", "'ECHO', 'x' * 65540", "'ECHO', b'\\xff' * 70"],
    ...["'ECHO', b'\\xff'", "'TYPE', 'none'", "'GET', 'none'", "'INCRBY', 'i', 9 * 10**18", "'INCRBY', 'j', 99999999"],
    ...["'INCRBY', 'k', 100000000", "'INCRBY', 'm', -3", "'INCRBY', 'o', 2**53 + 1", "'LRANGE', 'none', 0, -1"],
    ...["'RPUSH', 'l', 'a', b'\\xfe', *'xyz'", "'LRANGE', 'l', 0, -1", "'APPEND', 'big', 'x' * 60000"],
    ...["'APPEND', 'big', 'x' * 60000", "'GET', 'big'", "'SETRANGE', 'raw', 70000, b'\\xff'", "'GET', 'raw'"],
    ...[
      "'INCR', 'big'",
      "'GET'",
      "'NOSUCH'",
      "b'GET', 'big'",
      "5, 'big'",
      "''",
      "'get' * 40, 'x'",
      "",
      "'SET', 'k', 'v', 'XX', 'GET'",
    ],
  ];
  const code = [
    "import array, enum",
    "class Text(str): pass",
    "class Number(enum.IntEnum): one = 1",
    "class Shown:",
    "    def __str__(self): return 'shown'",
    "    def __buffer__(self, flags): raise RuntimeError('no buffer')",
    "def tried(f):",
    "    try: return repr(f())",
    "    except Exception as error: return repr(error)",
    "def check(_):",
    "    out = []",
    ...words.map((word) => `    out.append(tried(lambda: (execute('SET', 'w', ${word}), execute('GET', 'w'))))`),
    ...replies.map((args) => `    out.append(tried(lambda: execute(${args})))`),
    "    return [text if len(text) < 200 else (len(text), text[:50], text[-50:]) for text in out]",
    "execute('FLUSHALL')",
    "execute('PING')",
    "GB('ShardsIDReader').map(check).map(lambda text: str(text)).run()",
  ].join("\n");

  it("are the same whichever thread carries the command out", async () => {
    const here = await client.call("RG.PYEXECUTE", code);
    // while events have to be dealt with before replies, all commands are the main thread's
    await client.call("RG.PYEXECUTE", "GB('KeysReader').foreach(lambda r: None).register('never', mode='sync')");
    const there = await client.call("RG.PYEXECUTE", code);
    expect(here).toEqual(there);
    expect(String(here)).toContain("'shown'");
  });
});

describe("requests that a script writes itself", () => {
  it("are carried out as they are, or not at all", async () => {
    const code = [
      "import os, random",
      "from marshal import dumps",
      "from regears import bridge",
      "def check(_):",
      "    execute('SET', 'k', 'v')",
      "    fine = dumps((0, ('GET', 'k')), 2)",
      "    strange = [fine[:n] for n in range(1, len(fine))]",
      "    for at in range(1, len(fine)):",
      "        for byte in (0, 1, 0x28, 0x5b, 0x69, 0x73, 0x75, 0x7f, 0x80, 0xff):",
      "            strange.append(fine[:at] + bytes((byte,)) + fine[at + 1:])",
      "    strange += [dumps(x, 2) for x in ((), (0,), (0, 1), (0, ()), (0, []), ((0, ('GET', 'k')),), (2**40, ('GET', 'k')))]",
      "    for _ in range(2000):",
      "        strange.append(b'(' + random.randbytes(random.randrange(60)))",
      "        strange.append(fine[:15] + random.randbytes(random.randrange(60)))",
      "    outcomes = {os.write(bridge.fd, request) for request in strange}",
      "    return [sorted(outcomes - set(range(8))), execute('GET', 'k'), os.write(bridge.fd, fine), execute('DBSIZE')]",
      "execute('PING')",
      "GB('ShardsIDReader').map(check).map(lambda r: str(r)).run()",
    ].join("\n");
    const before = server.output().length;
    expect(await client.call("RG.PYEXECUTE", code)).toEqual([["[[], 'v', 1, 1]"], []]);
    expect(server.output().slice(before)).not.toMatch(/"level":"(warning|error|fatal)"/);
  });
});

describe("a server that stops", () => {
  it("does so while scripts send commands without an end", async () => {
    const stopped = await startServer(ARGS);
    const other = await connectClient(stopped.port);
    await other.call("RG.PYEXECUTE", LOOP, "UNBLOCKING");
    await until(async () => Number((await other.call("GET", "n")) ?? 0) > 100, "it has begun");
    const waiting = errorOf(other.call("BLPOP", "no", "0"));
    expect(await stopped.stop("SIGTERM")).toBe(0);
    expect(await waiting).toMatch(/closed|ERR|UNBLOCKED/);
  });
});
