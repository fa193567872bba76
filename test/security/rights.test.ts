/** What users may do by way of Python, hooks and Lua: never more than by themselves. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { errorOf } from "../support/errors.ts";
import { connectPlain } from "../support/plain-client.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { until } from "../support/waiting.ts";

const NO_KEY = "NOPERM No permissions to access a key";
const HOOK_GET = "GB('CommandReader').map(lambda x: 'hooked').register(hook='get', mode='sync')";

describe("restricted users", () => {
  let server: RunningRegears;
  let admin: Client;
  const open: Client[] = [];
  const connectAs = async (user: string): Promise<Client> => {
    const client = await connectClient(server.port);
    open.push(client);
    await client.call("AUTH", user, "pw");
    return client;
  };

  beforeAll(async () => {
    server = await startRegears(["--execution-threads", "2"]);
    admin = await connectClient(server.port);
  });
  afterAll(async () => {
    for (const client of open) client.close();
    admin?.close();
    await server?.stop();
  });
  beforeEach(async () => {
    await admin.call("RG.UNREGISTERALL");
    await admin.call("FLUSHALL");
    await admin.call("ACL", "SETUSER", "bob", "reset", "on", ">pw", "~a:*", "&*", "+@all");
    await admin.call("MSET", "a:1", "A", "b:1", "B");
  });

  it("run a hooked command only if they may run the command", async () => {
    await admin.call("RG.PYEXECUTE", HOOK_GET);
    const bob = await connectAs("bob");
    expect(await bob.call("GET", "a:1")).toBe("hooked");
    expect(await errorOf(bob.call("GET", "b:1"))).toBe(NO_KEY);
    await admin.call("ACL", "SETUSER", "bob", "-get");
    expect(await errorOf(bob.call("GET", "a:1"))).toMatch(/^NOPERM .*'get' command$/);
    await admin.call("ACL", "SETUSER", "bob", "+get");
    expect(await bob.call("GET", "a:1")).toBe("hooked");
  });

  it("run a hooked command of ours only if they may run ours", async () => {
    await admin.call(
      "RG.PYEXECUTE",
      "GB('CommandReader').map(lambda x: 'hooked').register(hook='rg.configset', mode='sync')",
    );
    const bob = await connectAs("bob");
    expect(await bob.call("RG.CONFIGSET", "a", "b")).toBe("hooked");
    await admin.call("ACL", "SETUSER", "bob", "-config");
    expect(await errorOf(bob.call("RG.CONFIGSET", "a", "b"))).toMatch(/^NOPERM .*'rg.configset' command$/);
  });

  it("have their transaction discarded by a hooked command that they may not run", async () => {
    await admin.call("RG.PYEXECUTE", HOOK_GET);
    const bob = await connectAs("bob");
    await bob.call("MULTI");
    expect(await errorOf(bob.call("GET", "b:1"))).toBe(NO_KEY);
    expect(await bob.call("SET", "a:1", "changed")).toBe("QUEUED");
    expect(await errorOf(bob.call("EXEC"))).toMatch(/^EXECABORT/);
    expect(await admin.call("STRLEN", "a:1")).toBe(1);
    await bob.call("MULTI");
    expect(await bob.call("GET", "a:1")).toBe("QUEUED");
    expect(await bob.call("EXEC")).toEqual(["hooked"]);
  });

  it("can do no more from Lua", async () => {
    await admin.call("RG.PYEXECUTE", HOOK_GET);
    await admin.call("ACL", "SETUSER", "bob", "-config");
    const bob = await connectAs("bob");
    const run = (call: string): Promise<unknown> => bob.call("EVAL", `return redis.call(${call})`, "0");
    expect(await run("'get', 'a:1'")).toBe("hooked");
    expect(await errorOf(run("'get', 'b:1'"))).toContain(NO_KEY);
    expect(await run("'rg.configget', 'MaxExecutions'")).toEqual([1000]);
    expect(await errorOf(run("'rg.configset', 'MaxExecutions', '5'"))).toMatch(/NOPERM .*'rg.configset' command/);
    expect(await admin.call("RG.CONFIGGET", "MaxExecutions")).toEqual([1000]);
    await admin.call("ACL", "SETUSER", "bob", "-eval");
    expect(await errorOf(run("'get', 'a:1'"))).toMatch(/NOPERM .*'eval' command/);
    // the functions that run such scripts are no way round
    const around = bob.call("FCALL", "__regears_start", "0", "1", "{}", "return 1");
    expect(await errorOf(around)).toBe("ERR Function not found");
  });

  it("need the right to EVAL for Python", async () => {
    await admin.call("ACL", "SETUSER", "bob", "-eval");
    const bob = await connectAs("bob");
    expect(await errorOf(bob.call("RG.PYEXECUTE", "1"))).toMatch(/^NOPERM .*'rg.pyexecute' command$/);
    expect(await errorOf(bob.call("RG.TRIGGER", "t"))).toMatch(/^NOPERM .*'rg.trigger' command$/);
  });

  it.each([
    ["a key", "execute('GET', 'b:1')", NO_KEY],
    ["a command", "execute('DEL', 'a:1')", "'del' command"],
    ["a command of ours", "execute('RG.CONFIGSET', 'MaxExecutions', '5')", "'rg.configset' command"],
    ["Lua", "execute('EVAL', 'return redis.call(\"get\", \"b:1\")', 0)", "only a user with all rights"],
    ["SORT by other keys", "execute('SORT', 'a:1', 'BY', 'nosort', 'GET', 'b:1')", "only a user with all rights"],
    [
      "a time event's key",
      "registerTE = __import__('redisgears').registerTimeEvent; registerTE(9, lambda: 0, 'b:te')",
      NO_KEY,
    ],
  ])("can not reach %s from Python", async (_what, script, wanted) => {
    await admin.call("ACL", "SETUSER", "bob", "-del", "-config");
    const bob = await connectAs("bob");
    expect(await errorOf(bob.call("RG.PYEXECUTE", script))).toContain(wanted);
    expect(await admin.call("EXISTS", "a:1", "b:1", "b:te")).toBe(2);
  });

  it("are themselves for their scripts, and for what these register", async () => {
    const bob = await connectAs("bob");
    const whoami = "execute('ACL', 'WHOAMI'), [f for f in execute('CLIENT', 'INFO').split() if f.startswith('user=')]";
    const own = "('bob', ['user=bob'])";
    expect(await bob.call("RG.PYEXECUTE", `GB('ShardsIDReader').map(lambda r: str((${whoami}))).run()`)).toEqual([
      [own],
      [],
    ]);
    await bob.call("RG.PYEXECUTE", `GB('CommandReader').map(lambda r: str((${whoami}))).register(trigger='who')`);
    expect(await admin.call("RG.TRIGGER", "who")).toEqual([own]);
    const all = `GB('ShardsIDReader').map(lambda r: str((${whoami}))).run()`;
    expect(await admin.call("RG.PYEXECUTE", all)).toEqual([["('default', ['user=default'])"], []]);
    await admin.call("ACL", "SETUSER", "bob", "-acl|whoami");
    expect(await errorOf(bob.call("RG.PYEXECUTE", "execute('ACL', 'WHOAMI')"))).toMatch(/NOPERM/);
  });

  it("can not get at rights by claiming to be another execution or session", async () => {
    const secret = "GB('CommandReader').map(lambda x: 1).register(trigger='theirs')";
    await admin.call("RG.PYEXECUTE", secret, "ID", "theirs");
    const bob = await connectAs("bob");
    const forge = [
      "from regears import calls",
      "def attempt(handle):",
      "    status, value = calls.request('execute', ((b'GET', b'b:1'), handle))",
      "    return str(value)",
      "GB('PythonReader').map(attempt).run([0])",
    ].join("\n");
    const outcome = await bob.call("RG.PYEXECUTE", forge).catch((error: Error) => error.message);
    expect(JSON.stringify(outcome)).not.toContain('"B"');
    expect(await errorOf(bob.call("RG.PYEXECUTE", secret, "ID", "theirs", "UPGRADE"))).toMatch(
      /^NOPERM session theirs/,
    );
  });

  it("read only their keys with a KeysReader", async () => {
    await admin.call("HSET", "a:h", "f", "v");
    await admin.call("HSET", "b:h", "f", "v");
    const bob = await connectAs("bob");
    const keys = async (more: string): Promise<unknown> => {
      const reply = (await bob.call(
        "RG.PYEXECUTE",
        `GB('KeysReader').map(lambda r: r['key']).sort().run(${more})`,
      )) as [unknown, unknown];
      expect(reply[1]).toEqual([]);
      return reply[0];
    };
    expect(await keys("'*'")).toEqual(["a:1", "a:h"]);
    expect(await keys("'*', readValue=False")).toEqual(["a:1", "a:h"]);
    expect(await keys("'b:1', noScan=True")).toEqual([]);
    const counted = await bob.call("RG.PYEXECUTE", "GB('KeysReader').count().run('*')");
    expect(counted).toEqual([["2"], []]);
    await admin.call("ACL", "SETUSER", "bob", "-scan");
    const failed = await bob.call("RG.PYEXECUTE", "GB('KeysReader').run('*')");
    expect(JSON.stringify(failed)).toContain("'scan' command");
  });

  it("act with their own rights when a registration of theirs fires later", async () => {
    const bob = await connectAs("bob");
    const copy = "lambda r: execute('SET', 'a:seen', str(r['key']) + '=' + str(r.get('value')))";
    await bob.call("RG.PYEXECUTE", `GB('KeysReader').foreach(${copy}).register('*', eventTypes=['append'])`);
    await admin.call("APPEND", "b:1", "!");
    await admin.call("APPEND", "a:1", "!");
    expect(await until(() => admin.call("GET", "a:seen"))).toBe("a:1=A!");
    await bob.call("RG.PYEXECUTE", "GB('CommandReader').map(lambda x: execute('GET', x[1])).register(trigger='get')");
    expect(await admin.call("RG.TRIGGER", "get", "a:1")).toEqual(["A!"]);
    expect(await errorOf(admin.call("RG.TRIGGER", "get", "b:1"))).toContain(NO_KEY);
    await admin.call("ACL", "SETUSER", "bob", "~b:*");
    expect(await admin.call("RG.TRIGGER", "get", "b:1")).toEqual(["B!"]);
    await admin.call("ACL", "DELUSER", "bob");
    expect(await errorOf(admin.call("RG.TRIGGER", "get", "b:1"))).toContain("NOPERM User 'bob' does not exist");
  });

  it("are told only of streams that they may read", async () => {
    const bob = await connectAs("bob");
    const push = "lambda r: execute('RPUSH', 'a:seen', r['key'])";
    await bob.call("RG.PYEXECUTE", `GB('StreamReader').foreach(${push}).register('*')`);
    await admin.call("XADD", "b:stream", "*", "f", "v");
    await admin.call("XADD", "a:stream", "*", "f", "v");
    const seen = (): Promise<unknown> => admin.call("LRANGE", "a:seen", "0", "-1");
    expect(await until(() => admin.call("LINDEX", "a:seen", "0"))).toBe("a:stream");
    expect(await seen()).toEqual(["a:stream"]);
    expect(await admin.call("XLEN", "b:stream")).toBe(1);
  });

  it.each([
    ["hook", "GB('CommandReader').register(hook='get')"],
    ["name commands", "GB('KeysReader').register('*', commands=['set'])"],
    ["register in mode sync", "GB('KeysReader').register('*', mode='sync')"],
  ])("can not %s", async (_what, script) => {
    const bob = await connectAs("bob");
    expect(await errorOf(bob.call("RG.PYEXECUTE", script))).toContain("NOPERM only a user with all rights");
    expect(await admin.call("RG.DUMPREGISTRATIONS")).toEqual([]);
  });

  it("have interpreters of their own", async () => {
    const bob = await connectAs("bob");
    await admin.call("RG.PYEXECUTE", "import builtins; builtins.left_behind = 'secret'");
    expect(
      await bob.call(
        "RG.PYEXECUTE",
        "GB('ShardsIDReader').map(lambda x: str(__import__('builtins').__dict__.get('left_behind'))).run()",
      ),
    ).toEqual([["None"], []]);
  });
});

describe("registrations of a restricted user", () => {
  it("are still theirs after a restart", async () => {
    const directory = newFolder();
    const args = ["--dir", directory];
    try {
      for (const run of ["first", "second"]) {
        const server = await startRegears(args);
        const admin = await connectClient(server.port);
        await admin.call("ACL", "SETUSER", "bob", "reset", "on", ">pw", "~a:*", "&*", "+@all");
        await admin.call("SET", "b:1", "B");
        if (run === "first") {
          const bob = await connectClient(server.port);
          await bob.call("AUTH", "bob", "pw");
          await bob.call(
            "RG.PYEXECUTE",
            "GB('CommandReader').map(lambda x: execute('GET', x[1])).register(trigger='get')",
          );
          bob.close();
        }
        expect(await errorOf(admin.call("RG.TRIGGER", "get", "b:1"))).toContain(NO_KEY);
        admin.close();
        expect(await server.stop()).toBe(0);
      }
    } finally {
    }
  });
});

describe("with a password", () => {
  let server: RunningRegears;
  let admin: Client;
  beforeAll(async () => {
    server = await startRegears(["--requirepass", "secret"]);
    admin = await connectClient(server.port);
    await admin.call("AUTH", "secret");
  });
  afterAll(async () => {
    admin?.close();
    await server?.stop();
  });

  it.each([
    ["a hook", HOOK_GET],
    ["commands of a registration", "GB('KeysReader').register('*', commands=['get'], mode='sync')"],
  ])("strangers do not get past it by %s", async (_what, script) => {
    await admin.call("RG.PYEXECUTE", script);
    const stranger = await connectClient(server.port);
    for (const call of [
      ["GET", "a"],
      ["EVAL", "return redis.call('rg.configget', 'x')", "0"],
      ["FCALL", "__regears_start", "0"],
      ["RG.PYEXECUTE", "1"],
      ["MULTI"],
    ]) {
      expect(await errorOf(stranger.call(...call))).toBe("NOAUTH Authentication required.");
    }
    await stranger.call("AUTH", "secret");
    await stranger.call("GET", "a");
    await stranger.call("RESET");
    expect(await errorOf(stranger.call("GET", "a"))).toBe("NOAUTH Authentication required.");
    stranger.close();
    await admin.call("RG.UNREGISTERALL");
  });

  it("strangers make the server hold no more than a small buffer", async () => {
    const megabyte = Buffer.alloc(1024 * 1024, "x");
    for (const [head, answer] of [
      [`*2\r\n$3\r\nGET\r\n$${megabyte.length}\r\n`, "-ERR Protocol error: unauthenticated bulk length\r\n"],
      ["*1000000\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"],
    ] as const) {
      const stranger = await connectPlain(server.port);
      stranger.write(head);
      expect(await stranger.readToEnd()).toBe(answer);
    }
    // a line without end: the server leaves before it is over, so its answer may get lost
    const stranger = await connectPlain(server.port);
    stranger.write(megabyte);
    expect(["", "-ERR Protocol error: too big inline request\r\n"]).toContain(await stranger.readToEnd());
    // many small commands whose refusals it does not read: the engine gives up before they are many
    const busy = await connectPlain(server.port);
    busy.write("GET aaaaaaaaaaaaaaaaaaa\r\n".repeat(40_000));
    await busy.until(() => busy.closed);
    expect(busy.bytesReceived).toBeLessThan(64 * 1024);
    expect(await admin.call("PING")).toBe("PONG");
  });
});

const redis = findRedisServer();

describe.skipIf(!redis.path)(`by URL${redis.skipped}`, () => {
  let engine: RedisServer;
  let server: RunningRegears;
  let direct: Client;
  beforeAll(async () => {
    engine = await startRedisServer();
    server = await startRegears(["--engine", `redis://127.0.0.1:${engine.port}`]);
    direct = await connectClient(engine.port);
  });
  afterAll(async () => {
    direct?.close();
    await server?.stop();
    await engine?.stop();
  });

  it("scripts are their user, not the one in the URL", async () => {
    await direct.call("ACL", "SETUSER", "carol", "reset", "on", ">pw", "~*", "&*", "+@all");
    const carol = await connectClient(server.port);
    await carol.call("AUTH", "carol", "pw");
    const script = "GB('ShardsIDReader').map(lambda r: execute('ACL', 'WHOAMI')).run()";
    expect(await carol.call("RG.PYEXECUTE", script)).toEqual([["carol"], []]);
    carol.close();
  });

  it("the rules there hold here, also when they are changed there", async () => {
    await direct.call("ACL", "SETUSER", "bob", "reset", "on", ">pw", "~a:*", "&*", "+@all");
    await direct.call("MSET", "a:1", "A", "b:1", "B");
    const admin = await connectClient(server.port);
    const bob = await connectClient(server.port);
    await bob.call("AUTH", "bob", "pw");
    await admin.call("RG.PYEXECUTE", HOOK_GET);
    expect(await bob.call("GET", "a:1")).toBe("hooked");
    expect(await errorOf(bob.call("GET", "b:1"))).toBe(NO_KEY);
    await bob.call("MULTI");
    expect(await errorOf(bob.call("GET", "b:1"))).toBe(NO_KEY);
    expect(await errorOf(bob.call("EXEC"))).toMatch(/^EXECABORT/);
    await admin.call("RG.UNREGISTERALL");
    expect(await errorOf(bob.call("RG.PYEXECUTE", "execute('GET', 'b:1')"))).toContain(NO_KEY);
    expect(await bob.call("RG.PYEXECUTE", "GB('KeysReader').map(lambda r: r['key']).run('*')")).toEqual([["a:1"], []]);
    await direct.call("ACL", "SETUSER", "bob", "~b:*");
    // the server learns of rights that are changed at the engine a little later
    await until(() => bob.call("RG.PYEXECUTE", "execute('GET', 'b:1')").catch(() => undefined));
    admin.close();
    bob.close();
  });
});
