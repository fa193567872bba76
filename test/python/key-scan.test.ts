import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EngineClient } from "../../src/engine/engine-client.ts";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { decodeMarshal, type MarshalValue } from "../../src/python/marshal.ts";
import { type KeyBatch, KeyScan, type RawCall } from "../../src/python/key-scan.ts";

const engine = new EmbeddedEngine();
let client: EngineClient;

beforeAll(async () => {
  await engine.start();
  client = new EngineClient(engine.connect());
});
afterAll(() => engine.stop());
beforeEach(() => client.call("FLUSHALL"));

interface Row {
  readonly key: MarshalValue;
  readonly type: MarshalValue;
  readonly value: MarshalValue;
}

const column = (writer: KeyBatch["keys"] | undefined): MarshalValue[] | undefined =>
  writer && (decodeMarshal(writer.finish()) as MarshalValue[]);

/** All rows of a scan, by key, and whether some were written as bytes. */
async function readAll(
  pattern: string | Buffer,
  {
    noScan = false,
    readValue = true,
    call = (bytes, replies) => client.rawCall(bytes, replies),
  }: {
    noScan?: boolean;
    readValue?: boolean;
    call?: RawCall;
  } = {},
): Promise<{ rows: Row[]; wroteBytes: boolean; batches: number }> {
  const scan = new KeyScan(call, { pattern: Buffer.from(pattern), noScan, readValue });
  const rows: Row[] = [];
  let wroteBytes = false;
  for (let batches = 1; ; batches++) {
    const batch = await scan.next();
    wroteBytes ||= batch.wroteBytes;
    const keys = column(batch.keys) ?? [];
    const types = column(batch.types);
    const values = column(batch.values);
    expect(keys).toHaveLength(batch.count);
    for (const [at, key] of keys.entries()) {
      rows.push({ key, type: types?.[at] ?? "string", value: values?.[at] ?? null });
    }
    if (!batch.more) {
      rows.sort((a, b) => (String(a.key) < String(b.key) ? -1 : 1));
      return { rows, wroteBytes, batches };
    }
  }
}

const dict = (fields: Record<string, string>): Map<string, string> => new Map(Object.entries(fields));

describe("the walk of a KeysReader", () => {
  it("finds nothing in an empty database", async () => {
    expect(await readAll("*")).toEqual({ rows: [], wroteBytes: false, batches: 1 });
  });

  it("reads every type as records have it", async () => {
    await client.pipeline([
      ["SET", "a", "text"],
      ["HSET", "b", "f", "1", "g", "2"],
      ["RPUSH", "c", "x", "y"],
      ["SADD", "d", "m"],
      ["ZADD", "e", "1", "m"],
      ["XADD", "f", "*", "k", "v"],
    ]);
    expect((await readAll("*")).rows).toEqual([
      { key: "a", type: "string", value: "text" },
      { key: "b", type: "hash", value: dict({ f: "1", g: "2" }) },
      { key: "c", type: "list", value: ["x", "y"] },
      { key: "d", type: "set", value: null },
      { key: "e", type: "zset", value: null },
      { key: "f", type: "unknown", value: null },
    ]);
  });

  it.each(["string", "hash", "mixed"])("reads each of 5 000 keys once (%s)", async (kind) => {
    const commands = Array.from({ length: 5_000 }, (_, i) =>
      kind === "string" || (kind === "mixed" && i % 3 === 0)
        ? ["SET", `k:${i}`, `v${i}`]
        : ["HSET", `k:${i}`, "n", `v${i}`],
    );
    await client.pipeline(commands);
    const { rows, batches } = await readAll("k:*");
    expect(batches).toBeGreaterThan(2);
    expect(new Set(rows.map(({ key }) => key)).size).toBe(5_000);
    for (const { key, type, value } of rows) {
      const number = String(key).slice(2);
      expect(value).toEqual(type === "string" ? `v${number}` : dict({ n: `v${number}` }));
    }
  });

  it("reads large values in small batches, and small ones in large batches", async () => {
    const large = "x".repeat(100_000);
    for (let i = 0; i < 600; i++) await client.call("SET", `large:${i}`, large);
    const answers: number[] = [];
    const call: RawCall = async (bytes, replies) => {
      const answer = await client.rawCall(bytes, replies);
      answers.push(answer.length);
      return answer;
    };
    const { rows } = await readAll("large:*", { call });
    expect(rows).toHaveLength(600);
    // how many keys SCAN gives is not exactly what it was asked for
    expect(Math.max(...answers)).toBeLessThan(8e6);
    expect(answers.filter((length) => length > 3e6).length).toBeLessThan(answers.length / 4);
  });

  it("waits for its turn before each batch", async () => {
    await client.pipeline(Array.from({ length: 600 }, (_, i) => ["SET", `k:${i}`, "v"]));
    let turns = 0;
    const turn = async (): Promise<void> => void turns++;
    const options = { pattern: Buffer.from("*"), noScan: false, readValue: true, turn, mayReadAhead: () => false };
    const scan = new KeyScan((bytes, replies) => client.rawCall(bytes, replies), options);
    let batches = 1;
    for (; (await scan.next()).more; batches++) expect(scan.isAhead).toBe(false);
    expect(turns).toBe(batches);
    expect(batches).toBeGreaterThan(1);
  });

  it("matches keys by glob rules", async () => {
    await client.call("MSET", "ab", "1", "b", "2", "cb", "3", "a*b", "4");
    expect((await readAll("[ac]b")).rows.map(({ key }) => key)).toEqual(["ab", "cb"]);
    expect((await readAll("a\\*b")).rows.map(({ key }) => key)).toEqual(["a*b"]);
  });

  it("looks a pattern without glob characters up by its name", async () => {
    await client.call("SET", "only", "1");
    const sent: string[] = [];
    const call: RawCall = (bytes, replies) => {
      sent.push(bytes.toString("latin1").split("\r\n")[2] ?? "");
      return client.rawCall(bytes, replies);
    };
    expect((await readAll("only", { call })).rows).toEqual([{ key: "only", type: "string", value: "1" }]);
    expect(sent).not.toContain("SCAN");
    expect((await readAll("missing")).rows).toEqual([]);
  });

  it("gives one record for a literal name, existing or not", async () => {
    await client.call("SET", "a*", "1");
    expect((await readAll("a*", { noScan: true })).rows).toEqual([{ key: "a*", type: "string", value: "1" }]);
    expect((await readAll("b", { noScan: true })).rows).toEqual([{ key: "b", type: "empty", value: null }]);
  });

  it("reads only names when no values are asked for", async () => {
    await client.call("MSET", "a", "1", "b", "2");
    const { rows } = await readAll("*", { readValue: false });
    expect(rows.map(({ key, value }) => [key, value])).toEqual([
      ["a", null],
      ["b", null],
    ]);
  });

  it("marks what is no UTF-8", async () => {
    await client.call("SET", Buffer.from([0xff, 0x00]), Buffer.from([0xfe]));
    const { rows, wroteBytes } = await readAll("*");
    expect(wroteBytes).toBe(true);
    expect(rows).toEqual([{ key: Buffer.from([0xff, 0x00]), type: "string", value: Buffer.from([0xfe]) }]);
  });

  it("leaves out a key that vanished between its SCAN and its reading", async () => {
    await client.call("MSET", "a", "1", "gone", "2");
    const call: RawCall = async (bytes, replies) => {
      if (bytes.includes("MGET")) await client.call("DEL", "gone");
      return client.rawCall(bytes, replies);
    };
    expect((await readAll("*", { call })).rows).toEqual([{ key: "a", type: "string", value: "1" }]);
  });

  it("reads a key that has become another type since", async () => {
    await client.call("SET", "a", "1");
    const call: RawCall = async (bytes, replies) => {
      if (bytes.includes("MGET"))
        await client.pipeline([
          ["DEL", "a"],
          ["HSET", "a", "f", "1"],
        ]);
      return client.rawCall(bytes, replies);
    };
    expect((await readAll("*", { call })).rows).toEqual([{ key: "a", type: "hash", value: dict({ f: "1" }) }]);
  });

  it("reports the engine's error", async () => {
    const call: RawCall = () => Promise.resolve(Buffer.from("-NOPERM no\r\n"));
    await expect(readAll("*", { call })).rejects.toThrow("NOPERM no");
  });
});
