/** Clients that go, or are sent away, while a command of theirs runs: what is left of it acts as them or not at all. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { connectPlain, type PlainClient } from "../support/plain-client.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

const redis = findRedisServer();

/** `slow` waits for the key `go`, so that a test can do things while it runs; `kill` ends a client by its id. */
const TRIGGERS = `
import time
def slow(r):
    execute('SET', 'running', '1')
    for _ in range(1000):
        if execute('EXISTS', 'go'):
            break
        time.sleep(0.01)
    execute('SET', 'ran', '1')
    return 'done'
def kill(r):
    return execute('CLIENT', 'KILL', 'ID', r[1])
GB('CommandReader').map(slow).register(trigger='slow')
GB('CommandReader').map(lambda r: time.sleep(0.5) or execute('SET', 'slept', '1')).register(trigger='sleep', mode='sync')
GB('CommandReader').map(kill).register(trigger='kill', mode='sync')
GB('CommandReader').map(lambda r: [execute('PUBLISH', 'c', 'x' * 1000000) for _ in range(20)] and 'x').register(
    trigger='flood', mode='sync')
`;

function suite(title: string, start: () => Promise<RunningRegears>, stop: () => Promise<void>, skip: boolean): void {
  describe.skipIf(skip)(title, () => {
    let server: RunningRegears;
    let admin: Client;
    const open: PlainClient[] = [];
    const connect = async (): Promise<PlainClient> => {
      const client = await connectPlain(server.port);
      open.push(client);
      return client;
    };
    const connectBob = async (): Promise<PlainClient> => {
      const client = await connect();
      client.send("AUTH", "bob", "pw");
      await client.expect("+OK\r\n");
      return client;
    };
    const idOf = async (client: PlainClient): Promise<string> => {
      client.send("CLIENT", "ID");
      await client.until(() => client.pending.endsWith("\r\n"));
      return (await client.read(client.pending.length)).slice(1, -2);
    };
    const engineConnections = async (): Promise<number> =>
      String(await admin.call("CLIENT", "LIST"))
        .trim()
        .split("\n").length;
    /** Is there an execution in progress? That can be seen while it holds the engine. */
    const untilRunning = (): Promise<unknown> =>
      expect.poll(async () => String(await admin.call("RG.DUMPEXECUTIONS")), { timeout: 10_000 }).toContain("running");
    const isSet =
      (key: string): (() => Promise<boolean>) =>
      async () =>
        (await admin.call("EXISTS", key)) === 1;
    const inDatabase = async (database: number, key: string): Promise<unknown> => {
      await admin.call("SELECT", String(database));
      const value = await admin.call("GET", key);
      await admin.call("SELECT", "0");
      return value;
    };

    beforeAll(async () => {
      server = await start();
      admin = await connectClient(server.port);
      expect(await admin.call("RG.PYEXECUTE", TRIGGERS)).toBe("OK");
    }, 60_000);
    beforeEach(async () => {
      await admin.call("FLUSHALL");
      await admin.call("ACL", "SETUSER", "bob", "reset", "on", ">pw", "~*", "&*", "+@all", "-set");
      await admin.call("SET", "secret", "kept");
    });
    afterEach(() => {
      for (const client of open.splice(0)) client.destroy();
    });
    afterAll(async () => {
      admin?.close();
      await server?.stop();
      await stop();
    });

    it("a script in Lua goes on as its user", async () => {
      const bob = await connectBob();
      bob.send("EVAL", "redis.call('RG.TRIGGER', 'sleep') redis.call('SET', 'secret', 'stolen')", "0");
      await untilRunning();
      bob.destroy();
      await expect.poll(isSet("slept"), { timeout: 10_000 }).toBe(true);
      // the engine was held until the script had ended
      expect(await admin.call("GET", "secret")).toBe("kept");
    });

    it("a script in Lua goes to its end in its database", async () => {
      const client = await connect();
      client.send("SELECT", "5");
      await client.expect("+OK\r\n");
      const script = "redis.call('SET', 'a', '1') redis.call('RG.TRIGGER', 'sleep') redis.call('SET', 'b', '2')";
      client.send("EVAL", script, "0");
      await untilRunning();
      client.destroy();
      await expect.poll(isSet("slept"), { timeout: 10_000 }).toBe(true);
      expect([await inDatabase(0, "b"), await inDatabase(5, "a"), await inDatabase(5, "b")]).toEqual([null, "1", "2"]);
    });

    it("a transaction goes to its end as its user and in its database", async () => {
      const bob = await connectBob();
      bob.write("SELECT 5\r\nMULTI\r\nAPPEND a 1\r\nRG.TRIGGER sleep\r\nAPPEND b 2\r\nEXEC\r\n");
      await bob.expect(`+OK\r\n+OK\r\n${"+QUEUED\r\n".repeat(3)}`);
      await untilRunning();
      bob.destroy();
      await expect.poll(isSet("slept"), { timeout: 10_000 }).toBe(true);
      expect([await inDatabase(0, "b"), await inDatabase(5, "a"), await inDatabase(5, "b")]).toEqual([null, "1", "2"]);
    });

    it("what was sent behind a running command is not carried out when the engine ends the client", async () => {
      const bob = await connectBob();
      const id = await idOf(bob);
      const others = ["SET secret stolen", 'EVAL \'return redis.call("SET", "secret", "stolen")\' 0'];
      bob.write(`RG.TRIGGER slow\r\n${others.join("\r\n")}\r\nRG.PYEXECUTE "execute('SET', 'script', 'ran')"\r\n`);
      await expect.poll(isSet("running"), { timeout: 10_000 }).toBe(true);
      expect(await admin.call("CLIENT", "KILL", "ID", id)).toBe(1);
      await admin.call("SET", "go", "1");
      await expect.poll(isSet("ran"), { timeout: 10_000 }).toBe(true);
      expect(await bob.readToEnd()).toBe("");
      // a script of somebody else comes after whatever the trigger's end has let loose
      await admin.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()");
      expect(await admin.call("MGET", "secret", "script")).toEqual(["kept", null]);
    });

    it("a script in Lua whose client the engine ends is not continued", async () => {
      const client = await connect();
      const id = await idOf(client);
      const script = `redis.call('RG.TRIGGER', 'kill', '${id}') redis.call('SET', 'secret', 'stolen')`;
      client.send("EVAL", script, "0");
      expect(await client.readToEnd()).toBe("");
      await admin.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()");
      expect(await admin.call("GET", "secret")).toBe("kept");
    });

    it("a transaction whose client the engine ends is not continued", async () => {
      const bob = await connectBob();
      const id = await idOf(bob);
      bob.write(`MULTI\r\nRG.TRIGGER kill ${id}\r\nAPPEND secret stolen\r\nEXEC\r\n`);
      expect(await bob.readToEnd()).toBe("+OK\r\n+QUEUED\r\n+QUEUED\r\n");
      await admin.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()");
      expect(await admin.call("GET", "secret")).toBe("kept");
    });

    it("nothing is carried out after QUIT", async () => {
      const client = await connect();
      client.write(`QUIT\r\nRG.PYEXECUTE "execute('SET', 'secret', 'stolen')"\r\nSET secret stolen\r\n`);
      expect(await client.readToEnd()).toBe("+OK\r\n");
      await admin.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()");
      expect(await admin.call("GET", "secret")).toBe("kept");
    });

    it("no connection to the engine is left behind", async () => {
      const before = await engineConnections();
      for (let round = 0; round < 5; round++) {
        const clients = await Promise.all(Array.from({ length: 4 }, connectBob));
        const [lua, waiting, staged, blocked] = clients;
        waiting?.write("RG.TRIGGER slow\r\nAPPEND secret more\r\n");
        await expect.poll(isSet("running"), { timeout: 10_000 }).toBe(true);
        blocked?.write("BLPOP none 0\r\nAPPEND secret more\r\n");
        staged?.write("MULTI\r\nRG.TRIGGER sleep\r\nAPPEND b 2\r\nEXEC\r\n");
        lua?.send("EVAL", "redis.call('RG.TRIGGER', 'sleep') return redis.call('INCR', 'scripts')", "0");
        for (const client of clients) client.destroy();
        await admin.call("SET", "go", "1");
        for (const key of ["ran", "slept"]) await expect.poll(isSet(key), { timeout: 10_000 }).toBe(true);
        await admin.call("DEL", "go", "running", "ran", "slept");
      }
      await expect.poll(engineConnections, { timeout: 10_000 }).toBeLessThanOrEqual(before);
      expect(await admin.call("GET", "secret")).toBe("kept");
    });

    it("a client that does not read what its own script causes holds nobody up", async () => {
      const flooded = await connect();
      flooded.write("HELLO 3\r\nSUBSCRIBE c\r\n");
      await flooded.until(() => flooded.pending.includes("subscribe"));
      flooded.socket.pause();
      flooded.send("EVAL", "redis.call('RG.TRIGGER', 'flood') redis.call('SET', 'after', '1')", "0");
      await expect.poll(isSet("after"), { timeout: 10_000 }).toBe(true);
    });
  });
}

suite(
  "a client that has gone (embedded engine)",
  () => startRegears(),
  async () => {},
  false,
);

let engine: RedisServer | undefined;
suite(
  `a client that has gone (redis-server)${redis.skipped}`,
  async () => {
    engine = await startRedisServer();
    return startRegears(["--engine", `redis://127.0.0.1:${engine.port}`]);
  },
  async () => engine?.stop(),
  !redis.path,
);
