/** The usual calls of real client libraries, on a redis-server and on the built server. See cases.ts. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client as PlainClient, connectClient } from "../support/client.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { startRegears } from "../support/regears.ts";
import { expectation, type ServerKind, type Suite } from "./cases.ts";
import { ioredis } from "./ioredis.cases.ts";

const redis = findRedisServer();

interface RunningServer {
  readonly port: number;
  stop(): Promise<unknown>;
}

async function startBefore(server: RedisServer): Promise<RunningServer> {
  const regears = await startRegears(["--engine", `redis://127.0.0.1:${server.port}`]);
  const stop = async (): Promise<void> => {
    await regears.stop();
    await server.stop();
  };
  return { port: regears.port, stop };
}

const servers: readonly { kind: ServerKind; skip: boolean; start: () => Promise<RunningServer> }[] = [
  { kind: "redis-server", skip: !redis.path, start: startRedisServer },
  { kind: "embedded", skip: false, start: startRegears },
  { kind: "by URL", skip: !redis.path, start: async () => startBefore(await startRedisServer()) },
];

function runCases<Client, Options>(suite: Suite<Client, Options>, kind: ServerKind, port: () => number): void {
  describe(suite.client, () => {
    let open: Client[] = [];
    afterEach(() => {
      for (const client of open) suite.close(client);
      open = [];
    });
    for (const one of suite.cases) {
      if (one.gears && kind === "redis-server") continue;
      it(one.name, async () => {
        const connect = async (options?: Options): Promise<Client> => {
          const client = await suite.open(port(), options);
          open.push(client);
          return client;
        };
        expect(await one.run({ port: port(), connect })).toEqual(expectation(one, kind));
      });
    }
  });
}

for (const { kind, skip, start } of servers)
  describe.skipIf(skip)(
    `${kind === "redis-server" ? kind : `Regears (engine ${kind})`}${skip ? redis.skipped : ""}`,
    () => {
      let server: RunningServer | undefined;
      let plain: PlainClient;
      beforeAll(async () => {
        server = await start();
        plain = await connectClient(server.port);
      });
      beforeEach(async () => {
        await plain.call("FLUSHALL");
      });
      afterAll(async () => {
        plain?.close();
        await server?.stop();
      });
      runCases(ioredis, kind, () => server?.port ?? 0);
    },
  );
