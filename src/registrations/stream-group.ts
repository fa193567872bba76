/**
 * One stream as all StreamReader registrations share it: through one consumer group with one consumer. What was delivered
 * and not acknowledged is delivered again to whoever reads the stream for the first time, also after a restart.
 */
import { encodeCommand, encodeCommands } from "../engine/engine-client.ts";
import { andThen, type Maybe } from "../maybe.ts";
import type { Encoded } from "../python/marshal.ts";
import {
  acknowledgement,
  compareIds,
  following,
  GROUP,
  readCommand,
  takeMessages,
  trimming,
} from "../python/stream-messages.ts";
import type { RespReader } from "../python/transcode.ts";
import type { EngineCalls } from "./engine-calls.ts";
import type { OwnMisses } from "./own-misses.ts";

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
/** Errors of an engine that is just starting or held up by a script. */
const UNREADY = /^(?:LOADING|BUSY|MASTERDOWN) /;

export class StreamGroup {
  readonly #calls: EngineCalls;
  readonly #misses: OwnMisses;
  readonly key: Buffer;
  /** How many registrations have met the stream. */
  users = 0;
  /** The registration for which an interpreter reads the stream by itself. */
  #reader: object | undefined;
  /** Who goes on with the stream after that. */
  #onTakenBack: (() => void)[] = [];
  /** Delivered and not acknowledged, as far as is known here. */
  readonly #unacknowledged = new Set<string>();
  /** The ids among them that executions are working on. */
  readonly #busy = new Set<string>();
  /** Messages before this id can be trimmed as soon as no execution needs them. */
  #processed = "0-0";

  constructor(key: Buffer, calls: EngineCalls, misses: OwnMisses) {
    this.key = key;
    this.#calls = calls;
    this.#misses = misses;
  }

  /** True when nothing needs to be remembered. */
  get idle(): boolean {
    return this.#unacknowledged.size === 0;
  }

  /** Reads the messages that were delivered earlier, never acknowledged, and are in nobody's hands. */
  readUnacknowledged(): Maybe<Batch> {
    const token = this.#misses.expect(this.key, 1);
    return andThen(this.#calls.ask(encodeCommands([this.#create(), readCommand(this.key)]), 2), (replies) => {
      token.settle(replies && isMissing(replies) ? 1 : 0);
      return replies ? this.#take(replies) : LOST;
    });
  }

  /** Reads up to `count` new messages. */
  readNew(count: number, again = true): Maybe<Batch> {
    const token = this.#misses.expect(this.key, 1);
    return andThen(this.#calls.ask(encodeCommand(readCommand(this.key, count))), (reply): Maybe<Batch> => {
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
    const token = this.#misses.expect(this.key, 1);
    return andThen(this.#calls.ask(encodeCommand(["XINFO", "GROUPS", this.key])), (reply) => {
      if (!reply || reply.isError) {
        token.settle(reply?.line().startsWith("ERR no such key") ? 1 : 0);
        return false;
      }
      token.settle(0);
      const last = lastDelivered(reply);
      const start = last === undefined ? "-" : `(${last}`;
      const range = encodeCommand(["XRANGE", this.key, start, "+", "COUNT", String(count + 1)]);
      return andThen(
        this.#calls.ask(range),
        (messages) => messages !== undefined && !messages.isError && messages.arrayLength() > count,
      );
    });
  }

  /** Tells how many messages the stream has, whether they were delivered or not. */
  length(): Maybe<number> {
    const token = this.#misses.expect(this.key, 1);
    return andThen(this.#calls.ask(encodeCommand(["XINFO", "STREAM", this.key])), (reply) => {
      if (!reply || reply.isError) {
        token.settle(reply?.line().startsWith("ERR no such key") ? 1 : 0);
        return 0;
      }
      token.settle(0);
      reply.arrayLength();
      return reply.bulk()?.toString("latin1") === "length" ? Number(reply.line()) : 0;
    });
  }

  /** May an interpreter read it by itself, if of what was delivered only so many messages are not acknowledged? */
  mayBeLent(unacknowledged: number): boolean {
    // nobody else asks for what was not acknowledged, or trims; and the server's reads cause no misses that are told
    return this.users === 1 && !this.#misses.listening && this.#unacknowledged.size === unacknowledged;
  }

  /** From now on an interpreter reads it by itself, for a registration. What that reads and acknowledges is known a moment later. */
  lend(reader: object): void {
    this.#reader = reader;
  }

  /** It does not any more, and what it has read is known. */
  takeBack(): void {
    this.#reader = undefined;
    for (const goOn of this.#onTakenBack.splice(0)) goOn();
  }

  /** Calls `goOn` later if an interpreter reads it by itself for another registration. @returns whether that is so */
  waitsForOther(registration: object, goOn: () => void): boolean {
    if (this.#reader === undefined || this.#reader === registration) return false;
    this.#onTakenBack.push(goOn);
    return true;
  }

  /** An interpreter has read these. */
  noteRead(ids: readonly string[]): void {
    this.#noteTaken(ids);
  }

  /** An interpreter has acknowledged these, and trimmed the stream if that was to be done. */
  noteAcknowledged(ids: readonly string[], trim: boolean): void {
    this.#forget(ids);
    const last = ids.at(-1);
    if (trim && last !== undefined) this.#noteProcessed(last);
  }

  /** Trims the stream after messages that were acknowledged. */
  trim(ids: readonly string[]): Maybe<unknown> {
    const last = ids.at(-1);
    return last === undefined ? undefined : this.#trim(last);
  }

  /** Messages were dealt with. @param trim they are not needed in the stream any more */
  acknowledge(ids: readonly string[], trim: boolean): Maybe<unknown> {
    this.#forget(ids);
    const last = ids.at(-1);
    if (last === undefined) return undefined;
    const token = this.#misses.expect(this.key, 1);
    return andThen<RespReader | undefined, unknown>(
      this.#calls.ask(encodeCommand(acknowledgement(this.key, ids))),
      (reply) => {
        if (reply?.line() !== "0") {
          token.settle(0);
          return trim ? this.#trim(last) : undefined;
        }
        // The stream was deleted. If there is one of that name again, its messages are other ones: nothing is trimmed.
        return andThen(this.#calls.ask(encodeCommand(["OBJECT", "ENCODING", this.key])), (encoding) =>
          token.settle(encoding?.isNil ? 1 : 0),
        );
      },
    );
  }

  #forget(ids: readonly string[]): void {
    this.giveBack(ids);
    for (const id of ids) this.#unacknowledged.delete(id);
  }

  #noteProcessed(last: string): void {
    const next = following(last);
    if (compareIds(next, this.#processed) > 0) this.#processed = next;
  }

  #trim(last: string): Maybe<unknown> {
    this.#noteProcessed(last);
    return this.#calls.ask(encodeCommand(trimming(this.key, this.#firstNeeded())));
  }

  /** An execution does not work on these any more; they stay unacknowledged. */
  giveBack(ids: readonly string[]): void {
    for (const id of ids) this.#busy.delete(id);
  }

  #create(): (string | Buffer)[] {
    return ["XGROUP", "CREATE", this.key, GROUP, "0"];
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
    const { ids, records } = takeMessages(reply, (id) => this.#busy.has(id));
    this.#noteTaken(ids);
    return { ids, records };
  }

  #noteTaken(ids: readonly string[]): void {
    const [first] = ids;
    // smaller ids than before: the stream was made anew
    if (first !== undefined && compareIds(first, this.#processed) < 0) this.#processed = "0-0";
    for (const id of ids) {
      this.#unacknowledged.add(id);
      this.#busy.add(id);
    }
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

/** The commands that reading a stream takes. */
export const neededFor = (key: Buffer, trim: boolean): Buffer[][] => {
  const read = [
    ...["XREADGROUP", "GROUP", "g", "c", "STREAMS"].map((text) => Buffer.from(text)),
    key,
    Buffer.from(">"),
  ];
  return trim ? [read, [Buffer.from("XTRIM"), key, Buffer.from("MAXLEN"), Buffer.from("0")]] : [read];
};
