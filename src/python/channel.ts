/**
 * How bytes travel between the main thread and a worker whose JavaScript never returns to its event loop.
 *
 * Each direction is a ring of shared memory for small messages, and the message port for all others. The ring may only be
 * used when everything sent by the port before it has been taken; so what lies in the ring is always older than what lies
 * in the port, and order is kept.
 */
import { CHUNK_BYTES } from "./chunk-memory.ts";

/** Messages up to this size travel in the ring; also the size of the buffer on the Python side. */
export const SMALL_BYTES = 65536;

/** What a worker may have sent by port without main having dealt with it: KiB (a larger message may go alone), and messages. */
export const OUTBOX_LIMIT = { kib: 64 * 1024, messages: 1024 } as const;

/** Bytes of a ring; a power of two, and large enough for a small message wherever the last one ended. */
const RING_BYTES = SMALL_BYTES * 4;

/** In place of a message's length: the rest of the ring is empty, the next one is at its begin. */
const WRAP = -1;

/** The words shared by both threads, as indexes into an Int32Array. */
export const Word = {
  /** Counts everything that main has done and a waiting worker must look at; the worker waits for a change of this word. */
  signal: 0,
  /** 2 (SIGINT) while an interrupt waits to be seen; Python's check takes it by an exchange. */
  interrupt: 1,
  /** 1 while main looks into the outbox again and again, so that no doorbell is needed. */
  mainPolls: 2,
  /** Size of the wasm memory in pages, as of the worker's last message. */
  heapPages: 3,
  /** Kibibytes (rounded up per message) sent to main by port that main has not dealt with. */
  outboxKiB: 4,
  /** Bytes of output lines sent to main and not yet taken. */
  outputBytes: 5,
  /** 1 when the worker waits until main has dealt with more. */
  workerStalled: 6,
  /** Calls that the sandbox answered with an error. */
  denials: 7,
  /** Four words per direction, see {@link RingWord}. */
  inbox: 8,
  outbox: 12,
  /** 1 while main lends a thread of ExecutionThreads: whoever takes it by an exchange has it. */
  lentThread: 16,
  /** 1 while a doorbell is on its way to main. */
  doorbell: 17,
  /** Counts the waits of Python's event loop between two jobs: odd while it waits, even while something runs. */
  turn: 18,
  /** 1 while the worker sleeps, or is about to: only then it has to be woken. */
  asleep: 19,
  /** 1 when the port for that has brought the worker what it needs to use the engine itself. */
  engineOffered: 20,
  /** 1 when a command of the worker's has brought other clients something, which main has to hand out. */
  engineOwes: 21,
  /** Counts the commands of `execute()` that the worker has carried out itself. */
  directCalls: 22,
  /** 1 while code waits on top of which main may have a job run: it claims the wait by an exchange, and sends the job. */
  openWait: 23,
  /** 1 while main does what will most probably end in a message: the worker does not sleep then. */
  moreComes: 24,
  /** 1 while main sleeps until something comes from the worker, or is about to: only then the worker has to wake it. */
  mainAsleep: 25,
  /** How many of the events that were given ahead the worker may still begin: it takes one at a time, and main takes back what is left. */
  eventsAhead: 26,
  /** How far the worker is with a chunk, see {@link ChunkState}. */
  chunk: 27,
  /** How many commands of the chunk it has carried out. */
  chunkDone: 28,
  /** The handle of the execution of the chunk that has begun last. */
  chunkHandle: 29,
  count: 30,
} as const;

/** Offsets from {@link Word.inbox} or {@link Word.outbox}. Positions in the ring count on, modulo 2^32. */
const RingWord = { written: 0, released: 1, portSent: 2, portTaken: 3 } as const;

export type SharedMemoryWords = Int32Array<SharedArrayBuffer>;

/** The memory shared by the two threads. */
export interface Shared {
  readonly words: SharedMemoryWords;
  /** The handle of the job that main wants interrupted, or a number of `protocol.ts` in its place; 0 for none. */
  readonly target: BigInt64Array<SharedArrayBuffer>;
  readonly inbox: SharedArrayBuffer;
  readonly outbox: SharedArrayBuffer;
  /** The chunk that was offered last, see `chunk-memory.ts`. */
  readonly chunk: SharedArrayBuffer;
}

export function createShared(): Shared {
  return {
    words: new Int32Array(new SharedArrayBuffer(Word.count * 4)),
    target: new BigInt64Array(new SharedArrayBuffer(8)),
    inbox: new SharedArrayBuffer(RING_BYTES),
    outbox: new SharedArrayBuffer(RING_BYTES),
    chunk: new SharedArrayBuffer(CHUNK_BYTES),
  };
}

/** Bytes of a message in the ring: its length and itself, so that the next length is aligned. */
const framed = (length: number): number => (4 + length + 3) & ~3;

/** What both ends need of a message port. */
export interface PortEnd {
  postMessage(value: unknown, transfer?: ArrayBuffer[]): void;
}

/** The sending end of one direction. */
export class Sender {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #base: number;
  readonly #bytes: Uint8Array;
  readonly #lengths: Int32Array;
  readonly #port: PortEnd;
  #written = 0;
  #sent = 0;
  #total = 0;
  /** For each message that lay in the port when {@link inPort} was last asked: its length if it counts, else -1. */
  readonly #untaken: number[] = [];
  readonly #counted = { messages: 0, bytes: 0 };

  constructor(shared: Shared, direction: "inbox" | "outbox", port: PortEnd) {
    this.#words = shared.words;
    this.#base = Word[direction];
    this.#bytes = new Uint8Array(shared[direction]);
    this.#lengths = new Int32Array(shared[direction]);
    this.#port = port;
  }

  /** May a message of this many bytes go by the ring? */
  fits(length: number): boolean {
    if (length > SMALL_BYTES || Atomics.load(this.#words, this.#base + RingWord.portTaken) !== this.#sent) return false;
    const used = (this.#written - Atomics.load(this.#words, this.#base + RingWord.released)) | 0;
    return used + this.#gap(length) + framed(length) <= RING_BYTES;
  }

  /** Copies the bytes, which {@link fits} and are not empty, into the ring. The receiver has to be told. */
  sendByRing(bytes: Uint8Array): void {
    const gap = this.#gap(bytes.length);
    if (gap > 0) this.#lengths[this.#offset >> 2] = WRAP;
    this.#written = (this.#written + gap) | 0;
    this.#lengths[this.#offset >> 2] = bytes.length;
    this.#bytes.set(bytes, this.#offset + 4);
    this.#total++;
    this.#written = (this.#written + framed(bytes.length)) | 0;
    Atomics.store(this.#words, this.#base + RingWord.written, this.#written);
  }

  /** Wakes a receiver that {@link Receiver.sleep sleeps}. */
  wakeReceiver(): void {
    Atomics.notify(this.#words, this.#base + RingWord.written);
  }

  /** Sends a copy of the bytes by the port. @param counts towards {@link inPort} */
  sendByPort(bytes: Uint8Array, counts = true): void {
    const copy = new Uint8Array(bytes);
    this.#total++;
    this.#port.postMessage(copy, [copy.buffer]);
    this.#untaken.push(counts ? bytes.length : -1);
    if (counts) this.#counted.messages++;
    if (counts) this.#counted.bytes += bytes.length;
    this.#sent = (this.#sent + 1) | 0;
    Atomics.store(this.#words, this.#base + RingWord.portSent, this.#sent);
  }

  /** Messages that were sent in all. */
  get total(): number {
    return this.#total;
  }

  /** Messages that were sent by the port, count, and are not taken yet. */
  get inPort(): { readonly messages: number; readonly bytes: number } {
    const untaken = (this.#sent - Atomics.load(this.#words, this.#base + RingWord.portTaken)) | 0;
    while (this.#untaken.length > untaken) {
      const length = this.#untaken.shift() as number;
      if (length < 0) continue;
      this.#counted.messages--;
      this.#counted.bytes -= length;
    }
    return this.#counted;
  }

  get #offset(): number {
    return this.#written & (RING_BYTES - 1);
  }

  /** Bytes that have to be left empty for the message to lie in one piece. */
  #gap(length: number): number {
    const left = RING_BYTES - this.#offset;
    return framed(length) <= left ? 0 : left;
  }
}

/** The receiving end of one direction. */
export class Receiver {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #base: number;
  readonly #bytes: Uint8Array;
  readonly #lengths: Int32Array;
  #read = 0;
  #taken = 0;

  constructor(shared: Shared, direction: "inbox" | "outbox") {
    this.#words = shared.words;
    this.#base = Word[direction];
    this.#bytes = new Uint8Array(shared[direction]);
    this.#lengths = new Int32Array(shared[direction]);
  }

  /** Where the oldest message lies; undefined when there is none. */
  get oldest(): "ring" | "port" | undefined {
    // The port first: once something lies there nothing is added to the ring, so what is found in that is older. The other
    // way round, one message could come into the ring and the next into the port between the two looks.
    const inPort = this.portHasMore;
    if (this.ringHasMore) return "ring";
    return inPort ? "port" : undefined;
  }

  /** True when a message lies in the ring. */
  get ringHasMore(): boolean {
    return Atomics.load(this.#words, this.#base + RingWord.written) !== this.#read;
  }

  /** Sleeps until a message lies in the ring, or {@link wakeReceiver} was called. @param milliseconds the longest sleep */
  sleep(milliseconds: number): void {
    Atomics.wait(this.#words, this.#base + RingWord.written, this.#read, milliseconds);
  }

  /** The oldest message in the ring, or undefined. It stays valid until {@link release}, which must follow. */
  peek(): Uint8Array | undefined {
    if (!this.ringHasMore) return undefined;
    if (this.#lengths[this.#offset >> 2] === WRAP) this.#read = (this.#read + RING_BYTES - this.#offset) | 0;
    const begin = this.#offset + 4;
    return this.#bytes.subarray(begin, begin + (this.#lengths[this.#offset >> 2] ?? 0));
  }

  /** Gives the place of the oldest message back to the sender. */
  release(): void {
    this.#read = (this.#read + framed(this.#lengths[this.#offset >> 2] ?? 0)) | 0;
    Atomics.store(this.#words, this.#base + RingWord.released, this.#read);
  }

  /** True when a message lies in the port. */
  get portHasMore(): boolean {
    return Atomics.load(this.#words, this.#base + RingWord.portSent) !== this.#taken;
  }

  /** To be called for each message taken from the port. */
  countPortMessage(): void {
    this.#taken = (this.#taken + 1) | 0;
    Atomics.store(this.#words, this.#base + RingWord.portTaken, this.#taken);
  }

  get #offset(): number {
    return this.#read & (RING_BYTES - 1);
  }
}

/** Decides when spinning is worth a try: after each failure it is left out for twice as many times. */
export class Gamble {
  #pause = 0;
  #skip = 0;
  readonly #maximum: number;

  constructor(maximumPause: number) {
    this.#maximum = maximumPause;
  }

  /** Is it worth a try now? Asking counts as one time. */
  get worthwhile(): boolean {
    if (this.#skip === 0) return true;
    this.#skip--;
    return false;
  }

  won(): void {
    this.#pause = 0;
  }

  lost(): void {
    this.#pause = Math.min(this.#pause * 2 + 1, this.#maximum);
    this.#skip = this.#pause;
  }
}
