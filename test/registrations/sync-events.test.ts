/** Events of `sync` registrations on the running server: their commands and executions are dealt with within a call, one after the other. */
import { describe, expect, it } from "vitest";
import { errorOf } from "../support/errors.ts";
import { type Client, onlyRegistration, registrations, useServer } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

const setting = useServer();

const sync = (handler: string, prefix = "p:*"): string =>
  `GB('KeysReader').foreach(${handler}).register('${prefix}', mode='sync', eventTypes=['set'], readValue=False)`;

async function register(...code: string[]): Promise<void> {
  expect(await setting().client.call("RG.PYEXECUTE", code.join("\n"))).toBe("OK");
}

/** Sends SETs at once. */
const setMany = (client: Client, count: number, name = ""): Promise<unknown[]> =>
  Promise.all(Array.from({ length: count }, (_, at) => client.call("SET", `p:${name}${at}`, String(at))));

describe("a pipeline of commands with sync events", () => {
  it("has each event dealt with before the next command", async () => {
    await register(
      "def seen(r):",
      "    execute('RPUSH', 'log', r['key'] + ' ' + execute('GET', r['key']) + ' ' + str(execute('EXISTS', 'p:' + str(int(r['key'][2:]) + 1))))",
      sync("seen"),
    );
    const { client } = setting();
    expect(new Set(await setMany(client, 300))).toEqual(new Set(["OK"]));
    const log = await client.call("LRANGE", "log", "0", "-1");
    expect(log).toEqual(Array.from({ length: 300 }, (_, at) => `p:${at} ${at} 0`));
    const { numTriggered, numSuccess } = await onlyRegistration(client);
    expect([numTriggered, numSuccess]).toEqual([300, 300]);
  });

  it("gives other clients their turn, who see no command without its events", async () => {
    await register("def slow(r):", "    for i in range(40): execute('INCR', 'n')", sync("slow"));
    const { client, connect } = setting();
    const other = await connect();
    let isOver = false;
    const all = setMany(client, 1_000).then(() => {
      isOver = true;
    });
    let looks = 0;
    for (; !isOver; looks++) {
      const [keys, n] = (await other.call("EVAL", "return {redis.call('DBSIZE'), redis.call('GET', 'n')}", "0")) as [
        number,
        string | null,
      ];
      if (n !== null) expect(Number(n)).toBe((keys - 1) * 40);
    }
    await all;
    expect(looks).toBeGreaterThan(5);
  });

  it("fails where a handler raises, and goes on", async () => {
    await register(
      "def odd(r):",
      "    if int(r['key'][2:]) % 2: raise ValueError('odd')",
      "    execute('INCR', 'even')",
      sync("odd"),
    );
    const { client } = setting();
    expect(new Set(await setMany(client, 101))).toEqual(new Set(["OK"]));
    expect(await client.call("GET", "even")).toBe("51");
    const { numTriggered, numSuccess, numFailures, lastError } = await onlyRegistration(client);
    expect([numTriggered, numSuccess, numFailures]).toEqual([101, 51, 50]);
    expect(lastError).toBeNull();
  });

  it("has no more events as soon as a handler has unregistered, and more as soon as one has registered", async () => {
    await register(
      "def last(r):",
      "    execute('INCR', 'before')",
      "    if r['key'] == 'p:4':",
      "        execute('RG.UNREGISTER', execute('RG.DUMPREGISTRATIONS')[0][1])",
      `        ${sync("lambda r: execute('INCR', 'after')")}`,
      sync("last"),
    );
    const { client } = setting();
    await setMany(client, 20);
    expect(await client.call("MGET", "before", "after")).toEqual(["5", "15"]);
    expect(await registrations(client)).toHaveLength(1);
  });

  it("keeps its order beside the pipelines of others", async () => {
    await register(
      "def seen(r):",
      "    name, at = r['key'][2:].split('-')",
      "    execute('RPUSH', name, at if execute('GET', r['key']) == at else 'changed')",
      sync("seen"),
    );
    const { connect } = setting();
    const clients = await Promise.all(["a", "b", "c", "d"].map(async (name) => ({ name, client: await connect() })));
    await Promise.all(
      clients.map(({ name, client }) =>
        Promise.all(Array.from({ length: 200 }, (_, at) => client.call("SET", `p:${name}-${at}`, String(at)))),
      ),
    );
    for (const { name, client } of clients)
      expect(await client.call("LRANGE", name, "0", "-1")).toEqual(Array.from({ length: 200 }, (_, at) => String(at)));
  });

  it("goes on when the interpreter dies in the middle of it", async () => {
    await register(
      "def fatal(r):",
      "    if r['key'] == 'p:5':",
      "        x = None",
      "        for i in range(2000000): x = (x,)",
      "        hash(x)",
      "    execute('INCR', 'n')",
      sync("fatal"),
    );
    const { client } = setting();
    expect(new Set(await setMany(client, 10))).toEqual(new Set(["OK"]));
    expect(await client.call("GET", "n")).toBe("9");
    const { numTriggered, numFailures } = await onlyRegistration(client);
    expect([numTriggered, numFailures]).toEqual([10, 1]);
  });

  it("waits for an execution that takes its time", async () => {
    await register("import time", "def slow(r):", "    time.sleep(0.02)", "    execute('INCR', 'n')", sync("slow"));
    const { client } = setting();
    await setMany(client, 5);
    expect(await client.call("GET", "n")).toBe("5");
  });
});

describe("what a handler sends", () => {
  it("fires nothing as long as the engine is held for it, and what comes after that fires", async () => {
    await register(
      "import asyncio",
      "async def later(r):",
      "    for i in range(20):",
      "        execute('SET', 'q:later', str(i))",
      "        await asyncio.sleep(0)",
      "    return r",
      "def now(r):",
      "    for i in range(20): execute('SET', 'q:now', str(i))",
      "    return later(r)",
      sync("now"),
      "GB('KeysReader').foreach(lambda r: execute('INCR', 'seen:' + r['key'])).register('q:*', mode='sync')",
    );
    const { client } = setting();
    for (let round = 1; round <= 20; round++) {
      await client.call("SET", "p:1", "x");
      await until(async () => {
        const all = (await client.call("RG.DUMPEXECUTIONS")) as string[][];
        return all.every((execution) => execution[3] === "done");
      }, "it has ended");
      expect(await client.call("MGET", "seen:q:now", "seen:q:later")).toEqual([null, String(round * 20)]);
    }
  });

  it("has the rights of its user, also those that were taken a moment ago", async () => {
    const { client, connect } = setting();
    await client.call("ACL", "SETUSER", "worker", "on", ">pw", "~*", "&*", "+@all");
    const worker = await connect();
    await worker.call("AUTH", "worker", "pw");
    const code = sync("lambda r: execute('INCR', 'n')");
    expect(await worker.call("RG.PYEXECUTE", code)).toBe("OK");
    for (let round = 1; round <= 10; round++) {
      await setMany(client, 3);
      expect(await client.call("GET", "n")).toBe(String(round * 3));
      await client.call("ACL", "SETUSER", "worker", "-incr");
      await setMany(client, 3);
      expect(await client.call("GET", "n")).toBe(String(round * 3));
      await client.call("ACL", "SETUSER", "worker", "~*", "+@all");
    }
    await client.call("ACL", "DELUSER", "worker");
  });

  it("is a transaction's and a Lua script's as well", async () => {
    await register(sync("lambda r: execute('RPUSH', 'log', r['key'])"));
    const { client } = setting();
    const replies = Promise.all(
      ["MULTI", "SET p:1 x", "LLEN log", "SET p:2 x", "EXEC"].map((line) => client.call(...line.split(" "))),
    );
    expect((await replies).at(-1)).toEqual(["OK", 1, "OK"]);
    const script = "redis.call('SET', 'p:3', 'x') return redis.call('LRANGE', 'log', '0', '-1')";
    expect(await client.call("EVAL", script, "0")).toEqual(["p:1", "p:2", "p:3"]);
  });

  it("fires nothing by its call of a trigger either, and the trigger's error is the handler's", async () => {
    await register(
      "def fail(r):",
      "    execute('SET', 'p:inner', '1')",
      "    raise ValueError('no')",
      "GB('CommandReader').map(fail).register(trigger='fail', mode='sync')",
      "def calls(r):",
      "    execute('INCR', 'n')",
      "    execute('RG.TRIGGER', 'fail')",
      sync("calls"),
    );
    const { client } = setting();
    expect(await client.call("SET", "p:1", "x")).toBe("OK");
    expect(await client.call("GET", "n")).toBe("1");
    expect(await errorOf(client.call("RG.TRIGGER", "fail"))).toContain("ValueError: no");
    expect(await client.call("GET", "n")).toBe("2");
  });
});
