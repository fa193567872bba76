/**
 * Main side: what one worker sends, taken in its order, a little at a time, and no more of it than its credit allows. What is
 * not taken stays where it is; then the worker's own JavaScript, of which scripts know nothing, lets Python wait.
 */
import { Fifo } from "../resp/fifo.ts";
import { Gamble, OUTBOX_LIMIT, type Receiver, type Sender, type Shared, Word } from "./channel.ts";

export interface IntakeOptions {
  readonly shared: Shared;
  readonly receiver: Receiver;
  /** What goes to the worker: its answers count until it takes them. */
  readonly sender: Pick<Sender, "inPort">;
  /** Deals with a message, which it owns. */
  readonly deliver: (message: Uint8Array) => void;
  /** Is there room for what the next message may ask? */
  readonly mayTake: () => boolean;
  /** The worker sends more than its credit allows, or asks on and takes no answers. */
  readonly onFlood: (what: string) => void;
  /** Wakes a worker that waits. */
  readonly wake: () => void;
}

/** What no worker that keeps to its credit can have lying here: its limits twice, and its largest message. */
const MOST = { messages: 2 * OUTBOX_LIMIT.messages, bytes: 2 * OUTBOX_LIMIT.kib * 1024 + 2 ** 30 } as const;
/** Milliseconds of one worker's messages in a row: others wait meanwhile. */
const SLICE_MS = 2;
/** Messages that come within this time of each other are in one row. */
const BREAK_MS = 0.5;
/** How long the ring is looked at before this thread sleeps, in milliseconds, and how often between two looks at the clock. */
const SPIN_MS = 0.1;
const LOOKS = 50;
/** Milliseconds until it is looked again whether a worker has taken its answers. */
const LOOK_AGAIN_MS = 5;
/** Answers that a worker may leave lying about. */
const UNREAD_LIMIT = { bytes: 16 * 1024 * 1024, messages: 1024 } as const;

export class Intake {
  readonly #options: IntakeOptions;
  /** Messages that came by the port, oldest first. What lies in the ring is older. */
  readonly #fromPort = new Fifo<Uint8Array>();
  #bytes = 0;
  readonly #spin = new Gamble(4);
  #rowBegan = 0;
  #rowEnded = 0;
  #next: NodeJS.Immediate | NodeJS.Timeout | undefined;
  /** The present row has taken long, and goes on in the event loop's next turn. */
  #isCut = false;
  #last: (() => void) | undefined;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** A message has come by the port. */
  add(message: Uint8Array): void {
    this.#fromPort.push(message);
    this.#bytes += message.length;
    // a worker that keeps to its credit has begun to wait long before
    if (this.#fromPort.length > MOST.messages || this.#bytes > MOST.bytes) {
      this.#options.onFlood("it sends more than it may");
    }
    this.#goOnSoon();
  }

  /**
   * Something may lie in the ring.
   * @param newTurn others had their turn since the last time
   * @returns true when messages were taken
   */
  run(newTurn = false): boolean {
    if (this.#next !== undefined) return false;
    const now = performance.now();
    if (newTurn || now - this.#rowEnded > BREAK_MS) this.#rowBegan = now;
    return this.#takeSome(now);
  }

  /**
   * Takes what comes into the ring until `isDone`, and does nothing else meanwhile.
   * @param patienceMs for so many milliseconds at most
   * @param isAwake false: the worker has just been woken, and may need this core
   * @param inOneGo others do not have their turn before that time is up
   */
  await(isDone: () => boolean, patienceMs: number, isAwake: boolean, inOneGo: boolean): void {
    const end = performance.now() + patienceMs;
    let spins = isAwake;
    while (!isDone() && this.#next === undefined) {
      if (this.#awaitRing(end - performance.now(), spins)) this.run(true);
      else if (!inOneGo || performance.now() >= end) return;
      if (inOneGo && this.#isCut && performance.now() < end) this.#goOnNow();
      spins = true;
    }
  }

  /** Delivers all that lies in the ring. */
  takeRing(): void {
    for (let message = this.#fromRing(); message !== undefined; message = this.#fromRing())
      this.#options.deliver(message);
  }

  #goOnNow(): void {
    clearImmediate(this.#next as NodeJS.Immediate | undefined);
    this.#next = undefined;
    this.#isCut = false;
  }

  /**
   * Waits until something lies in the ring. Spinning is the fastest way as long as both threads have a core; when they share
   * one, the worker does nothing until this one sleeps.
   */
  #awaitRing(milliseconds: number, spins: boolean): boolean {
    const { receiver, shared } = this.#options;
    if (spins && this.#spin.worthwhile) {
      const end = performance.now() + Math.min(SPIN_MS, milliseconds);
      do {
        for (let looks = 0; looks < LOOKS; looks++) {
          if (!receiver.ringHasMore) continue;
          this.#spin.won();
          return true;
        }
      } while (performance.now() < end);
      this.#spin.lost();
    }
    if (milliseconds <= 0) return false;
    Atomics.store(shared.words, Word.mainAsleep, 1);
    receiver.sleep(milliseconds);
    Atomics.store(shared.words, Word.mainAsleep, 0);
    return receiver.ringHasMore;
  }

  /** Nothing more will come: deals with the rest as before, and then calls `done`. */
  finish(done: () => void): void {
    this.#last = done;
    this.#goOnSoon();
  }

  #goOnSoon(): void {
    this.#next ??= setImmediate(() => this.#goOn());
  }

  #goOn(): void {
    this.#next = undefined;
    this.#isCut = false;
    this.run(true);
  }

  #takeSome(from: number): boolean {
    let now = from;
    let taken = false;
    while (now - this.#rowBegan < SLICE_MS) {
      if (!this.#hasCredit()) {
        this.#next = setTimeout(() => this.#goOn(), LOOK_AGAIN_MS);
        return taken;
      }
      if (!this.#takeOne()) {
        this.#rowEnded = now;
        this.#last?.();
        return taken;
      }
      taken = true;
      now = performance.now();
    }
    this.#rowEnded = now;
    this.#isCut = this.#next === undefined;
    this.#goOnSoon();
    return taken;
  }

  /** Has the worker taken its answers, but for a few? */
  get takesAnswers(): boolean {
    const unread = this.#options.sender.inPort;
    return unread.bytes <= UNREAD_LIMIT.bytes && unread.messages <= UNREAD_LIMIT.messages;
  }

  #hasCredit(): boolean {
    const { shared, mayTake, onFlood } = this.#options;
    // a worker that is gone takes no answers, and sends nothing more
    if (this.#last) return true;
    if (!mayTake()) return false;
    if (this.takesAnswers) return true;
    // The worker waits until a message of its is taken, and takes no answers meanwhile; here no message is taken until it does.
    if (Atomics.load(shared.words, Word.workerStalled) === 1) onFlood("it asks and asks, and takes no answers");
    return false;
  }

  /** Takes the oldest message, if there is one. */
  #takeOne(): boolean {
    const message = this.#fromRing() ?? this.#takeFromPort();
    if (message === undefined) return false;
    this.#options.deliver(message);
    return true;
  }

  #takeFromPort(): Uint8Array | undefined {
    const { receiver, shared, wake } = this.#options;
    const message = this.#fromPort.shift();
    if (message === undefined) return undefined;
    this.#bytes -= message.length;
    receiver.countPortMessage();
    Atomics.sub(shared.words, Word.outboxKiB, Math.ceil(message.length / 1024));
    if (Atomics.exchange(shared.words, Word.workerStalled, 0) === 1) wake();
    return message;
  }

  #fromRing(): Uint8Array | undefined {
    const { receiver } = this.#options;
    const message = receiver.peek();
    if (message === undefined) return undefined;
    const copy = Buffer.allocUnsafe(message.length);
    copy.set(message);
    receiver.release();
    return copy;
  }
}
