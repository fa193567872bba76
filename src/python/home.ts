/** One interpreter of the pool, with what runs and lives in it, and what its code may name. */
import type { EngineThreads } from "../engine/threads.ts";
import { ReplyError } from "../errors.ts";
import { replyMessage } from "./call-reply.ts";
import type { FlowOutcome, Interruptible, Job, ScriptOutcome } from "./job.ts";
import type { JobHome } from "./jobs.ts";
import type { LentThread } from "./lent-thread.ts";
import type { CallContext, CallReply, InterpreterFigures } from "./python-host.ts";
import type { PythonSession } from "./python-session.ts";
import { encodeMarshal } from "./marshal.ts";
import { BadMessage, type PostArgs } from "./messages.ts";
import type { PythonMessage, PythonRequest } from "./protocol.ts";
import type { PythonWorker } from "./python-worker.ts";

/** Calls of one interpreter that may be unanswered at a time: more than jobs inside jobs (waits.py) can make. */
const MAX_CALLS = 64;

/** Bytes of an answer whose copies take their time. */
const LARGE_ANSWER = 16 * 1024 * 1024;

/** What a home has to know of the jobs of all interpreters. */
interface Handles {
  /** The last handle that was given out. */
  readonly lastHandle: number;
  /** Does a job run under this handle, in whatever interpreter? */
  isStarted(handle: number): boolean;
}

/** By what sessions that can share an interpreter are the same. */
export const kindOf = ({ user, packages }: PythonSession): string => `${packages?.key ?? ""} ${user}`;

export class Home implements CallContext, JobHome {
  readonly number: number;
  readonly worker: PythonWorker;
  readonly #handles: Handles;
  ready = false;
  isGone = false;
  current: Job | undefined;
  readonly jobs = new Map<number, Job>();
  readonly nested = new Set<Interruptible>();
  /** Questions that wait for their answers. */
  readonly questions = new Map<number, { resolve(text: string): void; reject(error: Error): void }>();
  /** Sessions that live here and will be asked for again. */
  readonly sessions = new Set<PythonSession>();
  /** The interpreter's event loop does not turn, because of code that belongs to no job. */
  heldUp = false;
  /** The first session that came to live here; with isolation the only one. */
  tenant: PythonSession | undefined;
  /** The code because of which the interpreter was ended: nothing else has stopped that code. */
  stubborn: Interruptible | undefined;
  /** Why the pool has ended the interpreter, in a word for the statistics; undefined while it has not. */
  ending: string | undefined;
  /** The same as a sentence for the executions in it; undefined: what the worker says of its end. */
  fault: string | undefined;
  /** Calls of the interpreter that have no answer yet. */
  calls = 0;
  /** The turn of the event loop in which the current job was sent. While that turn lasts, Python has not begun the job. */
  #turnBefore = -1;
  /** Large answers that are being made. */
  #preparing = 0;
  /** Answers that are due, by the post that brings them and the number. */
  readonly #due = new Set<string>();

  constructor(number: number, handles: Handles, worker: (home: Home) => PythonWorker) {
    this.number = number;
    this.#handles = handles;
    this.worker = worker(this);
  }

  get home(): object {
    return this;
  }

  /** Whose code runs here: users do not share interpreters, for nothing separates the code inside one. */
  get user(): string | undefined {
    return this.tenant?.user;
  }

  get idle(): boolean {
    return this.ready && this.current === undefined && !this.heldUp;
  }

  /** Which sessions it is for: those of one user, with the same packages. Undefined before the first one came. */
  get kind(): string | undefined {
    return this.tenant && kindOf(this.tenant);
  }

  /** May this session come to live here, if sessions share at all? */
  suits(session: PythonSession): boolean {
    return this.tenant === undefined || this.kind === kindOf(session);
  }

  /** The first session has come: what it can import is there before anything of it runs. */
  settle(tenant: PythonSession): void {
    this.tenant = tenant;
    if (!tenant.packages) return;
    this.worker.givePackages(tenant.packages.packs);
    this.post(["packages"]);
  }

  get lentThread(): LentThread {
    return this.worker.lentThread;
  }

  /** Does Python run a job or a callback of the main thread's? The current job may be one that Python has not begun yet. */
  get runsJob(): boolean {
    if (this.questions.size > 0) return true;
    for (const { begun } of this.nested) if (begun !== false) return true;
    for (const job of this.jobs.values()) {
      if (job.place !== "waiting" && (job !== this.current || this.worker.turn !== this.#turnBefore)) return true;
    }
    return false;
  }

  /** Nothing runs here, waits or is remembered. */
  get abandoned(): boolean {
    return this.idle && this.jobs.size === 0 && this.sessions.size === 0 && this.questions.size === 0;
  }

  /** The interpreter's figures. */
  get figures(): InterpreterFigures["interpreters"][number] {
    return {
      number: this.number,
      state: this.ready ? (this.idle ? "idle" : "busy") : "booting",
      heapBytes: this.worker.heapBytes,
      sessions: this.sessions.size,
      tasks: this.jobs.size,
    };
  }

  owners(): object[] {
    return [...this.jobs.values()].map(({ owner }) => owner);
  }

  get mayAnswer(): boolean {
    return this.worker.takesAnswers;
  }

  /** May it make another call now? */
  get mayCall(): boolean {
    return this.calls < MAX_CALLS && this.#preparing === 0;
  }

  prepares(answer: Promise<unknown>): void {
    this.#preparing++;
    const done = (): void => {
      this.#preparing--;
    };
    answer.then(done, done);
  }

  /** Sends what starts the current job. */
  give(job: Job): void {
    this.#turnBefore = this.worker.turn;
    this.post(job.message());
  }

  /** Sends a message, and takes note of the answer that is due. */
  post(message: PythonMessage): void {
    const due = answerTo(message[0] === "nested" ? message[1] : message);
    if (due !== undefined) this.#due.add(due);
    this.worker.post(encodeMarshal(message));
  }

  /** Lets its thread use the engine by itself. */
  useEngine(threads: EngineThreads, only: number, withBodies: boolean): void {
    this.worker.useEngine(threads, only, withBodies);
  }

  /** Answers a call of its code. */
  reply(seq: number, reply: CallReply): void {
    this.calls--;
    const message = replyMessage(seq, reply);
    // posting copies the message once more: others have a turn before that
    if (message.length > LARGE_ANSWER) setImmediate(() => this.worker.post(message, true));
    else this.worker.post(message, true);
  }

  /** Asks its code something. @param number of the question, which stands in it */
  ask(number: number, question: PythonRequest): Promise<string> {
    return new Promise((resolve, reject) => {
      this.questions.set(number, { resolve, reject });
      this.post(question);
    });
  }

  /** It answers a question. @throws BadMessage when it was not asked */
  answered({ number, outcome, text }: PostArgs<"answer">): void {
    const question = this.questions.get(number);
    if (!question) throw new BadMessage(`answer: question ${number} was not asked`);
    this.questions.delete(number);
    if (outcome === "ok") question.resolve(text);
    else question.reject(new ReplyError(text));
  }

  /** It answers something else. @throws BadMessage when that was not asked, or was answered */
  checkDue(post: "timer" | "restored" | "timer_restored", number: number): void {
    if (!this.#due.delete(`${post} ${number}`)) throw new BadMessage(`${post}: nobody has asked for ${number}`);
  }

  job(handle: number): Job | undefined {
    const job = this.jobs.get(handle);
    if (job || handle === 0) return job;
    const foreign = handle > this.#handles.lastHandle || this.#handles.isStarted(handle);
    if (foreign) throw new BadMessage(`task ${handle} is none of this interpreter's`);
    return undefined;
  }
}

/** The post that Python answers a message with, and the number by which it does; undefined for most. */
function answerTo(request: PythonRequest): string | undefined {
  switch (request[0]) {
    case "timer":
      return `timer ${request[1]}`;
    case "restore":
      return `restored ${request[2]}`;
    case "restore_timer":
      return `timer_restored ${request[2]}`;
    default:
      return undefined;
  }
}

/** How a script's body ended. */
export function scriptOutcome({ error, builders, run, begins }: PostArgs<"script">): ScriptOutcome {
  if (error !== null) return { ok: false, error, builders };
  if (run === null) return { ok: true, builders, run: undefined };
  const [, steps] = run;
  return {
    ok: true,
    builders,
    run: { steps: steps.map(([type, name, arg]) => ({ type, name, arg })), begun: begins },
  };
}

/** How a flow ended. */
export const flowOutcome = ({ status, errors, totalMs, readMs, stepMs }: PostArgs<"done">): FlowOutcome => ({
  ...{ status, errors, totalMs, readMs, stepMs },
});
