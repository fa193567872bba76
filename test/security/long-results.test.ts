/** Kept results of many megabytes, fetched again and again: others are served, and memory does not grow. */
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasProc, pidOf, residentMb } from "../fault/support.ts";
import { type Client, connectClient } from "../support/client.ts";
import { request } from "../support/plain-client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

/** Results of 10 MB. */
const SCRIPT = "GB('PythonReader').map(lambda x: 'r' * 100_000).run(lambda: (i for i in range(100)))";
const FETCHES = 60;

let server: RunningRegears;
let fetcher: Client;
let bystander: Client;
let id: string;

beforeAll(async () => {
  server = await startRegears();
  fetcher = await connectClient(server.port);
  bystander = await connectClient(server.port);
  id = String(await fetcher.call("RG.PYEXECUTE", SCRIPT, "UNBLOCKING"));
  await fetcher.call("RG.GETRESULTSBLOCKING", id);
}, 120_000);
afterAll(() => server.stop("SIGKILL"));

const fetchMany = (count: number): Promise<unknown>[] =>
  Array.from({ length: count }, () => fetcher.call("RG.GETRESULTS", id));

describe("results that are fetched one after the other", { timeout: 120_000 }, () => {
  it("by a client that reads quickly leave others their turn", async () => {
    const socket = connect(server.port, "127.0.0.1");
    let bytes = 0;
    const all = FETCHES * 10_000_000;
    const has = (wanted: number): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => void (bytes >= wanted && resolve());
        socket.on("data", look);
      });
    socket.on("data", (chunk) => {
      bytes += chunk.length;
    });
    const [begun, ended] = [has(1), has(all)];
    socket.write(Buffer.concat(Array.from({ length: FETCHES }, () => request("RG.GETRESULTS", id))));
    await begun;
    expect(await bystander.call("PING")).toBe("PONG");
    expect(bytes).toBeLessThan(all / 2);
    await ended;
    socket.destroy();
  });

  it("in a transaction leave others their turn, and are an error when they are too long together", async () => {
    fetcher.call("MULTI").catch(() => {});
    await Promise.all(fetchMany(FETCHES));
    const before = hasProc ? residentMb(pidOf(server)) : 0;
    let ended = false;
    const exec = fetcher.call("EXEC").catch((error: Error) => {
      ended = true;
      return error.message;
    });
    await bystander.call("PING");
    await bystander.call("PING");
    expect(ended).toBe(false);
    expect(await exec).toMatch(/^ERR the reply is longer than \d+ bytes$/);
    if (hasProc) expect(residentMb(pidOf(server)) - before).toBeLessThan(500);
  });
});
