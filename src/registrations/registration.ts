/** A registration: a stored flow that starts an execution on every matching event. */
import { Durations } from "../executions/durations.ts";
import type { Execution } from "../executions/execution.ts";
import type { OwnedRegistration, Session } from "../executions/session.ts";

type Mode = "sync" | "async" | "async_local";
export type RegisterReader = "KeysReader" | "StreamReader" | "CommandReader";
type FailurePolicy = "continue" | "abort" | "retry";
type StreamStatus = "OK" | "PAUSED" | "ABORTED" | "WAITING_FOR_RETRY_ON_FAILURE";

/** What Python tells of a registration. Fields of other readers are undefined. */
export interface RegistrationSpec {
  readonly reader: RegisterReader;
  readonly mode: Mode;
  readonly description: string | undefined;
  /** The registration as Python serialised it: enough to make it again in another interpreter. */
  readonly blob: Buffer;
  readonly hasOnRegistered: boolean;
  readonly prefix: Buffer;
  readonly eventTypes: readonly string[] | undefined;
  readonly keyTypes: readonly string[] | undefined;
  readonly commands: readonly string[] | undefined;
  readonly readValue: boolean;
  readonly batch: number;
  /** Milliseconds. */
  readonly duration: number;
  readonly onFailedPolicy: FailurePolicy;
  /** Seconds. */
  readonly retryInterval: number;
  readonly trimStream: boolean;
  readonly trigger: Buffer | undefined;
  readonly hook: string | undefined;
  readonly keyPrefix: Buffer | undefined;
  readonly inOrder: boolean;
}

/** The values of fields that a registration was made without. */
export const SPEC_DEFAULTS: Readonly<Omit<RegistrationSpec, "reader" | "mode" | "blob">> = {
  description: undefined,
  hasOnRegistered: false,
  prefix: Buffer.from("*"),
  eventTypes: undefined,
  keyTypes: undefined,
  commands: undefined,
  readValue: true,
  batch: 1,
  duration: 0,
  onFailedPolicy: "continue",
  retryInterval: 1,
  trimStream: true,
  trigger: undefined,
  hook: undefined,
  keyPrefix: undefined,
  inOrder: false,
};

/** The counters of RG.DUMPREGISTRATIONS. Durations are milliseconds. */
class Statistics {
  triggered = 0;
  success = 0;
  failures = 0;
  /** KeysReader only: how often events may have been missed, because the engine did not tell them. */
  gaps = 0;
  aborted = 0;
  lastMs = 0;
  totalMs = 0;
  lastLagMs = 0;
  totalLagMs = 0;
  lags = 0;
  lastError: string | undefined;
  /** How long executions ran that have ended, and were not aborted. */
  readonly durations = new Durations();

  get averageMs(): number {
    const ended = this.success + this.failures + this.aborted;
    return ended === 0 ? 0 : this.totalMs / ended;
  }

  get averageLagMs(): number {
    return this.lags === 0 ? 0 : this.totalLagMs / this.lags;
  }

  /** An execution has ended. @param ms how long it ran */
  count(execution: Execution, ms: number): void {
    if (execution.status === "aborted") {
      this.aborted++;
      return;
    }
    this.lastMs = ms;
    this.totalMs += ms;
    this.durations.add(execution.totalMs);
    if (execution.errors.length > 0) {
      this.failures++;
      this.lastError = execution.errors[0];
    } else {
      this.success++;
      this.lastError = undefined;
    }
  }

  /** @param ms from the arrival of a batch's first message to the end of its execution */
  lag(ms: number): void {
    this.lastLagMs = ms;
    this.totalLagMs += ms;
    this.lags++;
  }

  /** Everything back to zero, except what is still in progress. */
  clear(inProgress: number): void {
    Object.assign(this, new Statistics());
    this.triggered = inProgress;
  }
}

/** What a registration has in progress. */
class Pending {
  readonly started = new Set<Execution>();
  /** How many wait for their turn. */
  waiting = 0;

  get size(): number {
    return this.started.size + this.waiting;
  }
}

export class Registration implements OwnedRegistration {
  readonly id: string;
  readonly number: number;
  readonly session: Session;
  readonly spec: RegistrationSpec;
  readonly statistics = new Statistics();
  /** Finished executions that are kept (KeysReader and StreamReader), oldest first. */
  readonly finished = new Set<Execution>();
  /** Executions in progress. */
  readonly pending = new Pending();
  /** Called once it is inactive and nothing of it is in progress any more. */
  onIdle: () => void = () => {};
  /** StreamReader only. */
  status: StreamStatus = "OK";
  /** False before it took effect and after it was unregistered. */
  active = false;
  /** Is its onRegistered to be called when the session is made again? Not when it did not end. */
  hasOnRegistered: boolean;

  constructor(id: { id: string; number: number }, session: Session, spec: RegistrationSpec) {
    this.id = id.id;
    this.number = id.number;
    this.session = session;
    this.spec = spec;
    this.hasOnRegistered = spec.hasOnRegistered;
  }

  get blob(): Buffer {
    return this.spec.blob;
  }
}
