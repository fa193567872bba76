/** `sync` executions hold the engine for everybody: nothing that other scripts do may make that hold last. */
import { afterEach, describe, expect, it } from "vitest";
import { callOnce, connectClient } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { until } from "../support/waiting.ts";

const HOOK = "GB('CommandReader').map(lambda r: call_next(*r[1:])).register(hook='hset', keyprefix='h:', mode='sync')";
const ENDLESS = "def f(r):\n    while True: pass\nGB('CommandReader').map(f).register(trigger='endless', mode='sync')";

let server: RunningRegears | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

describe("a sync execution", () => {
  it("gets through while all interpreters compute", async () => {
    server = await startRegears(["--execution-threads", "1"]);
    const client = await connectClient(server.port);
    await client.call("RG.PYEXECUTE", HOOK);
    const endless = "execute('INCR', 'computing')\nwhile True: pass";
    for (let i = 0; i < 3; i++) await callOnce(server.port, "RG.PYEXECUTE", endless, "UNBLOCKING");
    // one more than there are interpreters: when it waits for one, all compute, the hook's too
    const busy = async (): Promise<unknown> => {
      const info = new Map(
        String(await client.call("RG.INFO"))
          .split("\r\n")
          .map((line) => line.split(":") as [string, string]),
      );
      const fields = ["interpreters_busy", "interpreters_limit", "queue_length"].map((name) => info.get(name));
      return [...fields, await client.call("GET", "computing")];
    };
    await expect.poll(busy, { timeout: 60_000 }).toEqual(["2", "2", "1", "2"]);
    for (let i = 0; i < 20; i++) expect(await client.call("HSET", `h:${i}`, "f", "v")).toBe("1");
    expect(await busy()).toEqual(["2", "2", "1", "2"]);
    client.close();
  });

  it("can be aborted while everybody waits for it", async () => {
    server = await startRegears(["--execution-threads", "1", "--script-time-limit", "0"]);
    const [caller, waiter, admin] = await Promise.all([1, 2, 3].map(() => connectClient(server?.port ?? 0)));
    if (!caller || !waiter || !admin) throw new Error("no clients");
    await caller.call("RG.PYEXECUTE", ENDLESS);
    const triggered = caller.call("RG.TRIGGER", "endless").catch((error: Error) => error.message);
    // on a busy machine an interpreter's own work at its start may be listed, too: it is not that of a registration
    const ofTrigger = async (): Promise<string[][]> =>
      ((await admin.call("RG.DUMPEXECUTIONS")) as string[][]).filter((line) => Number(line[5]) === 1);
    await expect.poll(async () => (await ofTrigger()).map((line) => line[3])).toEqual(["running"]);
    let answered = false;
    const written = waiter.call("SET", "k", "v").then(() => {
      answered = true;
    });
    const listed = await ofTrigger();
    expect(answered).toBe(false);
    expect(await admin.call("RG.ABORTEXECUTION", listed[0]?.[1] ?? "")).toBe("OK");
    expect(await triggered).toContain("gears.forcestopped");
    await written;
    for (const client of [caller, waiter, admin]) client.close();
  });

  it("is stopped when it holds the engine for too long", async () => {
    server = await startRegears(["--execution-threads", "1", "--script-time-limit", "400"]);
    const client = await connectClient(server.port);
    await client.call("RG.PYEXECUTE", ENDLESS);
    await expect(client.call("RG.TRIGGER", "endless")).rejects.toThrow("script-time-limit (400 ms)");
    expect(await client.call("PING")).toBe("PONG");
    client.close();
  });
});

describe("a time event", () => {
  it.each([
    ["that can be interrupted", "while True: pass"],
    [
      "that catches what interrupts it",
      "while True:\n        try:\n            while True: pass\n        except BaseException: pass",
    ],
    ["in C", "sum(range(10**13))"],
  ])("that does not end holds everybody up no longer than the limit: %s", async (_name, body) => {
    server = await startRegears(["--script-time-limit", "500"]);
    const client = await connectClient(server.port);
    const script = `
def endless():
    execute('INCR', 'calls')
    ${body}
registerTE(1, endless, 'timer')
GB('CommandReader').map(lambda c: 'there').register(trigger='t')
`;
    await client.call("RG.PYEXECUTE", script, "ID", "timed");
    await expect.poll(() => client.call("GET", "calls"), { timeout: 10_000 }).toBe("1");
    await expect
      .poll(() => server?.output(), { timeout: 10_000 })
      .toContain("a time event of session timed was stopped: it ran longer than script-time-limit (500 ms)");
    expect(await client.call("SET", "k", "v")).toBe("OK");
    expect(await client.call("RG.TRIGGER", "t")).toEqual(["there"]);
    // one of the same interval is called twice meanwhile
    await client.call("RG.PYEXECUTE", "registerTE(1, lambda: execute('INCR', 'marker'))");
    await until(async () => Number(await client.call("GET", "marker")) >= 2);
    expect(await client.call("GET", "calls")).toBe("1");
    client.close();
  });

  it("gets through while its interpreter computes", async () => {
    server = await startRegears(["--execution-threads", "1", "--script-time-limit", "0"]);
    const client = await connectClient(server.port);
    await client.call(
      "RG.PYEXECUTE",
      "registerTE(1, lambda: execute('INCR', 'calls'))\nGB('CommandReader').foreach(lambda c: [0 for _ in iter(int, 1)]).register(trigger='busy', mode='async_local')",
    );
    const other = await connectClient(server.port);
    const busy = other.call("RG.TRIGGER", "busy").catch(() => {});
    await expect.poll(async () => Number(await client.call("GET", "calls")), { timeout: 10_000 }).toBeGreaterThan(2);
    other.close();
    await busy;
    client.close();
  });
});
