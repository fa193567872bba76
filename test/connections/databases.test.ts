/** Client libraries, as they are, against real servers. */
import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { errorOf } from "../support/errors.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { executions } from "../support/use-server.ts";
import { emptyCache, folderOf } from "../support/wheels.ts";
import { type DatabaseServer, MARIADB, POSTGRES, skipped, startMariadb, startPostgres } from "./databases.ts";
import { clientLibraries, downloaded, fixture, seenBy } from "./support.ts";

const { wheels, missing } = clientLibraries();
const redisServer = findRedisServer();
/** SQLAlchemy wants a newer pg8000 than Debian's. */
const newer = downloaded(
  "pg8000==1.31.5",
  "scramp==1.4.17",
  "asn1crypto==1.5.1",
  "python-dateutil==2.9.0.post0",
  "six==1.17.0",
);

let server: RunningRegears;
let client: Client;
beforeAll(async () => {
  const folder = folderOf(wheels);
  if (newer !== undefined) for (const name of readdirSync(newer)) copyFileSync(join(newer, name), join(folder, name));
  const packages = ["--packages-dir", folder, "--cache-dir", emptyCache(), "--pyodide-packages", "no"];
  server = await startRegears(["--allow-connect", "127.0.0.1:*", "--index-url", "no", ...packages]);
  client = await connectClient(server.port);
});
afterAll(async () => {
  client?.close();
  await server?.stop();
});

describe.skipIf(missing !== "" || !redisServer.path)(`redis-py${missing}${redisServer.skipped}`, () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedisServer();
  });
  afterAll(() => redis?.stop());

  it("works against redis-server", async () => {
    expect(await seenBy(client, fixture("redis.py", { PORT: redis.port }), "REQUIREMENTS", "redis")).toEqual({
      ...{ ping: true, pipeline: 1000, range: ["0", "1", "2"], large: 1_000_000, message: "news", nothing: null },
      ...{ blocking: null, connections: 2, error: "unknown command 'NO" },
    });
  });

  it("waits in a command that blocks until the execution is aborted, and is then gone from the server", async () => {
    const script = `
import redis
r = redis.Redis('127.0.0.1', ${redis.port})
GB('ShardsIDReader').map(lambda x: r.blpop('never', 0)).run()`;
    const id = String(await client.call("RG.PYEXECUTE", script, "UNBLOCKING", "REQUIREMENTS", "redis"));
    const watcher = await connectClient(redis.port);
    const blocked = async (): Promise<number> =>
      Number(/blocked_clients:(\d+)/.exec(String(await watcher.call("INFO", "clients")))?.[1]);
    await expect.poll(blocked).toBe(1);
    expect((await executions(client)).length).toBe(1);
    expect(await client.call("RG.ABORTEXECUTION", id)).toBe("OK");
    await expect.poll(blocked).toBe(0);
    watcher.close();
    await client.call("RG.DROPEXECUTION", id);
  });

  it("connects anew when its connection was closed, and says that a server has died", async () => {
    const script = `
import redis
r = None
def ask(x):
    global r
    r = r or redis.Redis('127.0.0.1', ${redis.port}, socket_timeout=5)
    return r.ping()
GB('CommandReader').map(ask).register(trigger='ping')`;
    await client.call("RG.PYEXECUTE", script, "REQUIREMENTS", "redis");
    expect(await client.call("RG.TRIGGER", "ping")).toEqual(["True"]);
    const watcher = await connectClient(redis.port);
    await watcher.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    watcher.close();
    expect(await client.call("RG.TRIGGER", "ping")).toEqual(["True"]);
    await redis.stop();
    expect(await errorOf(client.call("RG.TRIGGER", "ping"))).toContain("ConnectionError");
    await client.call("RG.UNREGISTERALL");
  });
});

describe.skipIf(missing !== "" || !MARIADB)(`MariaDB${missing}${skipped("mariadb-server", MARIADB)}`, () => {
  let database: DatabaseServer;
  beforeAll(async () => {
    database = await startMariadb();
  });
  afterAll(() => database?.stop());

  it("is used by PyMySQL", async () => {
    expect(await seenBy(client, fixture("mysql.py", { PORT: database.port }), "REQUIREMENTS", "PyMySQL")).toEqual({
      ...{ people: [1000, "name 999 é"], large: 1_000_000, "after rollback": 1000, error: 1062, denied: 1045 },
    });
    expect(database.sql("SELECT COUNT(*) FROM people")).toBe("1000");
  });

  it("is used by SQLAlchemy", async () => {
    const URL = `mysql+pymysql://test:secret@127.0.0.1:${database.port}/test`;
    const script = fixture("sqlalchemy.py", { URL });
    expect(await seenBy(client, script, "REQUIREMENTS", "SQLAlchemy", "PyMySQL")).toEqual([50, "name 7"]);
  });
});

describe.skipIf(missing !== "" || !POSTGRES)(`PostgreSQL${missing}${skipped("postgresql", POSTGRES)}`, () => {
  let database: DatabaseServer;
  beforeAll(async () => {
    database = await startPostgres();
  });
  afterAll(() => database?.stop());

  it("is used by pg8000", async () => {
    expect(
      await seenBy(client, fixture("postgres.py", { PORT: database.port }), "REQUIREMENTS", "pg8000<1.16"),
    ).toEqual({
      ...{ people: [100, "name 99 é"], large: 1_000_000, "after rollback": 100, error: true },
    });
    expect(database.sql("SELECT COUNT(*) FROM people")).toBe("100");
  });

  it.skipIf(newer === undefined)(
    `is used by SQLAlchemy${newer === undefined ? " (skipped: no pg8000 1.31)" : ""}`,
    async () => {
      const URL = `postgresql+pg8000://test:secret@127.0.0.1:${database.port}/test`;
      const script = fixture("sqlalchemy.py", { URL });
      expect(await seenBy(client, script, "REQUIREMENTS", "SQLAlchemy", "pg8000>=1.16")).toEqual([50, "name 7"]);
    },
  );
});
