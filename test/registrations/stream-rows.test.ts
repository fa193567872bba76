/**
 * Batches of streams that an interpreter reads and acknowledges by itself: everything is as when the main thread does that for
 * each, which it does while somebody monitors.
 */
import { describe, expect, it } from "vitest";
import { fields, onlyRegistration, useServer, type Value } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

const setting = useServer();
const BATCH = 5;
const BATCHES = 100;

interface Options {
  readonly steps?: string;
  readonly more?: string;
  /** Of each batch, given its number and its records. */
  readonly body?: readonly string[];
}

/** Registers a function of each batch, whose messages are numbered. It logs what it has got, and how the group stands then. */
async function register({
  body = [],
  more = "",
  steps = ".accumulate(collect).foreach(batch)",
}: Options = {}): Promise<void> {
  const code = [
    "import asyncio, time",
    "def collect(all, r): return (all or []) + [r]",
    "def log(n): execute('RPUSH', 'log', n)",
    "def batch(all):",
    "    numbers = [int(r['value']['n']) for r in all]",
    `    n = numbers[0] // ${BATCH}`,
    ...body.map((line) => `    ${line}`),
    "    group = dict(zip(*[iter(execute('XINFO', 'GROUPS', all[0]['key'])[0])] * 2))",
    "    log(','.join(map(str, [all[0]['key'], *numbers, group['pending'], group['last-delivered-id'] == all[-1]['id']])))",
    `GB('StreamReader')${steps}.register('s*', batch=${BATCH}, mode='async_local'${more})`,
  ];
  expect(await setting().client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
}

/** Adds messages at once. @param keys in turns */
async function add(first: number, count: number, ...keys: string[]): Promise<void> {
  const { client } = setting();
  const numbers = Array.from({ length: count }, (_, at) => first + at);
  await Promise.all(
    numbers.map((n) => client.call("XADD", keys[Math.floor(n / BATCH) % keys.length] ?? "s", "*", "n", String(n))),
  );
}

const log = async (): Promise<string[]> => (await setting().client.call("LRANGE", "log", "0", "-1")) as string[];

async function counts(): Promise<Value[]> {
  const one = await onlyRegistration(setting().client);
  return [one.numTriggered, one.numSuccess, one.numFailures, one.numAborted].map((value) => value ?? null);
}

const executions = async (): Promise<string[][]> => (await setting().client.call("RG.DUMPEXECUTIONS")) as string[][];

const allEnded = (): Promise<unknown> =>
  until(async () => {
    const [triggered, ...ended] = (await counts()).map(Number);
    return triggered === ended.reduce((sum, count) => sum + count, 0);
  }, "all have ended");

/** How the stream and its group stand. */
async function stream(key: string): Promise<Value[]> {
  const { client } = setting();
  const groups = (await client.call("XINFO", "GROUPS", key)) as Value[];
  const { pending = null, lag = null } = fields(groups[0]);
  return [await client.call("XLEN", key), pending, lag];
}

/** How many commands each of the server's own connections to the engine has sent. */
async function sent(): Promise<Map<string, number>> {
  const list = String(await setting().client.call("CLIENT", "LIST"));
  const own = list.split("\n").filter((line) => line.includes(" user=regears "));
  const number = (line: string, name: string): string => new RegExp(`\\b${name}=(\\d+)`).exec(line)?.[1] ?? "";
  return new Map(own.map((line) => [number(line, "id"), Number(number(line, "tot-cmds"))]));
}

/** How many more each has sent when something was done. */
async function sentMeanwhile(act: () => Promise<unknown>): Promise<Map<string, number>> {
  const before = await sent();
  await act();
  return new Map([...(await sent())].map(([id, count]) => [id, count - (before.get(id) ?? 0)]));
}

/** What a run has come to, without what differs from one to the next. */
async function outcome(): Promise<unknown> {
  await allEnded();
  const all = await executions();
  const numbers = all.map(([, id]) => Number(id?.split("-")[1]));
  const { lastError = null } = await onlyRegistration(setting().client);
  const steady = numbers.map((n) => n - (numbers[0] ?? 0));
  return { log: await log(), counts: await counts(), steady, statuses: all.map(([, , , status]) => status), lastError };
}

/** Does the same twice, the second time with every command shown to somebody, so that the main thread does all. */
async function compare(act: () => Promise<unknown>): Promise<{ readonly alone: unknown; readonly watched: unknown }> {
  const { client, connect } = setting();
  const alone = await act();
  await client.call("RG.UNREGISTERALL", "ABORTPENDING");
  await client.call("FLUSHALL");
  const monitor = await connect();
  expect(await monitor.call("MONITOR")).toBe("OK");
  const watched = await act();
  monitor.close();
  return { alone, watched };
}

const whole = (n: number, key = "s"): string =>
  [key, ...Array.from({ length: BATCH }, (_, at) => n * BATCH + at), BATCH, "True"].join();

describe("batches of one stream", () => {
  it.each([
    ["trimmed", "", [0, 0, 0]],
    ["kept", ", trimStream=False", [BATCHES * BATCH, 0, 0]],
  ])(
    "%s: each begins when the one before is acknowledged, and sees the group where it has to be",
    async (_what, more, end) => {
      const act = async (): Promise<unknown> => {
        await register({ more });
        await add(0, BATCHES * BATCH, "s");
        const all = await outcome();
        return [all, await stream("s")];
      };
      const { alone, watched } = await compare(act);
      expect(alone).toEqual(watched);
      expect(alone).toMatchObject([
        { log: Array.from({ length: BATCHES }, (_, n) => whole(n)), counts: [101, 101, 0, 0] },
        end,
      ]);
    },
  );

  it("are read by the interpreter", async () => {
    await register({ body: ["if n > 1: return"] });
    const many = async (): Promise<unknown> => {
      await add(0, BATCHES * BATCH, "s");
      return allEnded();
    };
    const monitor = await setting().connect();
    await monitor.call("MONITOR");
    const watched = await sentMeanwhile(many);
    monitor.close();
    // the main thread sends all three commands that a batch takes, over one connection
    const [main = "", most = 0] = [...watched].sort(([, one], [, other]) => other - one)[0] ?? [];
    expect(most).toBeGreaterThanOrEqual(BATCHES * 3);
    // the interpreter sends most of them itself
    const alone = await sentMeanwhile(many);
    expect(alone.get(main)).toBeLessThan(BATCHES * 1.5);
  });

  it.each([
    ["fail each for itself", ["if n % 7 == 3: raise ValueError(n)"]],
    ["may wait for coroutines", ["async def later(): await asyncio.sleep(0)", "if n % 5 == 2: return later()"]],
    ["may take long", ["if n % 20 == 1: time.sleep(0.003)"]],
    ["may be many texts, and bytes that are none", ["execute('XADD', 'other', '*', 'b', b'\\xff\\x00')"]],
  ])("%s", async (_what, body) => {
    const { alone, watched } = await compare(async () => {
      await register({ body });
      await add(0, BATCHES * BATCH + 3, "s");
      return [await outcome(), await stream("s")];
    });
    expect(alone).toEqual(watched);
  });
});

describe("batches of several streams", () => {
  it("begin in the order in which they came", async () => {
    const keys = Array.from({ length: 20 }, (_, at) => `s${at}`);
    const act = async (): Promise<unknown> => {
      await register();
      // each is known then, and has nothing that was not acknowledged
      await add(0, keys.length * BATCH, ...keys);
      await allEnded();
      await add(keys.length * BATCH, keys.length * BATCH * 5, ...keys);
      const all = (await outcome()) as { readonly log: readonly string[] };
      return [{ ...all, log: [...all.log].sort() }, await Promise.all(keys.map(stream))];
    };
    const { alone, watched } = await compare(act);
    expect(alone).toEqual(watched);
    const expected = Array.from({ length: keys.length * 6 }, (_, n) => whole(n, keys[n % keys.length]));
    expect(alone).toMatchObject([{ log: expected.sort(), counts: [140, 140, 0, 0] }, keys.map(() => [0, 0, 0])]);
  });

  it("go to whoever reads them first when two registrations read one stream, each message once", async () => {
    const { client } = setting();
    await register();
    await add(0, BATCHES * BATCH, "s");
    const before = await client.call("LLEN", "log");
    await register();
    await add(BATCHES * BATCH, BATCHES * BATCH, "s");
    await until(async () => {
      const numbers = (await log()).flatMap((line) => line.split(",").slice(1, -2).map(Number));
      return numbers.length >= BATCHES * BATCH * 2;
    }, "all messages were dealt with");
    const numbers = (await log()).flatMap((line) => line.split(",").slice(1, -2).map(Number));
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: BATCHES * BATCH * 2 }, (_, n) => n));
    expect(Number(before)).toBeLessThanOrEqual(BATCHES);
    await until(async () => String(await stream("s")) === "0,0,0", "all are acknowledged");
  });
});

/** Holds back batch 20 until something is set. */
const BLOCK = [
  "if n == 20:",
  "    execute('SET', 'blocks', '1')",
  "    while not execute('GET', 'go'): time.sleep(0.002)",
];

describe("while batches are read by an interpreter", () => {
  const whileOneBlocks = async (act: (id: string) => Promise<unknown>): Promise<void> => {
    const { client } = setting();
    await register({ body: BLOCK });
    const id = String(fields(((await client.call("RG.DUMPREGISTRATIONS")) as Value[])[0]).id);
    await add(0, BATCHES * BATCH, "s");
    await until(async () => (await client.call("GET", "blocks")) === "1", "one blocks the others");
    await act(id);
    await client.call("SET", "go", "1");
  };

  it("their registration can be paused: no further one begins, and it goes on with the next one", async () => {
    const { client } = setting();
    await whileOneBlocks(async (id) => expect(await client.call("RG.PAUSEREGISTRATIONS", id)).toBe("OK"));
    await allEnded();
    expect(await log()).toEqual(Array.from({ length: 21 }, (_, n) => whole(n)));
    const one = fields(((await client.call("RG.DUMPREGISTRATIONS")) as Value[])[0]);
    expect(await client.call("RG.UNPAUSEREGISTRATIONS", String(one.id))).toBe("OK");
    await until(async () => (await log()).length === BATCHES, "all were dealt with");
    expect(await log()).toEqual(Array.from({ length: BATCHES }, (_, n) => whole(n)));
  });

  it("it can be unregistered: the rest of the stream stays as it is", async () => {
    const { client } = setting();
    await whileOneBlocks(async (id) => expect(await client.call("RG.UNREGISTER", id)).toBe("OK"));
    await until(
      async () => String(await stream("s")) === `${(BATCHES - 21) * BATCH},0,${(BATCHES - 21) * BATCH}`,
      "one was acknowledged",
    );
    expect(await log()).toEqual(Array.from({ length: 21 }, (_, n) => whole(n)));
    await register();
    await until(async () => (await log()).length === BATCHES, "another one goes on");
    expect(await log()).toEqual(Array.from({ length: BATCHES }, (_, n) => whole(n)));
    expect(await client.call("XLEN", "s")).toBe(0);
  });

  it("one can be aborted: the next one begins", async () => {
    const { client } = setting();
    await whileOneBlocks(async () => {
      const [, running = ""] = (await executions()).find(([, , , status]) => status === "running") ?? [];
      expect(await client.call("RG.ABORTEXECUTION", running)).toBe("OK");
    });
    await allEnded();
    expect((await log()).slice(0, 22)).toEqual([
      ...Array.from({ length: 20 }, (_, n) => whole(n)),
      expect.any(String),
      expect.any(String),
    ]);
    const numbers = (await log()).map((line) => Number(line.split(",")[1]) / BATCH);
    expect(numbers).toEqual([...Array.from({ length: BATCHES }, (_, n) => n)].filter((n) => n !== 20));
  });

  it("the stream may be deleted, and made again", async () => {
    const { client } = setting();
    await whileOneBlocks(async () => expect(await client.call("DEL", "s")).toBe(1));
    await allEnded();
    await client.call("DEL", "log");
    await add(0, BATCH * 4, "s");
    await until(async () => (await client.call("XLEN", "s")) === 0, "the new one is dealt with");
    const numbers = (await log()).flatMap((line) => line.split(",").slice(1, -2).map(Number));
    expect(numbers).toEqual(Array.from({ length: BATCH * 4 }, (_, n) => n));
  });

  it("messages may be deleted that none has got", async () => {
    const { client } = setting();
    await whileOneBlocks(async () => {
      const left = (await client.call("XRANGE", "s", "-", "+")) as [string, string[]][];
      const gone = left.filter(([, [, n]]) => Number(n) >= 22 * BATCH && Number(n) % 2 === 1).map(([id]) => id);
      expect(await client.call("XDEL", "s", ...gone)).toBe(gone.length);
    });
    await allEnded();
    await until(async () => (await client.call("XLEN", "s")) === 0, "all were dealt with");
    const numbers = (await log()).flatMap((line) => line.split(",").slice(1, -2).map(Number));
    expect(numbers).toEqual(
      Array.from({ length: BATCHES * BATCH }, (_, n) => n).filter((n) => n < 22 * BATCH || n % 2 === 0),
    );
  });

  it("their interpreter may die: none is lost", async () => {
    await register({
      body: [
        "if n == 20 and not execute('GET', 'died'):",
        "    execute('SET', 'died', '1')",
        "    x = None",
        "    for i in range(2000000): x = (x,)",
        "    hash(x)",
      ],
      more: ", onFailedRetryInterval=1",
    });
    await add(0, BATCHES * BATCH, "s");
    await until(async () => (await log()).length >= BATCHES, "all were dealt with");
    const numbers = (await log()).flatMap((line) => line.split(",").slice(1, -2).map(Number));
    expect(numbers).toEqual(Array.from({ length: BATCHES * BATCH }, (_, n) => n));
  });
});
