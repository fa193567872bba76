/**
 * How bytes travel between the main thread and a worker whose JavaScript never returns to its event loop.
 *
 * Each direction is a slot of shared memory for one small message, and the message port for all others. The slot may only be
 * filled when everything sent by the port before it has been taken; so what lies in the slot is always older than what lies
 * in the port, and order is kept.
 */

/** Messages up to this size travel in the slot; also the size of the buffer on the Python side. */
export const SLOT_BYTES = 65536;

/** The words shared by both threads, as indexes into an Int32Array. */
export const Word = {
  /** Counts everything main has done that a waiting worker must look at; the worker waits on it. */
  signal: 0,
  /** 2 (SIGINT) while an interrupt waits to be seen; Python's check takes it by an exchange. */
  interrupt: 1,
  /** 1 while main looks into the outbox by itself, so that no doorbell is needed. */
  mainPolls: 2,
  /** Size of the wasm memory in pages, as of the worker's last message. */
  heapPages: 3,
  /** Kibibytes (rounded up per message) sent to main by port and not yet taken. */
  outboxKiB: 4,
  /** Bytes of output lines sent to main and not yet taken. */
  outputBytes: 5,
  /** 1 when the worker waits for `outboxKiB` to sink. */
  workerStalled: 6,
  /** Calls that the sandbox answered with an error. */
  denials: 7,
  /** Three words per direction, see {@link SlotWord}. */
  inbox: 8,
  outbox: 12,
  count: 16,
} as const;

/** Offsets from {@link Word.inbox} or {@link Word.outbox}. */
const SlotWord = { length: 0, portSent: 1, portTaken: 2 } as const;

/** The memory shared by the two threads. */
export interface Shared {
  readonly words: Int32Array<SharedArrayBuffer>;
  /** The flow main wants interrupted, 0 for none. */
  readonly target: BigInt64Array<SharedArrayBuffer>;
  readonly inbox: Uint8Array<SharedArrayBuffer>;
  readonly outbox: Uint8Array<SharedArrayBuffer>;
}

export function createShared(): Shared {
  return {
    words: new Int32Array(new SharedArrayBuffer(Word.count * 4)),
    target: new BigInt64Array(new SharedArrayBuffer(8)),
    inbox: new Uint8Array(new SharedArrayBuffer(SLOT_BYTES)),
    outbox: new Uint8Array(new SharedArrayBuffer(SLOT_BYTES)),
  };
}

/** What both ends need of a message port. */
export interface PortEnd {
  postMessage(value: unknown, transfer?: ArrayBuffer[]): void;
}

/** The sending end of one direction. */
export class SlotSender {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #base: number;
  readonly #slot: Uint8Array;
  readonly #port: PortEnd;
  #sent = 0;

  constructor(shared: Shared, direction: "inbox" | "outbox", port: PortEnd) {
    this.#words = shared.words;
    this.#base = Word[direction];
    this.#slot = shared[direction];
    this.#port = port;
  }

  /** May a message of this many bytes go by the slot? */
  fits(length: number): boolean {
    return (
      length <= SLOT_BYTES &&
      Atomics.load(this.#words, this.#base + SlotWord.length) === 0 &&
      Atomics.load(this.#words, this.#base + SlotWord.portTaken) === this.#sent
    );
  }

  /** Copies the bytes, which {@link fits} and are not empty, into the slot. The receiver has to be told. */
  sendBySlot(bytes: Uint8Array): void {
    this.#slot.set(bytes);
    Atomics.store(this.#words, this.#base + SlotWord.length, bytes.length);
  }

  /** Sends a copy of the bytes by the port. */
  sendByPort(bytes: Uint8Array): void {
    const copy = new Uint8Array(bytes);
    this.#port.postMessage(copy, [copy.buffer]);
    this.#sent = (this.#sent + 1) | 0;
    Atomics.store(this.#words, this.#base + SlotWord.portSent, this.#sent);
  }
}

/** The receiving end of one direction. */
export class SlotReceiver {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #base: number;
  readonly #slot: Uint8Array;
  #taken = 0;

  constructor(shared: Shared, direction: "inbox" | "outbox") {
    this.#words = shared.words;
    this.#base = Word[direction];
    this.#slot = shared[direction];
  }

  /** The message in the slot, or undefined. It stays valid, and the slot full, until {@link release}. */
  peek(): Uint8Array | undefined {
    const length = Atomics.load(this.#words, this.#base + SlotWord.length);
    return length === 0 ? undefined : this.#slot.subarray(0, length);
  }

  /** Gives the slot back to the sender. */
  release(): void {
    Atomics.store(this.#words, this.#base + SlotWord.length, 0);
  }

  /** True when a message lies in the port. */
  get portHasMore(): boolean {
    return Atomics.load(this.#words, this.#base + SlotWord.portSent) !== this.#taken;
  }

  /** To be called for each message taken from the port. */
  countPortMessage(): void {
    this.#taken = (this.#taken + 1) | 0;
    Atomics.store(this.#words, this.#base + SlotWord.portTaken, this.#taken);
  }
}

/** A spin that gives up trying while it does not pay: after each failure it pauses twice as long. */
export class Gamble {
  #pause = 0;
  #skip = 0;
  readonly #maximum: number;

  constructor(maximumPause: number) {
    this.#maximum = maximumPause;
  }

  /** May it be tried now? Asking counts as one turn. */
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
