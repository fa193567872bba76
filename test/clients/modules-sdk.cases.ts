/** Programs that use redis-modules-sdk, whose gears module is a client made for RedisGears 1.2. */
import { RedisGears } from "redis-modules-sdk";
import { errorOf, type Case, type Suite, until } from "./cases.ts";

const cases: readonly Case<RedisGears, never>[] = [
  {
    name: "scripts, blocking and not, and their results",
    gears: true,
    async run({ connect }) {
      const client = await connect();
      const done = await client.pyexecute("GB().count().run()");
      const id = (await client.pyexecute("GB('ShardsIDReader').count().run()", {
        unblocking: true,
      })) as unknown as string;
      const blocking = await client.getResultsBlocking(id);
      const again = await errorOf(client.getResults(id));
      return [
        done,
        blocking,
        /execution/i.test(again),
        await errorOf(client.pyexecute("1 / 0")).then((text) => text.includes("Zero")),
      ];
    },
    gives: [[[], []], [["1"], []], true, true],
  },
  {
    name: "executions: listed, looked at, dropped",
    gears: true,
    async run({ connect }) {
      const client = await connect();
      const id = (await client.pyexecute("GB('ShardsIDReader').count().run()", {
        unblocking: true,
      })) as unknown as string;
      const finished = await until(async () => {
        const [, plan] = ((await client.getExecution(id)) as unknown as unknown[][])[0] ?? [];
        return JSON.stringify(plan ?? (await client.getExecution(id))).includes("done") ? "done" : undefined;
      });
      const listed = (await client.dumpExecutions()) as unknown as { executionId: string }[];
      return [finished, listed.some(({ executionId }) => executionId === id), await client.dropExecution(id)];
    },
    gives: ["done", true, "OK"],
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
        Object.keys(await client.pystats()).sort(),
        await client.pydumpreqs(),
        await client.refreshCluster(),
      ];
    },
    gives: [["HELLO"], 1, [1000], ["CurrAllocated", "PeakAllocated", "TotalAllocated"], [], "OK"],
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
