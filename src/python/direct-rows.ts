/**
 * Batches of streams that a worker reads and acknowledges itself, see `stream-row.ts`. Runs in the worker, outside the realm:
 * Python says only that a batch has ended well. What is not plainly as it should be is left to the main thread.
 */
import { encodeCommand, encodeCommands } from "../engine/encode.ts";
import type { AttachedEngine } from "../engine/attached-engine.ts";
import { type Sender, type Shared, Word } from "./channel.ts";
import { LAST_HANDLE } from "./chunk-memory.ts";
import type { AnswerPlace } from "./direct-calls.ts";
import { type Encoded, MarshalWriter } from "./marshal.ts";
import { JobFlag } from "./protocol.ts";
import { acknowledgement, following, readCommand, takeMessages, trimming } from "./stream-messages.ts";
import { readRow, type Row, type RowBatch, writeTold } from "./stream-row.ts";
import { RespReader } from "./transcode.ts";

interface DirectRowsOptions {
  readonly shared: Pick<Shared, "words" | "row">;
  readonly sender: Pick<Sender, "fits" | "sendByRing">;
  /** Undefined: this thread can not use the engine. */
  readonly engine: () => Pick<AttachedEngine, "isOpen" | "execute" | "reply" | "replySize" | "othersWait"> | undefined;
  /** Takes one of the events that main has given ahead. @returns whether there was one left */
  readonly takeEvent: () => boolean;
}

/** A batch that was read. */
interface Read {
  readonly ids: readonly string[];
  readonly records: readonly Encoded[];
  /** There are bytes in it, of which Python makes bytearrays. */
  readonly wroteBytes: boolean;
}

/** What comes of a request for the next batch. */
export const NextBatch = {
  /** None begins here. */
  none: 0,
  /** It lies in the place for answers, as `(handle, records, flags)`. */
  there: 1,
  /** It is too long for that, and is to be read. */
  long: 2,
} as const;

/** Room that what is told has to find in the ring. */
const MOST_TOLD = 60_000;

export class DirectRows {
  readonly #options: DirectRowsOptions;
  readonly #memory: Uint8Array;
  /** What is left of the row. */
  #next: RowBatch[] = [];
  #current: Row["first"] | undefined;
  #long: Buffer | undefined;

  constructor(options: DirectRowsOptions) {
    this.#options = options;
    this.#memory = new Uint8Array(options.shared.row);
  }

  /** Takes the batch that did not fit into its place, if there is one. */
  takeLong(): Buffer | undefined {
    const long = this.#long;
    this.#long = undefined;
    return long;
  }

  /**
   * The present batch has ended well: acknowledges it, and reads the next one, if that may be done here.
   * @param heap Python's memory
   * @returns one of {@link NextBatch}
   * @throws whatever went wrong inside the engine
   */
  goOn(heap: Uint8Array, place: AnswerPlace): number {
    const { words } = this.#options.shared;
    if (Atomics.exchange(words, Word.rowOffered, 0) === 1) this.#begin();
    const current = this.#current;
    this.#current = undefined;
    const [next] = this.#next;
    // what main has taken back, it goes on with itself: then also the present batch is left to it
    if (!current || !next || !this.#options.sender.fits(MOST_TOLD) || !this.#options.takeEvent()) return this.#end();
    const { key, ids, trim } = current;
    const replies = this.#run(encodeCommands([acknowledgement(key, ids), readCommand(next.key, next.count)]), current);
    if (replies === "closed") return this.#end();
    if (replies === "lost") return this.#lost(current);
    // if the stream was deleted, and there is one of that name again, its messages are other ones
    const isGone = replies.line() === "0";
    const read = readingOf(replies);
    const trimmed =
      !trim ||
      isGone ||
      typeof this.#run(encodeCommand(trimming(key, following(ids.at(-1) as string))), current) !== "string";
    // the worker's next message, which follows at once, rings
    this.#options.sender.sendByRing(writeTold({ handle: current.handle, trimmed, next: read?.ids, lost: false }));
    if (!read) return this.#end();
    this.#next.shift();
    // a batch that is not full is the last one: there was less than main believed
    if (read.ids.length < next.count) this.#next = [];
    this.#current = { ...next, ids: read.ids };
    return this.#give(next.handle, read, heap, place);
  }

  #begin(): void {
    const { first, next } = readRow(this.#memory);
    this.#current = first;
    this.#next = [...next];
  }

  #end(): number {
    this.#current = undefined;
    this.#next = [];
    return NextBatch.none;
  }

  /** Nobody knows what the engine has done: main looks. */
  #lost({ handle }: RowBatch): number {
    this.#options.sender.sendByRing(writeTold({ handle, trimmed: false, next: undefined, lost: true }));
    return this.#end();
  }

  /** @returns the reply, valid until the next command */
  #run(command: Buffer, { handle }: RowBatch): RespReader | "closed" | "lost" {
    const engine = this.#options.engine();
    if (engine?.isOpen !== true || handle > LAST_HANDLE) return "closed";
    const outcome = engine.execute(command, command.length, handle);
    if (outcome !== "replied") return outcome === "closed" ? "closed" : "lost";
    if (engine.othersWait) Atomics.store(this.#options.shared.words, Word.engineOwes, 1);
    return new RespReader(engine.reply, 0, engine.replySize);
  }

  #give(handle: number, { records, wroteBytes }: Read, heap: Uint8Array, { start, size }: AnswerPlace): number {
    const length = records.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const out = new MarshalWriter(length + 32).tuple(3).int(handle).list(records.length);
    for (const { bytes } of records) out.encoded(bytes);
    const message = out.int(wroteBytes ? JobFlag.bytes : 0).finish();
    if (message.length >= size) {
      this.#long = message;
      return NextBatch.long;
    }
    heap.set(message, start);
    return NextBatch.there;
  }
}

/** @returns undefined when the stream is gone, or has nothing */
function readingOf(reply: RespReader): Read | undefined {
  if (reply.isError || reply.isNil) return undefined;
  const read = takeMessages(reply);
  return { ...read, wroteBytes: reply.wroteBytes };
}
