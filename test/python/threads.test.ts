/** ExecutionThreads: how many executions run at once, and that a script's flow which begins by itself keeps to it. */
import { describe, expect, it } from "vitest";
import { type Client, useServer } from "../support/use-server.ts";

const setting = useServer(["--execution-threads", "1"]);

/** Statuses of the executions, by id. */
async function statuses(client: Client): Promise<Map<string, string>> {
  const all = (await client.call("RG.DUMPEXECUTIONS")) as string[][];
  return new Map(all.map((line) => [line[1] as string, line[3] as string]));
}

/** A flow that waits on its thread for the key to be there. */
const until = (key: string): string => `
import time
def wait(r):
    while not execute('EXISTS', '${key}'): time.sleep(0.01)
    return '${key}'
GB('ShardsIDReader').map(wait).run()`;

describe("one thread", () => {
  it("runs one flow at a time", async () => {
    const { client } = setting();
    const first = (await client.call("RG.PYEXECUTE", until("a"), "UNBLOCKING")) as string;
    await expect.poll(async () => (await statuses(client)).get(first)).toBe("running");
    const second = (await client.call("RG.PYEXECUTE", until("b"), "UNBLOCKING")) as string;
    await client.call("RG.PYEXECUTE", "x = 1");
    expect((await statuses(client)).get(second)).toBe("created");
    await client.call("SET", "b", "1");
    await client.call("SET", "a", "1");
    for (const [id, key] of [
      [second, "b"],
      [first, "a"],
    ] as const) {
      expect(await client.call("RG.GETRESULTSBLOCKING", id)).toEqual([[key], []]);
    }
  });

  it("is not held by the body of a script that will need it", async () => {
    const { client, connect } = setting();
    const other = await connect();
    const slow = `import time
while not execute('EXISTS', 'go'): time.sleep(0.01)
GB('ShardsIDReader').run()`;
    const answer = other.call("RG.PYEXECUTE", slow);
    await client.call("RG.PYEXECUTE", "x = 1");
    await client.call("SET", "c", "1");
    expect(await client.call("RG.PYEXECUTE", until("c"))).toEqual([["c"], []]);
    await client.call("SET", "go", "1");
    expect(await answer).toEqual([["1"], []]);
  });

  it("can be had back from a flow that is aborted right after it began", async () => {
    const { client } = setting();
    for (let round = 0; round < 30; round++) {
      const id = (await client.call("RG.PYEXECUTE", until("never"), "UNBLOCKING")) as string;
      if (round % 2) await expect.poll(async () => (await statuses(client)).get(id)).toBe("running");
      expect(await client.call("RG.ABORTEXECUTION", id)).toBe("OK");
      expect(["done", "aborted"]).toContain((await statuses(client)).get(id));
    }
    expect(await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()")).toEqual([["1"], []]);
  });

  it("serves many clients in turn", async () => {
    const { client, connect } = setting();
    const clients = await Promise.all(Array.from({ length: 20 }, connect));
    await Promise.all(
      clients.map(async (one, number) => {
        for (let i = 0; i < 10; i++) {
          const script = i % 3 ? `GB('ShardsIDReader').map(lambda r: '${number}-${i}').run()` : "x = 1";
          const expected = i % 3 ? [[`${number}-${i}`], []] : "OK";
          expect(await one.call("RG.PYEXECUTE", script)).toEqual(expected);
        }
      }),
    );
    const info = (await client.call("RG.INFO")) as string;
    expect(/^executions_on_threads:(.*)\r$/m.exec(info)?.[1] ?? info).toBe("0");
  });
});
