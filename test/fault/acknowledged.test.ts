/** A server that is killed right after an answer: what was answered is there when it starts again. */
import { describe, expect, it } from "vitest";
import { fields } from "../support/use-server.ts";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { endServersAfterEach, startServer } from "./support.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";
import { newFolder } from "../support/folders.ts";

endServersAfterEach();

async function start(folder: string): Promise<{ client: Client; kill: () => Promise<unknown> }> {
  const server = await startServer(["--dir", folder, "--save", ""]);
  const client = await connectClient(server.port);
  return { client, kill: () => server.stop("SIGKILL") };
}

const descriptions = async (client: Client): Promise<string[]> =>
  ((await client.call("RG.DUMPREGISTRATIONS")) as Value[]).map((one) => String(fields(one).desc)).sort();

/** A server is started up to three times in a test. */
describe("killed right after", { timeout: 180_000 }, () => {
  it("a step's register(), it has the registration", async () => {
    const folder = newFolder();
    const { client, kill } = await start(folder);
    await client.call(
      "RG.PYEXECUTE",
      `
def make(call):
    GB('CommandReader', desc='made').map(lambda r: 'here').register(trigger='made')
    return 'done'
GB('CommandReader', desc='maker').map(make).register(trigger='make')
`,
    );
    expect(await client.call("RG.TRIGGER", "make")).toEqual(["done"]);
    await kill();
    const { client: again } = await start(folder);
    expect(await descriptions(again)).toEqual(["made", "maker"]);
    expect(await again.call("RG.TRIGGER", "made")).toEqual(["here"]);
  });

  it("registerTE() with a key, it has the time event and its key", async () => {
    const folder = newFolder();
    const { client, kill } = await start(folder);
    const script = "execute('SET', 'made', str(registerTE(1, lambda: execute('INCR', 'ticks'), 'event')))";
    expect(await client.call("RG.PYEXECUTE", script)).toBe("OK");
    await kill();
    const { client: again } = await start(folder);
    expect(await again.call("EXISTS", "event")).toBe(1);
    await until(async () => Number(await again.call("GET", "ticks")) > 0, "it ticks");
  });

  it("a deleted key was saved, the time event has ended", async () => {
    const folder = newFolder();
    const { client, kill } = await start(folder);
    await client.call("RG.PYEXECUTE", "registerTE(2, lambda: execute('INCR', 'ticks'), 'event')");
    await client.call("RG.PYEXECUTE", "registerTE(2, lambda: execute('INCR', 'other ticks'), 'other event')");
    await client.call("DEL", "event");
    expect(await client.call("SAVE")).toBe("OK");
    await client.call("DEL", "ticks", "other ticks");
    await kill();
    const { client: again } = await start(folder);
    expect(await again.call("EXISTS", "event")).toBe(0);
    await until(async () => Number(await again.call("GET", "other ticks")) > 1, "the other one ticks");
    expect(await again.call("EXISTS", "ticks")).toBe(0);
  });

  it("a script that unregisters, it has what is left", async () => {
    const folder = newFolder();
    const { client, kill } = await start(folder);
    await client.call(
      "RG.PYEXECUTE",
      `
for n in range(3): GB('CommandReader', desc=str(n)).map(lambda r: r).register(trigger=f't{n}')
GB('CommandReader', desc='remover').map(lambda c: execute('RG.UNREGISTER', c[1])).register(trigger='remove')
`,
    );
    const ids = ((await client.call("RG.DUMPREGISTRATIONS")) as Value[]).map((one) => String(fields(one).id));
    await client.call("RG.TRIGGER", "remove", ids[0] ?? "");
    const lua = "return redis.call('RG.UNREGISTER', ARGV[1])";
    expect(await client.call("EVAL", lua, "0", ids[1] ?? "")).toBe("OK");
    await kill();
    const { client: again, kill: killAgain } = await start(folder);
    expect(await descriptions(again)).toEqual(["2", "remover"]);
    expect(await again.call("RG.UNREGISTERALL")).toBe(2);
    await killAgain();
    expect(await descriptions((await start(folder)).client)).toEqual([]);
  });

  it("an UPGRADE or REPLACE_WITH, it has the new session and nothing of the old one", async () => {
    const folder = newFolder();
    const session = (version: string): string =>
      `for n in 'ab': GB('CommandReader', desc=n + '${version}').map(lambda r: '${version}').register(trigger=n)`;
    const { client, kill } = await start(folder);
    await client.call("RG.PYEXECUTE", session("1"), "ID", "s", "DESCRIPTION", "first");
    await client.call("RG.PYEXECUTE", session("2"), "ID", "s", "UPGRADE", "DESCRIPTION", "second");
    await kill();
    const { client: again, kill: killAgain } = await start(folder);
    expect(await descriptions(again)).toEqual(["a2", "b2"]);
    const [upgraded] = (await again.call("RG.PYDUMPSESSIONS")) as Value[];
    expect(fields(upgraded)).toMatchObject({ ID: "s", sessionDescription: "second" });
    await again.call("RG.PYEXECUTE", session("3"), "ID", "t", "REPLACE_WITH", "s");
    await killAgain();
    const { client: last } = await start(folder);
    expect(await descriptions(last)).toEqual(["a3", "b3"]);
    expect(((await last.call("RG.PYDUMPSESSIONS")) as Value[]).map((one) => fields(one).ID)).toEqual(["t"]);
  });

  it("registrations with values that no file had a place for, it has all others", async () => {
    const folder = newFolder();
    const { client, kill } = await start(folder);
    await client.call(
      "RG.PYEXECUTE",
      "GB('CommandReader', desc='precious').map(lambda r: 'here').register(trigger='t')",
    );
    for (const option of ["batch", "duration", "onFailedRetryInterval"]) {
      for (const value of ["1<<2000", "(1<<53)", "-(1<<2000)"]) {
        const script = `GB('StreamReader').register('s:*', ${option}=${value})`;
        expect(await errorOf(client.call("RG.PYEXECUTE", script))).toMatch(/out of range|must be greater than 0/);
      }
    }
    for (const seconds of ["1<<2000", "-(1<<2000)"]) {
      const script = `registerTE(${seconds}, lambda: None, 'event')`;
      expect(await errorOf(client.call("RG.PYEXECUTE", script))).toContain("time argument must be a long");
    }
    await client.call(
      "RG.PYEXECUTE",
      "GB('StreamReader', desc='odd \\ud800\\n').register('s:\\ud800*', batch=(1<<53)-1)",
    );
    await kill();
    const { client: again } = await start(folder);
    expect(await again.call("RG.TRIGGER", "t")).toEqual(["here"]);
    expect(await again.call("EXISTS", "event")).toBe(0);
    const [, odd] = ((await again.call("RG.DUMPREGISTRATIONS")) as Value[]).map(fields);
    expect(fields(fields(odd?.RegistrationData).args)).toMatchObject({ batchSize: 2 ** 53 - 1 });
  });
});
