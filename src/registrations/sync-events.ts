/**
 * Events of `sync` registrations, which have to be dealt with before anybody sees the state after them: they wait here
 * until the command that caused them is settled. Those that no command of this server caused (an expired key, a timer)
 * are dealt with as soon as the engine is free.
 */
import type { Logger } from "../log.ts";
import type { Holdable } from "./event-starter.ts";

/** Deals with an event while `owner` holds the engine. Resolves when whoever caused it may go on. */
type SyncJob = (owner: object) => Promise<void>;

interface SyncEventsOptions {
  readonly gate: Holdable;
  /** Waits for events that are still on their way; undefined when there can not be any. */
  readonly barrier: () => Promise<void> | undefined;
  readonly log: Pick<Logger, "error">;
}

export class SyncEvents {
  readonly #options: SyncEventsOptions;
  readonly #jobs: SyncJob[] = [];
  /** Drains that have taken jobs and not finished them, by their owners. */
  readonly #draining: object[] = [];
  #scheduled = false;

  constructor(options: SyncEventsOptions) {
    this.#options = options;
  }

  /** Adds an event. */
  add(job: SyncJob): void {
    this.#jobs.push(job);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // whoever caused it settles it before that
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#jobs.length > 0) void this.#drain({});
    });
  }

  /**
   * Deals with everything that a command of `owner` has caused. The engine is held meanwhile, beginning within this call
   * if nobody else holds it.
   * @returns undefined when there is nothing to wait for
   */
  settle(owner: object): Promise<void> | undefined {
    const barrier = this.#options.barrier();
    if (barrier) return this.#settleAfter(barrier, owner);
    const others = this.#draining.some((other) => other !== owner);
    return this.#jobs.length > 0 || others ? this.#drain(owner) : undefined;
  }

  async #settleAfter(barrier: Promise<void>, owner: object): Promise<void> {
    const { gate } = this.#options;
    await gate.hold(owner, () => "events of mode sync");
    try {
      await barrier;
      await this.#drain(owner);
    } finally {
      gate.release(owner);
    }
  }

  /** Another owner's drain holds the engine, so this one begins when that has ended. */
  async #drain(owner: object): Promise<void> {
    const { gate, log } = this.#options;
    await gate.hold(owner, () => "events of mode sync");
    this.#draining.push(owner);
    try {
      while (this.#jobs.length > 0) {
        for (const job of this.#jobs.splice(0)) {
          await job(owner).catch((error: unknown) => log.error({ err: error }, "a sync event could not be dealt with"));
        }
      }
    } finally {
      this.#draining.splice(this.#draining.lastIndexOf(owner), 1);
      gate.release(owner);
    }
  }
}
