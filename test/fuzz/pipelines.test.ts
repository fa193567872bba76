/** Random flows, run by the server and by a plain model of the steps in the system's Python: the same results. */
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { type Flow, flow, script } from "./flows.ts";
import { FUZZ_TIMEOUT_MS, fuzz } from "./support.ts";

const MODEL = fileURLToPath(new URL("model.py", import.meta.url));
const hasPython = spawnSync("python3", ["--version"]).status === 0;

describe.skipIf(!hasPython)(`flows of gears${hasPython ? "" : " (skipped: there is no python3)"}`, () => {
  let server: RunningRegears;
  let client: Client;
  let python: ChildProcessByStdio<Writable, Readable, null>;
  let lines: Interface;
  beforeAll(async () => {
    server = await startRegears();
    client = await connectClient(server.port);
    python = spawn("python3", [MODEL], { stdio: ["pipe", "pipe", "inherit"] });
    lines = createInterface(python.stdout);
  });
  afterAll(async () => {
    client?.close();
    python?.kill();
    await server?.stop();
  });

  interface Outcome {
    results: Value[];
    errors: number;
    log: Value[];
  }
  /** Gives null where the outcome depends on the clock. */
  const model = (input: Flow): Promise<Outcome | null> =>
    new Promise((resolve) => {
      lines.once("line", (line) => resolve(JSON.parse(line)));
      python.stdin.write(`${JSON.stringify(input)}\n`);
    });
  const product = async (input: Flow): Promise<[Outcome, Value[]]> => {
    const [, reply, log] = await Promise.all([
      client.call("DEL", "log"),
      client.call("RG.PYEXECUTE", script(input)),
      client.call("LRANGE", "log", "0", "-1"),
    ]);
    const [results, errors] = reply as [Value[], Value[]];
    return [{ results, errors: errors.length, log: log as Value[] }, errors];
  };

  it("give what the model gives", { timeout: FUZZ_TIMEOUT_MS }, () =>
    fuzz("pipelines", "random flows, by Regears and by a plain model of the steps in CPython", flow, async (input) => {
      const wanted = await model(input);
      const [found, errors] = await product(input);
      if (JSON.stringify(found) !== JSON.stringify(wanted))
        throw new Error(
          `${script(input)}\ngave ${JSON.stringify(found)}, the model ${JSON.stringify(wanted)}\n${errors.join("\n")}`,
        );
    }),
  );
});
