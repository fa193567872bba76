/** Kept results of many megabytes, fetched again and again in one transaction: others are served, and memory does not grow. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { hasProc, pidOf, residentMb } from "../support/processes.ts";

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

describe("results that are fetched again and again", { timeout: 120_000 }, () => {
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
