/** What scripts and calls know of the runner that runs them, and the runner of them. */
import type { StopCause } from "../python/job.ts";
import type { PythonHost } from "../python/python-host.ts";
import type { Timer } from "../timer.ts";
import type { Execution } from "./execution.ts";
import type { Flow, FlowOptions, JobSettings } from "./flow.ts";
import type { Ids } from "./ids.ts";
import type { ExecutionRegistry } from "./execution-registry.ts";
import type { ScriptOrder } from "./script-order.ts";
import type { Session } from "./session.ts";

/** Something unfinished that can be told to end. */
export interface Stoppable {
  stop(cause: StopCause): void;
}

/** A script's body that runs. */
export interface RunningBody {
  /** Calls something when it has ended, and what it has registered is in force. */
  onBodyEnd(action: () => void): void;
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

export interface Supervisor {
  readonly host: PythonHost;
  readonly registry: ExecutionRegistry;
  readonly ids: Ids;
  readonly settings: JobSettings;
  /** Of the bodies of scripts. */
  readonly order: ScriptOrder;
  /** Queues a flow of an execution that was created for it, or runs it at once. */
  startFlow(options: FlowOptions): Flow;
  /** Stops an execution. Resolves when it has ended. */
  abort(execution: Execution, cause?: StopCause): Promise<void>;
  /** Remembers how an unfinished execution is stopped. */
  track(execution: Execution, stoppable: Stoppable): void;
  forget(execution: Execution): void;
  /** When something began to run, if anybody wants to know how long it takes. */
  clock(): number | undefined;
  /** Something has ended that began at `begun`. */
  tellSlow(begun: number | undefined, what: Omit<SlowExecution, "milliseconds">): void;
  /** Starts the clock of something that began to run. @returns its timer; undefined without a limit */
  watch(stoppable: Stoppable): Timer | undefined;
}
