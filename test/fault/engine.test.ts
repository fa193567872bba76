/** An engine by URL that is killed and comes back. It keeps its data by itself, in an append-only file. */
import { type ChildProcess, spawn } from "node:child_process";
import { afterEach, describe, expect, it } from "vitest";
import { type Client, type Value, callOnce, connectClient, withClient } from "../support/client.ts";
import { figure } from "../support/figures.ts";
import { connectPlain } from "../support/plain-client.ts";
import { findRedisServer } from "../support/redis-server.ts";
import { endServersAfterEach, startServer } from "./support.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";
import { freePort } from "../support/ports.ts";
import { newFolder } from "../support/folders.ts";

const redis = findRedisServer();

class Engine {
  readonly port: number;
  readonly #folder = newFolder();
  #child: ChildProcess | undefined;

  constructor(port: number) {
    this.port = port;
  }

  async start(): Promise<void> {
    const options = ["--port", String(this.port), "--dir", this.#folder, "--save", ""];
    const durable = ["--appendonly", "yes", "--appendfsync", "always"];
    this.#child = spawn(redis.path ?? "", [...options, ...durable], { stdio: "ignore" });
    await until(async () => {
      const client = await connectPlain(this.port).catch(() => undefined);
      client?.write("PING\r\n");
      const answer = await client?.read(1).catch(() => "");
      client?.destroy();
      return answer === "+";
    }, "redis-server answers");
  }

  /** It hangs, and closes no connection. */
  hang(): void {
    this.#child?.kill("SIGSTOP");
  }

  wakeUp(): void {
    this.#child?.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }
}

const engines: Engine[] = [];
endServersAfterEach();
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine.kill();
});

async function setUp(args: readonly string[] = []) {
  const engine = new Engine(await freePort());
  engines.push(engine);
  await engine.start();
  const server = await startServer(["--engine", `redis://127.0.0.1:${engine.port}`, ...args]);
  return { engine, server, client: await connectClient(server.port) };
}

/** Counts each message by its id, so that none can be missed or counted twice unseen. */
const REGISTER = `
GB('StreamReader').foreach(lambda r: execute('HINCRBY', 'seen', r['id'], 1)).register('events', onFailedPolicy='retry')
GB('KeysReader').foreach(lambda r: execute('INCR', 'changes')).register('key:*', eventTypes=['set'], readValue=False)
GB('CommandReader').map(lambda r: execute('GET', 'marker')).register(trigger='marker')
`;

/** Messages that were seen more than once, and how many were seen at all. */
async function seen(client: Client): Promise<{ count: number; twice: number }> {
  const counts = ((await client.call("HVALS", "seen")) as string[]).map(Number);
  return { count: counts.length, twice: counts.filter((n) => n > 1).length };
}

const errorOrResult = (reply: Promise<Value>): Promise<Value> => reply.catch((error: Error) => error.message);

const length = async (client: Client): Promise<number> => Number(await client.call("XLEN", "events"));

describe.skipIf(!redis.path)(`an engine that goes away${redis.skipped}`, () => {
  it("is told at once, and everything goes on when it is back", { timeout: 60_000 }, async () => {
    const { engine, server, client } = await setUp();
    expect(await client.call("RG.PYEXECUTE", REGISTER)).toBe("OK");
    for (let i = 0; i < 20; i++) await client.call("XADD", "events", "*", "n", String(i));
    await client.call("SET", "marker", "there");
    await until(async () => (await length(client)) === 0, "all messages are seen and trimmed");

    await engine.kill();
    const waits: number[] = [];
    for (let i = 0; i < 40; i++) {
      const start = performance.now();
      const reply = withClient(server.port, (other) => other.call("SET", "k", "v"));
      expect(await errorOf(reply)).toMatch(/^ERR .*engine/);
      waits.push(performance.now() - start);
      // it is away for two seconds, in which the server tries to reach it again and again
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    // less than the limit for connecting: nobody waits for that
    expect(Math.max(...waits)).toBeLessThan(4000);
    await withClient(server.port, async (other) => {
      expect(await errorOf(other.call("RG.PYEXECUTE", "execute('GET', 'k')"))).toMatch(/engine/);
      expect(await errorOf(other.call("RG.TRIGGER", "marker"))).toMatch(/engine/);
    });

    await engine.start();
    const back = performance.now();
    await until(
      () =>
        withClient(server.port, (other) => other.call("SET", "key:1", "v")).then(
          (reply) => reply === "OK",
          () => false,
        ),
      "it is reached again",
    );
    const reached = performance.now() - back;
    await withClient(server.port, async (other) => {
      expect(await other.call("RG.TRIGGER", "marker")).toEqual(["there"]);
      for (let i = 0; i < 20; i++) await other.call("XADD", "events", "*", "n", String(i));
      await until(async () => (await length(other)) === 0, "new messages are seen and trimmed");
      expect(await seen(other)).toEqual({ count: 40, twice: 0 });
      await until(async () => {
        const before = Number(await other.call("GET", "changes"));
        await other.call("SET", "key:2", "v");
        return Number(await other.call("GET", "changes")) > before;
      }, "events come again");
    });
    figure(
      "engine-down",
      "the engine by URL is killed and started again 2 s later, idle streams",
      `40 commands meanwhile refused, the slowest in ${Math.ceil(Math.max(...waits))} ms; served again ${Math.ceil(reached)} ms after; no message lost or seen twice`,
    );
  });

  it("hangs: executions end at their limit, and everybody who waits is told", { timeout: 60_000 }, async () => {
    const { engine, server, client } = await setUp(["--execution-max-idle-time", "500"]);
    const clients = await Promise.all(Array.from({ length: 3 }, () => connectClient(server.port)));
    for (const other of clients) await other.call("PING");
    const [reading, script, inBody] = clients as [Client, Client, Client];
    // The interpreters boot before, so that the scripts below all sleep when the engine hangs.
    const boot = (): Promise<unknown> => callOnce(server.port, "RG.PYEXECUTE", "import time; time.sleep(0.2)");
    await until(
      () =>
        Promise.all([1, 2, 3, 4].map(boot)).then(async () =>
          /interpreters_idle:4/.test(String(await client.call("RG.INFO"))),
        ),
      "all are booted",
    );
    const limited = [
      "import time; time.sleep(3); execute('GET', 'k')",
      "import time; time.sleep(3); execute('BLPOP', 'k', '1')",
      "import time; time.sleep(3); GB().count().run()",
    ].map((code) => withClient(server.port, (other) => errorOrResult(other.call("RG.PYEXECUTE", code))));
    const sleeping = errorOrResult(inBody.call("RG.PYEXECUTE", "import time; time.sleep(15)"));
    await until(async () => /interpreters_busy:4/.test(String(await client.call("RG.INFO"))), "all run");
    engine.hang();
    const waiting = [reading.call("GET", "k"), script.call("RG.PYEXECUTE", "execute('GET', 'k')")].map(errorOf);
    const limit = "Execution max idle reached (ExecutionMaxIdleTime, 500 ms)";
    expect(await Promise.all(limited)).toEqual([limit, limit, [[], [limit]]]);
    expect(await Promise.all(waiting)).toEqual(Array(2).fill("ERR engine is not reachable"));
    // it needs no engine
    expect(await sleeping).toBe("OK");
    engine.wakeUp();
    await until(
      () =>
        withClient(server.port, (other) => errorOrResult(other.call("SET", "k", "v"))).then((reply) => reply === "OK"),
      "it is reached again",
    );
  });

  it("loses no message of a stream that is being read, and repeats at most what was in work", {
    timeout: 60_000,
  }, async () => {
    const { engine, server, client } = await setUp();
    expect(await client.call("RG.PYEXECUTE", REGISTER)).toBe("OK");
    const KILLS = 3;
    const added = new Set<string>();
    for (let kill = 0; kill < KILLS; kill++) {
      // to the engine itself, so that the writer learns what was stored
      const ids = await withClient(engine.port, (direct) =>
        Promise.all(Array.from({ length: 300 }, (_, i) => direct.call("XADD", "events", "*", "n", String(i)))),
      );
      for (const id of ids) added.add(String(id));
      // at another moment of the reading each time
      await new Promise((resolve) => setTimeout(resolve, 15 * kill));
      await engine.kill();
      const refused = (): Promise<boolean> =>
        callOnce(server.port, "GET", "k").then(
          () => false,
          () => true,
        );
      await until(refused, "the server has noticed");
      await engine.start();
      await withClient(engine.port, (direct) =>
        until(async () => (await length(direct)) === 0, "the stream is empty again"),
      );
    }
    await withClient(engine.port, async (direct) => {
      const { count, twice } = await seen(direct);
      expect(count).toBe(added.size);
      expect(twice).toBeLessThanOrEqual(KILLS);
      figure(
        "engine-killed",
        `the engine by URL is killed ${KILLS} times while a stream of ${added.size} messages is read`,
        `all seen; ${twice} seen twice (their execution had ended, and the engine died before it could note that)`,
      );
    });
  });
});
