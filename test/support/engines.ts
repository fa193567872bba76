/** The engines that the gateway is tested in front of: the embedded one, and a real redis-server when there is one. */
import { afterAll, beforeAll, describe } from "vitest";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { startGateway, type TestGateway } from "./gateway.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "./redis-server.ts";
import { TcpEngine } from "./tcp-engine.ts";

const redis = findRedisServer();

/** Runs the same cases in front of each engine; `gateway()` gives the one that was started for the suite. */
export function describeEachEngine(
  title: string,
  cases: (gateway: () => TestGateway, engine: () => Engine) => void,
  deps: Parameters<typeof startGateway>[1] = {},
): void {
  const suite = (start: () => Promise<Engine>, stop: () => Promise<unknown>): void => {
    let engine: Engine | undefined;
    let gateway: TestGateway | undefined;
    const present = <T>(value: T | undefined): T => {
      if (value === undefined) throw new Error("the suite has not been started");
      return value;
    };
    beforeAll(async () => {
      engine = await start();
      gateway = await startGateway(engine, deps);
    }, 30_000);
    afterAll(async () => {
      await gateway?.stop();
      await engine?.stop();
      await stop();
    });
    cases(
      () => present(gateway),
      () => present(engine),
    );
  };

  describe(`${title} (embedded engine)`, () => {
    suite(
      async () => {
        const engine = new EmbeddedEngine();
        await engine.start();
        return engine;
      },
      async () => {},
    );
  });
  describe.skipIf(!redis.path)(`${title} (redis-server)${redis.skipped}`, () => {
    let server: RedisServer | undefined;
    suite(
      async () => {
        server = await startRedisServer();
        return new TcpEngine(server.port);
      },
      async () => server?.stop(),
    );
  });
}
