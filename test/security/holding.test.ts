/** Nobody holds the engine, an interpreter's event loop or a client for ever: each hold has an end, is shown, and can be aborted. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { ATTACKS, servesDuring } from "../support/serving.ts";
import { until } from "../support/waiting.ts";

const LIMIT_MS = 750;

/** Scripts that hold the engine and never let go. */
const HOLDERS: readonly (readonly [what: string, code: string])[] = [
  ["a script's body", "with atomic():\n  while True: pass"],
  ["a body that catches what is to stop it", swallowing("with atomic():\n  ", "while True: pass")],
  ["a body that sleeps", "import time\nwith atomic():\n  time.sleep(10**6)"],
  ["a body in one long call of C", "with atomic():\n  sum(range(10**12))"],
  ["a body that asks the engine again and again", "with atomic():\n  while True: execute('PING')"],
  ["a step", "def f(x):\n  with atomic():\n    while True: pass\nGB('ShardsIDReader').map(f).run()"],
  [
    "a step in one long call of C",
    "def f(x):\n  with atomic():\n    sum(range(10**12))\nGB('ShardsIDReader').map(f).run()",
  ],
  ["a reader's generator", "def f():\n  with atomic():\n    while True: pass\n  yield 1\nGB('PythonReader').run(f)"],
  ["a reducer", "def f(a, r):\n  with atomic():\n    while True: pass\nGB('ShardsIDReader').accumulate(f).run()"],
  [
    "a coroutine of a step",
    "async def f(x):\n  with atomic():\n    while True: pass\nGB('ShardsIDReader').map(f).run()",
  ],
  ["a coroutine", "async def f():\n  with atomic():\n    while True: pass\nrunCoroutine(f())"],
  ["a coroutine in one long call of C", "async def f():\n  with atomic():\n    sum(range(10**12))\nrunCoroutine(f())"],
  [
    "a coroutine that sleeps",
    "import time\nasync def f():\n  with atomic():\n    time.sleep(10**6)\nrunCoroutine(f())",
  ],
  [
    "a coroutine that catches what is to stop it",
    `async def f():\n  ${swallowing("with atomic():\n    ", "while True: pass", "    ")}\nrunCoroutine(f())`,
  ],
  [
    "a coroutine of an execution that has ended",
    "async def f():\n  await asyncio.sleep(0.2)\n  with atomic():\n    while True: pass\nGB('ShardsIDReader').foreach(lambda x: runCoroutine(f())).run()",
  ],
  ["a callback of the event loop", "def f():\n  with atomic():\n    while True: pass\nloop.call_soon(f)"],
  [
    "what a future calls when it is done",
    "def f(_):\n  with atomic():\n    while True: pass\nx = createFuture()\nx.add_done_callback(f)\nsetFutureResults(x, 1)",
  ],
  ["a time event", "def f():\n  while True: pass\nregisterTE(0, f)"],
  [
    "onRegistered",
    "def f():\n  with atomic():\n    while True: pass\nGB('CommandReader').register(trigger='t', onRegistered=f)",
  ],
  [
    "a finaliser",
    "class A:\n  def __del__(self):\n    setGearsSession(s)\n    with atomic():\n      while True: pass\ns = getGearsSession()\na = A()\na.a = a\ndel a\nimport gc\ngc.collect()",
  ],
  [
    "what the garbage collector calls",
    "import gc\ndef f(*_):\n  with atomic():\n    while True: pass\ngc.callbacks.append(f)\ngc.collect()",
  ],
  [
    "a block inside a block of another session of its interpreter",
    "async def f():\n  with atomic():\n    asyncio.events._set_running_loop(None)\n    async def g():\n      with atomic():\n        while True: pass\n    setGearsSession(None)\n    asyncio.new_event_loop().run_until_complete(g())\nrunCoroutine(f())\nasync def h():\n  with atomic():\n    while True: pass\nrunCoroutine(h())",
  ],
];

/** Those of them that stop for different reasons when they are aborted. */
const ABORTED = HOLDERS.filter(([what]) =>
  /body$|call of C$|^a coroutine$|callback|time event|onReg|finaliser/.test(what),
);

/** Code that catches everything and begins again. */
function swallowing(head: string, body: string, indent = "  "): string {
  const inner = `while True:\n${indent}  try:\n${indent}    ${body}\n${indent}  except BaseException: pass`;
  return head + inner;
}

/** Blocks that are left open where code ends or waits: the engine is free then, without any limit. */
const LEFT_OPEN: readonly (readonly [what: string, code: string])[] = [
  ["at the end of a body", "atomic().__enter__()"],
  ["at the end of a step", "GB('ShardsIDReader').map(lambda x: atomic().__enter__() and 1).run()"],
  ["at the end of a coroutine", "async def f():\n  atomic().__enter__()\nrunCoroutine(f())"],
  ["at the end of a callback", "loop.call_soon(lambda: atomic().__enter__())"],
  ["at the end of a time event", "registerTE(1, lambda: atomic().__enter__() and None)"],
  ["over an await", "async def f():\n  atomic().__enter__()\n  await asyncio.sleep(10**6)\nrunCoroutine(f())"],
  [
    "while its execution waits for a future",
    "def f(x):\n  atomic().__enter__()\n  return gearsFuture()\nGB('ShardsIDReader').map(f).run()",
  ],
];

/** What runs for ever in the background, and only its interpreter has to bear it. */
const LOOPS: readonly (readonly [what: string, code: string])[] = [
  ["a coroutine", "async def f():\n  while True: pass\nrunCoroutine(f())"],
  ["a coroutine in one long call of C", "async def f():\n  sum(range(10**12))\nrunCoroutine(f())"],
  ["a callback", "def f():\n  while True: pass\nloop.call_soon(f)"],
  ["a finaliser", "class A:\n  def __del__(self):\n    while True: pass\na = A()\na.a = a\ndel a"],
];

const lines = (value: Value): string[] => String(value).split("\r\n");

/** Ids of the executions that run. */
async function running(client: Client): Promise<string[]> {
  const all = (await client.call("RG.DUMPEXECUTIONS")) as string[][];
  return all.filter(([, , , status]) => status === "running").map(([, id]) => id as string);
}

/** Aborts what runs; what has ended by itself meanwhile is gone. */
async function abortAll(client: Client): Promise<void> {
  for (const id of await running(client)) await client.call("RG.ABORTEXECUTION", id).catch(() => {});
}

const holder = async (client: Client): Promise<string | undefined> => {
  const line = lines(await client.call("RG.INFO")).find((text) => text.startsWith("engine_holder:"));
  return line === "engine_holder:nobody" ? undefined : line;
};

/** Starts a script whose reply nobody waits for. */
async function start(port: number, code: string): Promise<Client> {
  const client = await connectClient(port);
  client.call("RG.PYEXECUTE", code).catch(() => {});
  return client;
}

let server: RunningRegears;
let client: Client;
let other: Client;

/** Starts a server with two clients. @param limitMs its `script-time-limit` */
async function startServer(limitMs: number, ...args: readonly string[]): Promise<void> {
  server = await startRegears(["--script-time-limit", String(limitMs), ...args]);
  [client, other] = [await connectClient(server.port), await connectClient(server.port)];
}

async function endServer(): Promise<void> {
  client.close();
  other.close();
  await server.stop();
}

describe("a time event whose interpreter is busy", () => {
  // a server of its own for each: nothing else is to run there
  beforeEach(() => startServer(LIMIT_MS));
  afterEach(endServer);

  it.each(LOOPS)("with %s does not hold the engine", async (_what, code) => {
    const author = await connectClient(server.port);
    // when the reply has come, what runs is no more the script's body, which a slow machine may show as well
    await author.call("RG.PYEXECUTE", `${code}\nregisterTE(0, lambda: execute('INCR', 'fired') and None)`);
    const id = await until(async () => (await running(client))[0]);
    for (let i = 0; i < 50; i++) {
      expect(await other.call("SET", "k", "v")).toBe("OK");
      // it may run on top of what can be interrupted
      if (/call of C/.test(_what)) expect(await holder(client)).toBeUndefined();
    }
    await client.call("RG.ABORTEXECUTION", id);
    author.close();
    await until(async () => ((await running(client)).length === 0 ? true : undefined));
  });
});

describe("with a limit", () => {
  beforeAll(() => startServer(LIMIT_MS));
  afterAll(endServer);

  it.each(HOLDERS)("%s ends, and is shown meanwhile", async (_what, code) => {
    const author = await start(server.port, code);
    expect(await until(() => holder(client))).toMatch(/^engine_holder:(an atomic block|a time event|execution)/);
    await other.call("SET", "k", "v");
    author.close();
    expect(await client.call("RG.UNREGISTERALL")).toBeTypeOf("number");
    expect(await other.call("RG.PYEXECUTE", "GB('ShardsIDReader').count().run()")).toEqual([["1"], []]);
  });

  it.skipIf(!ATTACKS)("others are answered meanwhile (npm run attacks)", async () => {
    await servesDuring(server, async () => {
      const author = await start(
        server.port,
        "async def f():\n  with atomic():\n    while True: pass\nrunCoroutine(f())",
      );
      await until(() => holder(client));
      await other.call("SET", "k", "v");
      author.close();
    });
  });

  it.skipIf(!ATTACKS)(
    "two interpreters that wait for each other end, be it in atomic blocks or in mode sync",
    async () => {
      const trigger = (name: string, calls: string, head = ""): string =>
        `GB('CommandReader').map(lambda x: ${head}execute('RG.TRIGGER', '${calls}')).register(trigger='${name}', mode='sync')`;
      await client.call("RG.PYEXECUTE", trigger("ping", "pong"));
      await client.call("RG.PYEXECUTE", trigger("pong", "ping"));
      const answers = Promise.all([
        client.call("RG.TRIGGER", "ping").catch((error: Error) => error.message),
        other.call("RG.TRIGGER", "pong").catch((error: Error) => error.message),
        other
          .call("RG.PYEXECUTE", "with atomic(): execute('RG.TRIGGER', 'ping')")
          .catch((error: Error) => error.message),
      ]);
      await answers;
      expect(await client.call("SET", "k", "v")).toBe("OK");
      await client.call("RG.UNREGISTERALL");
    },
  );

  it("a hook that calls the command which it hooks for ever ends", async () => {
    const forever = "def f(x):\n  while True: call_next(*x[1:])";
    await client.call("RG.PYEXECUTE", `${forever}\nGB('CommandReader').map(f).register(hook='set', mode='sync')`);
    await expect(client.call("SET", "k", "v")).rejects.toThrow(/script-time-limit/);
    await client.call("RG.UNREGISTERALL");
  });

  it("a delay of years is one", async () => {
    const forLong = [
      "registerTE(3_000_000, lambda: execute('SET', 'early', 1) and None)",
      "registerTE(2**62, lambda: execute('SET', 'early', 1) and None)",
      "async def f(): execute('SET', 'early', 1)",
      "runCoroutine(f(), delay=3_000_000)",
      "loop.call_later(1e300, lambda: execute('SET', 'early', 1))",
    ];
    expect(await client.call("RG.PYEXECUTE", forLong.join("\n"))).toBe("OK");
    await client.call("RG.PYEXECUTE", "registerTE(0, lambda: execute('INCR', 'marker') and None)");
    await until(async () => (Number(await client.call("GET", "marker")) > 20 ? true : undefined));
    expect(await client.call("EXISTS", "early")).toBe(0);
    const refused = (code: string): Promise<string> =>
      client.call("RG.PYEXECUTE", code).then(String, (error: Error) => error.message);
    expect(await refused("registerTE(-1, lambda: None)")).toContain("time argument must not be negative");
    expect(await refused("registerTE(2**63, lambda: None)")).toContain("time argument must be a long");
    expect(await refused("async def f(): pass\nrunCoroutine(f(), delay=float('nan'))")).toContain("NaN");
    expect(await refused("loop.call_later(float('nan'), print)")).toContain("NaN");
    expect(await client.call("RG.PYEXECUTE", "x = 1")).toBe("OK");
  });

  it("a Lua script that calls RG commands for ever ends", async () => {
    const killed = "Script killed by user with SCRIPT KILL";
    await expect(client.call("EVAL", "while true do redis.call('RG.DUMPEXECUTIONS') end", "0")).rejects.toThrow(killed);
    const caught = "while true do pcall(redis.call, 'RG.PYDUMPSESSIONS') end";
    await expect(client.call("EVAL", caught, "0")).rejects.toThrow(killed);
    expect(await client.call("EVAL", "return redis.call('RG.DUMPREGISTRATIONS')", "0")).toEqual([]);
  });
});

describe.skipIf(!ATTACKS)("without a limit", () => {
  beforeAll(async () => {
    await startServer(0, "--requirepass", "secret");
    for (const one of [client, other]) await one.call("AUTH", "secret");
  });
  afterAll(endServer);

  const authenticated = async (code: string): Promise<Client> => {
    const author = await connectClient(server.port);
    await author.call("AUTH", "secret");
    author.call("RG.PYEXECUTE", code).catch(() => {});
    return author;
  };

  it.each(ABORTED)("%s can be aborted, by somebody who comes only then", async (_what, code) => {
    const author = await authenticated(code);
    await until(() => holder(client));
    const blocked = other.call("SET", "k", "v").then(() => true);
    const rescuer = await connectClient(server.port);
    await rescuer.call("AUTH", "secret");
    await rescuer.call("CLIENT", "SETNAME", "rescuer");
    await rescuer.call("RG.CONFIGSET", "ExecutionTimeout", "0");
    // one after the other: there may be more than one, and each can take the engine when the one before is gone
    await until(async () => {
      await abortAll(rescuer);
      return Promise.race([blocked, Promise.resolve(undefined)]);
    });
    author.close();
    rescuer.close();
    await client.call("RG.UNREGISTERALL");
  });

  it.each(LEFT_OPEN)("a block left open %s is closed there", async (_what, code) => {
    const author = await authenticated(code);
    await other.call("RG.PYEXECUTE", "with atomic(): execute('SET', 'k', 'v')");
    // without a limit nothing but its end lets others in
    await until(async () => ((await holder(client)) === undefined ? true : undefined));
    expect(await other.call("SET", "k", "v")).toBe("OK");
    author.close();
    await abortAll(client);
  });

  it.each(LOOPS)("%s that does not end in the background is shown, and can be aborted", async (_what, code) => {
    const author = await authenticated(code);
    const id = await until(async () => (await running(client))[0]);
    // its interpreter gets no new work meanwhile
    expect(await other.call("RG.PYEXECUTE", "GB('ShardsIDReader').count().run()")).toEqual([["1"], []]);
    expect(await client.call("RG.ABORTEXECUTION", id)).toBe("OK");
    await until(async () => ((await running(client)).length === 0 ? true : undefined));
    author.close();
  });

  it("what does not end in the background ends at execution-timeout", async () => {
    await client.call("RG.CONFIGSET", "ExecutionTimeout", "300");
    const author = await authenticated("async def f():\n  while True: pass\nrunCoroutine(f())");
    await until(async () => (await running(client))[0]);
    await until(async () => ((await running(client)).length === 0 ? true : undefined));
    await client.call("RG.CONFIGSET", "ExecutionTimeout", "0");
    author.close();
  });
});
