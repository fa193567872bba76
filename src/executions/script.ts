/** A script: what RG.PYEXECUTE runs, from its body to the answer. */
import { ReplyError } from "../errors.ts";
import type { FlowOutcome, PythonTask, ScriptOutcome } from "../python/host.ts";
import type { MarshalReader, MarshalValue } from "../python/marshal.ts";
import type { Reply } from "../resp/reply.ts";
import type { Execution } from "./execution.ts";
import { type FlowTask, jobFlags, lostText } from "./flow.ts";
import type { ExecutionRunner } from "./runner.ts";
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

/** Milliseconds after which a script's body that still runs is shown as running. */
const SHOW_BODY_AFTER_MS = 20;

/** The same for the body of a blocking script, which is no execution until then: each one uses up an id. */
const SHOW_BLOCKING_BODY_AFTER_MS = 1_000;

const OK: Reply = { type: "status", text: "OK" };

/** A script's body as a task; its flow, if it declares one, follows as a task of the same handle. */
export class Script implements PythonTask {
  readonly kind = "script";
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
