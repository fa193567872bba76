/**
 * The usual calls of real client libraries, on a redis-server and on the built server. See cases.ts.
 */
import { execFile } from "node:child_process";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client as PlainClient, connectClient } from "../support/client.ts";
import { findPython } from "../support/redis-py.ts";
import { findRedisServer, type RedisServer, startRedisServer } from "../support/redis-server.ts";
import { startRegears } from "../support/regears.ts";
import { expectation, type ServerKind, type Suite } from "./cases.ts";
import { ioredis } from "./ioredis.cases.ts";
import { modulesSdk } from "./modules-sdk.cases.ts";
import { nodeRedis } from "./node-redis.cases.ts";
import { PYTHON_CASES_FILE, pythonCases } from "./redis-py.ts";

const redis = findRedisServer();
const python = findPython();
const PYTHON_LIMIT_MS = 180_000;

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
  const cases = suite.cases.filter(({ gears }) => gears !== true || kind !== "redis-server");
  if (cases.length === 0) return;
  describe(suite.client, () => {
    let open: Client[] = [];
    afterEach(() => {
      for (const client of open) suite.close(client);
      open = [];
    });
    for (const one of cases)
      it(one.name, async () => {
        const connect = async (options?: Options): Promise<Client> => {
          const client = await suite.open(port(), options);
          open.push(client);
          return client;
        };
        expect(await one.run({ port: port(), connect })).toEqual(expectation(one, kind));
      });
  });
}

interface PythonVerdict {
  readonly name: string;
  readonly gives: unknown;
  readonly expected: unknown;
}

function runPythonCases(kind: ServerKind, port: () => number): void {
  describe.skipIf(!python.path)(`redis-py (${python.version})`, () => {
    const verdicts = new Map<string, PythonVerdict>();
    let output = "";
    beforeAll(async () => {
      const args = [PYTHON_CASES_FILE, "--port", String(port()), "--kind", kind];
      output = await new Promise((resolve) => {
        execFile(python.path ?? "", args, { timeout: PYTHON_LIMIT_MS }, (_, stdout, stderr) =>
          resolve(stdout + stderr),
        );
      });
      for (const line of output.split("\n").filter((text) => text.startsWith("{"))) {
        const verdict = JSON.parse(line) as PythonVerdict;
        verdicts.set(verdict.name, verdict);
      }
    }, PYTHON_LIMIT_MS + 10_000);
    for (const { name, gears } of pythonCases()) {
      if (gears && kind === "redis-server") continue;
      it(name, () => {
        const verdict = verdicts.get(name);
        expect(verdict, output).toBeDefined();
        expect(verdict?.gives).toEqual(verdict?.expected);
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
      const port = (): number => server?.port ?? 0;
      runCases(ioredis, kind, port);
      runCases(nodeRedis, kind, port);
      runCases(modulesSdk, kind, port);
      runPythonCases(kind, port);
    },
  );
