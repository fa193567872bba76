/** A real Valkey that loads the files of this server, and is its replica; and a server that is too old for that. */
import { copyFileSync, cpSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { figure } from "../support/figures.ts";
import { newFolder } from "../support/folders.ts";
import { freePort } from "../support/ports.ts";
import { findRedisServer, startRedisServer } from "../support/redis-server.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { findValkeyServer, startValkey, type RealValkey } from "../support/valkey-server.ts";
import { until } from "../support/waiting.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const KEYS = Number(process.env.REGEARS_REPLICA_KEYS ?? 20_000);
/** For so long, in milliseconds, the replica can not reach the server: that is the subject. */
const CUT_MS = 5_000;
const DEBUG = ["--enable-debug-command", "yes", "--save", ""];
const LIBRARY = `#!lua name=lib
redis.register_function{function_name='f', callback=function() return 'f' end, flags={'no-writes'}}`;
const REGISTER = "GB('CommandReader').map(lambda c: 'yes').register(trigger='registered')";

async function start(
  directory: string,
  port: number,
  ...more: string[]
): Promise<{ client: Client; server: RunningRegears }> {
  const server = await startRegears(["--dir", directory, ...DEBUG, ...more, "--port", String(port)]);
  const client = await connectClient(port);
  ends.push(async () => {
    client.close();
    await server.stop("SIGKILL");
  });
  return { client, server };
}

async function valkey(...args: string[]): Promise<RealValkey> {
  const real = await startValkey(program.command ?? [], ["--save", "", ...args]);
  ends.push(async () => {
    real.client.close();
    await real.stop();
  });
  return real;
}

/** Values of all types, some of which expire, in two databases. */
async function fill(client: Client): Promise<void> {
  await client.call("DEBUG", "POPULATE", String(KEYS));
  const many = Array.from({ length: 300 }, (_, at) => `element ${at}`);
  await client.call("SET", "expires", "1", "PX", "100000000");
  await client.call("RPUSH", "list", ...many);
  await client.call("SADD", "integers", "1", "2", "70000");
  await client.call("SADD", "set", ...many);
  await client.call("HSET", "hash", ...many);
  await client.call("HEXPIRE", "hash", "100000", "FIELDS", "1", "element 0");
  await client.call("ZADD", "zset", ...many.flatMap((element, at) => [String(at / 7), element]));
  for (let at = 1; at <= 150; at++) await client.call("XADD", "stream", `${at}-1`, "f", `v${at}`);
  await client.call("XGROUP", "CREATE", "stream", "group", "5-1");
  await client.call("XREADGROUP", "GROUP", "group", "alice", "COUNT", "3", "STREAMS", "stream", ">");
  await client.call("PFADD", "hll", ...many);
  await client.call("FUNCTION", "LOAD", LIBRARY);
  await client.call("SELECT", "5");
  await client.call("SET", "elsewhere", "1");
  await client.call("SELECT", "0");
}

const digest = async (client: Client): Promise<string> => String(await client.call("DEBUG", "DIGEST"));

async function isEqual(there: Client, client: Client): Promise<void> {
  const ours = await digest(client);
  expect(ours).not.toMatch(/^0+$/);
  await until(async () => (await digest(there)) === ours, "both have the same data");
  expect(await there.call("FCALL", "f", "0")).toBe("f");
}

const program = findValkeyServer();

describe.skipIf(!program.command)(`a real Valkey${program.skipped}`, { timeout: 180_000 }, () => {
  it("loads the dump and the log of changes, in which registrations do nothing", async () => {
    const directory = newFolder();
    const { client, server } = await start(directory, await freePort(), "--appendonly", "yes");
    await fill(client);
    expect(await client.call("RG.PYEXECUTE", REGISTER)).toBe("OK");
    await client.call("BGREWRITEAOF");
    await until(async () => /aof_rewrite_in_progress:0/.test(String(await client.call("INFO", "persistence"))));
    await client.call("SET", "in the second file", "1");
    await client.call("SAVE");
    const ours = await digest(client);
    await server.stop();

    const [forDump, forLog] = [newFolder(), newFolder()];
    copyFileSync(join(directory, "dump.rdb"), join(forDump, "dump.rdb"));
    const fromDump = await valkey("--dir", forDump);
    expect(await digest(fromDump.client)).toBe(ours);
    expect(await fromDump.client.call("FCALL", "f", "0")).toBe("f");
    cpSync(join(directory, "appendonlydir"), join(forLog, "appendonlydir"), { recursive: true });
    const fromLog = await valkey("--dir", forLog, "--appendonly", "yes");
    expect(await digest(fromLog.client)).toBe(ours);
    // and back: what it has written is loaded here, with what was registered
    await fromDump.client.call("SET", "there", "1");
    await fromDump.client.call("SAVE");
    const theirs = await digest(fromDump.client);
    const back = await start(forDump, await freePort());
    expect(await digest(back.client)).toBe(theirs);
    expect(await back.client.call("RG.TRIGGER", "registered")).toEqual(["yes"]);
    figure(
      "persistence/8-read",
      `\`dump.rdb\` and \`appendonlydir\` of ${KEYS} keys and all types in valkey-server 9.1`,
      "equal by `DEBUG DIGEST`",
    );
  });

  it("replicates: wholly, partially after a cut, and after a restart", async () => {
    const [directory, port] = [newFolder(), await freePort()];
    const first = await start(directory, port, "--appendonly", "yes", "--repl-diskless-sync", "yes");
    expect(await first.client.call("CONFIG", "GET", "repl-diskless-sync")).toEqual(["repl-diskless-sync", "yes"]);
    await fill(first.client);
    await first.client.call("RG.PYEXECUTE", REGISTER);
    const way = new Way(port);
    await way.open();
    ends.push(() => way.close());
    const { client: there } = await valkey("--dir", newFolder(), "--replicaof", `127.0.0.1 ${way.port}`);
    const begun = performance.now();
    await isEqual(there, first.client);
    const took = performance.now() - begun;
    expect(await first.client.call("CONFIG", "SET", "repl-diskless-sync", "no")).toBe("OK");

    const counts = async (): Promise<string[]> =>
      [...String(await first.client.call("INFO", "stats")).matchAll(/^sync_(?:full|partial_ok):(\d+)/gm)].map(([, n]) =>
        String(n),
      );
    expect(await counts()).toEqual(["1", "0"]);
    await way.close();
    await first.client.call("SET", "missed", "1");
    await new Promise((resolve) => setTimeout(resolve, CUT_MS));
    await way.open();
    await isEqual(there, first.client);
    expect(await there.call("GET", "missed")).toBe("1");
    expect(await counts()).toEqual(["1", "1"]);

    await first.server.stop();
    const second = await start(directory, port, "--appendonly", "yes");
    await second.client.call("SET", "after", "1");
    await isEqual(there, second.client);
    expect(await there.call("GET", "after")).toBe("1");
    expect(await second.client.call("RG.TRIGGER", "registered")).toEqual(["yes"]);
    figure(
      "persistence/9-replica",
      `a valkey-server 9.1 as a replica, with ${KEYS} keys: whole, after a cut of ${CUT_MS / 1000} s, after a restart of the server`,
      `whole in ${(took / 1000).toFixed(1)} s, then only what was missed, then whole; each time equal by \`DEBUG DIGEST\``,
    );
  });
});

/** A way to a server that can be cut. */
class Way {
  port = 0;
  readonly #to: number;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(to: number) {
    this.#to = to;
  }

  async open(): Promise<void> {
    const server = createServer((from) => {
      const to = connect(this.#to, "127.0.0.1");
      for (const socket of [from, to]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          from.destroy();
          to.destroy();
          this.#sockets.delete(socket);
        });
      }
      from.pipe(to);
      to.pipe(from);
    });
    await new Promise<void>((resolve) => server.listen(this.port, "127.0.0.1", () => resolve()));
    const address = server.address();
    if (address !== null && typeof address !== "string") this.port = address.port;
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server) await new Promise((resolve) => server.close(resolve));
  }
}

const redis = findRedisServer();

describe.skipIf(!redis.path)(`a redis-server 7${redis.skipped}`, () => {
  it("is told that it is too old to be a replica", async () => {
    const port = await freePort();
    const { client, server } = await start(newFolder(), port);
    await client.call("SET", "a", "1");
    const old = await startRedisServer(["--replicaof", `127.0.0.1 ${port}`]);
    ends.push(() => old.stop());
    const there = await connectClient(old.port);
    ends.push(() => there.close());
    await until(() => /can not be a replica of this one: it has to be Valkey 9 or newer/.test(server.output()));
    expect(String(await there.call("INFO", "replication"))).toMatch(/master_link_status:down/);
    expect(await client.call("INFO", "replication")).toMatch(/connected_slaves:0/);
    expect(await client.call("GET", "a")).toBe("1");
  });
});
