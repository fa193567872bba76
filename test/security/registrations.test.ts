/** Registrations by the thousand: making, listing and ending them holds nobody up. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { servesDuring } from "../support/serving.ts";

/** As many as there may be unless more are allowed. */
const MANY = 9_999;

let server: RunningRegears;
let client: Client;
beforeAll(async () => {
  server = await startRegears();
  client = await connectClient(server.port);
});
afterAll(async () => {
  client.close();
  await server.stop();
});

describe("thousands of registrations in one script", () => {
  it.each([
    ["CommandReader", "GB('CommandReader').register(trigger='t%d' % i)"],
    ["StreamReader", "GB('StreamReader').register('s%d:*' % i)"],
    ["KeysReader", "GB('KeysReader').register('k%d:*' % i)"],
  ])("of a %s", async (_reader, register) => {
    await servesDuring(server, () => client.call("RG.PYEXECUTE", `for i in range(${MANY}): ${register}`));
    const listed = (await servesDuring(server, () => client.call("RG.DUMPREGISTRATIONS"))) as string[][];
    expect(listed).toHaveLength(MANY);
    // each of them tells of its session, and names only some of all
    expect(listed.at(-1)?.at(9)?.length).toBeLessThan(6_000);
    const [session] = (await servesDuring(server, () => client.call("RG.PYDUMPSESSIONS", "VERBOSE"))) as string[][];
    expect(session?.at(-1)).toHaveLength(MANY);
    expect(await servesDuring(server, () => client.call("RG.UNREGISTERALL"))).toBe(MANY);
  });
});
