/**
 * A row: batches of streams that a worker reads and acknowledges by itself, each when the one before has ended, while Python
 * goes on without the main thread. Here is what the main thread and the worker write for each other about one.
 *
 * The main thread writes into shared memory which batches these are, and how many of them may begin stands in the word
 * `eventsAhead`, as for other events that are given ahead. The worker tells by an entry in the ring that it has acknowledged a
 * batch, and what it has read after that: before Python tells of the batch's end. No script sees or makes any of that.
 */
import { decodeMarshal, MarshalWriter, type MarshalValue } from "./marshal.ts";

/** Bytes of shared memory for a row. */
export const ROW_BYTES = 64 * 1024;
/** What can be part of a row at most: a key's bytes, and messages of a batch. */
export const ROW_LIMITS = { key: 256, messages: 1000 } as const;

/** With this byte Python asks for the next batch of the row. */
export const ASKS_BATCH = 0x42;
/** The first byte of what a worker tells of a row, and of none of Python's messages. */
export const BEGINS_TOLD = 2;

/** A batch of a row. */
export interface RowBatch {
  /** Of its execution. */
  readonly handle: number;
  readonly key: Buffer;
  /** Messages that are asked for. */
  readonly count: number;
  /** Once it is acknowledged its messages are not needed any more, nor those before them. */
  readonly trim: boolean;
}

export interface Row {
  /** The one that Python begins with, which has been read: these are its ids. */
  readonly first: RowBatch & { readonly ids: readonly string[] };
  /** The ones after it, in their order. */
  readonly next: readonly RowBatch[];
}

/** What a worker tells of a batch that has ended. It was acknowledged. */
export interface RowTold {
  readonly handle: number;
  /** The stream was trimmed, too, if that was to be done. */
  readonly trimmed: boolean;
  /** The ids of the next batch, which has been read and is about to begin. */
  readonly next: readonly string[] | undefined;
  /** Messages of the next one may have been delivered that nobody got. */
  readonly lost: boolean;
}

/** Writes a row into memory. @returns false when there is not enough room */
export function writeRow(memory: Uint8Array, { first, next }: Row): boolean {
  const out = new MarshalWriter(ROW_BYTES).list(next.length + 2).text(first.ids.join(" "));
  for (const { handle, key, count, trim } of [first, ...next]) out.list(4).int(handle).bytes(key).int(count).bool(trim);
  const bytes = out.finish();
  if (bytes.length > memory.length) return false;
  memory.set(bytes);
  return true;
}

/** @param memory as `writeRow` has left it */
export function readRow(memory: Uint8Array): Row {
  const [ids, ...batches] = decodeMarshal(Buffer.from(memory)) as readonly MarshalValue[];
  const [first, ...next] = batches.map((batch): RowBatch => {
    const [handle, key, count, trim] = batch as readonly MarshalValue[];
    return { handle: Number(handle), key: key as Buffer, count: Number(count), trim: trim === true };
  });
  return { first: { ...(first as RowBatch), ids: String(ids).split(" ") }, next };
}

const HEAD = 8;
const Flag = { trimmed: 1, next: 2, lost: 4 } as const;

export function writeTold({ handle, trimmed, next, lost }: RowTold): Buffer {
  const text = next?.join(" ") ?? "";
  const told = Buffer.allocUnsafe(HEAD + text.length);
  told[0] = BEGINS_TOLD;
  told[1] = (trimmed ? Flag.trimmed : 0) | (next ? Flag.next : 0) | (lost ? Flag.lost : 0);
  told.writeInt32LE(handle, 4);
  told.write(text, HEAD, "latin1");
  return told;
}

export const isTold = (message: Uint8Array): boolean => message[0] === BEGINS_TOLD;

/** @param message that `isTold` is true of */
export function readTold(message: Uint8Array): RowTold {
  const told = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  const flags = told[1] as number;
  const next = (flags & Flag.next) === 0 ? undefined : told.toString("latin1", HEAD).split(" ");
  const [trimmed, lost] = [(flags & Flag.trimmed) !== 0, (flags & Flag.lost) !== 0];
  return { handle: told.readInt32LE(4), trimmed, next, lost };
}
