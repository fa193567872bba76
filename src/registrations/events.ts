/** Starts the executions of registrations and keeps their books. */
import type { Execution } from "../executions/execution.ts";
import type { FlowTask } from "../executions/flow.ts";
import type { ExecutionRunner } from "../executions/runner.ts";
import { JobFlag } from "../python/protocol.ts";
import type { MarshalValue } from "../python/marshal.ts";
import type { Registration } from "./registration.ts";

/** Where the engine can be held, so that nobody else's command passes. */
export interface Holdable {
  hold(owner: object): Promise<void>;
  release(owner: object): void;
}

export interface EventOptions {
  /** The finished execution is kept in its registration's list (KeysReader, StreamReader). */
  readonly kept?: boolean;
  /** Texts that start with `+` or `-` answer statuses and errors. */
  readonly prefixRule?: boolean;
  /** The caller can not wait: a step that needs a coroutine fails. */
  readonly noAsync?: boolean;
  /** In whose name the engine is held and commands are sent; default: the execution's own. */
  readonly owner?: object;
  /** Handle of the client command behind the event. */
  readonly client?: number;
}

export interface EventStarterOptions {
  readonly runner: ExecutionRunner;
  readonly gate: Holdable;
  /** MaxExecutionsPerRegistration; 0 or less: no limit. */
  readonly maxPerRegistration: () => number;
}

export class EventStarter {
  readonly #runner: ExecutionRunner;
  readonly #gate: Holdable;
  readonly #maxPerRegistration: () => number;
  /** In-order registrations: what waits for its turn. */
  readonly #queues = new Map<Registration, (() => FlowTask)[]>();
  readonly #flows = new Map<Execution, FlowTask>();

  constructor(options: EventStarterOptions) {
    this.#runner = options.runner;
    this.#gate = options.gate;
    this.#maxPerRegistration = options.maxPerRegistration;
  }

  /**
   * Starts an execution in the registration's mode. A `sync` one holds the engine until it has ended or waits for a
   * coroutine.
   * @returns the execution when it has ended
   */
  async run(registration: Registration, records: MarshalValue, options: EventOptions = {}): Promise<Execution> {
    if (registration.spec.mode !== "sync") return this.#background(registration, records, options);
    const owner = options.owner ?? {};
    await this.#gate.hold(owner);
    let held = true;
    const letGo = (): void => {
      if (held) this.#gate.release(owner);
      held = false;
    };
    const execution = this.#create(registration, options);
    this.#start(registration, records, execution, { ...options, owner }, letGo);
    await execution.finished;
    letGo();
    return execution;
  }

  async #background(registration: Registration, records: MarshalValue, options: EventOptions): Promise<Execution> {
    const execution = this.#create(registration, options);
    const inOrder = registration.spec.inOrder || registration.spec.reader !== "CommandReader";
    if (!inOrder) this.#start(registration, records, execution, options, () => {});
    else this.#enqueue(registration, execution, (next) => this.#start(registration, records, execution, options, next));
    await execution.finished;
    return execution;
  }

  #create(registration: Registration, options: EventOptions): Execution {
    const execution = this.#runner.registry.create({ registered: true, kept: options.kept ?? false });
    execution.declare([]);
    registration.statistics.triggered++;
    registration.pending.add(execution);
    return execution;
  }

  /** One after the other; the next begins when this one has ended or waits for a coroutine. */
  #enqueue(registration: Registration, execution: Execution, start: (next: () => void) => FlowTask): void {
    const queue = this.#queues.get(registration) ?? [];
    this.#queues.set(registration, queue);
    let passed = false;
    const next = (): void => {
      if (passed) return;
      passed = true;
      queue.shift();
      if (queue.length > 0) queue[0]?.();
      else if (this.#queues.get(registration) === queue) this.#queues.delete(registration);
    };
    // aborted while it waited for its turn: it is skipped
    queue.push(() => {
      if (!execution.isFinished) return start(next);
      next();
      return undefined as never;
    });
    if (queue.length === 1) queue[0]?.();
  }

  #start(
    registration: Registration,
    records: MarshalValue,
    execution: Execution,
    options: EventOptions,
    passOn: () => void,
  ): FlowTask {
    const sync = registration.spec.mode === "sync";
    const flow = this.#runner.startFlow({
      handle: this.#runner.host.nextHandle(),
      execution,
      session: registration.session,
      event: { registration: registration.number, records },
      flags: (sync ? JobFlag.sync : 0) | (options.noAsync ? JobFlag.noAsync : 0),
      prefixRule: options.prefixRule ?? false,
      takesThread: !sync,
      runNow: sync,
      ...(options.owner ? { owner: options.owner } : {}),
      ...(options.client === undefined ? {} : { client: options.client }),
      onWaiting: (_flow, waiting) => {
        if (waiting) passOn();
      },
      onFinish: () => {
        this.#flows.delete(execution);
        this.#book(registration, execution);
        passOn();
      },
    });
    if (!execution.isFinished) this.#flows.set(execution, flow);
    return flow;
  }

  #book(registration: Registration, execution: Execution): void {
    registration.pending.delete(execution);
    registration.statistics.count(execution, Math.round(execution.totalMs));
    if (!execution.kept) return;
    registration.finished.push(execution);
    const limit = this.#maxPerRegistration();
    if (limit > 0 && registration.finished.length > limit) this.#drop(registration);
    if (!registration.active && registration.pending.size === 0) {
      while (registration.finished.length > 0) this.#drop(registration);
    }
  }

  #drop(registration: Registration): void {
    const oldest = registration.finished.shift();
    // after the store has taken it in, which happens next
    if (oldest) queueMicrotask(() => this.#runner.registry.drop(oldest));
  }
}
