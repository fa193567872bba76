/** Key events that an engine by URL does not tell: the gap is noticed, told, counted and closed. */
import { mkdirSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { connectClient } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { until } from "../support/waiting.ts";
import { createWorld, plain, type World } from "./set-up.ts";

const redis = findRedisServer();
const PARAMETER = "notify-keyspace-events";

/** A way to the engine on which single connections can be made to hang. */
class Detour {
  readonly #pairs: { readonly sockets: readonly Socket[]; sent: string }[] = [];
  #server: Server | undefined;

  async listen(port: number): Promise<number> {
    const server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      const pair = { sockets: [near, far], sent: "" };
      this.#pairs.push(pair);
      near.on("data", (bytes) => {
        pair.sent += bytes.toString("latin1");
      });
      near.pipe(far).pipe(near);
      for (const socket of pair.sockets) socket.on("error", () => {});
    });
    this.#server = server;
    return new Promise((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
    );
  }

  /** Nothing comes through any more, and nothing tells that. */
  hang(mark: string): void {
    for (const { sockets, sent } of this.#pairs) {
      if (!sent.includes(mark)) continue;
      for (const socket of sockets) socket.unpipe().removeAllListeners("data").pause();
    }
  }

  close(): void {
    for (const { sockets } of this.#pairs) for (const socket of sockets) socket.destroy();
    this.#server?.close();
  }
}

describe.skipIf(!redis.path)(`gaps in the key events of an engine by URL${redis.skipped}`, () => {
  let server: RedisServer;
  let world: World;

  beforeAll(async () => {
    server = await startRedisServer(["--enable-debug-command", "yes"]);
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    world = await createWorld({ url: `redis://127.0.0.1:${server.port}` });
    await world.admin.call("FLUSHALL");
    await world.admin.call("CONFIG", "SET", PARAMETER, "");
  });
  afterEach(() => world.close());

  /** A registration that has seen its first event, so that everything is in order. */
  const watching = async (on = world) => {
    const seen: string[] = [];
    const registration = on.register(
      { prefix: "p:*" },
      ({ records }) => void seen.push(String(records[0]?.get("key"))),
    );
    await told(on, seen, "p:first");
    expect([registration.statistics.gaps, on.problems]).toEqual([0, []]);
    return { seen, registration };
  };
  /** Writes a key again and again until its event is told. */
  const told = (on: World, seen: readonly string[], key: string): Promise<void> =>
    expect
      .poll(
        async () => {
          await on.admin.call("SET", key, "x").catch(() => {});
          return seen;
        },
        { timeout: 20_000, interval: 50 },
      )
      .toContain(key);
  const flags = async (): Promise<unknown> =>
    (plain(await world.admin.call("CONFIG", "GET", PARAMETER)) as string[])[1];

  it("counts what was lost when the engine ends our connection", async () => {
    const { seen, registration } = await watching();
    const keys = Array.from({ length: 300 }, (_, at) => `p:${at}`);
    await world.admin.pipeline([["CLIENT", "KILL", "TYPE", "pubsub"], ...keys.map((key) => ["SET", key, "x"])]);
    await told(world, seen, "p:last");
    expect(registration.statistics.gaps).toBe(1);
    expect(world.readers.keys.gaps).toBe(1);
    expect(world.problems[0]).toContain("key events may be missed: the engine has closed the connection");
    expect(world.problems[1]).toMatch(/^key events are told again; those of about \d+ ms may be missing$/);
  });

  it("has clients of this server wait for the new connection, so that they lose nothing", async () => {
    const { seen } = await watching();
    const client = world.client();
    await world.admin.call("CLIENT", "KILL", "TYPE", "pubsub");
    await expect.poll(() => world.problems.length).toBeGreaterThan(0);
    await client.line("SET p:after x");
    await expect.poll(() => seen).toContain("p:after");
  });

  it.each(["", "K", "Kg"])("notices that the engine's setting has become '%s', and sets it again", async (others) => {
    const { seen, registration } = await watching();
    await world.admin.call("CONFIG", "SET", PARAMETER, others);
    await expect.poll(() => registration.statistics.gaps, { timeout: 5_000 }).toBe(1);
    expect(world.problems[0]).toMatch(/notify-keyspace-events of the engine has become '/);
    await told(world, seen, "p:again");
    // what others have set is theirs and stays
    expect([...String(await flags())]).toEqual(expect.arrayContaining(["A", "E", ...others.replace("g", "")]));
    world.registrations.remove(registration, false);
    await expect.poll(async () => [...String(await flags())].sort().join("")).toBe([...others].sort().join(""));
  });

  it("takes more than it needs for no gap", async () => {
    const { seen, registration } = await watching();
    const asked = async (): Promise<number> => {
      const text = String(await world.admin.call("INFO", "commandstats"));
      return Number(/cmdstat_config\|get:calls=(\d+)/.exec(text)?.[1]);
    };
    await world.admin.call("CONFIG", "SET", PARAMETER, "KEAm");
    const before = await asked();
    await told(world, seen, "p:more");
    await expect.poll(asked, { timeout: 20_000 }).toBeGreaterThan(before + 2);
    expect([registration.statistics.gaps, world.problems]).toEqual([0, []]);
    expect([...String(await flags())]).toEqual(expect.arrayContaining(["K"]));
  });

  it("tells that it may not set it", async () => {
    await world.admin.call("ACL", "SETUSER", "few", "reset", "on", ">pw", "~*", "&*", "+@all", "-config|set");
    const poor = await createWorld({ url: `redis://few:pw@127.0.0.1:${server.port}` });
    try {
      const registration = poor.register({ prefix: "p:*" });
      await expect.poll(() => poor.problems).toHaveLength(1);
      expect(poor.problems[0]).toContain("key events will not be seen: the engine refuses CONFIG SET");
      expect(registration.statistics.gaps).toBe(1);
      // somebody does it in its stead
      await world.admin.call("CONFIG", "SET", PARAMETER, "EAm");
      await expect.poll(() => poor.problems.at(-1), { timeout: 5_000 }).toContain("key events are told again");
    } finally {
      await poor.close();
    }
  });

  it("counts one gap while the engine is started again, with a setting of its own", async () => {
    const { seen, registration } = await watching();
    await world.admin.call("DEBUG", "RESTART").catch(() => {});
    await expect.poll(() => registration.statistics.gaps, { timeout: 10_000 }).toBe(1);
    const admin = await createWorld({ url: `redis://127.0.0.1:${server.port}` }).catch(() => undefined);
    await admin?.close();
    await expect.poll(() => world.problems.some((line) => line.includes("told again")), { timeout: 20_000 }).toBe(true);
    const client = world.client();
    await client.line("SET p:back x");
    await expect.poll(() => seen).toContain("p:back");
    expect(registration.statistics.gaps).toBe(1);
  });

  it("notices that a network has swallowed the connection, and catches up with streams", async () => {
    const proxy = new Detour();
    const port = await proxy.listen(server.port);
    const behind = await createWorld({ url: `redis://127.0.0.1:${port}` });
    try {
      const { seen, registration } = await watching(behind);
      const ids: string[] = [];
      behind.register({ reader: "StreamReader", prefix: "s" }, ({ records }) => {
        ids.push(...records.map((record) => String(record.get("id"))));
      });
      await world.admin.call("XADD", "s", "0-1", "n", "1");
      await expect.poll(() => ids).toEqual(["0-1"]);
      proxy.hang("SUBSCRIBE");
      await world.admin.call("XADD", "s", "0-2", "n", "1");
      await expect.poll(() => registration.statistics.gaps, { timeout: 20_000 }).toBe(1);
      await told(behind, seen, "p:again");
      await expect.poll(() => ids).toEqual(["0-1", "0-2"]);
    } finally {
      await behind.close();
      proxy.close();
    }
  });
});

describe.skipIf(!redis.path)(`an engine by URL that can not save${redis.skipped}`, () => {
  it("is used, and refuses PING without a gap in its key events", { timeout: 60_000 }, async () => {
    const folder = newFolder();
    const server = await startRedisServer(["--dir", folder, "--save", "3600 1"]);
    const client = await connectClient(server.port);
    let world: World | undefined;
    try {
      rmSync(folder, { recursive: true });
      await client.call("BGSAVE");
      await until(
        () =>
          client.call("PING").then(
            () => false,
            (error) => /^MISCONF/.test(error.message),
          ),
        "it refuses PING",
      );
      world = await createWorld({ url: `redis://127.0.0.1:${server.port}` });
      const seen: string[] = [];
      const registration = world.register(
        { prefix: "p:*", eventTypes: ["expired"] },
        ({ records }) => void seen.push(String(records[0]?.get("key"))),
      );
      // more often than a connection may be silent
      const refused = async (): Promise<boolean> =>
        Number(/^cmdstat_ping:.*rejected_calls=(\d+)/m.exec(String(await client.call("INFO", "commandstats")))?.[1]) >
        12;
      await until(refused, "the connection is looked at again and again");
      expect([registration.statistics.gaps, world.problems]).toEqual([0, []]);
      mkdirSync(folder);
      await client.call("CONFIG", "SET", "save", "");
      await client.call("SET", "p:1", "x", "PX", "1");
      await until(() => seen.includes("p:1"), "events are told");
    } finally {
      client.close();
      await world?.close();
      await server.stop();
    }
  });
});
