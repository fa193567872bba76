/** Events of registrations that wait for their turn. */
import type { Execution } from "../executions/execution.ts";
import type { WaitingExecution } from "../executions/execution-registry.ts";
import { idOf } from "../executions/ids.ts";
import type { Row, RowBatch } from "../python/stream-row.ts";
import { Fifo } from "../resp/fifo.ts";
import type { EventOptions, EventSource, StreamSource } from "./event-source.ts";
import type { Registration } from "./registration.ts";

/** Most events that Python gets ahead. */
export const MOST_AHEAD = 63;

/** Makes executions of events. */
interface Maker {
  makeExecution(event: WaitingEvent): Execution;
}

export class WaitingEvent implements WaitingExecution {
  readonly number: number;
  readonly registration: Registration;
  readonly source: EventSource;
  readonly options: EventOptions;
  /** Undefined until it is needed. */
  execution: Execution | undefined;
  /** Python has begun it, of which this thread will be told in a moment, and somebody wants it to end. */
  isUnwanted = false;
  /** The same is believed, and otherwise it is not to begin. */
  isDiscarded = false;
  readonly #maker: Maker;

  constructor(number: number, maker: Maker, registration: Registration, source: EventSource, options: EventOptions) {
    this.number = number;
    this.registration = registration;
    this.source = source;
    this.options = options;
    this.#maker = maker;
  }

  get id(): string {
    return idOf(this.number);
  }

  get status(): "created" {
    return "created";
  }

  get registered(): boolean {
    return true;
  }

  toExecution(): Execution {
    this.execution ??= this.#maker.makeExecution(this);
    return this.execution;
  }
}

/** What waits in one registration, in order. */
export class Turns {
  busy = false;
  /** The next ones are being begun, further up in the stack. */
  beginning = false;
  /** Scripts whose bodies run and have caused events in it. */
  bodies = 0;
  readonly events = new Fifo<WaitingEvent>();
  /** Handles for the first ones of them: Python has these events, and begins each when the one before it has ended. */
  ahead: number[] = [];
  /** Those are not for events that wait, but for further batches of the stream whose batch was begun last. */
  again: StreamSource | undefined;
  /** Streams that Python's thread reads by itself. */
  #lent: StreamSource[] = [];

  /** Lets Python's thread read further batches by itself. @returns them; undefined when there are none */
  lend(stream: StreamSource, handle: number, nextHandle: () => number): Row | undefined {
    const batch = this.bodies === 0 ? stream.batch(true) : undefined;
    if (!batch) return undefined;
    const lent = [stream];
    const next: RowBatch[] = [];
    const add = (one: Omit<RowBatch, "handle">): void => void next.push({ handle: nextHandle(), ...one });
    for (let event = this.events.first; event && next.length < MOST_AHEAD; event = this.events.at(next.length)) {
      const other = event.execution?.isFinished ? undefined : event.source.stream;
      const its = other?.batch(false);
      if (!other || !its) break;
      lent.push(other);
      add(its);
    }
    const isAlone = this.events.length === 0;
    if (isAlone) for (let left = Math.min(stream.waiting(), MOST_AHEAD); left > 0; left--) add(batch);
    if (next.length === 0) return undefined;
    this.ahead = next.map((one) => one.handle);
    this.again = isAlone ? stream : undefined;
    this.#lent = lent;
    for (const one of lent) one.lent(true);
    return { first: { handle, ...batch, ids: stream.ids() }, next };
  }

  /** Python begins nothing more by itself, and has told what it has begun. */
  endAhead(): void {
    this.ahead = [];
    this.again = undefined;
    for (const stream of this.#lent.splice(0)) stream.lent(false);
  }
}
