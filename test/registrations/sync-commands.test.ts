/** Commands that block, and those that scripts may not call, while `sync` registrations look at every command. */
import { beforeEach, describe, expect, it } from "vitest";
import { useServer, type Value } from "../support/use-server.ts";
import { errorOf } from "../support/errors.ts";

const NOTING =
  "GB().foreach(lambda r: execute('RPUSH', 'log', r['event'])).register('l*', mode='sync', eventTypes=['lpop'])";
const call = (words: string): string => `return redis.call(${words})`;

describe("with a sync KeysReader", () => {
  const setting = useServer();
  beforeEach(async () => {
    expect(await setting().client.call("RG.PYEXECUTE", NOTING)).toBe("OK");
  });

  it("a transaction keeps its order, and nothing in it blocks", async () => {
    const { client } = setting();
    await client.call("MULTI");
    for (const words of ["BLPOP l1 0", "RPUSH l1 a", "BLPOP l1 0", "LLEN log"]) {
      expect(await client.call(...(words.split(" ") as [string]))).toBe("QUEUED");
    }
    expect(await client.call("EXEC")).toEqual([null, 1, ["l1", "a"], 1]);
    expect(await client.call("LRANGE", "log", "0", "-1")).toEqual(["lpop"]);
  });

  it("a Lua script does not block, and its events are dealt with before its reply", async () => {
    const { client } = setting();
    expect(await client.call("EVAL", call("'BLPOP', 'l1', '0'"), "0")).toBeNull();
    await client.call("RPUSH", "l1", "a");
    expect(await client.call("EVAL", call("'BLPOP', 'l1', '0'"), "0")).toEqual(["l1", "a"]);
    expect(await client.call("LRANGE", "log", "0", "-1")).toEqual(["lpop"]);
  });

  it("a Lua script is refused what it may not call, and changes nothing of its client", async () => {
    const { client } = setting();
    for (const command of ["'MULTI'", "'SUBSCRIBE', 'c'", "'QUIT'", "'DEBUG', 'SLEEP', '0'"]) {
      expect(await errorOf(client.call("EVAL", call(command), "0"))).toContain("is not allowed from script");
    }
    expect(await client.call("EVAL", call("'SELECT', '1'"), "0")).toBe("OK");
    await client.call("SET", "here", "1");
    await client.call("SELECT", "0");
    expect(await client.call("GET", "here")).toBe("1");
  });

  it("a step's execute() does not block, and its events are dealt with before it returns", async () => {
    const { client } = setting();
    const script = `
execute('RPUSH', 'l1', 'a')
popped = [execute('BLPOP', 'l1', '0'), execute('LLEN', 'log'), execute('BLPOP', 'l1', '0')]
execute('SET', 'seen', str(popped))
`;
    expect(await client.call("RG.PYEXECUTE", script)).toBe("OK");
    expect(await client.call("GET", "seen")).toBe("[['l1', 'a'], 1, None]");
  });
});

describe("a command that blocks", () => {
  const setting = useServer();

  it.each(["blpop", "bzpopmin", "wait"])(
    "%s can not be hooked, as in engines that keep it from scripts",
    async (hook) => {
      const script = `GB('CommandReader').map(lambda r: 'x').register(hook='${hook}', mode='sync')`;
      const refused = await errorOf(setting().client.call("RG.PYEXECUTE", script));
      expect(refused).toContain("Can not override a command which are not allowed inside a script");
    },
  );
});

describe("with a KeysReader in the background that asks for types", () => {
  const setting = useServer();
  beforeEach(async () => {
    const register = (type: string): string =>
      `GB().map(lambda r: '${type} ' + r['event'] + ' ' + r['key']).register('k*', mode='async_local', readValue=False,
        eventTypes=['expire', 'rename_to', 'srem'], keyTypes=['${type}'])`;
    const script = ["string", "empty"].map(register).join("\n");
    expect(await setting().client.call("RG.PYEXECUTE", script)).toBe("OK");
  });

  /** What the two registrations were started on. */
  async function seen(): Promise<Value[]> {
    const { client } = setting();
    const ids = ((await client.call("RG.DUMPEXECUTIONS")) as Value[][]).map((fields) => String(fields[1]));
    const replies = await Promise.all(ids.map((id) => client.call("RG.GETRESULTSBLOCKING", id)));
    return replies.flatMap((reply) => (reply as Value[][])[0] ?? []);
  }

  const changes = ["SET k 1 PX 90000", "DEL k", "SADD ks m", "SREM ks m", "SET k 2", "RENAME k k2", "DEL k2"];
  const expected = ["string expire k", "empty srem ks", "string rename_to k2"];

  it("each event is told by the type at its time: commands in a row", async () => {
    const { client } = setting();
    await Promise.all(changes.map((line) => client.call(...line.split(" "))));
    expect(await seen()).toEqual(expected);
  });

  it("each event is told by the type at its time: a transaction", async () => {
    const { client } = setting();
    await Promise.all(["MULTI", ...changes, "EXEC"].map((line) => client.call(...line.split(" "))));
    expect(await seen()).toEqual(expected);
  });

  it("each event is told by the type at its time: a Lua script", async () => {
    const { client } = setting();
    const calls = changes.map(
      (line) =>
        `redis.call(${line
          .split(" ")
          .map((word) => `'${word}'`)
          .join(", ")})`,
    );
    await client.call("EVAL", calls.join("\n"), "0");
    expect(await seen()).toEqual(expected);
  });
});
