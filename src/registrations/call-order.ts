/**
 * In which order time events are called. One at a time asks the engine and waits for it: however many are due, commands of
 * clients come in between. And in each interpreter one is called after the other. Those that are sent there run on top of each
 * other, the last one first: when they are due faster than they can be called, the first ones would never have their turn.
 */
import { Places } from "../places.ts";
import { Fifo } from "../resp/fifo.ts";

export class CallOrder<Event> {
  readonly #call: (event: Event, home: object | undefined) => Promise<boolean>;
  /** That of the one which asks the engine. */
  readonly #place = new Places(1);
  /** The interpreters in which one is being called, or is to be, and those that are called there next. */
  readonly #lines = new Map<object, Fifo<Event>>();

  /** @param call has its function called; resolves with whether that will end, which {@link ended} has to be told of */
  constructor(call: (event: Event, home: object | undefined) => Promise<boolean>) {
    this.#call = call;
  }

  /** Does any ask the engine, or wait for it? */
  get isCalling(): boolean {
    return this.#place.taken > 0;
  }

  /** The time of one has come. @param home its interpreter, if it has one now */
  add(event: Event, home: object | undefined): void {
    const line = home && this.#lines.get(home);
    if (line) {
      line.push(event);
      return;
    }
    if (home) this.#lines.set(home, new Fifo());
    void this.#begin(event, home);
  }

  /** The one that was called in an interpreter has ended. */
  ended(home: object): void {
    const next = this.#lines.get(home)?.shift();
    if (next !== undefined) void this.#begin(next, home);
    else this.#lines.delete(home);
  }

  /** An interpreter is gone. @returns those that were to be called there next */
  gone(home: object): Event[] {
    const line = this.#lines.get(home);
    this.#lines.delete(home);
    return line?.clear() ?? [];
  }

  /** Nothing of all that is to be called. */
  clear(): void {
    this.#lines.clear();
  }

  async #begin(event: Event, home: object | undefined): Promise<void> {
    let isCalled = false;
    try {
      isCalled = await this.#place.take(() => this.#call(event, home));
    } finally {
      if (home && !isCalled) this.ended(home);
    }
  }
}
