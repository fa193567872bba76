/** Records of events must hold what a reader of batches gives for the same key. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EngineClient } from "../../src/engine/engine-client.ts";
import { EmbeddedEngine } from "../../src/engine/embedded-engine.ts";
import { InternalConnections } from "../../src/engine/internal-connections.ts";
import { decodeMarshal, type MarshalValue } from "../../src/python/marshal.ts";
import { KeyScan } from "../../src/python/key-scan.ts";
import { EngineCalls } from "../../src/registrations/engine-calls.ts";
import { KeyRecords } from "../../src/registrations/key-records.ts";
import { OwnMisses } from "../../src/registrations/own-misses.ts";

describe("a record", () => {
  const engine = new EmbeddedEngine();
  let client: EngineClient;
  let reader: KeyRecords;

  beforeAll(async () => {
    await engine.start();
    client = new EngineClient(engine.connect());
    reader = new KeyRecords(new EngineCalls(new InternalConnections(engine), true), new OwnMisses(() => {}));
    await client.pipeline([
      ["SET", "string", "héllo"],
      ["SET", "bytes", Buffer.from([0xff, 0x00])],
      ["SET", "empty", ""],
      ["SET", Buffer.from([0x6b, 0xfe]), "x"],
      ["SETBIT", "bits", "3", "1"],
      ["PFADD", "log", "a"],
      ["HSET", "hash", "f", "1", "g", Buffer.from([0xfe]), "h", ""],
      ["RPUSH", "list", "a", Buffer.from([0xfd]), ""],
      ["SADD", "set", "m"],
      ["ZADD", "zset", "1", "m"],
      ["GEOADD", "geo", "1", "1", "m"],
      ["XADD", "stream", "1-1", "f", "v"],
    ]);
  });
  afterAll(() => engine.stop());

  const keys = [
    "string",
    "bytes",
    "empty",
    "bits",
    "log",
    "hash",
    "list",
    "set",
    "zset",
    "geo",
    "stream",
    "missing",
  ].map((key) => Buffer.from(key));
  it.each([...keys, Buffer.from([0x6b, 0xfe])])("of %s is the same", async (key) => {
    const call = (bytes: Buffer, replies: number): Promise<Buffer> => client.rawCall(bytes, replies);
    const batch = await new KeyScan(call, { pattern: key, noScan: true, readValue: true }).next();
    const column = (writer: { finish(): Buffer } | undefined): MarshalValue =>
      writer ? ((decodeMarshal(writer.finish()) as MarshalValue[])[0] ?? null) : null;
    const expected = new Map<string, MarshalValue>([
      ["key", column(batch.keys)],
      ["type", batch.types ? column(batch.types) : "string"],
      ["value", column(batch.values)],
    ]);
    for (const event of ["set", "hset", "lpush", "del", "sadd"]) {
      const record = await reader.record(event, key, { readValue: true, atEvent: false });
      expect(decodeMarshal(record.bytes)).toEqual(new Map([["event", event], ...expected]));
    }
  });
});
