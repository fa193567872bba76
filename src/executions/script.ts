/** A script: what RG.PYEXECUTE runs, from its body to the answer. */
import { ReplyError } from "../errors.ts";
import { type JobLoss, type Origin, ScriptJob, type ScriptOutcome, type DeclaredRun } from "../python/job.ts";
import { JobFlag, type PythonRequest } from "../python/protocol.ts";
import type { Reply } from "../resp/reply.ts";
import type { Timer } from "../timer.ts";
import type { Execution } from "./execution.ts";
import { jobFlags, lostText } from "./flow.ts";
import type { InOrder } from "./script-order.ts";
import type { Session } from "./session.ts";
import type { RunningBody, Supervisor } from "./supervisor.ts";

/** What a script declares while its body runs; it takes effect when the body has ended well. */
export interface Declarations {
  /** How many registrations were declared. */
  readonly count: number;
  /**
   * Makes them take effect, within the call.
   * @returns resolves when the script may be answered; undefined: at once. Rejects with a ReplyError when they can not be
   * kept, and have no effect any more
   * @throws ReplyError when one can not take effect
   */
  commit(): Promise<void> | undefined;
  /** Forgets them. */
  discard(): void;
}

export interface ScriptRequest {
  readonly code: Buffer;
  readonly session: Session;
  /** Who sent it: its body waits for those of the scripts that the same one has sent before. */
  readonly connection: object;
  /**
   * Makes its declarations, when it may begin.
   * @throws ReplyError when the command has to be refused
   */
  readonly declare: () => Declarations;
  /** Its flow is timed, and its records are counted. */
  readonly observed?: boolean;
  /** Answer with an id when the body is over, or after {@link PATIENCE_MS}, instead of waiting for a result. */
  readonly unblocking: boolean;
  /**
   * Gets what it needs before it runs; undefined: nothing is needed. A ReplyError is its outcome, as the command itself is
   * well-formed.
   */
  readonly prepare?: () => Promise<void> | undefined;
  /** The script has registered or run something. */
  readonly onEffect?: () => void;
  /** Is told how long its body and its flow ran, before it is answered. */
  readonly onRan?: (ms: number) => void;
}

/** Milliseconds after which a script's body that still runs is shown as running. */
const SHOW_BODY_AFTER_MS = 20;

/** The same for the body of a blocking script, which is no execution until then: each one uses up an id. */
const SHOW_BLOCKING_BODY_AFTER_MS = 1_000;

/** Milliseconds after which the client of an unblocking script gets its id although the body is not over. */
const PATIENCE_MS = 200;

/**
 * Milliseconds that a script's body may run before the later scripts of its connection wait for it no longer: one that does
 * not end does not end the use of its connection, which a client library may share among many callers.
 */
const TURN_MS = 5_000;

const OK: Reply = { type: "status", text: "OK" };

/** Those of a script whose turn has not come. */
const NOTHING_YET: Declarations = { count: 0, commit: () => undefined, discard: () => {} };

/** A script's body as a job; its flow, if it declares one, follows as a job of the same handle. */
export class Script extends ScriptJob implements InOrder, RunningBody {
  readonly registers: boolean;
  declare readonly session: Session;
  declarations = NOTHING_YET;
  /** What its client gets. */
  readonly reply: Promise<Reply>;
  execution: Execution | undefined;
  #resolve!: (reply: Reply) => void;
  readonly #runner: Supervisor;
  readonly #request: ScriptRequest;
  #timer: Timer | undefined;
  #patience: NodeJS.Timeout | undefined;
  #answered = false;
  #over = false;
  readonly #onRan: (ms: number) => void;
  /** Until the body is shown as running, and then until its turn is over. */
  #longTimer: NodeJS.Timeout | undefined;
  #begun: number | undefined;
  readonly #onBodyEnd: (() => void)[] = [];
  #startedAt = 0;
  #bodyMs = 0;

  constructor(runner: Supervisor, request: ScriptRequest) {
    super(runner.host.nextHandle(), request.session, false);
    this.#runner = runner;
    this.#request = request;
    this.registers = request.code.includes("register");
    this.#onRan = request.onRan ?? (() => {});
    this.reply = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /**
   * Begins, now or when its turn has come.
   * @throws ReplyError when the command has to be refused now
   */
  enter(): void {
    const { connection, declare, unblocking } = this.#request;
    const { order } = this.#runner;
    if (order.isFree(connection)) this.declarations = declare();
    if (unblocking) {
      this.#show(true);
      this.#patience = setTimeout(() => this.#answer(OK), PATIENCE_MS);
    }
    order.join(connection, this);
    this.#showWhenQueued();
  }

  /** Its turn has come. */
  begin(): void {
    try {
      if (this.declarations === NOTHING_YET) this.declarations = this.#request.declare();
    } catch (error) {
      if (!(error instanceof ReplyError)) throw error;
      this.#refuseCommand(error.message);
      return;
    }
    const preparing = this.#request.prepare?.();
    if (!preparing) this.#submit();
    else
      preparing.then(
        () => this.#submit(),
        ({ message }: Error) => {
          if (!this.#over) this.#fail(message);
        },
      );
  }

  #submit(): void {
    // it may have been stopped meanwhile
    if (this.#over) return;
    this.#runner.host.submit(this);
  }

  get name(): string {
    return this.execution ? `execution ${this.execution.id}` : `a script of session ${this.session.id}`;
  }

  /** A blocking script that has to wait for an interpreter is an execution meanwhile: it can be seen and aborted. */
  #showWhenQueued(): void {
    if (!this.isStarted && !this.#over && !this.execution) this.#show(false);
  }

  #show(kept: boolean): void {
    this.execution = this.#runner.registry.create({ registered: false, kept });
    this.execution.session = this.session;
    this.#runner.track(this.execution, this);
  }

  override get origin(): Omit<Origin, "session"> {
    return this.execution ? { execution: this.execution.id } : {};
  }

  get #flags(): number {
    return this.#request.observed ? JobFlag.observed : 0;
  }

  message(): PythonRequest {
    return ["script", this.handle, this.session.key, this.#request.code, jobFlags(this.#runner.settings, this.#flags)];
  }

  onStart(): void {
    this.#begun = this.#runner.clock();
    this.#startedAt = performance.now();
    // most bodies only declare a flow: they are shown as created until it starts
    const patience = this.execution ? SHOW_BODY_AFTER_MS : SHOW_BLOCKING_BODY_AFTER_MS;
    this.#longTimer = setTimeout(() => {
      // one that does not end must be seen to be aborted, whoever waits for it
      if (!this.execution) this.#show(false);
      this.execution?.begin();
      if (this.stopCause) this.#runner.host.abort(this);
      this.#longTimer = setTimeout(() => this.#endTurn(), TURN_MS - patience);
    }, patience);
    this.#timer = this.#runner.watch(this);
  }

  onBodyEnd(action: () => void): void {
    this.#onBodyEnd.push(action);
  }

  onScript(outcome: ScriptOutcome): void {
    try {
      this.#settle(outcome);
    } finally {
      this.#bodyEnded();
    }
  }

  #bodyEnded(): void {
    for (const action of this.#onBodyEnd.splice(0)) action();
  }

  #settle(outcome: ScriptOutcome): void {
    this.#clearTimers();
    this.#bodyMs = performance.now() - this.#startedAt;
    const { session, execution } = this;
    this.#runner.tellSlow(this.#begun, { kind: "script", session, registration: undefined, execution: execution?.id });
    this.#runner.ids.skip(0, outcome.builders);
    if (!outcome.ok) {
      this.#fail(this.stopCause?.kind === "fault" ? this.stopCause.error : outcome.error);
      return;
    }
    const registered = this.declarations.count > 0;
    let settled: Promise<void> | undefined;
    try {
      settled = this.declarations.commit();
    } catch (error) {
      if (!(error instanceof ReplyError)) throw error;
      this.#refuseDeclared(error, outcome.run !== undefined);
      return;
    }
    if (registered) this.#runner.ids.skip(1, 1);
    const { run } = outcome;
    if (registered || run) this.#request.onEffect?.();
    const goOn = (): void => {
      if (run && this.stopCause && !run.begun) {
        this.#runner.host.tell(this.session, ["discard", this.handle]);
        this.#aborted();
      } else if (run) this.#startFlow(run, settled);
      else this.#finish(OK, []);
    };
    if (settled && !run?.begun) void settled.then(goOn, (error) => this.#refuseDeclared(error, run !== undefined));
    else goOn();
    const leave = (): void => this.#leave();
    if (settled) void settled.then(leave, leave);
    else leave();
  }

  /** The script's registrations can not take effect: the flow that it has declared, which has not begun, is not started. */
  #refuseDeclared({ message }: Error, hasFlow: boolean): void {
    if (hasFlow) this.#runner.host.tell(this.session, ["discard", this.handle]);
    this.#fail(message);
  }

  protected onStop(): void {
    const { host } = this.#runner;
    if (this.place !== "new" && !host.withdraw(this)) {
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
    this.#leave();
  }

  /** Answers the client, once. Who does not want to wait gets the id instead. */
  #answer(reply: Reply): void {
    clearTimeout(this.#patience);
    this.#answered = true;
    const { execution } = this;
    const id: Reply | undefined =
      this.#request.unblocking && execution ? { type: "bulk", bytes: Buffer.from(execution.id) } : undefined;
    this.#resolve(id ?? reply);
  }

  /** The body is over, and what it registered is in force: the client may go on, and so may its next script. */
  #leave(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#request.unblocking) this.#answer(OK);
    this.#endTurn();
  }

  #endTurn(): void {
    this.#runner.order.leave(this.#request.connection, this);
  }

  /** The command is refused now that its turn has come. If the client has an id, that is the outcome of its execution. */
  #refuseCommand(text: string): void {
    if (!this.#answered && this.execution) this.execution.kept = false;
    this.#resolve({ type: "error", text });
    this.#fail(text);
  }

  #clearTimers(): void {
    this.#timer?.cancel();
    clearTimeout(this.#longTimer);
  }

  onLost(loss: JobLoss): void {
    this.#fail(lostText(this, loss));
    this.#bodyEnded();
  }

  /** @param settled when a script that registers something, too, may be answered; undefined: it registers nothing */
  #startFlow({ steps, reader, kinds, begun }: DeclaredRun, settled: Promise<void> | undefined): void {
    const { registry } = this.#runner;
    const registered = settled !== undefined;
    const execution = this.execution ?? registry.create({ registered: false, kept: registered });
    execution.kept ||= registered;
    if (this.execution) this.#runner.forget(this.execution);
    execution.status = "created";
    execution.declare(steps, reader, kinds);
    const flow = this.#runner.startFlow({
      ...{ handle: this.handle, execution, session: this.session, begun },
      flags: this.#flags,
    });
    // Python had begun it while the body was being stopped
    if (this.stopCause) flow.stop(this.stopCause.kind === "abort" ? { kind: "abort-unseen" } : this.stopCause);
    const answer = (reply: Reply, flowMs: number): void => {
      this.#onRan(this.#bodyMs + flowMs);
      this.#answer(reply);
    };
    if (settled) {
      settled.then(
        () => answer(OK, 0),
        ({ message }: Error) => {
          answer({ type: "error", text: message }, 0);
          void this.#runner.abort(execution, { kind: "fault", error: message });
        },
      );
    } else void execution.finished.then(() => answer(execution.reply(), execution.totalMs));
  }

  #fail(text: string): void {
    this.declarations.discard();
    this.#finish({ type: "error", text }, [text]);
  }

  #finish(reply: Reply, errors: readonly string[]): void {
    this.#clearTimers();
    this.#onRan(this.#bodyMs);
    this.#answer(reply);
    this.#leave();
    if (!this.execution) return;
    this.#runner.forget(this.execution);
    this.execution.outcome = reply;
    this.execution.finish("done", errors);
    this.#runner.registry.settle(this.execution);
  }
}
