/** Triggers, key events, streams. */
import { Client } from "../client.ts";
import { type Bench, inPipelines, range, until, type Workload } from "../row.ts";

const register =
  (script: string) =>
  async ({ client }: Bench) =>
    void (await client.must("RG.PYEXECUTE", script));
const TRIGGER = "GB('CommandReader').map(lambda x: x[1]).register(trigger='bench', mode='sync')";

/** @param more further arguments of `register`; none: the record has the key's value */
const keyEvents = (mode: string, more = ""): string =>
  `GB('KeysReader').foreach(lambda x: execute('INCR', 'seen')).register(prefix='ev:*', eventTypes=['set'], mode='${mode}'${more})`;
const WITHOUT_VALUE = ", readValue=False";
const STREAM =
  "GB('StreamReader').count().foreach(lambda n: execute('INCRBY', 'seen', str(n))).register(prefix='st', batch=100, duration=100, mode='async_local')";

/** Until so many more were seen than before something is done. */
async function untilSeen({ client }: Bench, count: number, act: () => Promise<void>): Promise<void> {
  const seen = (): Promise<number> => client.number("GET", "seen");
  const before = await seen();
  await act();
  await until(async () => (await seen()) >= before + count);
}

const sets = (name: string, script: string, count: number, pipeline: number): Workload => ({
  name,
  unit: "ms",
  prepare: register(script),
  run: (bench) =>
    untilSeen(bench, bench.n(count), () =>
      inPipelines(bench.client, bench.n(count), pipeline, (i) => ["SET", `ev:${i}`, 1]),
    ),
});

export const events: readonly Workload[] = [
  {
    name: "1 000 sync triggers one by one",
    unit: "ms",
    prepare: register(TRIGGER),
    async run({ client, n }) {
      for (const _ of range(n(1000))) await client.must("RG.TRIGGER", "bench", "v");
    },
  },
  {
    name: "2 000 sync triggers in pipelines of 100",
    unit: "ms",
    prepare: register(TRIGGER),
    run: ({ client, n }) => inPipelines(client, n(2000), 100, () => ["RG.TRIGGER", "bench", "v"]),
  },
  {
    name: "six triggers that sleep for half a second, at once",
    unit: "ms",
    prepare: register(
      "import time\nGB('CommandReader').map(lambda x: time.sleep(0.5)).register(trigger='sleep', mode='async')",
    ),
    async run({ server }) {
      const clients = await Promise.all(range(6).map(() => Client.open(server.port)));
      await Promise.all(clients.map((client) => client.must("RG.TRIGGER", "sleep")));
      for (const client of clients) client.close();
    },
  },
  sets("5 000 SETs, KeysReader async_local", keyEvents("async_local", WITHOUT_VALUE), 5000, 500),
  sets("5 000 SETs, KeysReader sync", keyEvents("sync", WITHOUT_VALUE), 5000, 500),
  sets("5 000 SETs, KeysReader sync that reads the values", keyEvents("sync"), 5000, 500),
  sets("1 000 events in flight at once, KeysReader async_local", keyEvents("async_local", WITHOUT_VALUE), 1000, 1000),
  {
    name: "20 000 stream messages in batches of 100",
    unit: "ms",
    prepare: register(STREAM),
    run: (bench) =>
      untilSeen(bench, bench.n(20_000), () =>
        inPipelines(bench.client, bench.n(20_000), 1000, (i) => ["XADD", "st", "*", "i", i]),
      ),
  },
];
