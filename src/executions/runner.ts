/** Runs scripts and flows: from RG.PYEXECUTE's script to an execution's end. */
import { ReplyError } from "../errors.ts";
import type { FlowOutcome, PythonHost, PythonTask, ScriptOutcome, StepInfo } from "../python/host.ts";
import type { MarshalReader, MarshalValue } from "../python/marshal.ts";
import type { Reply } from "../resp/reply.ts";
import type { Execution } from "./execution.ts";
import { FlowTask, type FlowOptions, type JobSettings, jobFlags, lostText } from "./flow.ts";
import type { Ids } from "./ids.ts";
import type { ExecutionRegistry } from "./registry.ts";
import type { Session } from "./session.ts";

/** What a script declares while its body runs; it takes effect when the body has ended well. */
export interface Declarations {
  /** How many registrations were declared. */
  readonly count: number;
  /**
   * Makes them take effect, within the call.
   * @returns resolves when the script may be answered; undefined: at once
   * @throws ReplyError when one can not take effect
   */
  commit(): Promise<void> | undefined;
  /** Forgets them. */
  discard(): void;
}

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

/** A script's body or a flow that has ended and took long. */
export interface SlowExecution {
  readonly kind: "script" | "execution";
  readonly session: Session;
  readonly execution: string | undefined;
  readonly registration: number | undefined;
  /** From its start to its end, with what it has waited for. */
  readonly milliseconds: number;
}

export interface SlowLog {
  /** What took longer is told; 0: nothing. */
  readonly limitMs: () => number;
  readonly tell: (slow: SlowExecution) => void;
}

export interface ScriptRequest {
  readonly code: Buffer;
  readonly session: Session;
  readonly declarations: Declarations;
  /** Answer with an id instead of waiting. */
  readonly unblocking: boolean;
  /** The script has registered or run something. */
  readonly onEffect?: () => void;
  /** Is told how long its body and its flow ran, before it is answered. */
  readonly onRan?: (ms: number) => void;
}

/** Milliseconds that an interpreter may take to boot before nobody waits for it any more. */
const BOOT_PATIENCE_MS = 2_000;

/** Milliseconds after which a script's body that still runs is shown as running. */
const SHOW_BODY_AFTER_MS = 20;

/** The same for the body of a blocking script, which is no execution until then: each one uses up an id. */
const SHOW_BLOCKING_BODY_AFTER_MS = 1_000;

/** Something unfinished that can be told to end. */
export interface Stoppable {
  stopReason: string | undefined;
  stop(): void;
}

const OK: Reply = { type: "status", text: "OK" };

export class ExecutionRunner {
  readonly host: PythonHost;
  readonly registry: ExecutionRegistry;
  readonly ids: Ids;
  readonly settings: JobSettings;
  readonly #timeoutMs: () => number;
  readonly #syncTimeoutMs: () => number;
  readonly #slow: SlowLog | undefined;
  readonly #maxWaiting: number;
  readonly #maxResultBytes: number;
  readonly #waiting = new Set<FlowTask>();
  readonly #onReleased: (session: Session) => void;
  readonly #tasks = new Map<Execution, Stoppable>();

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
   * Runs a script. @returns its id at once when it is unblocking, else what it answers: OK, an error, or the results of
   * the flow that it started.
   */
  runScript(request: ScriptRequest): Reply | Promise<Reply> {
    const script = new Script(this, request);
    this.host.submit(script);
    script.showWhenQueued();
    const { execution } = script;
    return execution && request.unblocking ? { type: "bulk", bytes: Buffer.from(execution.id) } : script.reply;
  }

  /** Answers the id of an execution whose outcome is this error: an unblocked script that can not be run. */
  failScript(text: string): Reply {
    const execution = this.registry.create({ registered: false, kept: true });
    execution.outcome = { type: "error", text };
    execution.finish("done", [text]);
    this.registry.settle(execution);
    return { type: "bulk", bytes: Buffer.from(execution.id) };
  }

  /** Creates and queues a flow's execution. `runNow`: inside whatever its interpreter waits for (sync executions). */
  startFlow(
    options: Omit<FlowOptions, "settings" | "onFinish"> & { onFinish?: (flow: FlowTask) => void; runNow?: boolean },
  ): FlowTask {
    const { runNow, onFinish, ...rest } = options;
    let timer: NodeJS.Timeout | undefined;
    let begun: number | undefined;
    const flow: FlowTask = new FlowTask({
      ...rest,
      settings: this.settings,
      onStart: (task) => {
        timer = runNow ? this.#watchSync(stoppable) : this.watch(stoppable);
        begun = this.clock();
        options.onStart?.(task);
      },
      onWaiting: (task, waiting) => {
        // as in RedisGears, a sync execution is not shown as running while it waits
        if (runNow) task.execution.status = waiting ? "created" : "running";
        if (runNow && waiting) {
          // it holds the engine no longer
          clearTimeout(timer);
          timer = this.watch(stoppable);
        }
        options.onWaiting?.(task, waiting);
        this.#noteWaiting(task, waiting);
      },
      onGrown: (task) => this.#checkSize(task),
      onFinish: (task) => {
        clearTimeout(timer);
        this.#waiting.delete(task);
        const { session, registration, execution } = task;
        this.tellSlow(begun, { kind: "execution", session, registration, execution: execution.id });
        this.forget(execution);
        onFinish?.(task);
        // those of registrations go with them
        if (execution.kept && !execution.registered) this.#holdWhileStored(session, execution);
        this.registry.settle(task.execution);
        this.#onReleased(session);
      },
    });
    const stoppable = Object.assign(flow, { stop: () => this.#stopFlow(flow) });
    this.track(flow.execution, stoppable);
    if (runNow) this.host.runNow(flow);
    else this.host.submit(flow);
    return flow;
  }

  #holdWhileStored(session: Session, execution: Execution): void {
    session.executions++;
    execution.onDrop = () => {
      session.executions--;
      this.#onReleased(session);
    };
  }

  /** Creates the execution of a `run()` inside a step, coroutine or callback: nobody's, and dropped when it ends. */
  startInner(session: Session, steps: readonly StepInfo[]): FlowTask {
    const execution = this.registry.create({ registered: false, kept: false });
    execution.declare(steps);
    return this.startFlow({ handle: this.host.nextHandle(), execution, session });
  }

  /**
   * Stops an execution. Resolves when it has finished.
   * @param reason the error it ends with, instead of the traceback of the interrupted code
   */
  async abort(execution: Execution, reason?: string): Promise<void> {
    if (!execution.isFinished) await this.untilDeclared(execution);
    const task = this.#tasks.get(execution);
    if (!task || execution.isFinished) return;
    task.stopReason ??= reason;
    task.stop();
    await execution.finished;
  }

  /** Waits, but not long, for a script whose interpreter is just booting: before its body has run, its steps are not known. */
  async untilDeclared(execution: Execution): Promise<void> {
    if (!this.host.booting) return;
    const patience = new Promise<void>((resolve) => setTimeout(resolve, BOOT_PATIENCE_MS).unref());
    await Promise.race([execution.declared, patience]);
  }

  /** Stops a task that Python is running. @param reason the error that its execution ends with */
  abortTask(task: PythonTask, reason: string): void {
    if (!("stopReason" in task && "stop" in task)) return;
    const stoppable = task as PythonTask & Stoppable;
    stoppable.stopReason ??= reason;
    stoppable.stop();
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
    for (const [, task] of this.#tasks) task.stop();
  }

  /** How many executions are unfinished, without the events that wait for the turn of their registration. */
  get pendingCount(): number {
    return this.#tasks.size;
  }

  /** How many of them wait for coroutines and futures. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Unfinished executions. */
  get pending(): Execution[] {
    return [...this.#tasks.keys()];
  }

  /** Remembers how an unfinished execution is stopped. */
  track(execution: Execution, task: Stoppable): void {
    this.#tasks.set(execution, task);
  }

  forget(execution: Execution): void {
    this.#tasks.delete(execution);
  }

  /** When something began to run, if anybody wants to know how long it takes. */
  clock(): number | undefined {
    return this.#slow && this.#slow.limitMs() > 0 ? performance.now() : undefined;
  }

  /** Something has ended that began at `begun`. */
  tellSlow(begun: number | undefined, what: Omit<SlowExecution, "milliseconds">): void {
    if (begun === undefined || !this.#slow) return;
    const milliseconds = performance.now() - begun;
    const limit = this.#slow.limitMs();
    if (limit > 0 && milliseconds >= limit) this.#slow.tell({ ...what, milliseconds });
  }

  /** Starts the clock of something that began to run. @returns its timer; undefined without a limit */
  watch(task: Stoppable): NodeJS.Timeout | undefined {
    return stopAfter(this.#timeoutMs(), "execution-timeout", task);
  }

  /** The same for an execution that holds the engine: all clients wait for it, so its time is always limited. */
  #watchSync(task: Stoppable): NodeJS.Timeout | undefined {
    const [own, all] = [this.#syncTimeoutMs(), this.#timeoutMs()];
    return all > 0 && (own <= 0 || all < own) ? this.watch(task) : stopAfter(own, "script-time-limit", task);
  }

  #noteWaiting(flow: FlowTask, waiting: boolean): void {
    if (!waiting) {
      this.#waiting.delete(flow);
    } else if (this.#waiting.size < this.#maxWaiting) {
      this.#waiting.add(flow);
    } else {
      const limit = `max-waiting-executions is ${this.#maxWaiting}`;
      this.abortTask(flow, `Execution was stopped: too many wait for coroutines and futures (${limit})`);
    }
  }

  #checkSize(flow: FlowTask): void {
    const limit = this.#maxResultBytes;
    if (limit === 0 || flow.execution.resultBytes <= limit) return;
    flow.overfull = true;
    flow.execution.dropResults();
    const text = `it has more than ${limit} bytes of results (max-execution-results)`;
    this.abortTask(flow, `Execution was stopped: ${text}`);
  }

  #stopFlow(flow: FlowTask): void {
    flow.stopping = true;
    if (this.host.withdraw(flow)) {
      this.host.tell(flow.session, ["discard", flow.handle]);
      flow.finish("aborted");
    } else {
      this.host.abort(flow);
    }
  }
}

function stopAfter(limit: number, option: string, task: Stoppable): NodeJS.Timeout | undefined {
  if (limit <= 0) return undefined;
  return setTimeout(() => {
    task.stopReason = `Execution was stopped: it ran longer than ${option} (${limit} ms)`;
    task.stop();
  }, limit);
}

/** A script's body as a task; its flow, if it declares one, follows as a task of the same handle. */
class Script implements PythonTask {
  readonly handle: number;
  readonly session: Session;
  readonly takesThread = false;
  readonly registers: boolean;
  readonly owner: object = this;
  readonly client = 0;
  readonly declarations: Declarations;
  /** What a blocking script answers. */
  readonly reply: Promise<Reply>;
  execution: Execution | undefined;
  stopReason: string | undefined;
  #answer!: (reply: Reply) => void;
  readonly #runner: ExecutionRunner;
  readonly #code: Buffer;
  readonly #onEffect: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #started = false;
  #stopping = false;
  readonly #onRan: (ms: number) => void;
  #shownTimer: NodeJS.Timeout | undefined;
  #begun: number | undefined;
  #startedAt = 0;
  #bodyMs = 0;

  constructor(runner: ExecutionRunner, request: ScriptRequest) {
    this.#runner = runner;
    this.#code = request.code;
    this.registers = request.code.includes("register");
    this.#onEffect = request.onEffect;
    this.#onRan = request.onRan ?? (() => {});
    this.handle = runner.host.nextHandle();
    this.session = request.session;
    this.declarations = request.declarations;
    this.reply = new Promise((resolve) => {
      this.#answer = resolve;
    });
    if (request.unblocking) this.#show(true);
  }

  /** A blocking script that has to wait for an interpreter is an execution meanwhile: it can be seen and aborted. */
  showWhenQueued(): void {
    if (!this.#started && !this.execution) this.#show(false);
  }

  #show(kept: boolean): void {
    this.execution = this.#runner.registry.create({ registered: false, kept });
    this.#runner.track(this.execution, this);
  }

  message(): readonly MarshalValue[] {
    return ["script", this.handle, this.session.key, this.#code, jobFlags(this.#runner.settings)];
  }

  onStart(): void {
    this.#started = true;
    this.#begun = this.#runner.clock();
    this.#startedAt = performance.now();
    // most bodies only declare a flow: they are shown as created until it starts
    const patience = this.execution ? SHOW_BODY_AFTER_MS : SHOW_BLOCKING_BODY_AFTER_MS;
    this.#shownTimer = setTimeout(() => {
      // one that does not end must be seen to be aborted, whoever waits for it
      if (!this.execution) this.#show(false);
      if (this.execution) this.execution.status = "running";
      if (this.#stopping) this.#runner.host.abort(this);
    }, patience);
    this.#timer = this.#runner.watch(this);
  }

  onScript(outcome: ScriptOutcome): void {
    this.#clearTimers();
    this.#bodyMs = performance.now() - this.#startedAt;
    const { session, execution } = this;
    this.#runner.tellSlow(this.#begun, { kind: "script", session, registration: undefined, execution: execution?.id });
    this.#runner.ids.skip(0, outcome.builders);
    if (!outcome.ok) {
      this.#fail(this.stopReason ?? outcome.error);
      return;
    }
    const registered = this.declarations.count > 0;
    let settled: Promise<void> | undefined;
    try {
      settled = this.declarations.commit();
    } catch (error) {
      if (!(error instanceof ReplyError)) throw error;
      if (outcome.run) this.#runner.host.tell(this.session, ["discard", this.handle]);
      this.#fail(error.message);
      return;
    }
    if (registered) this.#runner.ids.skip(1, 1);
    const { run } = outcome;
    if (registered || run) this.#onEffect?.();
    const goOn = (): void => {
      if (run && this.#stopping && !run.begun) {
        this.#runner.host.tell(this.session, ["discard", this.handle]);
        this.#aborted();
      } else if (run) this.#startFlow(run.steps, registered);
      else this.#finish(OK, []);
    };
    if (settled && !run?.begun) void settled.then(goOn);
    else goOn();
  }

  stop(): void {
    const { host } = this.#runner;
    this.#stopping = true;
    if (!host.withdraw(this)) {
      // what is shown as created does not end by an error in its body, if that only declares a flow
      if (this.execution?.status !== "created") host.abort(this);
      return;
    }
    this.declarations.discard();
    this.#aborted();
  }

  #aborted(): void {
    this.#clearTimers();
    const { execution } = this;
    if (!execution) return;
    this.#runner.forget(execution);
    execution.finish("aborted");
    this.#runner.registry.settle(execution);
    this.#answer(execution.reply());
  }

  #clearTimers(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#shownTimer);
  }

  onLost(reason: string | undefined): void {
    this.#fail(this.stopReason ?? lostText(reason));
  }

  onResults(_items: MarshalReader): void {}
  onWaiting(_waiting: boolean): void {}
  onDone(_outcome: FlowOutcome): void {}

  #startFlow(steps: FlowTask["execution"]["steps"], registered: boolean): void {
    const { registry } = this.#runner;
    const execution = this.execution ?? registry.create({ registered: false, kept: registered });
    execution.kept ||= registered;
    if (this.execution) this.#runner.forget(this.execution);
    execution.status = "created";
    execution.declare(steps);
    const flow = this.#runner.startFlow({ handle: this.handle, execution, session: this.session });
    if (this.#stopping) {
      // it had begun by itself while the body was being stopped
      flow.unseen = true;
      void this.#runner.abort(execution, this.stopReason);
    }
    const answer = (reply: Reply, flowMs: number): void => {
      this.#onRan(this.#bodyMs + flowMs);
      this.#answer(reply);
    };
    if (registered) answer(OK, 0);
    else void execution.finished.then(() => answer(execution.reply(), execution.totalMs));
  }

  #fail(text: string): void {
    this.declarations.discard();
    this.#finish({ type: "error", text }, [text]);
  }

  #finish(reply: Reply, errors: readonly string[]): void {
    this.#clearTimers();
    this.#onRan(this.#bodyMs);
    this.#answer(reply);
    if (!this.execution) return;
    this.#runner.forget(this.execution);
    this.execution.outcome = reply;
    this.execution.finish("done", errors);
    this.#runner.registry.settle(this.execution);
  }
}
