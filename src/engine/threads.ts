/**
 * The main thread's side of engines in other threads: which threads there are, and when they may use the engine.
 *
 * A thread's commands are seen by nobody but Valkey. So it may only send them while there is nothing else that has a say:
 * the main thread opens the way for one thread after the other when it has looked at everything, and closes it for all
 * before anything changes. It does both from inside the lock, so that no command of another thread is half done then: what
 * holds from now on applies to every command that is carried out from now on.
 */
import type { EngineShare } from "./attached.ts";
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

/** A connection that a thread uses. */
export interface LentConnection {
  /** The descriptor that Valkey has it under. */
  readonly descriptor: number;
  /** Is told, while Valkey runs, that Valkey closes it. */
  onClosing: () => void;
  /** The connection is of no more use. @param closedThere Valkey has closed it, in the thread that used it */
  close(closedThere: boolean): void;
}

/** A thread that may use the engine. */
export interface EngineThread {
  /** What the thread needs to do so. */
  readonly share: EngineShare;
  /**
   * Lets it, as long as nothing changes. What speaks against it has to be asked before.
   * @param only a number by which the thread knows the only code that may; 0: all that runs there
   * @param withBodies false: but not the bodies of scripts
   */
  open(only?: number, withBodies?: boolean): void;
  /** From now on the thread is outside and stays there: it may be ended. */
  revoke(): void;
  /**
   * The thread is gone.
   * @returns false when it was inside: the engine must not be used any more
   */
  ended(): boolean;
}

export interface ThreadsOptions {
  readonly module: object;
  readonly memory: object;
  readonly build: string;
  readonly commands: () => ReadonlyMap<string, number>;
  /** Does nothing in the engine speak against it? */
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
  /** The main thread's own. */
  readonly lock = new EngineLock(this.words, 0);
  readonly #options: ThreadsOptions;
  readonly #entries = new Map<number, Entry>();
  readonly #open = new Set<Entry>();
  #closedUntil = 0;

  constructor(options: ThreadsOptions) {
    this.#options = options;
  }

  /** A number for one more thread; undefined when there are as many as may be. */
  add(): EngineThread | undefined {
    const thread = this.#freeNumber();
    if (thread === undefined) return undefined;
    const entry: Entry = { words: new ThreadWords(this.words, thread), connection: undefined };
    entry.words.open = false;
    entry.words.isRevoked = false;
    this.#entries.set(thread, entry);
    const { module, memory, build, commands } = this.#options;
    return {
      share: { module, memory, build, thread, words: this.words, commands: commands() },
      open: (only = 0, withBodies = true) => this.#let(entry, only, withBodies),
      revoke: () => this.#inside(() => this.#revoke(entry)),
      ended: () => this.#ended(thread, entry),
    };
  }

  /** Has a thread failed inside the engine? */
  get isBroken(): boolean {
    return isBroken(this.words);
  }

  /** Does Valkey hold what a thread's commands have brought others? */
  get isOwed(): boolean {
    return isOwed(this.words);
  }

  /** It gives that now. To be called inside. */
  noteGiven(): void {
    noteOwed(this.words, false);
  }

  /** May any thread use it now? */
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

  /** The same, and it is not opened for so many milliseconds. */
  closeFor(milliseconds: number): void {
    this.closeAll();
    this.#closedUntil = Math.max(this.#closedUntil, performance.now() + milliseconds);
  }

  #freeNumber(): number | undefined {
    for (let thread = 1; thread <= MAX_THREADS; thread++) if (!this.#entries.has(thread)) return thread;
    return undefined;
  }

  #let(entry: Entry, only: number, withBodies: boolean): void {
    const isLost = entry.words.loss !== Loss.none;
    const isSame = entry.words.only === only && entry.words.withoutBodies !== withBodies;
    const isOpen = this.#open.has(entry) && isSame && !isLost;
    if (isOpen || performance.now() < this.#closedUntil || !this.#options.mayOpen()) return;
    if (isLost) this.#drop(entry);
    entry.connection ??= this.#options.connect();
    const { connection } = entry;
    if (connection === undefined) return;
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
