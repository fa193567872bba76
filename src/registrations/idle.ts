/** Whether there is anything left to do of what clients, events and timers have begun. */
import type { ExecutionRunner } from "../executions/execution-runner.ts";
import type { PythonHost } from "../python/python-host.ts";
import type { EventReaders } from "./event-readers.ts";
import type { EventStarter } from "./event-starter.ts";
import type { TimeEvents } from "./time-events.ts";

interface IdleOptions {
  readonly runner: Pick<ExecutionRunner, "pendingCount">;
  readonly host: Pick<PythonHost, "isIdle">;
  readonly starter: Pick<EventStarter, "inProgress">;
  readonly readers: Pick<EventReaders, "keys" | "streams" | "sync" | "settled">;
  readonly timers: Pick<TimeEvents, "isFiring">;
}

/** Milliseconds until it is looked again. */
const PAUSE_MS = 2;
/** What one part hands over to another is nowhere to be seen for a moment: so often in a row there must be nothing. */
const LOOKS = 3;

export class Idle {
  readonly #options: IdleOptions;

  constructor(options: IdleOptions) {
    this.#options = options;
  }

  /**
   * Waits until nothing is pending.
   * @param durations batches of streams that wait for their `duration` are pending, too
   * @param goesOn false: nobody waits any more
   * @returns undefined when nothing is pending; else, when nobody waits any more, what is
   */
  async wait(durations: boolean, goesOn: () => boolean): Promise<string | undefined> {
    const { readers } = this.#options;
    for (let quiet = 0; quiet < LOOKS; ) {
      await readers.settled();
      const pending = this.#pending(durations);
      if (pending === undefined) {
        quiet++;
        await new Promise<void>((resolve) => setImmediate(resolve));
        continue;
      }
      if (!goesOn()) return pending;
      quiet = 0;
      await new Promise<void>((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    return undefined;
  }

  #pending(durations: boolean): string | undefined {
    const { runner, host, starter, readers, timers } = this.#options;
    const { keys, streams, sync } = readers;
    const unfinished = runner.pendingCount;
    if (unfinished > 0)
      return unfinished === 1 ? "1 execution is unfinished" : `${unfinished} executions are unfinished`;
    const events = starter.inProgress;
    if (events > 0)
      return events === 1 ? "1 event waits for its execution" : `${events} events wait for their executions`;
    if (!sync.isIdle || keys.whenFlowing() !== undefined || streams.isReading) return "events are being dealt with";
    if (durations && streams.isCollecting) return "a batch of a stream waits for its duration";
    if (timers.isFiring) return "a time event is being called";
    return host.isIdle ? undefined : "an interpreter is at work";
  }
}
