/** `sync` executions hold the engine for everybody: nothing that other scripts do may make that hold last. */
import { afterEach, describe, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

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
    // more than there are interpreters, so that the hook's is busy too
    for (let i = 0; i < 3; i++) await client.call("RG.PYEXECUTE", "while True: pass", "UNBLOCKING");
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    for (let i = 0; i < 20; i++) expect(await client.call("HSET", `h:${i}`, "f", "v")).toBe("1");
    expect(await client.call("PING")).toBe("PONG");
    client.close();
  });

  it("can be aborted while everybody waits for it", async () => {
    server = await startRegears(["--execution-threads", "1", "--script-time-limit", "0"]);
    const [caller, waiter, admin] = await Promise.all([1, 2, 3].map(() => connectClient(server?.port ?? 0)));
    if (!caller || !waiter || !admin) throw new Error("no clients");
    await caller.call("RG.PYEXECUTE", ENDLESS);
    const triggered = caller.call("RG.TRIGGER", "endless").catch((error: Error) => error.message);
    await expect
      .poll(async () => ((await admin.call("RG.DUMPEXECUTIONS")) as string[][]).map((line) => line[3]))
      .toEqual(["running"]);
    let answered = false;
    const pong = waiter.call("PING").then(() => {
      answered = true;
    });
    const listed = (await admin.call("RG.DUMPEXECUTIONS")) as string[][];
    expect(answered).toBe(false);
    expect(await admin.call("RG.ABORTEXECUTION", listed[0]?.[1] ?? "")).toBe("OK");
    expect(await triggered).toContain("gears.forcestopped");
    await pong;
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
