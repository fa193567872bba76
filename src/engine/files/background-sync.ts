/**
 * What Valkey leaves to a thread of its own: to bring the append-only file to the disk, each second, while everybody is
 * served. Here it is the system's threads that do it. A failure is told to Valkey, which then refuses to write.
 */
import type { FileCalls } from "./folder.ts";

/** After a failure it is tried again in this time, in milliseconds: nothing else would, for nothing is written then. */
const RETRY_MS = 1000;

export class BackgroundSync {
  /** Called when one has ended. @param error what went wrong */
  onDone: (error: unknown) => void = () => {};
  readonly #calls: FileCalls;
  /** How many go on, for each descriptor of the system. */
  readonly #running = new Map<number, number>();
  /** Descriptors to be closed by whichever is the last. */
  readonly #closing = new Set<number>();
  readonly #retries = new Map<number, NodeJS.Timeout>();

  constructor(calls: FileCalls) {
    this.#calls = calls;
  }

  get pending(): number {
    let sum = 0;
    for (const count of this.#running.values()) sum += count;
    return sum;
  }

  /** @param fd a descriptor of the system, which is not to be closed but by {@link close} */
  begin(fd: number): void {
    this.#running.set(fd, (this.#running.get(fd) ?? 0) + 1);
    this.#calls.fdatasync(fd, (error) => {
      const isOpen = this.#ended(fd);
      this.onDone(error ?? undefined);
      if (error && isOpen) this.#retry(fd);
    });
  }

  /** What was begun for a descriptor is on the disk when this returns. @throws what went wrong */
  finish(fd: number): void {
    if (this.#running.has(fd)) this.#calls.fdatasyncSync(fd);
  }

  /** The same for all. @throws what went wrong */
  finishAll(): void {
    for (const fd of this.#running.keys()) this.#calls.fdatasyncSync(fd);
  }

  /** A number that is free again may be another file's: so it is kept until nothing goes on. @throws what went wrong */
  close(fd: number): void {
    clearTimeout(this.#retries.get(fd));
    this.#retries.delete(fd);
    if (this.#running.has(fd)) {
      this.#closing.add(fd);
      this.finish(fd);
    } else this.#calls.closeSync(fd);
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
