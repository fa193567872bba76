/** A flow as a task for Python: it moves one execution from created to finished. */
import { JobFlag } from "../python/protocol.ts";
import type { FlowOutcome, PythonTask, ScriptOutcome } from "../python/python-host.ts";
import type { MarshalReader, MarshalValue } from "../python/marshal.ts";
import { resultsToResp } from "../python/transcode.ts";
import type { Timer } from "../timer.ts";
import type { Execution } from "./execution.ts";
import type { Session } from "./session.ts";

/** Settings that every job carries along. */
export interface JobSettings {
  readonly traceback: () => boolean;
  readonly profile: () => boolean;
}

/** The `flags` of a job. */
export const jobFlags = (settings: JobSettings, more = 0): number =>
  (settings.traceback() ? JobFlag.traceback : 0) | (settings.profile() ? JobFlag.profile : 0) | more;

/** What a flow that is started by an event is started on. */
export interface FlowEvent {
  readonly registration: number;
  /** Asked for when the flow is started. */
  readonly records: () => MarshalValue;
}

export interface FlowOptions {
  readonly handle: number;
  readonly execution: Execution;
  readonly session: Session;
  /** Its name towards the engine's gate; its own when it has no parent. */
  readonly owner?: object | undefined;
  readonly client?: number | undefined;
  readonly event?: FlowEvent;
  /** Runs inside whatever its interpreter waits for, and counts as no thread (sync executions). */
  readonly runNow?: boolean;
  readonly flags?: number;
  /** Texts that start with `+` or `-` answer statuses and errors. */
  readonly prefixRule?: boolean;
  readonly onFinish?: (flow: FlowTask) => void;
  readonly onWaiting?: (flow: FlowTask, waiting: boolean) => void;
}

/** Whoever runs flows: it is told how far each of them is. One for all, since there may be very many. */
export interface FlowKeeper {
  readonly settings: JobSettings;
  /** Python has got it. */
  started(flow: FlowTask): void;
  /** It waits for coroutines or futures, or goes on. */
  waits(flow: FlowTask, waiting: boolean): void;
  /** There are more results. */
  grew(flow: FlowTask): void;
  /** Its execution has finished. */
  finished(flow: FlowTask): void;
  /** Somebody wants it to end. */
  stop(flow: FlowTask): void;
}

export class FlowTask implements PythonTask {
  readonly kind = "flow";
  readonly handle: number;
  readonly execution: Execution;
  readonly session: Session;
  readonly takesThread: boolean;
  readonly owner: object;
  readonly client: number;
  /** Set by whoever stops it: the error that is shown instead of Python's. */
  stopReason: string | undefined = undefined;
  /** Somebody stops it, so it is no surprise when its interpreter dies. */
  stopping = false;
  /** Python had begun it by itself, in a lent thread, while its script was being stopped: it ends as one that never began. */
  unseen = false;
  /** It has no results, whatever else it yields. */
  overfull = false;
  /** @internal for the keeper: the limit of its time, once it has started */
  timer: Timer | undefined = undefined;
  /** @internal for the keeper: when it has started, if anybody wants to know how long it takes */
  begun: number | undefined = undefined;
  readonly options: FlowOptions;
  readonly #keeper: FlowKeeper;

  constructor(options: FlowOptions, keeper: FlowKeeper) {
    this.options = options;
    this.#keeper = keeper;
    this.handle = options.handle;
    this.execution = options.execution;
    this.session = options.session;
    this.takesThread = options.runNow !== true;
    this.owner = options.owner ?? this;
    this.client = options.client ?? 0;
    this.session.executions++;
  }

  get name(): string {
    return `execution ${this.execution.id}`;
  }

  /** Number of the registration that it belongs to. */
  get registration(): number | undefined {
    return this.options.event?.registration;
  }

  message(): readonly MarshalValue[] {
    const flags = jobFlags(this.#keeper.settings, this.options.flags);
    const { event } = this.options;
    if (!event) return ["start", this.handle, this.execution.id, flags];
    return ["event", this.handle, this.execution.id, event.registration, event.records(), flags, this.client];
  }

  onStart(): void {
    this.execution.status = "running";
    this.#keeper.started(this);
  }

  onScript(_outcome: ScriptOutcome): void {}

  onResults(items: MarshalReader): void {
    if (this.overfull) return;
    const { count, chunks } = resultsToResp(items, this.options.prefixRule ?? false);
    if (count === 0) return;
    this.execution.append(count, ...chunks);
    this.#keeper.grew(this);
  }

  onWaiting(waiting: boolean): void {
    this.#keeper.waits(this, waiting);
  }

  onDone(outcome: FlowOutcome): void {
    this.execution.totalMs = outcome.totalMs;
    this.execution.readMs = outcome.readMs;
    this.execution.stepMs = outcome.stepMs;
    if (this.unseen && this.stopReason === undefined) this.finish("aborted");
    else this.finish(outcome.status, this.stopReason === undefined ? outcome.errors : [this.stopReason]);
  }

  onLost(reason: string | undefined): void {
    this.execution.lost = !this.stopping;
    this.finish("done", [this.stopReason ?? lostText(reason)]);
  }

  /** Ends the execution, from wherever. */
  finish(status: "done" | "aborted", errors: readonly string[] = []): void {
    if (this.execution.isFinished) return;
    this.execution.finish(status, errors);
    this.session.executions--;
    this.#keeper.finished(this);
  }

  /** Ends it, as soon as that is possible. */
  stop(): void {
    this.#keeper.stop(this);
  }
}

/** The error of an execution whose interpreter died. @param reason undefined when it had to be stopped like that */
export const lostText = (reason: string | undefined): string =>
  reason === undefined ? FORCE_STOPPED : `the Python interpreter that ran this execution died: ${reason}`;

/** What Python says when it can still say something. */
const FORCE_STOPPED = "['Traceback (most recent call last):\\n', 'gears.forcestopped\\n']";
