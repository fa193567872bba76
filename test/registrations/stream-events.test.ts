/** StreamReader registrations on the running server: what no recording shows. */
import { describe, expect, it } from "vitest";
import { fields, onlyRegistration, registrations, useServer, type Value } from "../support/use-server.ts";
import { reply } from "../support/replies.ts";

const setting = useServer();
const ask = (...args: string[]): Promise<Value> => reply(setting().client, ...args);
const script = (code: string): Promise<Value> => ask("RG.PYEXECUTE", code);
const noted = (): Promise<Value> => ask("LRANGE", "noted", "0", "-1");
const add = (key: string, id: string): Promise<Value> => ask("XADD", key, id, "f", "v");

const onlyId = async (): Promise<string> => String((await registrations(setting().client))[0]?.id);

describe("a StreamReader registration", () => {
  it("reads through its consumer group, as its consumer", async () => {
    await script("GB('StreamReader').register('s', mode='sync', trimStream=False)");
    for (const id of ["1-1", "2-1"]) await add("s", id);
    const [group] = ((await ask("XINFO", "GROUPS", "s")) as Value[]).map(fields);
    expect(group).toMatchObject({ name: "__gears_consumer_group__", pending: 0, "last-delivered-id": "2-1" });
    const [consumer] = ((await ask("XINFO", "CONSUMERS", "s", "__gears_consumer_group__")) as Value[]).map(fields);
    expect(consumer).toMatchObject({ name: "__gears_client__", pending: 0 });
    expect(await ask("XLEN", "s")).toBe(2);
  });

  it("is woken by XADD only; what came another way is found when it is unpaused", async () => {
    await script("GB('StreamReader').foreach(lambda r: execute('RPUSH', 'noted', r['id'])).register('s', mode='sync')");
    await add("other", "1-1");
    await ask("RENAME", "other", "s");
    await ask("XSETID", "s", "5-1");
    expect([await noted(), (await onlyRegistration(setting().client)).numTriggered]).toEqual([[], 0]);
    const id = await onlyId();
    expect([await ask("RG.PAUSEREGISTRATIONS", id), await ask("RG.UNPAUSEREGISTRATIONS", id)]).toEqual(["OK", "OK"]);
    await expect.poll(noted).toEqual(["1-1"]);
  });

  it("trims to what still waits", async () => {
    await script("GB('StreamReader').register('s', batch=2, mode='sync')");
    for (const id of ["1-1", "2-1", "3-1"]) await add("s", id);
    expect(await ask("XRANGE", "s", "-", "+")).toEqual([["3-1", ["f", "v"]]]);
  });

  it("gives the messages of a batch as records in the stream's order", async () => {
    await script(`
GB('StreamReader').map(lambda r: [r['key'], r['id'], r['value']]).foreach(
    lambda r: execute('RPUSH', 'noted', str(r))).register('s*', batch=2, mode='sync')`);
    for (const [key, id] of [
      ["s1", "1-1"],
      ["s2", "1-1"],
      ["s1", "2-1"],
      ["s2", "2-1"],
    ] as const) {
      await add(key, id);
    }
    expect(await noted()).toEqual(
      ["s1", "s2"].flatMap((key) => ["1-1", "2-1"].map((id) => `['${key}', '${id}', {'f': 'v'}]`)),
    );
  });

  it.each([
    ["map", "lambda r: slow(r) if r['id'] in held else r"],
    ["foreach", "lambda r: slow(r) if r['id'] in held else None"],
    ["filter", "lambda r: slow(r) if r['id'] in held else True"],
  ])("keeps the order of a batch of which a %s holds some", async (step, held) => {
    await script(`
held = {'2-1', '4-1'}
async def slow(r):
    await asyncio.sleep(0.01)
    return r
GB('StreamReader').map(lambda r: dict(r, seen=1)).${step}(${held}).filter(lambda r: r['id'] != '3-1').foreach(
    lambda r: execute('RPUSH', 'noted', r['id'] + str(r['seen']))).register('s', batch=5, mode='async_local')`);
    for (const id of ["1-1", "2-1", "3-1", "4-1", "5-1"]) await add("s", id);
    await expect.poll(noted).toEqual(["1-11", "2-11", "4-11", "5-11"]);
  });

  it("goes no further in a batch after an error", async () => {
    await script(`
GB('StreamReader').map(lambda r: r if r['id'] != '2-1' else 1 / 0).foreach(
    lambda r: execute('RPUSH', 'noted', r['id'])).register('s', batch=3, mode='async_local')`);
    for (const id of ["1-1", "2-1", "3-1"]) await add("s", id);
    await expect.poll(async () => (await onlyRegistration(setting().client)).numFailures).toBe(1);
    expect(await noted()).toEqual(["1-1"]);
  });

  it.each([
    ["mode='sync', onFailedPolicy='retry'", /gears\.error/],
    ["mode='sync', onFailedPolicy='abort'", /gears\.error/],
    ["batch=0", /gears\.error/],
    ["batch=-1", /gears\.error/],
  ])("is refused with %s", async (args, text) => {
    expect(await script(`GB('StreamReader').register('s', ${args})`)).toMatch(text);
    expect(await ask("RG.DUMPREGISTRATIONS")).toEqual([]);
  });

  it("'PAUSE …' as a flat error pauses, whatever the policy; nothing is acknowledged", async () => {
    await script(`
def f(r):
    if not execute('EXISTS', 'go'): flat_error('PAUSE for now')
    execute('RPUSH', 'noted', r['id'])
GB('StreamReader').foreach(f).register('s', mode='async_local', onFailedPolicy='continue')`);
    await add("s", "1-1");
    const status = async (): Promise<Value> => (await onlyRegistration(setting().client)).status ?? null;
    await expect.poll(status).toBe("PAUSED");
    await add("s", "2-1");
    expect((await onlyRegistration(setting().client)).lastError).toBe("PAUSE for now");
    expect(await ask("XLEN", "s")).toBe(2);
    await ask("SET", "go", "1");
    expect(await ask("RG.UNPAUSEREGISTRATIONS", await onlyId())).toBe("OK");
    await expect.poll(noted).toEqual(["1-1", "2-1"]);
    await expect.poll(() => ask("XLEN", "s")).toBe(0);
  });

  it("the executions of one stream never overlap, though each waits in a coroutine", async () => {
    await script(`
import asyncio
async def f(r):
    execute('RPUSH', 'noted', 'begin ' + r['id'])
    await asyncio.sleep(0.002)
    execute('RPUSH', 'noted', 'end ' + r['id'])
GB('StreamReader').foreach(f).register('s', mode='async_local')`);
    for (const id of ["1-1", "2-1", "3-1"]) await add("s", id);
    await expect.poll(noted).toEqual(["1-1", "2-1", "3-1"].flatMap((id) => [`begin ${id}`, `end ${id}`]));
  });
});
