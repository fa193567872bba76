/** Scripts: short ones, many clients, computing. */
import { Client } from "../client.ts";
import { inPipelines, range, type Workload } from "../row.ts";

const COUNT = "GB().count().run()";
const FIB = "def fib(n):\n    return n if n < 2 else fib(n-1) + fib(n-2)\n";
const fib = `${FIB}GB('ShardsIDReader').map(lambda x: fib(24)).run()`;

const tenKeys = (client: Client): Promise<void> => inPipelines(client, 10, 10, (i) => ["SET", `k:${i}`, i]);

export const scripts: readonly Workload[] = [
  {
    name: "script x = 1, 300 calls one by one",
    unit: "ms",
    async run({ client, n }) {
      for (const _ of range(n(300))) await client.must("RG.PYEXECUTE", "x = 1");
    },
  },
  {
    name: "count of 10 keys, 200 calls one by one",
    unit: "ms",
    prepare: ({ client }) => tenKeys(client),
    async run({ client, n }) {
      for (const _ of range(n(200))) await client.must("RG.PYEXECUTE", COUNT);
    },
  },
  {
    name: "16 clients × 20 counts of 10 keys",
    unit: "ms",
    prepare: ({ client }) => tenKeys(client),
    async run({ server, n }) {
      const clients = await Promise.all(range(16).map(() => Client.open(server.port)));
      await Promise.all(
        clients.map(async (client) => {
          for (const _ of range(n(20))) await client.must("RG.PYEXECUTE", COUNT);
          client.close();
        }),
      );
    },
  },
  { name: "fib(24)", unit: "ms", run: async ({ client }) => void (await client.must("RG.PYEXECUTE", fib)) },
  {
    name: "four × fib(24) at once",
    unit: "ms",
    async run({ client }) {
      const ids = await Promise.all(range(4).map(() => client.must("RG.PYEXECUTE", fib, "UNBLOCKING")));
      for (const id of ids) {
        await client.must("RG.GETRESULTSBLOCKING", String(id));
        await client.must("RG.DROPEXECUTION", String(id));
      }
    },
  },
  {
    name: "json and regular expressions over 20 000 strings",
    unit: "ms",
    async run({ client, n }) {
      const script = `import json, re
pattern = re.compile(r'(\\d+)-(\\w+)')
def lines():
    for i in range(${n(20_000)}): yield '{"a": "%d-x%d", "b": [1,2,3]}' % (i, i)
GB('PythonReader').map(json.loads).map(lambda d: pattern.match(d['a']).group(2)).count().run(lines)`;
      await client.must("RG.PYEXECUTE", script);
    },
  },
];
