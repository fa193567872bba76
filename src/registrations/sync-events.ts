/**
 * Events of `sync` registrations, which have to be dealt with before anybody sees the state after them: they wait here
 * until the command that caused them is settled. Those that no command of this server caused (an expired key, a timer)
 * are dealt with as soon as the engine is free.
 */
import type { Logger } from "../log.ts";
import { andAfterwards, andThen, type Maybe } from "../maybe.ts";
import type { Holdable } from "./event-starter.ts";
import type { Registration } from "./registration.ts";

/** An event that a `sync` registration is told of. */
export interface SyncEvent {
  readonly registration: Registration;
  /**
   * Deals with it while `owner` holds the engine. When that has ended the command that caused the event may go on.
   * @param begun the handle by which an interpreter has begun its execution; undefined: none has
   */
  run(owner: object, begun?: number): Maybe<void>;
}

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
  readonly #events: SyncEvent[] = [];
  /** Drains that have taken events and not finished them, by their owners. */
  readonly #draining: object[] = [];
  #scheduled = false;
  /** Where events are added instead, while somebody collects them. */
  #collected: SyncEvent[] | undefined;

  constructor(options: SyncEventsOptions) {
    this.#options = options;
  }

  /** Is no event left, and none being dealt with? */
  get isIdle(): boolean {
    return this.#events.length === 0 && this.#draining.length === 0;
  }

  /** Adds an event. */
  add(event: SyncEvent): void {
    if (this.#collected) {
      this.#collected.push(event);
      return;
    }
    this.#events.push(event);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // whoever caused it settles it before that
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#events.length > 0) void this.#hold({}, undefined);
    });
  }

  /** Gives the events that `act` adds, which the caller deals with. */
  collect(act: () => void): readonly SyncEvent[] {
    const collected: SyncEvent[] = [];
    this.#collected = collected;
    try {
      act();
    } finally {
      this.#collected = undefined;
    }
    return collected;
  }

  /** Adds events that were collected, before all others. */
  putFirst(events: readonly SyncEvent[]): void {
    this.#events.unshift(...events);
  }

  /**
   * Deals with everything that a command of `owner` has caused. The engine is held meanwhile, beginning within this call
   * if nobody else holds it.
   * @param isHeld `owner` holds it already
   */
  settle(owner: object, isHeld: boolean): Maybe<void> {
    const barrier = this.#options.barrier();
    const others = this.#draining.some((other) => other !== owner);
    if (!barrier && this.#events.length === 0 && !others) return undefined;
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

  #drain(owner: object, barrier: Promise<void> | undefined): Maybe<void> {
    this.#draining.push(owner);
    return andAfterwards(
      () => andThen(barrier, () => this.#dealWithAll(owner)),
      () => void this.#draining.splice(this.#draining.lastIndexOf(owner), 1),
    );
  }

  #dealWithAll(owner: object): Maybe<void> {
    while (this.#events.length > 0) {
      const dealt = this.#dealWith(this.#events.splice(0), 0, owner);
      if (dealt) return dealt.then(() => this.#dealWithAll(owner));
    }
  }

  /** Deals with events from a place on, one after the other. @returns undefined when all are dealt with */
  #dealWith(events: readonly SyncEvent[], first: number, owner: object): Promise<void> | undefined {
    for (let at = first; at < events.length; at++) {
      const dealt = this.#attempt(events[at] as SyncEvent, owner);
      if (dealt instanceof Promise) return dealt.then(() => this.#dealWith(events, at + 1, owner));
    }
    return undefined;
  }

  #attempt(event: SyncEvent, owner: object): Maybe<void> {
    const failed = (error: unknown): void =>
      this.#options.log.error({ err: error }, "a sync event could not be dealt with");
    try {
      const dealt = event.run(owner);
      return dealt instanceof Promise ? dealt.catch(failed) : undefined;
    } catch (error) {
      failed(error);
    }
  }
}
