/**
 * Brings the append-only file to the disk, each second, while everybody is served. Valkey has a thread of its own for that; here
 * Node's threads for files do it. A failure is told to Valkey, which then refuses to write.
 */
import type { FileCalls } from "./engine-folder.ts";

/**
 * After a failure a file is brought to the disk again in this time, in milliseconds. As nothing is written, nothing else
 * would try.
 */
const RETRY_MS = 1000;

export class BackgroundSync {
  /** Called when a file was brought to the disk. @param error what went wrong, if anything did */
  onDone: (error: unknown) => void = () => {};
  readonly #calls: FileCalls;
  /** How many calls of fdatasync go on, for each descriptor of the system. */
  readonly #running = new Map<number, number>();
  /** Descriptors that are closed when their last call of fdatasync has ended. */
  readonly #closing = new Set<number>();
  readonly #retries = new Map<number, NodeJS.Timeout>();
  readonly #waiting: ((error: unknown) => void)[] = [];

  constructor(calls: FileCalls) {
    this.#calls = calls;
  }

  get pending(): number {
    let sum = 0;
    for (const count of this.#running.values()) sum += count;
    return sum;
  }

  /**
   * Begins to bring a file to the disk.
   * @param fd a descriptor of the system, which only {@link close} may close from now on
   */
  begin(fd: number): void {
    this.#running.set(fd, (this.#running.get(fd) ?? 0) + 1);
    this.#calls.fdatasync(fd, (error) => {
      const isOpen = this.#ended(fd);
      this.onDone(error ?? undefined);
      this.#tellWaiting(error ?? undefined);
      if (error && isOpen) this.#retry(fd);
    });
  }

  /** Resolves when nothing goes on any more; rejects with what went wrong meanwhile. */
  idle(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push((error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  /** Waits until what was begun for a descriptor is on the disk. @throws what went wrong */
  finish(fd: number): void {
    if (this.#running.has(fd)) this.#calls.fdatasyncSync(fd);
  }

  /** Waits until what was begun for any descriptor is on the disk. @throws what went wrong */
  finishAll(): void {
    for (const fd of this.#running.keys()) this.#calls.fdatasyncSync(fd);
  }

  /**
   * Closes a descriptor, as soon as no call of fdatasync is left for it: afterwards its number may be another file's.
   * @throws what went wrong
   */
  close(fd: number): void {
    clearTimeout(this.#retries.get(fd));
    this.#retries.delete(fd);
    if (this.#running.has(fd)) {
      this.#closing.add(fd);
      this.finish(fd);
    } else this.#calls.closeSync(fd);
  }

  #tellWaiting(error: unknown): void {
    if (error === undefined && this.#running.size > 0) return;
    for (const tell of this.#waiting.splice(0)) tell(error);
  }

  /** @returns whether the descriptor is still in use */
  #ended(fd: number): boolean {
    const left = (this.#running.get(fd) ?? 1) - 1;
    if (left > 0) {
      this.#running.set(fd, left);
      return !this.#closing.has(fd);
    }
    this.#running.delete(fd);
    if (!this.#closing.delete(fd)) return true;
    this.#calls.closeSync(fd);
    return false;
  }

  #retry(fd: number): void {
    if (this.#retries.has(fd)) return;
    const timer = setTimeout(() => {
      this.#retries.delete(fd);
      this.begin(fd);
    }, RETRY_MS).unref();
    this.#retries.set(fd, timer);
  }
}
