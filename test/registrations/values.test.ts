/** When an event's value is read: docs/events.md. */
import { describe, expect, it } from "vitest";
import { useServer } from "../support/use-server.ts";
import { until } from "../support/waiting.ts";

const setting = useServer();

/** Notes what it gets of each event of the keys `k:…`. */
const NOTING =
  "GB('KeysReader').foreach(lambda r: execute('RPUSH', 'seen', '{event} {type} {value}'.format(**r))).register('k:*', mode='async_local', eventTypes=['set', 'hset', 'del'])";

const seen = async (count: number): Promise<unknown> => {
  const { client } = setting();
  await until(async () => Number(await client.call("LLEN", "seen")) >= count);
  return client.call("LRANGE", "seen", "0", "-1");
};

/** The ids of executions that events have caused and that have not begun. */
async function eventsThatWait(): Promise<string[]> {
  const all = (await setting().client.call("RG.DUMPEXECUTIONS")) as string[][];
  return all
    .filter(([, , , status, , registered]) => status === "created" && Number(registered) === 1)
    .map(([, id]) => String(id));
}

describe("the value of an event that a script's body causes", () => {
  it.each([
    [
      "is as the body leaves it",
      "execute('HSET', 'k:1', 'f', 'v')\nexecute('DEL', 'k:1')",
      ["hset empty None", "del empty None"],
    ],
    [
      "is that of a key which is there again",
      "execute('SET', 'k:1', 'a')\nexecute('DEL', 'k:1')\nexecute('SET', 'k:1', 'b')",
      ["set string b", "del string b", "set string b"],
    ],
    [
      "is read when a body fails, too",
      "execute('SET', 'k:1', 'a')\nexecute('SET', 'k:1', 'b')\n1 / 0",
      ["set string b", "set string b"],
    ],
  ])("%s", async (_what, body, expected) => {
    const { client, connect } = setting();
    await client.call("RG.PYEXECUTE", NOTING);
    // in an interpreter of its own, so that the registration's is free while the body runs
    const author = await connect();
    const [first, ...others] = body.split("\n");
    const waiting = others.map((line, at) => `while not execute('EXISTS', 'go:${at}'): time.sleep(0.01)\n${line}`);
    const done = author.call("RG.PYEXECUTE", ["import time", first, ...waiting].join("\n")).catch(() => {});
    for (const at of others.keys()) {
      await until(async () => (await eventsThatWait()).length > at);
      await client.call("SET", `go:${at}`, "1");
    }
    await done;
    expect(await seen(expected.length)).toEqual(expected);
  });

  it("waits in a list where it can be seen and aborted", async () => {
    const { client, connect } = setting();
    await client.call("RG.PYEXECUTE", NOTING);
    const author = await connect();
    const body = "import time\nexecute('SET', 'k:1', 'a')\nwhile execute('GET', 'go') is None: time.sleep(0.01)";
    const done = author.call("RG.PYEXECUTE", body);
    const id = await until(async () => (await eventsThatWait())[0]);
    expect(await client.call("RG.ABORTEXECUTION", id)).toBe("OK");
    await client.call("SET", "go", "1");
    await done;
    await client.call("SET", "k:1", "marker");
    expect(await seen(1)).toEqual(["set string marker"]);
  });
});
