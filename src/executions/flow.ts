/** A flow as a job for Python: it moves one execution from created to finished. */
import {
  FlowJob,
  type FlowOutcome,
  type Job,
  type JobCause,
  type JobLoss,
  type Origin,
  type Passed,
} from "../python/job.ts";
import { type MarshalReader, type MarshalValue, mayHoldBytes } from "../python/marshal.ts";
import { JobFlag, type PythonRequest } from "../python/protocol.ts";
import { resultsToResp } from "../python/transcode.ts";
import type { Timer } from "../timer.ts";
import type { Execution } from "./execution.ts";
import { idOf } from "./ids.ts";
import type { Session } from "./session.ts";

/** Settings that every job carries along. */
export interface JobSettings {
  readonly traceback: () => boolean;
  readonly profile: () => boolean;
  /** Others may run on top of what waits. */
  readonly shares: boolean;
}

/** The `flags` of a job. */
export const jobFlags = (settings: JobSettings, more = 0): number =>
  (settings.traceback() ? JobFlag.traceback : 0) |
  (settings.profile() ? JobFlag.profile : 0) |
  (settings.shares ? JobFlag.shares : 0) |
  more;

/** What a flow that is started by an event is started on. */
interface FlowEvent {
  readonly registration: number;
  /** Asked for when the flow is started. */
  readonly records: () => MarshalValue;
  /** The events after it that Python may go on with. Asked for when the flow is started and has its interpreter to itself. */
  readonly ahead?: (() => readonly EventAhead[]) | undefined;
}

/** An event that Python gets together with an earlier one. It begins when that one has ended, if Python may go on then. */
export interface EventAhead {
  /** Of the flow that will be made for it. */
  readonly handle: number;
  readonly records: MarshalValue;
}

export interface FlowOptions {
  readonly handle: number;
  readonly execution: Execution;
  readonly session: Session;
  /** Its name towards the engine's gate; its own when it has no parent. */
  readonly owner?: object | undefined;
  /** The command behind it. */
  readonly cause?: JobCause | undefined;
  readonly event?: FlowEvent;
  /** Runs on top of whatever its interpreter does, and counts as no thread (sync executions). */
  readonly runNow?: boolean;
  /** Python has begun it together with its script. */
  readonly begun?: boolean;
  readonly flags?: number;
  /** Texts that start with `+` or `-` answer statuses and errors. */
  readonly prefixRule?: boolean;
  readonly onFinish?: (flow: Flow) => void;
  readonly onWaiting?: (flow: Flow, waiting: boolean) => void;
}

/** Whoever runs flows: it is told how far each of them is. One for all, since there may be very many. */
export interface FlowKeeper {
  readonly settings: JobSettings;
  /** Python has got it. */
  started(flow: Flow): void;
  /** It waits for coroutines or futures, or goes on. */
  waits(flow: Flow, waiting: boolean): void;
  /** There are more results. */
  grew(flow: Flow): void;
  /** Its execution has finished. */
  finished(flow: Flow): void;
  /** Somebody wants it to end. */
  stop(flow: Flow): void;
}

export class Flow extends FlowJob {
  readonly execution: Execution;
  declare readonly session: Session;
  /** Python has begun the event after it, see {@link EventAhead}. */
  goesOn = false;
  /** It has no results, whatever else it yields. */
  overfull = false;
  /** @internal for the keeper: the limit of its time, once it has started */
  timer: Timer | undefined = undefined;
  /** @internal for the keeper: when it has started, if anybody wants to know how long it takes */
  begun: number | undefined = undefined;
  readonly options: FlowOptions;
  readonly #keeper: FlowKeeper;

  constructor(options: FlowOptions, keeper: FlowKeeper) {
    super(options.handle, options.session, options.runNow !== true, options.owner);
    this.options = options;
    this.#keeper = keeper;
    this.execution = options.execution;
    this.execution.session = this.session;
    this.execution.registration = this.registration;
    this.session.executions++;
  }

  get name(): string {
    return `execution ${this.execution.id}`;
  }

  override get origin(): Omit<Origin, "session"> {
    const execution = this.execution.id;
    return this.registration === undefined ? { execution } : { execution, registration: idOf(this.registration) };
  }

  override get cause(): JobCause | undefined {
    return this.options.cause;
  }

  /** Number of the registration that it belongs to. */
  get registration(): number | undefined {
    return this.options.event?.registration;
  }

  message(alone = false): PythonRequest {
    const flags = jobFlags(this.#keeper.settings, this.options.flags);
    const { event } = this.options;
    if (!event) return ["start", this.handle, flags];
    const first: EventAhead = { handle: this.handle, records: event.records() };
    const ahead = (alone && event.ahead?.()) || [];
    const all = [first, ...ahead];
    const allFlags = all.some(({ records }) => mayHoldBytes(records)) ? flags | JobFlag.bytes : flags;
    if (ahead.length === 0) return ["event", this.handle, event.registration, first.records, allFlags];
    return ["events", event.registration, allFlags, all.map(({ handle, records }) => [handle, records] as const)];
  }

  onStart(): void {
    this.execution.begin();
    this.#keeper.started(this);
  }

  onResults(items: MarshalReader): void {
    if (this.overfull) return;
    const { count, chunks } = resultsToResp(items, this.options.prefixRule ?? false);
    if (count === 0) return;
    this.execution.append(count, ...chunks);
    this.#keeper.grew(this);
  }

  onPassed(passed: Passed): void {
    if (passed.length > 0) this.execution.countPassed(passed);
  }

  onWaiting(waiting: boolean): void {
    this.#keeper.waits(this, waiting);
  }

  onDone({ status, errors, totalMs, readMs, stepMs, passed, goesOn }: FlowOutcome): void {
    this.onPassed(passed);
    this.goesOn = goesOn;
    this.execution.totalMs = totalMs;
    this.execution.readMs = readMs;
    this.execution.stepMs = stepMs;
    const { stopCause } = this;
    if (stopCause?.kind === "abort-unseen") this.finish("aborted");
    else if (stopCause?.kind === "fault") this.finish("done", [stopCause.error]);
    else this.finish(status, errors);
  }

  onLost(loss: JobLoss): void {
    this.execution.lost = this.stopCause === undefined;
    this.finish("done", [lostText(this, loss)]);
  }

  protected onStop(): void {
    this.#keeper.stop(this);
  }

  /** Ends the execution, from wherever. */
  finish(status: "done" | "aborted", errors: readonly string[] = []): void {
    if (this.execution.isFinished) return;
    this.execution.finish(status, errors);
    this.session.executions--;
    this.#keeper.finished(this);
  }
}

/** The error of a job that was lost. */
export function lostText({ stopCause }: Job, loss: JobLoss): string {
  if (stopCause?.kind === "fault") return stopCause.error;
  if (loss.kind === "stubborn") return FORCE_STOPPED;
  return `the Python interpreter that ran this execution died: ${loss.reason}`;
}

/** What Python says when it can still say something. */
const FORCE_STOPPED = "['Traceback (most recent call last):\\n', 'gears.forcestopped\\n']";
