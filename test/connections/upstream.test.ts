/** Connections of scripts on a server whose engine is a redis-server by URL. */
import { createServer as createHttpServer } from "node:http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { errorOf } from "../support/errors.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { executions, fields } from "../support/use-server.ts";
import { emptyCache, folderOf } from "../support/wheels.ts";
import { clientLibraries, seenBy, serve, type TestServer } from "./support.ts";

const redisServer = findRedisServer();
const { wheels, missing } = clientLibraries();

describe.skipIf(!redisServer.path)(`with an engine by URL${redisServer.skipped}`, () => {
  let engine: RedisServer;
  let server: RunningRegears;
  let client: Client;
  let other: RedisServer;
  /** It answers with how often it was asked, and never to `/never`. */
  let http: TestServer;
  beforeAll(async () => {
    [engine, other] = await Promise.all([startRedisServer(), startRedisServer()]);
    let asked = 0;
    const answering = createHttpServer((request, response) => {
      if (request.url !== "/never") response.end(`${++asked} ${request.url}`);
    });
    http = await serve(() => {}, answering);
    server = await startRegears([
      ...[
        "--engine",
        `redis://127.0.0.1:${engine.port}`,
        "--allow-connect",
        `127.0.0.1:${other.port},localhost:${http.port}`,
      ],
      ...[
        "--packages-dir",
        folderOf(wheels),
        "--cache-dir",
        emptyCache(),
        "--pyodide-packages",
        "no",
        "--index-url",
        "no",
      ],
    ]);
    client = await connectClient(server.port);
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
    await Promise.all([engine?.stop(), other?.stop(), http?.close()]);
  });

  const fetching = `
import urllib.request
def fetch(path):
    return urllib.request.urlopen('http://localhost:PORT/' + path, timeout=20).read().decode()
`;
  const script = (rest: string): string => `${fetching.replace("PORT", String(http.port))}${rest}`;

  it("a script connects between its commands", async () => {
    const seen = await seenBy(
      client,
      script(`
execute('SET', 'number', fetch('first'))
seen = [execute('GET', 'number'), fetch('second'), execute('STRLEN', 'number')]
try:
    urllib.request.urlopen('http://127.0.0.1:${engine.port}/')
except OSError as error:
    seen.append(str(error))`),
    );
    expect(seen).toEqual([
      ...["1 /first", "2 /second", 8],
      expect.stringContaining(`connections to 127.0.0.1:${engine.port} are not allowed (option allow-connect)`),
    ]);
    expect(await client.call("GET", "number")).toBe("1 /first");
  });

  it.each(["async", "async_local", "sync"])("a registration in mode %s connects when it fires", async (mode) => {
    await client.call("RG.UNREGISTERALL");
    const registering = `GB('KeysReader').foreach(lambda x: execute('RPUSH', 'seen', fetch(x['key']).split()[1])).register('in:*', mode='${mode}', eventTypes=['set'])`;
    await client.call("DEL", "seen");
    await client.call("RG.PYEXECUTE", script(registering));
    for (const key of ["in:1", "in:2", "in:3"]) await client.call("SET", key, "x");
    await expect.poll(() => client.call("LRANGE", "seen", "0", "-1")).toEqual(["/in:1", "/in:2", "/in:3"]);
    await client.call("RG.UNREGISTERALL");
  });

  it.skipIf(missing !== "")(`redis-py brings messages of a stream to another server${missing}`, async () => {
    const bringing = `
import redis
target = None
def bring(message):
    global target
    target = target or redis.Redis('127.0.0.1', ${other.port})
    target.rpush('brought', message['value']['n'])
GB('StreamReader').foreach(bring).register('stream', batch=10, mode='async_local')`;
    await client.call("RG.PYEXECUTE", bringing, "REQUIREMENTS", "redis");
    for (let n = 0; n < 50; n++) await client.call("XADD", "stream", "*", "n", String(n));
    const reader = await connectClient(other.port);
    await expect
      .poll(() => reader.call("LRANGE", "brought", "0", "-1"))
      .toEqual(Array.from({ length: 50 }, (_, n) => String(n)));
    reader.close();
    await client.call("RG.UNREGISTERALL");
  });

  it("a waiting execution lets others run, is aborted at once, and leaves no connection", async () => {
    const waiting = script("GB('ShardsIDReader').map(lambda x: fetch('never')).run()");
    const id = String(await client.call("RG.PYEXECUTE", waiting, "UNBLOCKING"));
    await expect.poll(async () => ((await client.call("RG.CONNECTIONS")) as Value[]).map(fields).length).toBe(1);
    expect(await seenBy(client, "seen = execute('INCR', 'counter')")).toBe(1);
    expect((await executions(client)).map(({ status }) => status)).toContain("running");
    expect(await client.call("RG.ABORTEXECUTION", id)).toBe("OK");
    await expect.poll(async () => (await client.call("RG.CONNECTIONS")) as Value[]).toEqual([]);
    await client.call("RG.DROPEXECUTION", id);
  });

  it("users of the engine without all rights may not connect", async () => {
    const admin = await connectClient(engine.port);
    await admin.call("ACL", "SETUSER", "few", "on", ">pw", "~*", "+@all", "-flushall");
    const own = await connectClient(server.port);
    await own.call("AUTH", "few", "pw");
    expect(await errorOf(own.call("RG.PYEXECUTE", script("fetch('x')")))).toContain(
      "user 'few' may not open connections",
    );
    own.close();
    admin.close();
  });
});
