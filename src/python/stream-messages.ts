/**
 * Messages of streams as StreamReader registrations get them, through one consumer group with one consumer: the commands, and
 * how their replies become records. Used by the main thread, and by workers that read on by themselves.
 */
import { type Encoded, MarshalWriter } from "./marshal.ts";
import type { RespReader } from "./transcode.ts";

export const GROUP = "__gears_consumer_group__";
const CONSUMER = "__gears_client__";
/** Bytes that a small message takes as a record. */
const RECORD_BYTES = 128;

/** The command that gives the next messages. @param count at most so many; undefined: all that were delivered and not acknowledged */
export function readCommand(key: Buffer, count?: number): (string | Buffer)[] {
  const limit = count === undefined ? [] : ["COUNT", String(count)];
  return ["XREADGROUP", "GROUP", GROUP, CONSUMER, ...limit, "STREAMS", key, count === undefined ? "0" : ">"];
}

/** The command that acknowledges messages. */
export const acknowledgement = (key: Buffer, ids: readonly string[]): (string | Buffer)[] => [
  "XACK",
  key,
  GROUP,
  ...ids,
];

/** The command that trims a stream up to what is needed. */
export const trimming = (key: Buffer, firstNeeded: string): (string | Buffer)[] => [
  "XTRIM",
  key,
  "MINID",
  "=",
  firstNeeded,
];

/**
 * Takes the messages of an XREADGROUP reply that is neither an error nor nil. Those that were deleted meanwhile come without
 * fields, and are no records.
 * @param isTaken ids that are left out
 * @returns all ids, and the records in the order of the stream
 */
export function takeMessages(
  reply: RespReader,
  isTaken: (id: string) => boolean = () => false,
): { readonly ids: string[]; readonly records: Encoded[] } {
  reply.arrayLength();
  reply.arrayLength();
  const key = reply.at;
  reply.bulk();
  const ids: string[] = [];
  const records: Encoded[] = [];
  const out = new MarshalWriter(RECORD_BYTES * 4);
  for (let left = reply.arrayLength(); left > 0; left--) {
    reply.arrayLength();
    const id = reply.bulk()?.toString("latin1") ?? "";
    const gone = reply.isNil;
    const record = gone ? undefined : recordOf(out, reply, key, id);
    if (gone) reply.arrayLength();
    if (isTaken(id)) continue;
    ids.push(id);
    if (record) records.push(record);
  }
  return { ids, records };
}

function recordOf(out: MarshalWriter, reply: RespReader, key: number, id: string): Encoded {
  const start = out.length;
  out.dict().text("key");
  const at = reply.at;
  reply.at = key;
  reply.transcode(out);
  reply.at = at;
  out.text("id").text(id).text("value");
  reply.transcodePairs(out);
  return out.dictEnd().valueFrom(start);
}

/** Compares two ids. Their numbers have no leading zeros, so a longer one is larger. */
export function compareIds(one: string, other: string): number {
  if (one === other) return 0;
  const [a, b] = [one.indexOf("-"), other.indexOf("-")];
  if (a !== b) return a - b;
  const [first, second] = [one.slice(0, a), other.slice(0, b)];
  if (first !== second) return first < second ? -1 : 1;
  return one.length - other.length || (one < other ? -1 : 1);
}

/** The smallest id after this one. */
export const following = (id: string): string => {
  const [ms = "0", text = "0"] = id.split("-");
  const seq = BigInt(text);
  return seq === 2n ** 64n - 1n ? `${BigInt(ms) + 1n}-0` : `${ms}-${seq + 1n}`;
};
