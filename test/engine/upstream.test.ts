import { describe } from "vitest";
import { UpstreamEngine } from "../../src/engine/upstream.ts";
import { findRedisServer, startRedisServer } from "../support/redis-server.ts";
import { engineCases } from "./engine.cases.ts";

const redis = findRedisServer();

describe.skipIf(!redis.path)(`UpstreamEngine${redis.skipped}`, () => {
  engineCases(async () => {
    const server = await startRedisServer();
    const engine = new UpstreamEngine({ url: `redis://127.0.0.1:${server.port}` });
    await engine.start();
    const stop = async (): Promise<void> => {
      await engine.stop();
      await server.stop();
    };
    return { engine, stop };
  });
});
