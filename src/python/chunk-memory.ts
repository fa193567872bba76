/**
 * A chunk: commands that a client has sent one after the other, and that a worker carries out itself, together with the
 * executions in mode `sync` that they cause. Here is what the main thread and the worker write for each other about one.
 *
 * The main thread writes the commands into shared memory: no script sees them, and none can change them. What the worker
 * has to tell it sends in the ring, in between Python's messages, so that all of it has one order.
 */

/** How far a worker is with a chunk: both threads change this word by exchanges only. */
export const ChunkState = {
  none: 0,
  /** The worker may begin. */
  offered: 1,
  /** It carries commands out. */
  running: 2,
  /** It is to end before the next command; main has seen that no handler runs. */
  stopped: 3,
  /** The code of an execution runs. */
  handling: 4,
  /** It is to end when that execution has ended or waits, which the main thread takes for an ordinary one from now on. */
  adopted: 5,
} as const;

/** The largest handle that a word of shared memory can hold. */
export const LAST_HANDLE = 2 ** 31 - 1;

/** Most commands of a chunk, and most of their bytes. */
export const MOST_COMMANDS = 512;
export const MOST_COMMAND_BYTES = 64 * 1024;
const MOST_TABLE_BYTES = 16 * 1024;

/** Words at the beginning of the memory. */
const Head = {
  commands: 0,
  client: 1,
  listener: 2,
  handle: 3,
  handles: 4,
  milliseconds: 5,
  version: 6,
  table: 7,
  events: 8,
} as const;
const HEAD_BYTES = 64;
const LIMIT_AT = 48;
const ENDS_AT = HEAD_BYTES;
const TABLE_AT = ENDS_AT + MOST_COMMANDS * 4;
const COMMANDS_AT = TABLE_AT + MOST_TABLE_BYTES;
export const CHUNK_BYTES = COMMANDS_AT + MOST_COMMAND_BYTES;

/** Who is told of key events in mode `sync`. */
export interface ChunkRow {
  readonly registration: number;
  /** What the key has to begin with, or be, as latin1; see `key-index.ts`. */
  readonly prefix: string;
  /** Undefined: all events. */
  readonly events?: readonly string[] | undefined;
  /** Undefined: keys of all types. */
  readonly types?: readonly string[] | undefined;
  /** The record has the key's value. */
  readonly readValue: boolean;
  /** The worker can run it by itself. Otherwise the chunk ends at its first event. */
  readonly isHere: boolean;
}

/** What does not change during a chunk. */
export interface ChunkTerms {
  /** As in `ChunkOffer` of `python-host.ts`. */
  readonly events: number;
  /** The descriptors of the client's connection, and of the one that is told of events. */
  readonly client: number;
  readonly listener: number;
  /** Most bytes of replies that Valkey may hold for the client; 0: no limit. */
  readonly outputLimit: number;
  /** The handles of the executions: so many, from this one on. */
  readonly handle: number;
  readonly handles: number;
  /** After this time no further command begins. */
  readonly milliseconds: number;
}

export class ChunkMemory {
  readonly #head: Int32Array;
  readonly #limit: Float64Array;
  readonly #ends: Int32Array;
  readonly #table: Uint8Array;
  /** The commands, one after the other. */
  readonly commands: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.#head = new Int32Array(memory, 0, HEAD_BYTES / 4);
    this.#limit = new Float64Array(memory, LIMIT_AT, 1);
    this.#ends = new Int32Array(memory, ENDS_AT, MOST_COMMANDS);
    this.#table = new Uint8Array(memory, TABLE_AT, MOST_TABLE_BYTES);
    this.commands = new Uint8Array(memory, COMMANDS_AT, MOST_COMMAND_BYTES);
  }

  /** How many commands there are. */
  get count(): number {
    return this.#at(Head.commands);
  }

  /** Where a command ends. */
  endOf(command: number): number {
    return command < 0 ? 0 : (this.#ends[command] as number);
  }

  get terms(): ChunkTerms {
    return {
      events: this.#at(Head.events),
      client: this.#at(Head.client),
      listener: this.#at(Head.listener),
      outputLimit: this.#limit[0] as number,
      handle: this.#at(Head.handle),
      handles: this.#at(Head.handles),
      milliseconds: this.#at(Head.milliseconds),
    };
  }

  /** Changes with {@link table}. */
  get version(): number {
    return this.#at(Head.version);
  }

  get table(): readonly ChunkRow[] {
    const text = Buffer.from(this.#table.slice(0, this.#at(Head.table))).toString();
    return JSON.parse(text) as ChunkRow[];
  }

  /** @param ends where each of the commands ends */
  offer(terms: ChunkTerms, commands: Uint8Array, ends: readonly number[]): void {
    const head = this.#head;
    head[Head.commands] = ends.length;
    head[Head.events] = terms.events;
    head[Head.client] = terms.client;
    head[Head.listener] = terms.listener;
    head[Head.handle] = terms.handle;
    head[Head.handles] = terms.handles;
    head[Head.milliseconds] = terms.milliseconds;
    this.#limit[0] = terms.outputLimit;
    this.#ends.set(ends);
    this.commands.set(commands);
  }

  /** @returns false when they are too many */
  setTable(rows: readonly ChunkRow[]): boolean {
    const bytes = Buffer.from(JSON.stringify(rows));
    if (bytes.length > MOST_TABLE_BYTES) return false;
    this.#table.set(bytes);
    this.#head[Head.table] = bytes.length;
    this.#head[Head.version] = this.version + 1;
    return true;
  }

  #at(word: number): number {
    return this.#head[word] as number;
  }
}

/** The first byte of what a worker tells of a chunk, and of none of Python's messages. */
export const BEGINS_ENTRY = 1;
/** With this byte Python asks for the next event, or (if it is the second one) ends the chunk. */
export const ASKS_EVENT = 0x43;
export const ENDS_CHUNK = 0x45;

export const Entry = {
  /** Commands have told the listener this. */
  told: 0,
  /** The same, and an execution has begun. */
  begun: 1,
  /** What the code of the present execution has told the listener. */
  own: 2,
  /** Nothing more comes. */
  end: 3,
} as const;

/** How a chunk has ended. */
export const EndFlag = {
  /** The listener was not told all that the code of the last execution has caused. */
  ownCut: 1,
  /** Valkey has closed the client's connection. */
  closed: 2,
} as const;

/** Bytes of an entry before what the listener is told. */
export const ENTRY_HEAD = 12;
/** Most types that an entry may have at its end: those of keys for which the worker has asked, in that order. */
export const MOST_TYPES = 255;

/** @param entry has room for its head, what the listener is told, and the types */
export function writeEntry(entry: Buffer, kind: number, first: number, second: number, types: readonly number[]): void {
  entry[0] = BEGINS_ENTRY;
  entry[1] = kind;
  entry[2] = types.length;
  entry.writeInt32LE(first, 4);
  entry.writeInt32LE(second, 8);
  for (let at = 0; at < types.length; at++) entry[entry.length - types.length + at] = types[at] as number;
}

export const isEntry = (message: Uint8Array): boolean => message[0] === BEGINS_ENTRY;

/** @returns what stands in an entry */
export function readEntry(entry: Buffer) {
  const typesAt = entry.length - (entry[2] as number);
  return {
    kind: entry[1] as number,
    first: entry.readInt32LE(4),
    second: entry.readInt32LE(8),
    told: entry.subarray(ENTRY_HEAD, typesAt),
    /** The places of types in `TYPE_NAMES`. */
    types: entry.subarray(typesAt),
  };
}
