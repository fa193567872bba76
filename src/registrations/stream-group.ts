/**
 * One stream as all StreamReader registrations share it: through one consumer group with one consumer. What was delivered
 * and not acknowledged is delivered again to whoever reads the stream for the first time, also after a restart.
 */
import { encodeCommand, encodeCommands } from "../engine/engine-client.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { type Encoded, MarshalWriter } from "../python/marshal.ts";
import type { RespReader } from "../python/transcode.ts";
import type { EngineCalls } from "./engine-calls.ts";
import type { OwnMisses } from "./own-misses.ts";

const GROUP = "__gears_consumer_group__";
const CONSUMER = "__gears_client__";

/** Messages as an execution gets them. */
export interface Batch {
  readonly ids: readonly string[];
  /** In the order of the stream. */
  readonly records: Encoded[];
  /** The engine went away, or is not ready: messages may have been delivered that nobody got. */
  readonly lost?: boolean;
}

const NOTHING: Batch = { ids: [], records: [] };
const LOST: Batch = { ...NOTHING, lost: true };
/** Bytes that a small message takes as a record. */
const RECORD_BYTES = 128;
/** Errors of an engine that is just starting or held up by a script. */
const UNREADY = /^(?:LOADING|BUSY|MASTERDOWN) /;

export class StreamGroup {
  readonly #calls: EngineCalls;
  readonly #misses: OwnMisses;
  readonly #key: Buffer;
  /** Delivered and not acknowledged, as far as is known here. */
  readonly #unacknowledged = new Set<string>();
  /** The ids among them that executions are working on. */
  readonly #busy = new Set<string>();
  /** Messages before this id can be trimmed as soon as no execution needs them. */
  #processed = "0-0";

  constructor(key: Buffer, calls: EngineCalls, misses: OwnMisses) {
    this.#key = key;
    this.#calls = calls;
    this.#misses = misses;
  }

  /** True when nothing needs to be remembered. */
  get idle(): boolean {
    return this.#unacknowledged.size === 0;
  }

  /** Reads the messages that were delivered earlier, never acknowledged, and are in nobody's hands. */
  readUnacknowledged(): Maybe<Batch> {
    const token = this.#misses.expect(this.#key, 1);
    const read = ["XREADGROUP", "GROUP", GROUP, CONSUMER, "STREAMS", this.#key, "0"];
    return andThen(this.#calls.ask(encodeCommands([this.#create(), read]), 2), (replies) => {
      token.settle(replies && isMissing(replies) ? 1 : 0);
      return replies ? this.#take(replies) : LOST;
    });
  }

  /** Reads up to `count` new messages. */
  readNew(count: number, again = true): Maybe<Batch> {
    const token = this.#misses.expect(this.#key, 1);
    const read = ["XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", String(count), "STREAMS", this.#key, ">"];
    return andThen(this.#calls.ask(encodeCommand(read)), (reply): Maybe<Batch> => {
      if (!reply?.isError) {
        token.settle(0);
        return reply ? this.#take(reply) : LOST;
      }
      const problem = reply.line();
      if (!problem.startsWith("NOGROUP") || !again) {
        token.settle(0);
        return UNREADY.test(problem) ? LOST : NOTHING;
      }
      // the stream was deleted, and perhaps made again
      return andThen(this.#calls.ask(encodeCommand(this.#create())), (created) => {
        const missing = created !== undefined && isMissing(created);
        token.settle(missing ? 1 : 0);
        this.#unacknowledged.clear();
        this.#processed = "0-0";
        if (!created) return LOST;
        return missing ? NOTHING : this.readNew(count, false);
      });
    });
  }

  /** Tells whether more than `count` messages were never delivered. */
  hasMoreThan(count: number): Maybe<boolean> {
    const token = this.#misses.expect(this.#key, 1);
    return andThen(this.#calls.ask(encodeCommand(["XINFO", "GROUPS", this.#key])), (reply) => {
      if (!reply || reply.isError) {
        token.settle(reply?.line().startsWith("ERR no such key") ? 1 : 0);
        return false;
      }
      token.settle(0);
      const last = lastDelivered(reply);
      const start = last === undefined ? "-" : `(${last}`;
      const range = encodeCommand(["XRANGE", this.#key, start, "+", "COUNT", String(count + 1)]);
      return andThen(
        this.#calls.ask(range),
        (messages) => messages !== undefined && !messages.isError && messages.arrayLength() > count,
      );
    });
  }

  /** Tells how many messages the stream has, whether they were delivered or not. */
  length(): Maybe<number> {
    const token = this.#misses.expect(this.#key, 1);
    return andThen(this.#calls.ask(encodeCommand(["XINFO", "STREAM", this.#key])), (reply) => {
      if (!reply || reply.isError) {
        token.settle(reply?.line().startsWith("ERR no such key") ? 1 : 0);
        return 0;
      }
      token.settle(0);
      reply.arrayLength();
      return reply.bulk()?.toString("latin1") === "length" ? Number(reply.line()) : 0;
    });
  }

  /** Messages were dealt with. @param trim they are not needed in the stream any more */
  acknowledge(ids: readonly string[], trim: boolean): Maybe<unknown> {
    this.giveBack(ids);
    for (const id of ids) this.#unacknowledged.delete(id);
    const last = ids.at(-1);
    if (last === undefined) return undefined;
    const token = this.#misses.expect(this.#key, 1);
    return andThen<RespReader | undefined, unknown>(
      this.#calls.ask(encodeCommand(["XACK", this.#key, GROUP, ...ids])),
      (reply) => {
        if (reply?.line() !== "0") {
          token.settle(0);
          return trim ? this.#trim(last) : undefined;
        }
        // The stream was deleted. If there is one of that name again, its messages are other ones: nothing is trimmed.
        return andThen(this.#calls.ask(encodeCommand(["OBJECT", "ENCODING", this.#key])), (encoding) =>
          token.settle(encoding?.isNil ? 1 : 0),
        );
      },
    );
  }

  #trim(last: string): Maybe<unknown> {
    const next = following(last);
    if (compareIds(next, this.#processed) > 0) this.#processed = next;
    return this.#calls.ask(encodeCommand(["XTRIM", this.#key, "MINID", "=", this.#firstNeeded()]));
  }

  /** An execution does not work on these any more; they stay unacknowledged. */
  giveBack(ids: readonly string[]): void {
    for (const id of ids) this.#busy.delete(id);
  }

  #create(): (string | Buffer)[] {
    return ["XGROUP", "CREATE", this.#key, GROUP, "0"];
  }

  #firstNeeded(): string {
    let first = this.#processed;
    for (const id of this.#unacknowledged) if (compareIds(id, first) < 0) first = id;
    return first;
  }

  /** Takes the messages of an XREADGROUP reply. Those that were deleted meanwhile come without fields. */
  #take(reply: RespReader): Batch {
    if (reply.isError) return UNREADY.test(reply.line()) ? LOST : NOTHING;
    if (reply.isNil) return NOTHING;
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
      const record = gone ? undefined : this.#record(out, reply, key, id);
      if (gone) reply.arrayLength();
      if (this.#busy.has(id)) continue;
      ids.push(id);
      if (record) records.push(record);
    }
    const [first] = ids;
    // smaller ids than before: the stream was made anew
    if (first !== undefined && compareIds(first, this.#processed) < 0) this.#processed = "0-0";
    for (const id of ids) {
      this.#unacknowledged.add(id);
      this.#busy.add(id);
    }
    return { ids, records };
  }

  #record(out: MarshalWriter, reply: RespReader, key: number, id: string): Encoded {
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
}

/** The reply of XGROUP CREATE says that there is no stream. */
const isMissing = (created: RespReader): boolean =>
  created.line().startsWith("ERR The XGROUP subcommand requires the key to exist");

/** Finds our group in a reply of XINFO GROUPS. */
function lastDelivered(reply: RespReader): string | undefined {
  let found: string | undefined;
  for (let groups = reply.arrayLength(); groups > 0; groups--) {
    let ours = false;
    for (let fields = reply.arrayLength() / 2; fields > 0; fields--) {
      const name = reply.bulk()?.toString("latin1");
      const value = reply.type === 0x3a ? reply.line() : reply.bulk()?.toString("latin1");
      if (name === "name") ours = value === GROUP;
      if (name === "last-delivered-id" && ours) found = value;
    }
  }
  return found;
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
const following = (id: string): string => {
  const [ms = "0", text = "0"] = id.split("-");
  const seq = BigInt(text);
  return seq === 2n ** 64n - 1n ? `${BigInt(ms) + 1n}-0` : `${ms}-${seq + 1n}`;
};
