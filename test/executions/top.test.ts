/** RG.TOP: how far executions are. */
import { describe, expect, it } from "vitest";
import { fields, useServer, type Value } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

const setting = useServer();
const top = async (...options: string[]): Promise<Record<string, Value>[]> =>
  ((await setting().client.call("RG.TOP", ...options)) as Value[]).map(fields);

describe("RG.TOP", () => {
  it("shows what runs, longest first, with what it belongs to", async () => {
    const { client } = setting();
    const script = "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(60)).filter(lambda r: r).run()";
    const first = await client.call("RG.PYEXECUTE", script, "UNBLOCKING", "ID", "sleeper", "DESCRIPTION", "sleeps");
    await until(async () => (await top()).some(({ place }) => place === "running"));
    const second = await client.call("RG.PYEXECUTE", script, "UNBLOCKING");
    await until(async () => (await top()).length === 2);
    const [one, two] = await top();
    expect([one?.executionId, two?.executionId]).toEqual([first, second]);
    expect(one).toMatchObject({
      ...{ status: "running", place: "running", session: "sleeper", description: "sleeps", user: "default" },
      ...{ registration: null, results: 0, errors: 0, interpreter: 1, reader: "PythonReader" },
      steps: ["map", "filter", "text", "collect"],
    });
    expect(Number(one?.created)).toBeGreaterThan(Date.now() - 60_000);
    expect(Number(one?.memory_bytes)).toBeGreaterThan(1_000_000);
    expect(await top("COUNT", "1")).toHaveLength(1);
    for (const id of [first, second]) await client.call("RG.ABORTEXECUTION", id as string);
    expect(await top()).toEqual([]);
  });

  it("counts the time on, and stops at the end", async () => {
    const { client } = setting();
    const id = (await client.call(
      "RG.PYEXECUTE",
      "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(60)).run()",
      "UNBLOCKING",
    )) as string;
    const elapsed = async (): Promise<number> => Number((await top("ID", id))[0]?.elapsed_ms);
    await until(async () => (await elapsed()) > 20);
    await client.call("RG.ABORTEXECUTION", id);
    const [ended] = await top("ID", id);
    expect(ended).toMatchObject({ place: "ended", interpreter: null });
    const then = Date.now();
    await until(async () => Date.now() > then + 5);
    expect((await top("ID", id))[0]?.elapsed_ms).toBe(ended?.elapsed_ms);
  });

  it("with FINISHED shows the last ones that have ended, and names the registration of an event", async () => {
    const { client } = setting();
    await client.call(
      "RG.PYEXECUTE",
      "GB('KeysReader').foreach(lambda r: 1 / 0).register('k*')",
      "DESCRIPTION",
      "fails",
    );
    await client.call("SET", "k1", "1");
    await until(async () => (await top("FINISHED", "COUNT", "1")).some(({ description }) => description === "fails"));
    const [last] = await top("FINISHED", "COUNT", "1");
    const [registration] = (await client.call("RG.DUMPREGISTRATIONS")) as Value[];
    expect(last).toMatchObject({ status: "done", errors: 1, registration: fields(registration).id });
  });

  it.each([
    [["COUNT", "0"], "ERR COUNT is a number from 1 to 10000"],
    [["COUNT"], "ERR syntax error"],
    [["ALL"], "ERR syntax error"],
    [["ID", "x"], "execution plan does not exist"],
  ])("%j: %s", async (options, message) => {
    await expect(top(...(options as string[]))).rejects.toThrow(message);
  });
});
