/** Runs scripts and flows: from RG.PYEXECUTE's script to an execution's end. */
import { Job, type StepInfo, type StopCause } from "../python/job.ts";
import type { MarshalReader } from "../python/marshal.ts";
import type { PostArgs } from "../python/messages.ts";
import type { BackgroundRun, PythonHost } from "../python/python-host.ts";
import { resultsToResp } from "../python/transcode.ts";
import type { Reply } from "../resp/reply.ts";
import { runAfter, type Timer } from "../timer.ts";
import { type CallOptions, WatchedCall } from "./watched-call.ts";
import type { Execution } from "./execution.ts";
import { type FlowKeeper, type FlowOptions, Flow, type JobSettings } from "./flow.ts";
import type { Ids } from "./ids.ts";
import type { ExecutionRegistry } from "./execution-registry.ts";
import { Script, type ScriptRequest } from "./script.ts";
import { ScriptOrder } from "./script-order.ts";
import type { Session } from "./session.ts";
import type { RunningBody, SlowExecution, Stoppable, Supervisor } from "./supervisor.ts";

export interface RunnerOptions {
  readonly host: PythonHost;
  readonly registry: ExecutionRegistry;
  readonly ids: Ids;
  readonly settings: JobSettings;
  /** Milliseconds that an execution may run (`execution-timeout`); 0: no limit. */
  readonly timeoutMs: () => number;
  /** Milliseconds that an execution may hold the engine (`script-time-limit`, as for Lua); 0: no limit. */
  readonly syncTimeoutMs: () => number;
  /** How many executions may wait for coroutines and futures at a time; what else would have to wait is stopped. */
  readonly maxWaiting: number;
  /** Bytes of results above which an execution is stopped; 0: no limit. */
  readonly maxResultBytes: number;
  /** Is told of what ran long. */
  readonly slow?: SlowLog;
  /** Called when an execution of this session does not hold it any more. */
  readonly onReleased?: (session: Session) => void;
}

export interface SlowLog {
  /** What took longer is told; 0: nothing. */
  readonly limitMs: () => number;
  readonly tell: (slow: SlowExecution) => void;
}

/** How an execution has ended that was no job; see also {@link FlowOptions}. */
type RunOutcome = Pick<PostArgs<"done">, "status" | "errors" | "totalMs" | "readMs" | "stepMs"> & {
  readonly prefixRule: boolean;
};

/** Milliseconds that an interpreter may take to boot before nobody waits for it any more. */
const BOOT_PATIENCE_MS = 2_000;

/** The error of what would start one more execution. @param limit `max-pending-executions` */
export const tooManyPending = (limit: number): string =>
  `ERR too many executions are unfinished (max-pending-executions is ${limit})`;

export class ExecutionRunner implements FlowKeeper, Supervisor {
  readonly host: PythonHost;
  readonly registry: ExecutionRegistry;
  readonly ids: Ids;
  readonly settings: JobSettings;
  /** Of the bodies of scripts. */
  readonly order = new ScriptOrder();
  /** The script whose body has sent the command that is being carried out right now. */
  presentBody: RunningBody | undefined;
  readonly #timeoutMs: () => number;
  readonly #syncTimeoutMs: () => number;
  readonly #slow: SlowLog | undefined;
  readonly #maxWaiting: number;
  readonly #maxResultBytes: number;
  readonly #onReleased: (session: Session) => void;
  readonly #unfinished = new Map<Execution, Stoppable>();

  constructor(options: RunnerOptions) {
    this.host = options.host;
    this.registry = options.registry;
    this.ids = options.ids;
    this.settings = options.settings;
    this.#timeoutMs = options.timeoutMs;
    this.#syncTimeoutMs = options.syncTimeoutMs;
    this.#slow = options.slow;
    this.#maxWaiting = options.maxWaiting;
    this.#maxResultBytes = options.maxResultBytes;
    this.#onReleased = options.onReleased ?? (() => {});
  }

  /**
   * Runs a script when its connection's earlier ones have run.
   * @returns its id when it is unblocking, else what it answers: OK, an error, or the results of the flow that it started
   * @throws ReplyError when the command is refused
   */
  runScript(request: ScriptRequest): Promise<Reply> {
    const script = new Script(this, request);
    script.enter();
    return script.reply;
  }

  /** Queues a flow of an execution that was created for it, or runs it at once. */
  startFlow(options: FlowOptions): Flow {
    const flow = new Flow(options, this);
    this.track(flow.execution, flow);
    if (flow.session.missing !== undefined) fail(flow, flow.session.missing);
    else if (options.begun) this.host.submitBegun(flow);
    else if (options.runNow) this.host.runNow(flow);
    else this.host.submit(flow);
    return flow;
  }

  /** An execution of a registration has begun and ended in Python, and was no job: it becomes what it would be then. */
  noteRun(
    execution: Execution,
    { session, number }: { readonly session: Session; readonly number: number },
    items: MarshalReader,
    { status, errors, totalMs, readMs, stepMs, prefixRule }: RunOutcome,
  ): void {
    execution.session = session;
    execution.registration = number;
    execution.begin();
    const { count, chunks } = resultsToResp(items, prefixRule);
    if (count > 0) execution.append(count, ...chunks);
    Object.assign(execution, { totalMs, readMs, stepMs });
    const overfull = this.#dropOverfull(execution);
    execution.finish(status, overfull === undefined ? errors : [overfull]);
    const { id } = execution;
    this.#tellIfSlow({ kind: "execution", session, registration: number, execution: id, milliseconds: totalMs });
  }

  /** Drops the results of an execution that has too many. @returns its error; undefined when it has not */
  #dropOverfull(execution: Execution): string | undefined {
    const limit = this.#maxResultBytes;
    if (limit === 0 || execution.resultBytes <= limit) return undefined;
    execution.dropResults();
    return `Execution was stopped: it has more than ${limit} bytes of results (max-execution-results)`;
  }

  /** @internal see {@link FlowKeeper} */
  started(flow: Flow): void {
    flow.timer = flow.options.runNow ? this.#watchSync(flow) : this.watch(flow);
    flow.begun = this.clock();
  }

  /** @internal see {@link FlowKeeper} */
  waits(flow: Flow, waiting: boolean): void {
    const { runNow, onWaiting } = flow.options;
    // as in RedisGears, a sync execution is not shown as running while it waits
    if (runNow) flow.execution.status = waiting ? "created" : "running";
    if (runNow && waiting) {
      // the flow holds the engine no longer, so the limit is that of all executions
      flow.timer?.cancel();
      flow.timer = this.watch(flow);
    }
    onWaiting?.(flow, waiting);
    if (waiting) this.#checkWaiting(flow);
  }

  /** @internal see {@link FlowKeeper} */
  grew(flow: Flow): void {
    const error = this.#dropOverfull(flow.execution);
    if (error === undefined) return;
    flow.overfull = true;
    flow.stop({ kind: "fault", error });
  }

  /** @internal see {@link FlowKeeper} */
  finished(flow: Flow): void {
    flow.timer?.cancel();
    const { session, registration, execution } = flow;
    if (flow.begun !== undefined) {
      this.tellSlow(flow.begun, { kind: "execution", session, registration, execution: execution.id });
    }
    this.forget(execution);
    flow.options.onFinish?.(flow);
    // stored executions keep their session, but for those of a registration, which are dropped together with it
    if (execution.kept && !execution.registered) this.#holdWhileStored(session, execution);
    this.registry.settle(execution);
    this.#onReleased(session);
  }

  /** @internal see {@link FlowKeeper} */
  stop(flow: Flow): void {
    if (this.host.withdraw(flow)) {
      this.host.tell(flow.session, ["discard", flow.handle]);
      flow.finish("aborted");
    } else {
      this.host.abort(flow);
    }
  }

  #holdWhileStored(session: Session, execution: Execution): void {
    session.executions++;
    execution.onDrop = () => {
      session.executions--;
      this.#onReleased(session);
    };
  }

  /** Creates the execution of a `run()` inside a step, coroutine or callback: nobody's, and dropped when it ends. */
  startInner(session: Session, steps: readonly StepInfo[]): Flow {
    const execution = this.registry.create({ registered: false, kept: false });
    execution.declare(steps);
    return this.startFlow({ handle: this.host.nextHandle(), execution, session });
  }

  /**
   * Stops an execution. Resolves when it has finished.
   * @param cause somebody has asked for it, unless given
   */
  async abort(execution: Execution, cause: StopCause = { kind: "abort" }): Promise<void> {
    if (!execution.isFinished) await this.untilDeclared(execution);
    const stoppable = this.#unfinished.get(execution);
    if (!stoppable || execution.isFinished) return;
    stoppable.stop(cause);
    await execution.finished;
  }

  /** Waits, but not long, for a script whose interpreter is just booting: before its body has run, its steps are not known. */
  async untilDeclared(execution: Execution): Promise<void> {
    if (!this.host.booting) return;
    const patience = new Promise<void>((resolve) => setTimeout(resolve, BOOT_PATIENCE_MS).unref());
    await Promise.race([execution.declared, patience]);
  }

  /** Stops everything that is in progress and forgets all executions, as the end of the server would. */
  async forgetAll(): Promise<void> {
    await Promise.all(this.pending.map((execution) => this.abort(execution)));
    for (const { id } of this.registry.list()) {
      const execution = this.registry.find(Buffer.from(id));
      if (execution) this.registry.drop(execution);
    }
    this.ids.restart();
  }

  /** Stops everything that is in progress, for a shutdown. */
  abortAll(): void {
    for (const stoppable of this.#unfinished.values()) stoppable.stop({ kind: "abort" });
  }

  /** How many executions are unfinished, without the events that wait for the turn of their registration. */
  get pendingCount(): number {
    return this.#unfinished.size;
  }

  /** How many of them wait for coroutines and futures. */
  get waitingCount(): number {
    return this.host.waiting.size;
  }

  /** Unfinished executions. */
  get pending(): Execution[] {
    return [...this.#unfinished.keys()];
  }

  /** The job of an unfinished execution; undefined while it has none yet, and for code in the background. */
  jobOf(execution: Execution): Job | undefined {
    const stoppable = this.#unfinished.get(execution);
    return stoppable instanceof Job ? stoppable : undefined;
  }

  /** Remembers how an unfinished execution is stopped. */
  track(execution: Execution, stoppable: Stoppable): void {
    this.#unfinished.set(execution, stoppable);
  }

  forget(execution: Execution): void {
    this.#unfinished.delete(execution);
  }

  /** When something began to run, if anybody wants to know how long it takes. */
  clock(): number | undefined {
    return this.#slow && this.#slow.limitMs() > 0 ? performance.now() : undefined;
  }

  /** Something has ended that began at `begun`. */
  tellSlow(begun: number | undefined, what: Omit<SlowExecution, "milliseconds">): void {
    if (begun !== undefined) this.#tellIfSlow({ ...what, milliseconds: performance.now() - begun });
  }

  #tellIfSlow(ended: SlowExecution): void {
    const limit = this.#slow?.limitMs() ?? 0;
    if (limit > 0 && ended.milliseconds >= limit) this.#slow?.tell(ended);
  }

  /** Watches code that belongs to no execution, from its beginning to its end. */
  watchCall(options: CallOptions): WatchedCall {
    return new WatchedCall(this, options);
  }

  /** Shows what an interpreter runs in the background. It may take as long as an execution. */
  showBackground(run: BackgroundRun): void {
    const stop = (): void => run.stop();
    const call = this.watchCall({ limitMs: this.#timeoutMs(), onLimit: stop, stop, showAfterMs: 0 });
    run.onEnd = () => call.end();
  }

  /** Starts the clock of something that began to run. @returns its timer; undefined without a limit */
  watch(stoppable: Stoppable): Timer | undefined {
    return stopAfter(this.#timeoutMs(), "execution-timeout", stoppable);
  }

  /** The same for an execution that holds the engine: all clients wait for it, so its time is always limited. */
  #watchSync(stoppable: Stoppable): Timer | undefined {
    const [own, all] = [this.#syncTimeoutMs(), this.#timeoutMs()];
    return all > 0 && (own <= 0 || all < own) ? this.watch(stoppable) : stopAfter(own, "script-time-limit", stoppable);
  }

  /** Stops a flow that has begun to wait if too many do, not counting those that are being stopped. */
  #checkWaiting(flow: Flow): void {
    const [{ waiting }, most] = [this.host, this.#maxWaiting];
    if (waiting.size <= most || [...waiting].filter(({ stopCause }) => !stopCause).length <= most) return;
    const limit = `max-waiting-executions is ${most}`;
    const error = `Execution was stopped: too many wait for coroutines and futures (${limit})`;
    flow.stop({ kind: "fault", error });
  }
}

/** Ends a flow that can not run. Whoever started it goes on before it is told, unless it has to have ended by then. */
function fail(flow: Flow, error: string): void {
  const end = (): void => flow.finish("done", [error]);
  if (flow.options.runNow) end();
  else queueMicrotask(end);
}

function stopAfter(limit: number, option: string, stoppable: Stoppable): Timer | undefined {
  if (limit <= 0) return undefined;
  return runAfter(limit, () => {
    stoppable.stop({ kind: "fault", error: `Execution was stopped: it ran longer than ${option} (${limit} ms)` });
  });
}
