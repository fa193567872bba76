/** What one StreamReader registration knows of one stream. */
import type { Timer } from "../timer.ts";
import type { StreamGroup } from "./stream-group.ts";

export class StreamState {
  readonly group: StreamGroup;
  /** The look for messages that were never acknowledged was begun. */
  contacted = false;
  /** An execution of this stream is waiting, running, or just being dealt with. */
  active = false;
  /** Everything that is there is to be processed, without waiting for full batches. */
  flush = false;
  /**
   * Messages that were in the stream when it was found, and that no execution has acknowledged since: besides those that
   * wait, those that were processed before and are kept in the stream.
   */
  found = 0;
  /** The timer of an incomplete batch has fired. */
  due = false;
  timer: Timer | undefined;
  /** How often in a row its interpreter died. */
  losses = 0;
  #waiting = 0;
  /** When messages came, oldest first; those of one millisecond together, for that is what lags are told in. */
  readonly #arrivals: { readonly at: number; count: number }[] = [];

  constructor(group: StreamGroup) {
    this.group = group;
  }

  /** Messages that were added and not taken for a batch. */
  get waiting(): number {
    return this.#waiting;
  }

  /** When the first waiting one came; undefined when none waits. */
  get oldest(): number | undefined {
    return this.#arrivals[0]?.at;
  }

  arrived(at: number): void {
    this.#waiting++;
    const last = this.#arrivals.at(-1);
    if (last && at - last.at < 1) last.count++;
    else this.#arrivals.push({ at, count: 1 });
  }

  /** Takes messages for a batch. @returns when the first of them came; undefined when that is not known */
  take(count: number): number | undefined {
    const first = this.oldest;
    this.#waiting = Math.max(0, this.#waiting - count);
    let emptied = 0;
    for (let left = count; left > 0; ) {
      const entry = this.#arrivals[emptied];
      if (!entry) break;
      const taken = Math.min(left, entry.count);
      entry.count -= taken;
      left -= taken;
      if (entry.count === 0) emptied++;
    }
    this.#arrivals.splice(0, emptied);
    return first;
  }

  /** Nothing waits, whatever was counted. */
  drained(): void {
    this.#waiting = 0;
    this.#arrivals.length = 0;
  }

  /** Forgets all that is known of the stream but its group. */
  reset(): void {
    this.contacted = false;
    this.flush = false;
    this.found = 0;
    this.due = false;
    this.drained();
  }
}
