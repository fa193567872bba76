/** DEBUG RELOAD: what a restart does, without one. */
import { afterEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

let server: RunningRegears | undefined;
afterEach(async () => {
  await server?.stop();
  server = undefined;
});

async function start(): Promise<Client> {
  server = await startRegears(["--execution-threads", "2"]);
  return connectClient(server.port);
}

describe("DEBUG RELOAD", () => {
  it("keeps data and registrations, and takes globals back to what they were at register()", async () => {
    const client = await start();
    const script = `
n = 5
def step(r):
    global n
    n += 1
    return n
GB('CommandReader').map(step).register(trigger='t', mode='sync', onRegistered=lambda: execute('INCR', 'registered'))
GB('KeysReader').foreach(lambda r: execute('INCR', 'events')).register('k:*', eventTypes=['set'], mode='sync')`;
    await client.call("RG.PYEXECUTE", script, "ID", "app");
    expect(await client.call("RG.TRIGGER", "t")).toEqual(["6"]);
    expect(await client.call("RG.TRIGGER", "t")).toEqual(["7"]);
    await client.call("SET", "k:1", "v");
    const before = (await client.call("RG.DUMPREGISTRATIONS")) as string[][];
    await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()", "UNBLOCKING");

    expect(await client.call("DEBUG", "RELOAD")).toBe("OK");

    expect(await client.call("GET", "k:1")).toBe("v");
    expect(await client.call("RG.DUMPEXECUTIONS")).toEqual([]);
    const after = (await client.call("RG.DUMPREGISTRATIONS")) as string[][];
    expect(after.map((registration) => registration[1])).toEqual(before.map((registration) => registration[1]));
    expect(await client.call("RG.TRIGGER", "t")).toEqual(["6"]);
    await client.call("SET", "k:2", "v");
    expect(await client.call("MGET", "events", "registered")).toEqual(["2", "2"]);
    const sessions = (await client.call("RG.PYDUMPSESSIONS")) as string[][];
    expect(sessions.map((session) => session[1])).toEqual(["app"]);
    client.close();
  });

  it("ends what is in progress", async () => {
    const client = await start();
    await client.call("RG.PYEXECUTE", "while True: pass", "UNBLOCKING");
    await client.call("RG.PYEXECUTE", "import time\nwhile True: time.sleep(0.01)", "UNBLOCKING");
    expect(await client.call("DEBUG", "RELOAD")).toBe("OK");
    expect(await client.call("RG.DUMPEXECUTIONS")).toEqual([]);
    expect(await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()")).toEqual([["1"], []]);
    client.close();
  });

  it("leaves the engine's other DEBUG commands to the engine", async () => {
    const client = await start();
    await expect(client.call("DEBUG", "SLEEP", "0")).rejects.toThrow(/DEBUG/);
    client.close();
  });
});
