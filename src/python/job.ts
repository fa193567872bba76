/**
 * A job is what an interpreter is given to do: a script's body, or the flow of an execution. It knows in which place it is,
 * from when it is made to when it has ended; nobody else remembers that. {@link Jobs} moves jobs from place to place.
 */
import { InternalError } from "../errors.ts";
import type { MarshalReader } from "./marshal.ts";
import type { PythonRequest } from "./protocol.ts";
import type { PythonSession } from "./python-session.ts";

/**
 * - `new`: not handed in.
 * - `queued`: it waits for an interpreter, and for one of `execution-threads` if it takes one.
 * - `running`: it has the interpreter. A flow whose script was lent a thread is there at once: Python has begun it by itself.
 * - `nested`: it runs on top of whatever its interpreter does, and did not wait for that to end.
 * - `waiting`: its flow waits for a coroutine or future, and others have the interpreter.
 * - `resumed`: it goes on after that, in between the others.
 * - `ended`: it is over, or was taken out of the queue.
 */
export type JobPlace = "new" | "queued" | "running" | "nested" | "waiting" | "resumed" | "ended";

/** Where a job can go from each place. */
const WAYS: Readonly<Record<JobPlace, readonly JobPlace[]>> = {
  new: ["queued", "running", "nested", "ended"],
  queued: ["running", "ended"],
  running: ["waiting", "ended"],
  nested: ["waiting", "ended"],
  waiting: ["resumed", "ended"],
  resumed: ["waiting", "ended"],
  ended: [],
};

/** Why something unfinished is stopped. */
export type StopCause =
  /** Somebody aborts it: it ends with what Python says of that, or as aborted if Python has not begun. */
  | { readonly kind: "abort" }
  /** The same, and nobody has seen that it had begun: it ends as if it had not. */
  | { readonly kind: "abort-unseen" }
  /** It ends with this error: it broke a limit, or what it stands on is gone. */
  | { readonly kind: "fault"; readonly error: string };

/** Why Python will never tell how a job has ended. */
export type JobLoss =
  /** Its interpreter died, or the session that it belongs to was gone before it began. */
  | { readonly kind: "died"; readonly reason: string }
  /** Its interpreter was ended, since nothing else has stopped this job. */
  | { readonly kind: "stubborn" };

/** Code that an interpreter runs and that can be interrupted: a job, or what runs or is called without one. */
export interface Interruptible {
  /** The number by which Python knows it. */
  readonly handle: number;
  readonly session: Pick<PythonSession, "home">;
  /** For people. */
  readonly name: string;
  /** False while its interpreter has not come to it. */
  readonly begun?: boolean;
}

/** What a line of the log names besides its text. */
export interface Origin {
  readonly session?: string;
  readonly registration?: string;
  readonly execution?: string;
}

/** The command that a flow was started by, if its code can ask about that: `call_next()`, `get_command()`, `override_reply()`. */
export interface JobCause {
  readonly kind: "trigger" | "hook" | "linked";
}

/** One line of RG.GETEXECUTION's steps. */
export interface StepInfo {
  readonly type: string;
  readonly name: string;
  readonly arg: string;
}

/**
 * Records that came out of the reader so far, and then, when somebody observes, of each step with its kind. Empty when none has
 * come, and when an event's were not counted.
 */
export type Passed = readonly (readonly [kind: string, count: number])[];

/** How a flow ended. Times are milliseconds. */
export interface FlowOutcome {
  readonly status: "done" | "aborted";
  readonly errors: readonly string[];
  readonly totalMs: number;
  readonly readMs: number;
  readonly stepMs: readonly number[];
  readonly passed: Passed;
  /** Python has begun the next event of the registration, which it was given ahead. */
  readonly goesOn: boolean;
}

/** What a script's body did. `builders` is how many GearsBuilders it made since it last told (each consumes a registration id). */
export type ScriptOutcome =
  | { readonly ok: false; readonly error: string; readonly builders: number }
  | { readonly ok: true; readonly builders: number; readonly run: DeclaredRun | undefined };

/** The flow that a script's body has declared. */
export interface DeclaredRun {
  readonly steps: readonly StepInfo[];
  /** What gives its records. */
  readonly reader: string;
  /** What each step is, in their order: a word such as `map`. */
  readonly kinds: readonly string[];
  /** Python has begun it already: its job must be submitted at once. */
  readonly begun: boolean;
}

/** What all jobs have in common. Each is a {@link ScriptJob} or a {@link FlowJob}. */
export abstract class Job implements Interruptible {
  /** Unique number by which Python and the main thread name it. A script's flow has the number of the script. */
  readonly handle: number;
  readonly session: PythonSession;
  /** Counts towards ExecutionThreads while it runs. */
  readonly takesThread: boolean;
  /** In whose name it sends commands and holds the engine. */
  readonly owner: object;
  #place: JobPlace = "new";
  #stopCause: StopCause | undefined;

  /** @param owner the job itself unless given */
  constructor(handle: number, session: PythonSession, takesThread: boolean, owner?: object) {
    this.handle = handle;
    this.session = session;
    this.takesThread = takesThread;
    this.owner = owner ?? this;
  }

  /** For people: such as `execution 0000000000000000000000000000000000000000-5`. */
  abstract get name(): string;
  /** The message that starts it. Asked for when it starts. @param alone nothing else runs in the interpreter */
  abstract message(alone?: boolean): PythonRequest;
  /** Python has got it. */
  abstract onStart(): void;
  /** Python will never tell how it has ended. */
  abstract onLost(loss: JobLoss): void;
  /** Somebody wants it to end; called at each {@link stop}. */
  protected abstract onStop(): void;

  /** What its lines of the log name besides its session. */
  get origin(): Omit<Origin, "session"> {
    return {};
  }

  /** The command behind it. */
  get cause(): JobCause | undefined {
    return undefined;
  }

  get place(): JobPlace {
    return this.#place;
  }

  /** Does an interpreter have it? */
  get isStarted(): boolean {
    return this.#place !== "new" && this.#place !== "queued" && this.#place !== "ended";
  }

  /** Does it use one of `execution-threads` now? */
  get holdsThread(): boolean {
    return this.takesThread && (this.#place === "running" || this.#place === "resumed");
  }

  /** May it go there from where it is? */
  mayGo(place: JobPlace): boolean {
    return WAYS[this.#place].includes(place);
  }

  /** For {@link Jobs} only. @throws InternalError when no job goes there from where it is */
  goTo(place: JobPlace): void {
    if (!this.mayGo(place)) throw new InternalError(`${this.name} can not become ${place}: it is ${this.#place}`);
    this.#place = place;
  }

  /** Why it is being stopped; undefined: nobody wants it to end. */
  get stopCause(): StopCause | undefined {
    return this.#stopCause;
  }

  /** Ends it, as soon as that is possible. Of several causes the first counts, and before all others the first fault. */
  stop(cause: StopCause): void {
    const known = this.#stopCause;
    if (known === undefined || (known.kind !== "fault" && cause.kind === "fault")) this.#stopCause = cause;
    this.onStop();
  }
}

/** A script's body. It never takes a thread: that is what its flow does. */
export abstract class ScriptJob extends Job {
  /** Does its text look as if it registers something? */
  abstract readonly registers: boolean;
  /** The body has ended. */
  abstract onScript(outcome: ScriptOutcome): void;
}

/** A flow. */
export abstract class FlowJob extends Job {
  /** Results, as a marshal list that the reader stands before. */
  abstract onResults(items: MarshalReader): void;
  /** It waits for a coroutine or future, or goes on: {@link place} tells. */
  abstract onWaiting(waiting: boolean): void;
  /** So far it has come. */
  abstract onPassed(passed: Passed): void;
  abstract onDone(outcome: FlowOutcome): void;
}
