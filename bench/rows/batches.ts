/** Flows over many keys. */
import type { Client } from "../client.ts";
import { type Bench, inPipelines, type Workload } from "../row.ts";

const strings = (client: Client, count: number): Promise<void> =>
  inPipelines(client, count, 1000, (i) => ["SET", `k:${i}`, i]);
const hashes = (client: Client, count: number): Promise<void> =>
  inPipelines(client, count, 1000, (i) => ["HSET", `h:${i}`, "name", `user${i}`, "age", i % 90, "city", `c${i % 50}`]);

/** A flow over so many keys. */
function flow(name: string, keys: number, script: string, fill = strings): Workload {
  return {
    name,
    unit: "ms",
    prepare: ({ client, n }) => fill(client, n(keys)),
    run: async ({ client }: Bench) => void (await client.must("RG.PYEXECUTE", script)),
  };
}

const SUM = "aggregate(0, lambda a, r: a + r, lambda a, r: a + r)";

export const batches: readonly Workload[] = [
  flow("count 100 000 strings", 100_000, "GB().count().run()"),
  flow(
    "map, filter and aggregate over 100 000 strings",
    100_000,
    `GB().map(lambda x: int(x['value'])).filter(lambda v: v % 2 == 0).${SUM}.run()`,
  ),
  flow(
    "50 000 hashes, average by group",
    50_000,
    "GB().map(lambda x: (x['value']['city'], int(x['value']['age']))).aggregateby(lambda x: x[0], (0, 0), lambda k, a, r: (a[0] + r[1], a[1] + 1), lambda k, a, r: (a[0] + r[0], a[1] + r[1])).run()",
    hashes,
  ),
  flow("return 50 000 records", 50_000, "GB().map(lambda x: x['key']).run()"),
  flow("sort 50 000 records", 50_000, "GB().map(lambda x: x['key']).sort().count().run()"),
  flow(
    "KeysOnlyReader and 20 000 × execute('GET')",
    20_000,
    "GB('KeysOnlyReader').map(lambda k: int(execute('GET', k))).accumulate(lambda a, r: (a or 0) + r).run()",
  ),
];
