/** While one execution of an interpreter waits, others run on top of it. */
import { afterEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { errorOf } from "../support/errors.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { executions, useServer, type Value } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

/**
 * Triggers of one session. `wait` notes that it has begun, waits so many seconds, and gives what was noted until then; the
 * others do what their names say. The session's `count` tells whether it is still the same.
 */
const TRIGGERS = `
import asyncio, decimal, time
notes = []
count = 0
def note(text):
    notes.append(text)
    execute('RPUSH', 'notes', text)
def wait(r):
    note('begins ' + r[2])
    time.sleep(float(r[1]))
    note('goes on ' + r[2])
    return ' '.join(notes)
def nap(r):
    note('naps ' + r[1])
    try:
        raise ValueError('of the one beneath')
    except ValueError:
        decimal.getcontext().prec = 5
        time.sleep(2)
    return decimal.getcontext().prec
def spin(r):
    end = time.monotonic() + float(r[1])
    note('spins')
    while time.monotonic() < end: pass
    note('has spun')
    return 'spun'
def compute(r):
    note('computes')
    while True: pass
def sleep_in_block(r):
    with atomic():
        note('holds')
        time.sleep(float(r[1]))
        note('lets go')
    return 'held'
def sleep_in_loop(r):
    note('begins')
    asyncio.run(asyncio.sleep(float(r[1])))
    return ' '.join(notes)
async def sleep_in_coroutine(r):
    note('begins')
    time.sleep(float(r[1]))
    return ' '.join(notes)
def fail(r):
    raise KeyError('own')
def add(r):
    global count
    note('adds')
    count += 1
    return [count, decimal.getcontext().prec]
for function in (wait, nap, spin, compute, sleep_in_block, sleep_in_loop, sleep_in_coroutine, fail, add):
    GB('CommandReader').map(function).register(trigger=function.__name__)
GB('KeysReader').foreach(lambda r: note('event')).register('watched', mode='sync', readValue=False)
`;

const register = async (client: Client, script = TRIGGERS): Promise<void> => {
  expect(await client.call("RG.PYEXECUTE", script)).toBe("OK");
};

/** What the triggers have noted. */
const notes = async (client: Client): Promise<Value[]> => (await client.call("LRANGE", "notes", "0", "-1")) as Value[];

const noted = (client: Client, note: string): Promise<unknown> =>
  until(async () => (await notes(client)).includes(note), note);

/** The id of the execution of a status that was made first. */
const idOf = async (client: Client, at: number): Promise<string> => {
  const running = (await executions(client)).filter(({ status }) => status === "running").map(({ id }) => id);
  const numberOf = (id: string): number => Number(id.split("-")[1]);
  return running.sort((one, other) => numberOf(one) - numberOf(other))[at] ?? "";
};

describe("while an execution sleeps, another of its session", () => {
  const setting = useServer(["--execution-threads", "3"]);

  it("runs on top of it", async () => {
    const { client, connect } = setting();
    await register(client);
    const [first, second, third] = [await connect(), await connect(), await connect()];
    const one = first.call("RG.TRIGGER", "wait", "2", "a");
    await noted(client, "begins a");
    const two = second.call("RG.TRIGGER", "wait", "1", "b");
    await noted(client, "begins b");
    const three = third.call("RG.TRIGGER", "wait", "0.5", "c");
    const onTop = "begins a begins b begins c goes on c";
    expect(await Promise.all([one, two, three])).toEqual([
      [`${onTop} goes on b goes on a`],
      [`${onTop} goes on b`],
      [onTop],
    ]);
  });

  it("runs at once when that takes no time, and has its own context variables and exceptions", async () => {
    const { client, connect } = setting();
    await register(client);
    const napping = (await connect()).call("RG.TRIGGER", "nap", "a");
    await noted(client, "naps a");
    expect(await client.call("RG.TRIGGER", "add")).toEqual(["[1, 28]"]);
    const failure = await errorOf(client.call("RG.TRIGGER", "fail"));
    expect(failure).toContain("KeyError: 'own'");
    expect(failure).not.toContain("of the one beneath");
    expect(await napping).toEqual(["5"]);
  });

  it("holds it up when it takes longer", async () => {
    const { client, connect } = setting();
    await register(client);
    const waiting = (await connect()).call("RG.TRIGGER", "wait", "0.3", "a");
    await noted(client, "begins a");
    const spinning = (await connect()).call("RG.TRIGGER", "spin", "0.6");
    await noted(client, "spins");
    // nothing begins while the one beneath should have gone on
    const adding = (await connect()).call("RG.TRIGGER", "add");
    await until(async () => (await executions(client)).some(({ status }) => status === "created"), "the third waits");
    expect(await spinning).toEqual(["spun"]);
    expect(await waiting).toEqual(["begins a spins has spun goes on a"]);
    await adding;
    expect(await notes(client)).toEqual(["begins a", "spins", "has spun", "goes on a", "adds"]);
  });

  it.each(["sleep_in_loop", "sleep_in_coroutine"])("runs on top of it: %s", async (name) => {
    const { client, connect } = setting();
    await register(client);
    const waiting = (await connect()).call("RG.TRIGGER", name, "1");
    await noted(client, "begins");
    await client.call("RG.TRIGGER", "add");
    expect(await waiting).toEqual(["begins adds"]);
  });

  it("does not run if it holds the engine", async () => {
    const { client, connect } = setting();
    await register(client);
    const holding = (await connect()).call("RG.TRIGGER", "sleep_in_block", "0.5");
    const probe = await connect();
    await until(async () => String(await probe.call("RG.INFO")).includes("engine_holder"), "the block is held");
    const adding = (await connect()).call("RG.TRIGGER", "add");
    expect(await holding).toEqual(["held"]);
    await adding;
    expect(await notes(client)).toEqual(["holds", "lets go", "adds"]);
  });

  it("runs while it waits for the engine that somebody else holds, and may wait for that, too", async () => {
    const { client, connect } = setting();
    await register(client);
    await register(
      client,
      `
import time
def hold(r):
    with atomic():
        time.sleep(0.5)
GB('CommandReader').foreach(hold).register(trigger='hold')`,
    );
    const holding = (await connect()).call("RG.TRIGGER", "hold");
    const probe = await connect();
    await until(async () => String(await probe.call("RG.INFO")).includes("engine_holder"), "the block is held");
    const waiting = (await connect()).call("RG.TRIGGER", "wait", "0", "a");
    const adding = (await connect()).call("RG.TRIGGER", "add");
    await Promise.all([holding, waiting, adding]);
    expect([...(await notes(client))].sort()).toEqual(["adds", "begins a", "goes on a"]);
  });

  it("is no obstacle to events of mode sync", async () => {
    const { client, connect } = setting();
    await register(client);
    const [one, two] = [await connect(), await connect()];
    const waiting = [one.call("RG.TRIGGER", "wait", "2", "a"), two.call("RG.TRIGGER", "wait", "1", "b")];
    await noted(client, "begins b");
    await client.call("SET", "watched", "1");
    expect(await notes(client)).toEqual(["begins a", "begins b", "event"]);
    await Promise.all(waiting);
  });
});

describe("an execution beneath another", () => {
  const setting = useServer(["--execution-threads", "3"]);

  /** One sleeps, and another computes without end on top of it. */
  const stack = async (): Promise<{ client: Client; beneath: Promise<unknown>; onTop: Promise<unknown> }> => {
    const { client, connect } = setting();
    await register(client);
    await client.call("RG.TRIGGER", "add");
    const beneath = errorOf((await connect()).call("RG.TRIGGER", "wait", "20", "a"));
    await noted(client, "begins a");
    const onTop = errorOf((await connect()).call("RG.TRIGGER", "compute"));
    await noted(client, "computes");
    return { client, beneath, onTop };
  };

  /** The session is the same as before, and nobody has gone on. */
  const check = async (client: Client): Promise<void> => {
    expect(await client.call("RG.TRIGGER", "add")).toEqual(["[2, 28]"]);
    expect(await notes(client)).toEqual(["adds", "begins a", "computes", "adds"]);
  };

  it("is aborted at once, and does not go on", async () => {
    const { client, beneath, onTop } = await stack();
    expect(await client.call("RG.ABORTEXECUTION", await idOf(client, 0))).toBe("OK");
    expect(await beneath).toContain("gears.forcestopped");
    expect(await client.call("RG.ABORTEXECUTION", await idOf(client, 0))).toBe("OK");
    expect(await onTop).toContain("gears.forcestopped");
    await check(client);
  });

  it("goes on when the other is aborted", async () => {
    const { client, beneath, onTop } = await stack();
    expect(await client.call("RG.ABORTEXECUTION", await idOf(client, 1))).toBe("OK");
    expect(await onTop).toContain("gears.forcestopped");
    expect((await executions(client)).map(({ status }) => status)).toContain("running");
    expect(await client.call("RG.ABORTEXECUTION", await idOf(client, 0))).toBe("OK");
    expect(await beneath).toContain("gears.forcestopped");
    await check(client);
  });

  it("keeps to its limit of time", async () => {
    await setting().client.call("RG.CONFIGSET", "ExecutionTimeout", "3000");
    try {
      const { client, beneath, onTop } = await stack();
      expect(await beneath).toContain("execution-timeout");
      expect(await onTop).toContain("execution-timeout");
      await check(client);
    } finally {
      await setting().client.call("RG.CONFIGSET", "ExecutionTimeout", "0");
    }
  });
});

describe("a server", () => {
  let server: RunningRegears | undefined;
  afterEach(async () => {
    await server?.stop();
  });
  const start = async (...args: string[]): Promise<Client> => {
    server = await startRegears(args);
    return connectClient(server.port);
  };

  it("loses all that is stacked with the interpreter, and nothing else", async () => {
    const client = await start();
    await register(client);
    await register(
      client,
      `
import time
def wait(r):
    execute('SET', 'waits', '1')
    time.sleep(20)
def die(r):
    x = None
    for i in range(2000000):
        x = (x,)
    hash(x)
for function in (wait, die): GB('CommandReader').foreach(function).register(trigger='own_' + function.__name__)`,
    );
    const [one, two] = [
      await connectClient((server as RunningRegears).port),
      await connectClient((server as RunningRegears).port),
    ];
    const waiting = errorOf(one.call("RG.TRIGGER", "own_wait"));
    await until(() => client.call("EXISTS", "waits"), "it waits");
    const dying = errorOf(two.call("RG.TRIGGER", "own_die"));
    expect(await dying).toContain("died");
    expect(await waiting).toContain("died");
    expect(await client.call("RG.TRIGGER", "add")).toEqual(["[1, 28]"]);
    for (const each of [client, one, two]) each.close();
  });

  it("lets nothing run on top with `executions-on-top 0`", async () => {
    const client = await start("--executions-on-top", "0");
    await register(client);
    const others = [
      await connectClient((server as RunningRegears).port),
      await connectClient((server as RunningRegears).port),
    ];
    await Promise.all(others.map((other, at) => other.call("RG.TRIGGER", "wait", "0.3", String(at))));
    // either client may be heard first
    expect([
      ["begins 0", "goes on 0", "begins 1", "goes on 1"],
      ["begins 1", "goes on 1", "begins 0", "goes on 0"],
    ]).toContainEqual(await notes(client));
    for (const one of [client, ...others]) one.close();
  });
});
