/** What the server does without gears. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Bench, inPipelines, range, type Workload } from "../row.ts";

const run = promisify(execFile);

/** Requests per second of redis-benchmark, 50 clients. @param pipeline commands in a row of each */
export async function redisBenchmark({ server, n }: Bench, test: string, pipeline: number): Promise<number> {
  const requests = n(pipeline > 1 ? 1_000_000 : 100_000);
  const options = ["-c", 50, "-n", requests, "-P", pipeline, "-t", test, "--csv"];
  const { stdout } = await run("redis-benchmark", ["-h", "127.0.0.1", "-p", server.port, ...options].map(String));
  const [, rate] = /"(?:SET|GET)","([\d.]+)"/.exec(stdout) ?? [];
  if (rate === undefined) throw new Error(`redis-benchmark has told nothing: ${stdout}`);
  return Number(rate);
}

const rate = (test: string, pipeline: number): Workload => ({
  name: `redis-benchmark -c 50 -P ${pipeline}: ${test}`,
  unit: "per second",
  plain: true,
  tells: true,
  run: (bench) => redisBenchmark(bench, test.toLowerCase(), pipeline),
});

export const plain: readonly Workload[] = [
  {
    name: "20 000 SETs in pipelines of 100",
    unit: "ms",
    plain: true,
    run: ({ client, n }) => inPipelines(client, n(20_000), 100, (i) => ["SET", `p:${i % 100}`, "v"]),
  },
  {
    name: "3 000 GETs one by one",
    unit: "ms",
    plain: true,
    async run({ client, n }) {
      for (const _ of range(n(3000))) await client.send("GET", "p:1");
    },
  },
  rate("SET", 1),
  rate("GET", 1),
  rate("SET", 16),
  rate("GET", 16),
];
