/** Programs that use redis-modules-sdk, whose gears module is a client made for RedisGears 1.2. */
import { RedisGears } from "redis-modules-sdk";
import type { Case, Suite } from "./cases.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";

/** The text of an execution's id in what the client gives as it came. */
const mentions = (reply: unknown, text: string): boolean => JSON.stringify(reply).includes(text);

const cases: readonly Case<RedisGears, never>[] = [
  {
    name: "scripts, blocking and not, and their results",
    gears: true,
    async run({ connect }) {
      const client = await connect();
      const script = "GB('ShardsIDReader').count().run()";
      const id = String(await client.pyexecute(script, { unblocking: true }));
      const results = [
        await client.pyexecute(script),
        await client.getResultsBlocking(id),
        await client.getResults(id),
      ];
      return [results, mentions(await errorOf(client.pyexecute("1 / 0")), "ZeroDivisionError")];
    },
    gives: [Array.from({ length: 3 }, () => [["1"], []]), true],
  },
  {
    name: "executions: looked at, listed, dropped",
    gears: true,
    async run({ connect }) {
      const client = await connect();
      const id = String(await client.pyexecute("GB('ShardsIDReader').count().run()", { unblocking: true }));
      await until(async () => mentions(await client.getExecution(id), '"status","done"'));
      return [
        mentions(await client.dumpExecutions(), id),
        await client.dropExecution(id),
        mentions(await client.dumpExecutions(), id),
      ];
    },
    gives: [true, "OK", false],
  },
  {
    name: "triggers, registrations, configuration, statistics, requirements",
    gears: true,
    async run({ connect }) {
      const client = await connect();
      await client.pyexecute("GB('CommandReader').map(lambda r: r[1].upper()).register(trigger='shout')");
      const triggered = await client.trigger("shout", ["hello"]);
      const registrations = (await client.dumpRegistrations()) as unknown as unknown[];
      await client.configSet([["SdkOption", "1"]]);
      return [
        triggered,
        registrations.length,
        await client.configGet(["MaxExecutions"]),
        mentions(await client.pystats(), "TotalAllocated"),
        await client.pydumpreqs(),
        await client.refreshCluster(),
      ];
    },
    gives: [["HELLO"], 1, [1000], true, [], "OK"],
  },
];

export const modulesSdk: Suite<RedisGears, never> = {
  client: "redis-modules-sdk",
  async open(port) {
    const client = new RedisGears({ host: "127.0.0.1", port });
    await client.connect();
    return client;
  },
  close: (client) => void client.disconnect(),
  cases,
};
