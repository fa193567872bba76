/**
 * Which executions in mode `sync` the commands of a chunk cause, as far as the worker knows: the same rules as in
 * `keys-registrations.ts`, for the simple ones. Runs in the worker.
 */
import type { ChunkRow } from "./chunk-memory.ts";
import { KeyIndex } from "./key-index.ts";
import { typeAt } from "./key-reading.ts";

export interface ChunkEvent {
  readonly registration: number;
  readonly readValue: boolean;
  readonly event: string;
  readonly key: Buffer;
}

interface Row extends Pick<ChunkRow, "registration" | "readValue" | "isHere"> {
  readonly events: ReadonlySet<string> | undefined;
  readonly types: ReadonlySet<string> | undefined;
}

const [DOLLAR, CR] = [0x24, 0x0d];
/** How each message begins. */
const BEGIN = Buffer.from("*4\r\n$8\r\npmessage\r\n");
/** Behind all messages. */
const NOWHERE = 2 ** 40;
/** Of the engine's own, see `key-events.ts`. */
const NEW_KEY = "new";
const EXPIRED = "expired";
/** Names of channels that are remembered. */
const MOST_CHANNELS = 1_000;

export class ChunkEvents {
  #index = new KeyIndex<Row>();
  readonly #events: ChunkEvent[] = [];

  set table(rows: readonly ChunkRow[]) {
    this.#index = new KeyIndex<Row>();
    for (const { prefix, events, types, ...row } of rows) {
      const filters = { events: events && new Set(events), types: types && new Set(types) };
      this.#index.add(Buffer.from(prefix, "latin1"), { ...row, ...filters }, row.registration);
    }
  }

  /** How many wait. */
  get length(): number {
    return this.#events.length;
  }

  get first(): ChunkEvent {
    return this.#events[0] as ChunkEvent;
  }

  shift(): ChunkEvent | undefined {
    return this.#events.shift();
  }

  clear(): void {
    this.#events.length = 0;
  }

  /**
   * Finds what messages of key events cause.
   * @param askType gives the type of a key where the event does not tell it; undefined when that is not possible
   * @returns false when there is something among it that the main thread has to deal with; then nothing of it is to be done here
   */
  take(messages: Buffer, askType: (key: Buffer) => string | undefined): boolean {
    return eachEvent(messages, (event, key) => {
      if (event === NEW_KEY) return true;
      let type = typeAt(event);
      for (const { registration, readValue, events, types, isHere } of this.#index.find(key)) {
        if (events && !events.has(event)) continue;
        if (types) {
          type ??= askType(key);
          if (type === undefined) return false;
          if (!types.has(type)) continue;
        }
        if (!isHere) return false;
        this.#events.push({ registration, readValue, event, key: Buffer.from(key) });
      }
      return true;
    });
  }

  /** Does one of the messages tell that a key has expired, or something that is not understood? */
  static hasExpired(messages: Buffer): boolean {
    return !eachEvent(messages, (event) => event !== EXPIRED);
  }
}

const channels = new Map<string, string>();

/** The event that a channel tells of, such as `__keyevent@0__:set`. */
function eventOf(channel: string): string {
  let event = channels.get(channel);
  if (event === undefined) {
    event = Buffer.from(channel.slice(channel.indexOf("__:") + 3), "latin1").toString();
    if (channels.size < MOST_CHANNELS) channels.set(channel, event);
  }
  return event;
}

/**
 * Reads messages of a listener to patterns, in RESP2.
 * @param act gives false to end that
 * @returns false when `act` did, or when something else is among them
 */
function eachEvent(messages: Buffer, act: (event: string, key: Buffer) => boolean): boolean {
  for (let at = 0; at < messages.length; ) {
    if (messages.indexOf(BEGIN, at) !== at) return false;
    const pattern = afterLength(messages, at + BEGIN.length);
    const channelAt = pattern + lengthBefore(messages, pattern) + 2;
    const channel = afterLength(messages, channelAt);
    const channelEnd = channel + lengthBefore(messages, channel);
    const key = afterLength(messages, channelEnd + 2);
    const keyEnd = key + lengthBefore(messages, key);
    at = keyEnd + 2;
    const isWhole = at <= messages.length;
    if (!isWhole || !act(eventOf(messages.toString("latin1", channel, channelEnd)), messages.subarray(key, keyEnd)))
      return false;
  }
  return true;
}

/** Where the bytes begin whose length stands at a place, such as `$5` with its line end; far away when none does. */
function afterLength(bytes: Buffer, at: number): number {
  if (bytes[at] !== DOLLAR) return NOWHERE;
  let end = at + 2;
  while (end < bytes.length && bytes[end] !== CR) end++;
  return end + 2;
}

/** The length that stands before a place. */
function lengthBefore(bytes: Buffer, place: number): number {
  let length = 0;
  for (let at = place - 3, factor = 1; at >= 0 && bytes[at] !== DOLLAR; at--, factor *= 10)
    length += ((bytes[at] as number) - 0x30) * factor;
  return length;
}
