/**
 * Commands in pipelines that cause events of `sync` registrations, which an interpreter carries out together with their events:
 * each is dealt with as if it had come alone.
 */
import { describe, expect, it } from "vitest";
import { HOW, inChunks } from "../support/chunks.ts";
import { errorOf } from "../support/errors.ts";
import { connectPlain } from "../support/plain-client.ts";
import { onlyRegistration, registrations, useServer, type Value } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

const setting = useServer(["--script-time-limit", "1000"]);
const COUNT = 100;

const HEAD = [...HOW, "def log(*words): execute('RPUSH', 'log', ' '.join(str(word) for word in words))"];
const REGISTER = ".register('p:*', mode='sync', readValue=False, eventTypes=['set'])";

/** Registers a function `f` of the record `r`, whose number is `n`. */
async function register(...body: string[]): Promise<void> {
  const code = [...HEAD, "def f(r):", "    how()", "    n = int(r['key'].split(':')[1])"];
  code.push(...body.map((line) => `    ${line}`), `GB('KeysReader').foreach(f)${REGISTER}`);
  expect(await setting().client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
}

/** Sends commands at once. An error reply becomes its text. */
async function pipeline(commands: readonly (readonly [string, ...string[]])[]): Promise<Value[]> {
  const { client } = setting();
  const replies = commands.map((command) => client.call(...command).catch((error: Error) => error.message));
  return Promise.all(replies);
}

const sets = (count = COUNT): [string, string, string][] =>
  Array.from({ length: count }, (_, n) => ["SET", `p:${n}`, `v${n}`]);
const log = async (): Promise<Value> => setting().client.call("LRANGE", "log", "0", "-1");
const numbers = (count = COUNT): string[] => Array.from({ length: count }, (_, n) => String(n));
const executions = async (client = setting().client): Promise<string[][]> =>
  (await client.call("RG.DUMPEXECUTIONS")) as string[][];

describe("commands of a pipeline", () => {
  it("find what the events of those before them have done, and have their replies in order", async () => {
    await register("execute('SET', 'copy', execute('GET', r['key']))", "log(n)");
    const commands = sets().flatMap((set): [string, ...string[]][] => [set, ["GET", "copy"], ["INCR", "p:0"]]);
    const replies = await pipeline(commands);
    for (const [n, at] of numbers().map((n, at) => [n, at * 3] as const)) {
      const broken = "ERR value is not an integer or out of range";
      expect(replies.slice(at, at + 3)).toEqual(["OK", `v${n}`, broken]);
    }
    expect(await log()).toEqual(numbers());
    expect(await inChunks(setting().client)).toBeGreaterThan(COUNT / 4);
  });

  it("are executions as others: in order, listed, counted, with results", async () => {
    await register("log(n)");
    await pipeline(sets());
    const all = await executions();
    expect(all).toHaveLength(COUNT);
    const ids = all.map(([, id]) => Number(id?.split("-")[1]));
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
    expect(all.every(([, , , status]) => status === "done")).toBe(true);
    const { numTriggered, numSuccess, numFailures, lastError } = await onlyRegistration(setting().client);
    expect([numTriggered, numSuccess, numFailures, lastError]).toEqual([COUNT, COUNT, 0, null]);
    expect(await setting().client.call("RG.GETRESULTS", all[7]?.[1] ?? "")).toEqual([
      ["{'event': 'set', 'key': 'p:7'}"],
      [],
    ]);
    expect(await inChunks(setting().client)).toBeGreaterThan(COUNT / 4);
  });

  it("fail each for itself", async () => {
    await register("if n % 10 == 3: raise ValueError(f'no {n}')", "log(n)");
    expect(await pipeline(sets())).toEqual(numbers().map(() => "OK"));
    expect(await log()).toEqual(numbers().filter((n) => !n.endsWith("3")));
    const { numSuccess, numFailures } = await onlyRegistration(setting().client);
    expect([numSuccess, numFailures]).toEqual([COUNT * 0.9, COUNT * 0.1]);
    const failed = (await executions())[33]?.[1] ?? "";
    expect(String(await setting().client.call("RG.GETRESULTS", failed))).toContain("no 33");
    expect(await inChunks(setting().client)).toBeGreaterThan(COUNT / 4);
  });

  it("are refused by the engine as ever, and cause nothing then", async () => {
    const { client, connect } = setting();
    await register("log(n)");
    await client.call("ACL", "SETUSER", "few", "on", ">x", "+set", "+auth", "~p:*");
    const few = await connect();
    await few.call("AUTH", "few", "x");
    const call = (...command: [string, ...string[]]): Promise<Value> => few.call(...command).catch(String);
    const replies = await Promise.all(
      numbers().map((n) => (n.endsWith("5") ? call("SET", `q:${n}`, "x") : call("SET", `p:${n}`, "x"))),
    );
    for (const n of numbers())
      expect(String(replies[Number(n)])).toMatch(n.endsWith("5") ? /NOPERM No permissions to access a key/ : /^OK$/);
    expect(await log()).toEqual(numbers().filter((n) => !n.endsWith("5")));
    expect(await inChunks(setting().client)).toBeGreaterThan(COUNT / 4);
    await client.call("ACL", "DELUSER", "few");
  });

  it("keep to the database of their client, to MULTI, and to what is no command of the engine", async () => {
    await register("log(n)");
    const [first, second, third] = [sets(10), sets(20).slice(10), sets(30).slice(20)];
    const replies = await pipeline([
      ...first,
      ["SELECT", "1"],
      ["MULTI"],
      ...second,
      ["EXEC"],
      ["RG.PYEXECUTE", "execute('RPUSH', 'log', 'script')"],
      ...third,
      ["DBSIZE"],
      ["SELECT", "0"],
    ]);
    expect(replies.slice(22, 24)).toEqual([Array.from({ length: 10 }, () => "OK"), "OK"]);
    expect(replies.slice(-2)).toEqual([20, "OK"]);
    expect(await log()).toEqual([...numbers(20), "script", ...numbers(30).slice(20)]);
  });

  it("have their replies after a client that tracks keys has heard of what their events have changed", async () => {
    await register("execute('SET', 'kept', n)");
    const tracking = await connectPlain(setting().server.port);
    const pairs = sets(40).flatMap(([, key]) => ["GET kept", `SET ${key} x`]);
    tracking.write(`${["HELLO 3", "CLIENT TRACKING ON", ...pairs, "ECHO end"].join("\r\n")}\r\n`);
    await tracking.until(() => tracking.pending.endsWith("end\r\n"));
    const heardBefore = tracking.pending.split("$10\r\ninvalidate\r\n*1\r\n$4\r\nkept\r\n+OK\r\n").length - 1;
    expect(heardBefore).toBe(40);
    tracking.destroy();
  });

  it("have long replies, and long arguments", async () => {
    await register("log(n)");
    const long = "x".repeat(300_000);
    const commands = sets(30).flatMap(([, key]): [string, ...string[]][] => [
      ["SET", key, key === "p:7" ? long : "y".repeat(3_000)],
      ["GET", "p:7"],
      ["GETRANGE", key, "0", "20000"],
    ]);
    const replies = await pipeline(commands);
    expect(replies[22]).toBe(long);
    expect(replies[88]).toBe(long);
    expect(replies[89]).toBe("y".repeat(3_000));
    expect(await log()).toEqual(numbers(30));
  });
});

describe("events of a pipeline", () => {
  it("go to all registrations in their order, also to such as come alone", async () => {
    const step = (name: string): string => `GB().foreach(lambda r: log('${name}', r['key']))`;
    const code = [
      ...HEAD,
      `${step("a")}.register('p:*', mode='sync', readValue=False)`,
      `GB().foreach(lambda r: log('b', r['key'], r['value'])).register('p:7*', mode='sync', eventTypes=['set'])`,
      `${step("c")}.register('p:*', mode='sync', readValue=False)`,
    ];
    expect(await setting().client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
    await pipeline([...sets(9), ["MSET", "p:3", "x", "p:7", "y", "q", "z"], ["DEL", "p:1", "p:2"]]);
    const wanted = numbers(9).flatMap((n) => [`a p:${n}`, ...(n === "7" ? ["b p:7 v7"] : []), `c p:${n}`]);
    wanted.push("a p:3", "c p:3", "a p:7", "b p:7 y", "c p:7", "a p:1", "c p:1", "a p:2", "c p:2");
    expect(await log()).toEqual(wanted);
  });

  it("go to registrations in the background, too", async () => {
    await register("log(n)");
    const code =
      "GB().foreach(lambda r: execute('INCR', 'background')).register('p:*', mode='async_local', readValue=False)";
    await setting().client.call("RG.PYEXECUTE", code);
    await pipeline(sets());
    await until(async () => (await setting().client.call("GET", "background")) === String(COUNT), "all seen");
    expect(await log()).toEqual(numbers());
    expect(await inChunks(setting().client)).toBeGreaterThan(COUNT / 4);
  });

  it("go to StreamReaders in the background, too, also those that their code causes", async () => {
    await register("log(n)", "execute('XADD', 'st', '*', 'n', n)");
    const code =
      "GB('StreamReader').foreach(lambda r: execute('INCR', 'messages')).register('st*', mode='async_local', batch=7, duration=1)";
    await setting().client.call("RG.PYEXECUTE", code);
    const commands = sets().flatMap((set): [string, ...string[]][] => [set, ["XADD", "st2", "*", "key", set[1]]]);
    await pipeline(commands);
    await until(async () => (await setting().client.call("GET", "messages")) === String(2 * COUNT), "all seen");
    expect(await log()).toEqual(numbers());
    expect(await inChunks(setting().client)).toBeGreaterThan(COUNT / 4);
  });

  it("come one by one while a StreamReader has to be told of each message", async () => {
    await register("log(n)");
    const code = [
      ...HEAD,
      "GB('StreamReader').foreach(lambda r: log('message', r['key'])).register('st', mode='sync')",
    ];
    await setting().client.call("RG.PYEXECUTE", code.join("\n"));
    await pipeline(sets(30).flatMap((set): [string, ...string[]][] => [set, ["XADD", "st", "*", "f", "v"]]));
    expect(await log()).toEqual(numbers(30).flatMap((n) => [n, "message st"]));
  });

  it("fire nothing by what their code does, but for keys that expire under it", async () => {
    await register("log(n)", "execute('SET', f'p:{n + 1000}', 'x')", "if n == 50: execute('GET', 'gone')");
    const expired =
      "GB().foreach(lambda r: log('expired')).register('gone', mode='sync', readValue=False, eventTypes=['expired'])";
    await setting().client.call("RG.PYEXECUTE", [...HEAD, expired].join("\n"));
    const { client } = setting();
    await client.call("SET", "gone", "x", "PX", "1");
    const now = async (): Promise<number> => {
      const [seconds, microseconds] = (await client.call("TIME")) as string[];
      return Number(seconds) * 1_000 + Number(microseconds) / 1_000;
    };
    const set = await now();
    await until(async () => (await now()) > set + 2, "the key's time is over");
    await pipeline(sets());
    const seen = (await log()) as string[];
    expect(seen.filter((line) => line !== "expired")).toEqual(numbers());
    expect(seen.filter((line) => line === "expired")).toHaveLength(1);
  });

  it("come after those of keys that have expired by themselves", async () => {
    await register("log(n)");
    const expired =
      "GB().foreach(lambda r: execute('INCR', 'expired')).register('gone:*', mode='sync', readValue=False, eventTypes=['expired'])";
    const { client } = setting();
    await client.call("RG.PYEXECUTE", expired);
    const keys = Array.from({ length: 400 }, (_, n) => ["SET", `gone:${n}`, "x", "PX", String(n + 1)] as const);
    await pipeline(keys.map((set) => [...set]));
    const logged: string[] = [];
    do {
      await client.call("DEL", "log");
      await pipeline(sets(20));
      logged.push(((await log()) as string[]).join());
    } while (Number(await client.call("GET", "expired")) < keys.length);
    expect(new Set(logged)).toEqual(new Set([numbers(20).join()]));
  });

  it("have results of any length, and tell all that their code causes", async () => {
    const code = [
      ...HEAD,
      "def f(r):",
      "    how()",
      "    execute('XADD', 'st', '*', 'n', 1)",
      "    return 'x' * [1, 1_000, 60_000, 70_000, 300_000][int(r['key'][2:]) % 5]",
      `GB().map(f)${REGISTER}`,
      "def message(r): execute('INCR', 'messages')",
      "GB('StreamReader').filter(message).register('st', mode='async_local', batch=7, duration=1)",
    ];
    const { client } = setting();
    expect(await client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
    await pipeline(sets());
    await until(async () => (await client.call("GET", "messages")) === String(COUNT), "all seen");
    const lengths = await Promise.all(
      (await executions()).map(async ([, id = ""]) => {
        const [results] = (await client.call("RG.GETRESULTS", id)) as Value[][];
        return String(results).length;
      }),
    );
    expect(lengths.filter((length) => length > 0)).toEqual(
      numbers().map((n) => [1, 1_000, 60_000, 70_000, 300_000][Number(n) % 5]),
    );
    expect(await inChunks(client)).toBeGreaterThan(0);
  });

  it("of one command come one after the other, also when the code of one asks the server for something", async () => {
    await register("log('begin', n)", "if n == 40: execute('EVAL', 'return 1', '0')", "log('end', n)");
    await pipeline([...sets(40), ["MSET", "p:40", "x", "p:41", "y", "p:42", "z"], ...sets(60).slice(43)]);
    expect(await log()).toEqual(numbers(60).flatMap((n) => [`begin ${n}`, `end ${n}`]));
    expect(await inChunks(setting().client)).toBeGreaterThan(10);
  });

  it("have keys of any bytes", async () => {
    const code = [...HEAD, `GB().foreach(lambda r: (how(), log(repr(r['key']))))${REGISTER}`];
    expect(await setting().client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
    const { client } = setting();
    const keys = Array.from({ length: 40 }, (_, n) => Buffer.from([0x70, 0x3a, 0x80 + n]));
    await Promise.all(keys.map((key) => client.call("SET", key, "x")));
    expect(await log()).toEqual(keys.map((key) => `bytearray(b'p:\\x${(key[2] ?? 0).toString(16)}')`));
  });
});

describe("an execution in the middle of a pipeline", () => {
  it("may wait for a coroutine: what comes after does not", async () => {
    const code = [
      ...HEAD,
      "async def f(r):",
      "    n = int(r['key'][2:])",
      "    if n == 20:",
      "        while not execute('GET', 'go'): await asyncio.sleep(0.005)",
      "    log(n)",
      `GB().map(f)${REGISTER}`,
    ];
    expect(await setting().client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
    await pipeline(sets());
    await setting().client.call("SET", "go", "1");
    const done = async (): Promise<number> => (await executions()).filter(([, , , status]) => status === "done").length;
    await until(async () => (await done()) === COUNT, "all have ended");
    expect(new Set((await log()) as string[])).toEqual(new Set(numbers()));
  });

  it("may ask the server for something, and sees itself", async () => {
    await register(
      "if n == 20:",
      "    all = execute('RG.DUMPEXECUTIONS')",
      "    log(len(all), [one[3] for one in all[-2:]])",
      "    log('asked')",
    );
    await pipeline(sets());
    expect(await log()).toEqual(["21 ['done', 'running']", "asked"]);
    expect(await executions()).toHaveLength(COUNT);
    expect(await inChunks(setting().client)).toBeGreaterThan(COUNT / 4);
  });

  it("that takes long lets others in, keeps its client waiting, and can be aborted", async () => {
    await register("if n == 20:", "    execute('SET', 'blocks', '1')", "    while True: pass", "log(n)");
    const other = await setting().connect();
    const replies = pipeline(sets());
    let id = "";
    await until(async () => {
      // those before it may be seen running, too
      const [, found = "", , status] = (await executions(other))[20] ?? [];
      id = found;
      return status === "running";
    }, "it is shown");
    expect(await other.call("RG.ABORTEXECUTION", id)).toBe("OK");
    expect(await replies).toEqual(numbers().map(() => "OK"));
    expect(await log()).toEqual(numbers().filter((n) => n !== "20"));
    const aborted = (await setting().client.call("RG.GETRESULTS", id)) as Value[][];
    expect(String(aborted[1])).toContain("forcestopped");
  });

  it("that does not end meets the limit of its time", async () => {
    await register("while n == 20: pass", "log(n)");
    expect(await pipeline(sets())).toEqual(numbers().map(() => "OK"));
    expect(await log()).toEqual(numbers().filter((n) => n !== "20"));
    const { lastError, numFailures } = await onlyRegistration(setting().client);
    expect([numFailures, lastError]).toEqual([1, null]);
  });

  it("may end its own registration", async () => {
    await register("log(n)", "if n == 20: execute('RG.UNREGISTER', execute('GET', 'id'))");
    const [{ id } = { id: "" }] = await registrations(setting().client);
    await setting().client.call("SET", "id", id);
    expect(await pipeline(sets())).toEqual(numbers().map(() => "OK"));
    expect(await log()).toEqual(numbers(21));
  });

  it("whose interpreter has to be ended is lost, and nothing else is", async () => {
    const stubborn = ["if n == 20:", "    while True:", "        try:", "            while True: pass"];
    await register(...stubborn, "        except BaseException: pass", "log(n)");
    expect(await pipeline(sets(60))).toEqual(numbers(60).map(() => "OK"));
    expect(await setting().client.call("KEYS", "p:*")).toHaveLength(60);
    expect(await log()).toEqual(numbers(60).filter((n) => n !== "20"));
    const { numSuccess, numFailures } = await onlyRegistration(setting().client);
    expect([numSuccess, numFailures]).toEqual([59, 1]);
  });

  it("goes on when its client has gone", async () => {
    const leaving = await setting().connect();
    const clients = /clients:\d+\r/.exec(String(await setting().client.call("RG.INFO")))?.[0].trim() ?? "";
    await register(`while n == 20 and '${clients}\\r' in execute('RG.INFO'): time.sleep(0.001)`, "log(n)");
    const replies = Promise.all(sets().map((command) => leaving.call(...command)));
    await until(async () => (await executions()).length > 20, "it has begun");
    leaving.close();
    expect(await errorOf(replies)).toContain("closed");
    // it may go on while it is looked at
    const seen = (await log()) as string[];
    expect(seen.slice(0, 21)).toEqual(numbers(21));
    expect(seen).toEqual(numbers(seen.length));
  });
});

describe("executions that do not end, again and again", () => {
  const short = useServer(["--script-time-limit", "100"]);
  const ROUNDS = Number(process.env.REGEARS_CHUNK_ROUNDS ?? 6);

  it("are ended each, wherever in its pipeline the server finds them", async () => {
    const { client } = short();
    const code = [
      "def f(r):",
      "    n = int(r['key'].split(':')[1])",
      "    if n % 7 == 0: log('a message in between')",
      "    while n % 20 == 13: pass",
      `GB('KeysReader').foreach(f)${REGISTER}`,
    ];
    expect(await client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
    for (let round = 0; round < ROUNDS; round++) {
      const replies = await Promise.all(sets(60).map((command) => client.call(...command)));
      expect(new Set(replies)).toEqual(new Set(["OK"]));
    }
    const { numTriggered, numSuccess, numFailures } = await onlyRegistration(client);
    expect(numTriggered).toBe(60 * ROUNDS);
    expect(Number(numSuccess) + Number(numFailures)).toBe(60 * ROUNDS);
    // on a busy machine others may take as long
    expect(Number(numFailures)).toBeGreaterThanOrEqual(3 * ROUNDS);
  });
});
