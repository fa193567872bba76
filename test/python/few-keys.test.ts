/** Few keys are read by the engine in Python's own thread, and the records are the same as those of the main thread. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Value } from "../support/client.ts";
import { useServer } from "../support/use-server.ts";

const setting = useServer(["--execution-threads", "1"]);

const asked = async (): Promise<number> => {
  const info = String(await setting().client.call("INFO", "regears"));
  return Number(/calls_total_keys_open:(\d+)/.exec(info)?.[1] ?? 0);
};

/** Results of a script, in the order of their texts. */
async function results(script: string): Promise<string[]> {
  const [found, errors] = (await setting().client.call("RG.PYEXECUTE", script)) as Value[][];
  expect(errors).toEqual([]);
  return (found ?? []).map(String).sort();
}

/** The results as the interpreter's thread reads them, which are compared with those that the main thread reads. */
async function bothWays(script: string): Promise<string[]> {
  const monitor = await setting().connect();
  await monitor.call("MONITOR");
  const before = await asked();
  const expected = await results(script);
  expect(await asked()).toBe(before + 1);
  monitor.close();
  await expect.poll(async () => String(await setting().client.call("CLIENT", "LIST"))).not.toContain("flags=O");
  // the first one opens the way
  await results("GB().count().run()");
  const opened = await asked();
  const seen = await results(script);
  expect(await asked()).toBe(opened);
  expect(seen).toEqual(expected);
  return seen;
}

describe("a KeysReader of few keys", () => {
  beforeEach(async () => {
    for (const command of [
      ["SET", "text", "ä"],
      ["SET", "empty", ""],
      ["SET", "number", "5"],
      ["HSET", "hash", "f", "1", "g", "2"],
      ["RPUSH", "list", "x", "y", "x"],
      ["SADD", "set", "m"],
      ["ZADD", "zset", "1", "m"],
      ["XADD", "stream", "1-1", "k", "v"],
      ["SET", "gone", "x", "PX", "1"],
    ])
      await setting().client.call(...command);
    await expect.poll(async () => setting().client.call("EXISTS", "gone")).toBe(0);
  });

  it("gives records of each type", async () => {
    const seen = await bothWays("GB().run()");
    expect(seen).toHaveLength(8);
    expect(seen).toContain("{'event': None, 'key': 'hash', 'type': 'hash', 'value': {'f': '1', 'g': '2'}}");
    expect(seen).toContain("{'event': None, 'key': 'stream', 'type': 'unknown', 'value': None}");
  });

  it("gives what is no text as bytearray, and fields as bytes", async () => {
    const { client } = setting();
    const raw = Buffer.from([0xff, 0x20]);
    await client.call("SET", raw, raw);
    await client.call("HSET", Buffer.from([0xfe]), raw, raw);
    await client.call("RPUSH", "raws", raw, "t");
    const seen = await bothWays("GB().map(lambda r: repr(r)).run()");
    expect(seen.filter((line) => line.includes("bytearray"))).toHaveLength(3);
  });

  it("gives strings alone", async () => {
    expect(await bothWays("GB().run('*[xp]t*')")).toHaveLength(2);
    expect(await bothWays("GB().run('n*')")).toHaveLength(1);
    expect(await bothWays("GB().run('nothing*')")).toEqual([]);
  });

  it.each([
    ["a key by its name", "GB().run('hash')", 1],
    ["a key by its name without its value", "GB().run('hash', readValue=False)", 1],
    ["no record of a key that is not there", "GB().run('missing')", 0],
    ["a record of a missing key that is wanted exactly", "GB().run('missing', noScan=True)", 1],
    ["the same without a value", "GB().run('missing*', noScan=True, readValue=False)", 1],
    ["keys only", "GB().run(readValue=False)", 8],
    ["their number", "GB().count().run()", 1],
    ["those of a pattern with a set", "GB().run('[ht]*')", 2],
    ["what a flow makes of them", "GB().map(lambda r: r['type']).countby().run()", 6],
  ])("gives %s", async (_what, script, count) => {
    expect(await bothWays(script)).toHaveLength(count);
  });

  it("knows how many records were read", async () => {
    await bothWays("GB().run()");
    await results("GB().foreach(lambda r: None).run('*')");
    expect(await results("GB().limit(2).count().run()")).toEqual(["2"]);
  });
});

describe("a KeysReader of many keys", () => {
  it("is read by the main thread, each key once", async () => {
    const { client } = setting();
    const names = Array.from({ length: 500 }, (_, at) => `k:${at}`);
    await client.call("MSET", ...names.flatMap((name) => [name, name]));
    await results("GB().count().run('k:1')");
    const before = await asked();
    expect(await results("GB().map(lambda r: r['value']).run()")).toEqual([...names].sort());
    expect(await asked()).toBe(before + 1);
  });
});
