/** Random flows, run by the server and by a plain model of the steps in the system's Python: the same results. */
import { type ChildProcessByStdio, spawn, spawnSync } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { FUZZ_TIMEOUT_MS, fuzz } from "./support.ts";

const MODEL = fileURLToPath(new URL("model.py", import.meta.url));
const hasPython = spawnSync("python3", ["--version"]).status === 0;

/** A step: its name and its arguments as Python. */
type Step = readonly string[];

const small = fc.integer({ min: -3, max: 7 });
const bad = (n: number): string => `lambda r: r if r != ${n} else 1 // 0`;
/** All take integers and give integers, so that any may follow any. */
const step = fc.oneof(
  small.map((n): Step[] => [["map", `lambda r: r * 3 + ${n}`]]),
  small.map((n): Step[] => [["map", bad(n)]]),
  fc.integer({ min: 1, max: 4 }).map((n): Step[] => [["filter", `lambda r: r % ${n + 1} != 0`]]),
  small.map((n): Step[] => [["filter", bad(n)]]),
  small.map((n): Step[] => [["foreach", bad(n)]]),
  fc
    .constantFrom("lambda r: [r, r + 1, r + 2]", "lambda r: []", "lambda r: r", "lambda r: [r] * (abs(r) % 3)")
    .map((f): Step[] => [["flatmap", f]]),
  fc
    .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 3 }))
    .map(([length, start]): Step[] => [["limit", String(length), String(start)]]),
  fc.constant<Step[]>([["accumulate", "lambda a, r: (a or 0) * 2 + r"]]),
  fc.constant<Step[]>([["aggregate", "0", "lambda a, r: a + r", "lambda a, r: a + r"]]),
  fc.constant<Step[]>([["count"]]),
  fc.constant<Step[]>([["collect"]]),
  small.map((n): Step[] => [["repartition", bad(n)]]),
  fc.constantFrom("True", "False").map((reverse): Step[] => [["sort", reverse]]),
  fc.constant<Step[]>([["avg"], ["map", "lambda r: int(r * 10)"]]),
  // their order is nobody's business: what follows sorts
  fc.constant<Step[]>([["distinct"], ["sort", "True"]]),
  fc.constant<Step[]>([
    ["countby", "lambda r: r % 3"],
    ["map", "lambda r: r['value'] * 10 + int(r['key'])"],
    ["sort", "True"],
  ]),
  fc.constant<Step[]>([
    ["groupby", "lambda r: str(r % 3)", "lambda k, a, r: (a or 0) + r"],
    ["map", "lambda r: r['value']"],
    ["sort", "True"],
  ]),
  fc.constant<Step[]>([
    ["batchgroupby", "lambda r: r % 2", "lambda k, rs: len(rs) * 7 + rs[0]"],
    ["map", "lambda r: r['value']"],
  ]),
);
const flow = fc.record({
  records: fc.array(small, { maxLength: 12 }),
  steps: fc.array(step, { maxLength: 6 }).map((parts) => parts.flat()),
});

function script(records: readonly number[], steps: readonly Step[]): string {
  const calls = steps.map(([name, ...args]) => `.${name}(${name === "sort" ? `reverse=${args[0]}` : args.join(", ")})`);
  return `def source():\n    for r in ${JSON.stringify(records)}:\n        yield r\nGB('PythonReader')${calls.join("")}.run(source)`;
}

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

  const model = (input: unknown): Promise<{ results: string[]; errors: number }> =>
    new Promise((resolve) => {
      lines.once("line", (line) => resolve(JSON.parse(line)));
      python.stdin.write(`${JSON.stringify(input)}\n`);
    });

  it("give what the model gives", { timeout: FUZZ_TIMEOUT_MS }, () =>
    fuzz(
      "pipelines",
      "random flows, by Regears and by a plain model of the steps in CPython",
      flow,
      async ({ records, steps }) => {
        const wanted = await model({ records, steps });
        const [results, errors] = (await client.call("RG.PYEXECUTE", script(records, steps))) as [string[], string[]];
        if (results.join() !== wanted.results.join() || errors.length !== wanted.errors)
          throw new Error(
            `${script(records, steps)}\ngave ${JSON.stringify(results)} and ${errors.length} errors, the model ${JSON.stringify(wanted)}\n${errors.join("\n")}`,
          );
      },
    ),
  );
});
