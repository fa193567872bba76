/**
 * The main thread's side of engines in other threads: which threads there are, and when they may use the engine.
 *
 * Only Valkey sees the commands that such a thread sends. So the thread may send them only while nothing else (a hook, a right,
 * an event in mode `sync`, a monitor) has a say in what commands do. The main thread opens the way for one thread when it has
 * made sure of that, and closes it for all threads before anything of it changes. The main thread holds the lock for both, so
 * that no command of another thread is half done then.
 */
import type { EngineShare } from "./attached-engine.ts";
import {
  createWords,
  EngineLock,
  isBroken,
  isOwed,
  Loss,
  MAX_THREADS,
  noteOwed,
  ThreadWords,
} from "./shared-memory.ts";
import type { ClockShift } from "./wasi.ts";

/** A connection that a thread uses. */
export interface LentConnection {
  /** The descriptor that Valkey has it under. */
  readonly descriptor: number;
  /** Is called, while Valkey runs, when Valkey closes the connection. */
  onClosing: () => void;
  /** The connection is of no more use. @param closedThere Valkey has closed it, in the thread that used it */
  close(closedThere: boolean): void;
}

/** A thread that may use the engine. */
export interface EngineThread {
  /** What the thread needs to use the engine. */
  readonly share: EngineShare;
  /**
   * Lets the thread use the engine until the way is closed. The caller has made sure that nothing speaks against it.
   * @param only the number of the only job that may use the engine; 0: all code in the thread may
   * @param withBodies false: bodies of scripts may not
   * @returns whether the way is open
   */
  open(only?: number, withBodies?: boolean): boolean;
  /** From now on the thread is outside and stays there: it may be ended. */
  revoke(): void;
  /**
   * Notes that the thread has ended.
   * @returns false when the thread was inside the engine, which must not be used any more then
   */
  ended(): boolean;
}

export interface ThreadsOptions {
  readonly module: object;
  readonly memory: object;
  readonly build: string;
  /** How far the engine's clock is ahead. */
  readonly clockShift: ClockShift;
  readonly commands: () => ReadonlyMap<string, number>;
  /** May threads use the engine, as far as the engine itself can tell? */
  readonly mayOpen: () => boolean;
  /** Opens a connection that may do everything; undefined when that is not possible now. */
  readonly connect: () => LentConnection | undefined;
}

/** What a thread's number stands for. */
interface Entry {
  readonly words: ThreadWords;
  connection: LentConnection | undefined;
}

export class EngineThreads {
  readonly words = createWords();
  /** The lock as the main thread sees it. */
  readonly lock = new EngineLock(this.words, 0);
  readonly #options: ThreadsOptions;
  readonly #entries = new Map<number, Entry>();
  readonly #open = new Set<Entry>();
  #closedUntil = 0;

  constructor(options: ThreadsOptions) {
    this.#options = options;
  }

  /** Takes in one more thread; undefined when there are as many as may be. */
  add(): EngineThread | undefined {
    const thread = this.#freeNumber();
    if (thread === undefined) return undefined;
    const entry: Entry = { words: new ThreadWords(this.words, thread), connection: undefined };
    entry.words.open = false;
    entry.words.isRevoked = false;
    this.#entries.set(thread, entry);
    const { module, memory, build, clockShift, commands } = this.#options;
    return {
      share: { module, memory, build, clockShift, thread, words: this.words, commands: commands() },
      open: (only = 0, withBodies = true) => this.#let(entry, only, withBodies),
      revoke: () => this.#inside(() => this.#revoke(entry)),
      ended: () => this.#ended(thread, entry),
    };
  }

  /** Has a thread failed inside the engine? */
  get isBroken(): boolean {
    return isBroken(this.words);
  }

  /** Does Valkey hold what commands of threads have brought listeners and clients? */
  get isOwed(): boolean {
    return isOwed(this.words);
  }

  /** Notes that Valkey gives these things out now. To be called inside the engine. */
  noteGiven(): void {
    noteOwed(this.words, false);
  }

  /** May any thread use the engine now? */
  get hasOpen(): boolean {
    return this.#open.size > 0;
  }

  /** Nobody but the main thread uses the engine any more, until the way is opened again. */
  closeAll(): void {
    if (this.#open.size === 0) return;
    this.#inside(() => {
      for (const { words } of this.#open) words.open = false;
    });
    this.#open.clear();
  }

  /** As {@link closeAll}, and the way is not opened again for so many milliseconds, unless {@link endPause} is called. */
  closeFor(milliseconds: number): void {
    this.closeAll();
    this.#closedUntil = Math.max(this.#closedUntil, performance.now() + milliseconds);
  }

  /** The way may be opened again, whatever {@link closeFor} said. */
  endPause(): void {
    this.#closedUntil = 0;
  }

  #freeNumber(): number | undefined {
    for (let thread = 1; thread <= MAX_THREADS; thread++) if (!this.#entries.has(thread)) return thread;
    return undefined;
  }

  #let(entry: Entry, only: number, withBodies: boolean): boolean {
    const isLost = entry.words.loss !== Loss.none;
    const isSame = entry.words.only === only && entry.words.withoutBodies !== withBodies;
    const isOpen = this.#open.has(entry) && isSame && !isLost;
    if (isOpen) return true;
    if (performance.now() < this.#closedUntil || !this.#options.mayOpen()) return false;
    if (isLost) this.#drop(entry);
    entry.connection ??= this.#options.connect();
    const { connection } = entry;
    if (connection === undefined) return false;
    connection.onClosing = () => {
      entry.words.loss = Loss.other;
    };
    this.#inside(() => {
      entry.words.descriptor = connection.descriptor;
      entry.words.loss = Loss.none;
      entry.words.only = only;
      if (withBodies) entry.words.open = true;
      else entry.words.openWithoutBodies();
    });
    this.#open.add(entry);
    return true;
  }

  #drop(entry: Entry): void {
    this.#inside(() => {
      entry.words.open = false;
    });
    this.#open.delete(entry);
    entry.connection?.close(entry.words.loss === Loss.closed);
    entry.connection = undefined;
  }

  #revoke({ words }: Entry): void {
    words.open = false;
    words.isRevoked = true;
  }

  #ended(thread: number, entry: Entry): boolean {
    if (entry.words.isInside && !entry.words.isRevoked) return false;
    this.#inside(() => this.#revoke(entry));
    this.#drop(entry);
    this.#entries.delete(thread);
    return true;
  }

  #inside(act: () => void): void {
    this.lock.take();
    try {
      act();
    } finally {
      this.lock.give();
    }
  }
}
