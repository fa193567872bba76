/**
 * Events of `sync` registrations, which have to be dealt with before anybody sees the state after them: they wait here
 * until the command that caused them is settled. Those that no command of this server caused (an expired key, a timer)
 * are dealt with as soon as the engine is free.
 */
import type { Logger } from "../log.ts";
import type { Holdable } from "./event-starter.ts";

/** Deals with an event while `owner` holds the engine. Resolves when the command that caused the event may go on. */
type SyncJob = (owner: object) => Promise<void>;

interface SyncEventsOptions {
  readonly gate: Holdable;
  /** Waits for events that are still on their way; undefined when there can not be any. */
  readonly barrier: () => Promise<void> | undefined;
  /** The execution that runs just now, for people who ask who holds the engine. */
  readonly running: () => string | undefined;
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

  /** Is no event left, and none being dealt with? */
  get isIdle(): boolean {
    return this.#jobs.length === 0 && this.#draining.length === 0;
  }

  /** Adds an event. */
  add(job: SyncJob): void {
    this.#jobs.push(job);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // whoever caused it settles it before that
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#jobs.length > 0) void this.#hold({}, undefined);
    });
  }

  /**
   * Deals with everything that a command of `owner` has caused. The engine is held meanwhile, beginning within this call
   * if nobody else holds it.
   * @param isHeld `owner` holds it already
   * @returns undefined when there is nothing to wait for
   */
  settle(owner: object, isHeld: boolean): Promise<void> | undefined {
    const barrier = this.#options.barrier();
    const others = this.#draining.some((other) => other !== owner);
    if (!barrier && this.#jobs.length === 0 && !others) return undefined;
    return isHeld ? this.#drain(owner, barrier) : this.#hold(owner, barrier);
  }

  /** Begins when others, who may be dealing with events just now, hold the engine no longer. */
  async #hold(owner: object, barrier: Promise<void> | undefined): Promise<void> {
    const { gate, running } = this.#options;
    await gate.hold(owner, () => running() ?? "events of mode sync");
    try {
      await this.#drain(owner, barrier);
    } finally {
      gate.release(owner);
    }
  }

  async #drain(owner: object, barrier: Promise<void> | undefined): Promise<void> {
    const { log } = this.#options;
    this.#draining.push(owner);
    try {
      if (barrier) await barrier;
      while (this.#jobs.length > 0) {
        for (const job of this.#jobs.splice(0)) {
          await job(owner).catch((error: unknown) => log.error({ err: error }, "a sync event could not be dealt with"));
        }
      }
    } finally {
      this.#draining.splice(this.#draining.lastIndexOf(owner), 1);
    }
  }
}
