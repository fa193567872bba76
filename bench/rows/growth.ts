/** What becomes of things when there are many of them. */
import { Client } from "../client.ts";
import { type Bench, inPipelines, range, type Row, type Trial, until, type Workload } from "../row.ts";
import type { Server } from "../servers.ts";
import { redisBenchmark } from "./plain.ts";

const UNLIKE = (count: number): string =>
  `for i in range(${count}): GB('KeysReader').count().register(prefix='unlike%d:*' % i, mode='async_local')`;

const besideRegistrations = (count: number): Workload => ({
  name: `SET -P 16 beside ${grouped(count)} KeysReader registrations that do not match`,
  unit: "per second",
  tells: true,
  async prepare({ client, n }) {
    if (count > 0) await client.must("RG.PYEXECUTE", UNLIKE(n(count)));
  },
  run: (bench) => redisBenchmark(bench, "set", 16),
});

/** One more message for each of many streams that one registration reads. */
const streams = (count: number): Workload => ({
  name: `a message for each of ${grouped(count)} streams of one StreamReader`,
  unit: "ms",
  async prepare({ client }) {
    const script = `GB('StreamReader').foreach(lambda x: execute('INCR', 'seen')).register(prefix='st:*', batch=1, mode='async_local')`;
    await client.must("RG.PYEXECUTE", script);
  },
  run: ({ client, n }) => addToStreams(client, n(count)),
});

async function addToStreams(client: Client, count: number): Promise<void> {
  const before = await client.number("GET", "seen");
  await inPipelines(client, count, 1000, (i) => ["XADD", `st:${i}`, "*", "f", "v"]);
  await until(async () => (await client.number("GET", "seen")) >= before + count);
}

const keys = (count: number, script: string, what: string): Workload => ({
  name: `${what} ${grouped(count)} keys`,
  unit: "ms",
  prepare: ({ client, n }) => inPipelines(client, n(count), 1000, (i) => ["SET", `k:${i}`, i]),
  run: async ({ client }: Bench) => void (await client.must("RG.PYEXECUTE", script)),
});

/** How much the server's memory grows for each of many things. */
const perItem = (
  name: string,
  count: number,
  make: (client: Client, count: number, server: Server) => Promise<void>,
  plain = false,
): Trial => ({
  name: `memory of ${name} (${grouped(count)} of them)`,
  unit: "bytes per item",
  plain,
  async measure(start, n) {
    const server = await start();
    const client = await Client.open(server.port);
    if (!plain) await client.must("RG.PYEXECUTE", "x = 1");
    const before = await server.settledMemory();
    await make(client, n(count), server);
    const after = await server.settledMemory();
    client.close();
    return Math.round((after - before) / n(count));
  },
});

export const growth: readonly Row[] = [
  besideRegistrations(0),
  besideRegistrations(1100),
  besideRegistrations(10_000),
  streams(1),
  streams(100),
  streams(1000),
  streams(5000),
  streams(10_000),
  keys(10_000, "GB().count().run()", "count"),
  keys(1_000_000, "GB().count().run()", "count"),
  keys(500_000, "GB().run()", "return the records of"),
  {
    name: "RG.DUMPREGISTRATIONS of 1 100",
    unit: "ms",
    prepare: async ({ client, n }) => void (await client.must("RG.PYEXECUTE", UNLIKE(n(1100)))),
    run: ({ client }) => client.send("RG.DUMPREGISTRATIONS"),
  },
  perItem(
    "an idle client",
    10_000,
    async (_client, count, server) => {
      for (const _ of range(count)) server.keep(await Client.open(server.port));
    },
    true,
  ),
  perItem("a key", 1_000_000, (client, count) => inPipelines(client, count, 1000, (i) => ["SET", `k:${i}`, i]), true),
  perItem("a registration", 10_000, async (client, count) => void (await client.must("RG.PYEXECUTE", UNLIKE(count)))),
  perItem("a finished execution", 50_000, async (client, count) => {
    await client.must("RG.CONFIGSET", "MaxExecutions", 0);
    await inPipelines(client, count, 100, () => ["RG.PYEXECUTE", "GB('ShardsIDReader').run()"]);
  }),
  perItem("a stream that a registration reads", 10_000, async (client, count) => {
    await client.must(
      "RG.PYEXECUTE",
      "GB('StreamReader').foreach(lambda x: execute('INCR', 'seen')).register(prefix='st:*')",
    );
    await addToStreams(client, count);
  }),
];

/** A number as people read it. */
function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, " ");
}
