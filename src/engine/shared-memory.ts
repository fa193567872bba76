/**
 * What the threads that use one engine have in common: the engine's memory, who is inside the engine, and what the threads have
 * to tell each other.
 *
 * One thread at a time is inside the engine, the one that has the {@link EngineLock}. Each thread has an instance of the module.
 * The state of the engine is in the shared memory. An instance holds only the stack pointer, which is at its base while nobody
 * is inside, and the table of functions, which is the same in all instances.
 */
import { existsSync, readlinkSync } from "node:fs";
import { InternalError } from "../errors.ts";
import { MemoryView, wasm, type WasmMemory } from "./wasm.ts";

/** The threads that may use the engine, besides the main one, which has the number 0. */
export const MAX_THREADS = 63;

/**
 * Indexes of words that all threads share. From `revoked` on each is the first of a row, with a word for each thread's
 * number.
 */
const Word = {
  /** The number of the thread inside, plus one; 0 for nobody. With {@link ASLEEP} while another thread sleeps before it. */
  lock: 0,
  /** 1 while the main thread wants to get in: the other threads let it go first. */
  wanted: 1,
  /** 1 when a thread has failed inside the engine, which must not be used any more. */
  broken: 2,
  /** 1 while Valkey holds what commands of other threads than the main one have brought listeners and clients. */
  owed: 3,
  /** 1 for a thread that is about to be ended: it never gets in again. */
  revoked: 64,
  /** 1 for a thread that may use the engine now; 2 when it may, but not with commands of the body of a script. */
  open: 128,
  /** The descriptor of a thread's connection. */
  descriptor: 192,
  /** What is wrong with a thread's connection, see {@link Loss}. */
  loss: 256,
  /** The number of the only job that may use the engine in a thread; 0: all code there may. */
  only: 320,
  /** The number of a thread for the operating system, 0 where that is not told. */
  system: 384,
  count: 448,
} as const;

/**
 * What can be wrong with a thread's connection. `closed`: Valkey has closed it in that thread. `other`: Valkey closes it in the
 * main thread, or it has given no reply.
 */
export const Loss = { none: 0, closed: 1, other: 2 } as const;

const ASLEEP = 0x40000000;
/** How often the lock is tried before its thread sleeps: most steps take a few microseconds. */
const SPINS = 2_000;
/** A thread that waits for the lock wakes up after this time and looks whether the holder is still alive, in milliseconds. */
const LOOK_AGAIN_MS = 100;
/** A thread that is inside for longer than this has most probably died there. No command is known that takes so long. */
const LONGEST_STEP_MS = 120_000;
/** After this time the main thread asks the operating system whether the thread inside still exists, in milliseconds. */
const DOUBTFUL_STEP_MS = 1_000;

export type SharedWords = Int32Array<SharedArrayBuffer>;

export const createWords = (): SharedWords => new Int32Array(new SharedArrayBuffer(Word.count * 4));

/** The lock of the engine, as one thread sees it. The main thread goes before the others. */
export class EngineLock {
  readonly #words: SharedWords;
  readonly #thread: number;
  readonly #self: number;
  #depth = 0;

  constructor(words: SharedWords, thread: number) {
    this.#words = words;
    this.#thread = thread;
    this.#self = thread + 1;
  }

  /**
   * Gets into the engine, and waits as long as another thread is inside. For a thread that is revoked meanwhile this never
   * returns: that thread is about to be ended.
   * @throws InternalError on the main thread, when the thread inside has died there
   */
  take(): void {
    if (this.#depth++ > 0) return;
    const words = this.#words;
    const isMain = this.#thread === 0;
    if (Atomics.load(words, Word.wanted) === 1 && !isMain) this.#letMainPass();
    if (Atomics.compareExchange(words, Word.lock, 0, this.#self) !== 0) {
      if (isMain) Atomics.store(words, Word.wanted, 1);
      this.#wait();
      if (isMain) {
        Atomics.store(words, Word.wanted, 0);
        Atomics.notify(words, Word.wanted);
      }
    }
    if (!isMain && isRevoked(words, this.#thread)) this.#park();
  }

  /** Leaves the engine. */
  give(): void {
    if (--this.#depth > 0) return;
    this.#leave();
  }

  /**
   * Frees the lock, unless the main thread has taken it from this thread, which {@link #wait} does when a thread was
   * revoked.
   */
  #leave(): void {
    const words = this.#words;
    const before = Atomics.compareExchange(words, Word.lock, this.#self, 0);
    if (before === this.#self) return;
    if (before !== (this.#self | ASLEEP)) return;
    if (Atomics.compareExchange(words, Word.lock, before, 0) === before) Atomics.notify(words, Word.lock);
  }

  #letMainPass(): void {
    for (let spins = 0; Atomics.load(this.#words, Word.wanted) === 1; spins++) {
      if (spins > SPINS) Atomics.wait(this.#words, Word.wanted, 1, 1);
    }
  }

  #wait(): void {
    const words = this.#words;
    for (let spins = 0; spins < SPINS; spins++) {
      if (Atomics.load(words, Word.lock) === 0 && Atomics.compareExchange(words, Word.lock, 0, this.#self) === 0)
        return;
    }
    const since = performance.now();
    for (;;) {
      const seen = Atomics.load(words, Word.lock);
      const holder = (seen & ~ASLEEP) - 1;
      // others may sleep, too: whoever had to wait wakes them when it leaves
      const mine = this.#self | ASLEEP;
      if (seen === 0) {
        if (Atomics.compareExchange(words, Word.lock, 0, mine) === 0) return;
      } else if (this.#thread === 0 && holder > 0 && isRevoked(words, holder)) {
        // the holder has got in after it was revoked: it does nothing inside, and may have ended, so the lock is taken from it
        if (Atomics.compareExchange(words, Word.lock, seen, mine) === seen) return;
      } else if ((seen & ASLEEP) !== 0 || Atomics.compareExchange(words, Word.lock, seen, seen | ASLEEP) === seen) {
        Atomics.wait(words, Word.lock, seen | ASLEEP, LOOK_AGAIN_MS);
        if (this.#thread === 0 && this.#isLost(holder, performance.now() - since)) {
          this.#depth = 0;
          throw new InternalError("a thread has died inside the engine");
        }
      }
    }
  }

  /** Has the holder died inside? The end of a thread is an event, and the main thread gets none while it waits here. */
  #isLost(holder: number, waitedMs: number): boolean {
    if (waitedMs < DOUBTFUL_STEP_MS) return false;
    const system = Atomics.load(this.#words, Word.system + holder);
    return waitedMs > LONGEST_STEP_MS || (system > 0 && !existsSync(`/proc/self/task/${system}`));
  }

  #park(): never {
    this.#leave();
    for (;;) Atomics.wait(this.#words, Word.revoked + this.#thread, 1);
  }
}

/** Has a thread failed inside the engine? */
export const isBroken = (words: SharedWords): boolean => Atomics.load(words, Word.broken) === 1;

/** This thread has failed inside the engine. */
export const noteBroken = (words: SharedWords): void => {
  Atomics.store(words, Word.broken, 1);
};

/** Does Valkey hold what commands of other threads than the main one have brought listeners and clients? */
export const isOwed = (words: SharedWords): boolean => Atomics.load(words, Word.owed) === 1;

/** Notes that Valkey holds such things, or holds none any more. To be called inside the engine. */
export const noteOwed = (words: SharedWords, owed: boolean): void => {
  Atomics.store(words, Word.owed, owed ? 1 : 0);
};

const isRevoked = (words: SharedWords, thread: number): boolean => Atomics.load(words, Word.revoked + thread) === 1;

/** What the main thread and one other thread tell each other. The main thread writes only while it is inside the engine. */
export class ThreadWords {
  readonly #words: SharedWords;
  readonly #thread: number;

  constructor(words: SharedWords, thread: number) {
    this.#words = words;
    this.#thread = thread;
  }

  get open(): boolean {
    return Atomics.load(this.#words, Word.open + this.#thread) !== 0;
  }

  set open(value: boolean) {
    Atomics.store(this.#words, Word.open + this.#thread, value ? 1 : 0);
  }

  /** Is the way open, but not for the bodies of scripts? */
  get withoutBodies(): boolean {
    return Atomics.load(this.#words, Word.open + this.#thread) === 2;
  }

  /** Opens the way, but not for the bodies of scripts. */
  openWithoutBodies(): void {
    Atomics.store(this.#words, Word.open + this.#thread, 2);
  }

  /** To be called in the thread itself: notes under which number the operating system knows it (Linux only). */
  noteSystemThread(): void {
    try {
      // such as 1234/task/1240
      const number = Number(readlinkSync("/proc/thread-self").split("/").at(-1));
      if (number > 0) Atomics.store(this.#words, Word.system + this.#thread, number);
    } catch {
      // other systems do not tell it
    }
  }

  get only(): number {
    return Atomics.load(this.#words, Word.only + this.#thread);
  }

  set only(value: number) {
    Atomics.store(this.#words, Word.only + this.#thread, value);
  }

  get loss(): number {
    return Atomics.load(this.#words, Word.loss + this.#thread);
  }

  set loss(value: number) {
    Atomics.store(this.#words, Word.loss + this.#thread, value);
  }

  get descriptor(): number {
    return Atomics.load(this.#words, Word.descriptor + this.#thread);
  }

  set descriptor(value: number) {
    Atomics.store(this.#words, Word.descriptor + this.#thread, value);
  }

  get isRevoked(): boolean {
    return isRevoked(this.#words, this.#thread);
  }

  /** True: the thread is about to be ended, and never gets in again. False: a new thread has that number. */
  set isRevoked(value: boolean) {
    Atomics.store(this.#words, Word.revoked + this.#thread, value ? 1 : 0);
  }

  /** Is the thread inside? */
  get isInside(): boolean {
    return (Atomics.load(this.#words, Word.lock) & ~ASLEEP) - 1 === this.#thread;
  }
}

interface SharedWasmMemory extends WasmMemory {
  grow(pages: number): number;
}

const PAGE = 65536;

/** Views of a memory that other threads may grow at any time: they are made anew when they have become too short. */
export class SharedMemoryView extends MemoryView {
  readonly #memory: SharedWasmMemory;
  readonly #pages: () => number;
  #known = 0;

  constructor(memory: object) {
    super();
    this.#memory = memory as SharedWasmMemory;
    const instance = new wasm.Instance(new wasm.Module(SIZE_MODULE), { env: { memory } });
    this.#pages = instance.exports.pages as () => number;
  }

  override get bytes(): Uint8Array {
    this.#refresh();
    return super.bytes;
  }

  override get words(): Int32Array {
    this.#refresh();
    return super.words;
  }

  #refresh(): void {
    if (this.#pages() === this.#known) return;
    // growing by nothing gives the memory a buffer of the present size, whichever thread has grown it
    this.#memory.grow(0);
    this.attach(this.#memory);
    this.#known = super.bytes.length / PAGE;
  }
}

/** Makes a memory that threads can share. @throws RangeError where so much address space can not be had */
export function createSharedMemory(pages: number, maximum: number): object {
  return new wasm.Memory({ initial: pages, maximum, shared: true });
}

/**
 * (module
 *   (import "env" "memory" (memory 1 65536 shared))
 *   (func (export "pages") (result i32) (memory.size)))
 * A call of `pages` takes nanoseconds, the getter `memory.buffer` of a shared memory about a microsecond.
 */
const SIZE_MODULE = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7f],
  ...[
    0x02, 0x12, 0x01, 0x03, 0x65, 0x6e, 0x76, 0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x03, 0x01, 0x80, 0x80,
    0x04,
  ],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x07, 0x09, 0x01, 0x05, 0x70, 0x61, 0x67, 0x65, 0x73, 0x00, 0x00],
  ...[0x0a, 0x06, 0x01, 0x04, 0x00, 0x3f, 0x00, 0x0b],
]);
