/**
 * One interpreter of the pool, with the jobs and sessions in it. Checks what its code names: jobs, and questions asked of
 * it.
 */
import type { EngineThreads } from "../engine/engine-threads.ts";
import { ReplyError } from "../errors.ts";
import { replyMessage } from "./call-reply.ts";
import type { Chunk } from "./chunk.ts";
import type { FlowOutcome, Interruptible, Job, Origin, ScriptOutcome } from "./job.ts";
import type { JobHome } from "./jobs.ts";
import type { LentThread } from "./lent-thread.ts";
import type { CallContext, CallReply, InterpreterFigures } from "./python-host.ts";
import type { PythonSession } from "./python-session.ts";
import { encodeMarshal } from "./marshal.ts";
import { BadMessage, type PostArgs } from "./messages.ts";
import { Origins } from "./origins.ts";
import type { PythonMessage, PythonRequest } from "./protocol.ts";
import type { PythonWorker } from "./python-worker.ts";

/** Calls of one interpreter that may be unanswered at a time: more than nested jobs (waits.py) can make. */
const MAX_CALLS = 64;

/** Bytes of an answer from which on copying it takes noticeable time. */
const LARGE_ANSWER = 16 * 1024 * 1024;

/** What a home has to know of the jobs of all interpreters. */
interface Handles {
  /** The last handle that was given out. */
  readonly lastHandle: number;
  /** Does a job run under this handle, in whatever interpreter? */
  isStarted(handle: number): boolean;
}

/** What sessions must have in common to share an interpreter: the user and the packages, as one text. */
const kindOf = ({ user, packages }: PythonSession): string => `${packages?.key ?? ""} ${user}`;

export class Home implements CallContext, JobHome {
  readonly number: number;
  /** Is it for sessions whose packages disagree with those that the other interpreters have from the start? */
  readonly isPlain: boolean;
  readonly worker: PythonWorker;
  readonly #handles: Handles;
  ready = false;
  isGone = false;
  current: Job | undefined;
  readonly jobs = new Map<number, Job>();
  readonly nested = new Set<Interruptible>();
  readonly onTop = new Set<Job>();
  /** Questions that wait for their answers. */
  readonly questions = new Map<number, { resolve(text: string): void; reject(error: Error): void }>();
  /** Sessions that live in this interpreter and will be needed again. */
  readonly sessions = new Set<PythonSession>();
  /** The interpreter's event loop does not turn, because of code that belongs to no job. */
  heldUp = false;
  /** The first session that came to live in this interpreter; with `isolation session` the only one. */
  tenant: PythonSession | undefined;
  /** The code because of which the interpreter was ended: nothing else has stopped that code. */
  stubborn: Interruptible | undefined;
  /** Why the pool has ended the interpreter, in a word for the statistics; undefined while it has not. */
  ending: string | undefined;
  /** Why the pool has ended the interpreter, as a sentence for its executions; undefined: they get what the worker says. */
  fault: string | undefined;
  /** Whose lines it logs and prints. */
  readonly origins = new Origins();
  /** How often the interpreter was asked where its code is, and has not told. */
  samplesDue = 0;
  /** The chunk that it carries out, or is to. */
  chunk: Chunk | undefined;
  /** Calls of the interpreter that have no answer yet. */
  calls = 0;
  /** The turn of the event loop in which the current job was sent. While that turn lasts, Python has not begun the job. */
  #turnBefore = -1;
  /** How many large answers for this interpreter are being made. */
  #preparing = 0;
  /** Events that were given ahead and that Python has not told to have begun. */
  #ahead = 0;
  readonly #mostOnTop: number;
  /** Answers that Python owes: the kind of the post that brings each, and its number. */
  readonly #due = new Set<string>();

  /** @param mostOnTop jobs that may run while others of it wait */
  constructor(
    { number, isPlain }: Pick<Home, "number" | "isPlain">,
    handles: Handles,
    mostOnTop: number,
    worker: (home: Home) => PythonWorker,
  ) {
    this.number = number;
    this.isPlain = isPlain;
    this.#handles = handles;
    this.#mostOnTop = mostOnTop;
    this.worker = worker(this);
  }

  get home(): object {
    return this;
  }

  /** The user whose code runs here. Users do not share interpreters, for nothing separates the code inside one. */
  get user(): string | undefined {
    return this.tenant?.user;
  }

  get idle(): boolean {
    return this.ready && this.current === undefined && this.onTop.size === 0 && !this.heldUp;
  }

  /** Does its code wait, and would let a job run meanwhile? */
  get isOpen(): boolean {
    return this.ready && this.onTop.size < this.#mostOnTop && this.worker.waitIsOpen;
  }

  /** Claims it for a job, which has to be sent at once. @returns how that is to be sent; undefined: it can not take one now */
  claim(): "alone" | "on top" | undefined {
    if (this.idle) return "alone";
    return this.isOpen && this.worker.claimWait() ? "on top" : undefined;
  }

  /** The kind of the sessions that may live here, see {@link kindOf}; undefined before the first session came. */
  get kind(): string | undefined {
    return this.tenant && kindOf(this.tenant);
  }

  /** May this session live here, if sessions share interpreters at all? */
  suits(session: PythonSession): boolean {
    if (this.tenant !== undefined) return this.kind === kindOf(session);
    return this.isPlain === (session.packages?.isPlain ?? false);
  }

  /** Takes in the first session: the packages that it can import are there before anything of it runs. */
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

  /** Nothing runs here, or waits. */
  get hasNothing(): boolean {
    return this.idle && this.jobs.size === 0 && this.nested.size === 0 && this.questions.size === 0;
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
      jobs: this.jobs.size,
    };
  }

  origin(job: number, session: number): Origin {
    return this.origins.of(this.jobs.get(job), job, session);
  }

  owners(): object[] {
    return [...this.jobs.values()].map(({ owner }) => owner);
  }

  get mayAnswer(): boolean {
    return this.worker.takesAnswers;
  }

  /** May the interpreter make another call now? */
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

  /** Sends what starts a job that has been started here. */
  give(job: Job, as: "alone" | "on top"): void {
    if (as === "on top") {
      this.post(["on_top", job.message()]);
      return;
    }
    this.#turnBefore = this.worker.turn;
    const message = job.message(true);
    this.#ahead = message[0] === "events" ? message[3].length - 1 : 0;
    if (this.#ahead > 0) this.worker.giveAhead(this.#ahead);
    this.post(message);
  }

  /** Python has begun the next one of the events that were given ahead. @throws BadMessage when there was none */
  goesOn(): void {
    if (this.#ahead-- <= 0) throw new BadMessage("done: no event was given ahead");
  }

  /** Is its Python idle, so that a chunk would begin at once? */
  get takesChunk(): boolean {
    const isFree = this.idle && this.nested.size === 0 && this.questions.size === 0 && this.ending === undefined;
    return isFree && this.chunk === undefined && this.worker.chunk.isFree;
  }

  /** Takes what its thread tells of the chunk. @throws BadMessage */
  tellChunk(entry: Buffer): void {
    // of one that was given up nothing is heard any more
    this.chunk?.tell(entry);
  }

  /** Sends a message, and takes note of the answer that Python owes for it. */
  post(message: PythonMessage): void {
    const due = answerTo(message[0] === "nested" || message[0] === "on_top" ? message[1] : message);
    if (due !== undefined) this.#due.add(due);
    this.worker.post(encodeMarshal(message));
  }

  tell(message: PythonRequest): void {
    this.worker.post(encodeMarshal(message), true);
  }

  /** Lets the interpreter's thread use the engine by itself. */
  useEngine(threads: EngineThreads, only: number, withBodies: boolean): boolean {
    return this.worker.useEngine(threads, only, withBodies);
  }

  /** Answers a call of the interpreter's code. */
  reply(seq: number, reply: CallReply): void {
    this.calls--;
    const message = replyMessage(seq, reply);
    // posting copies the message once more: others are served before that
    if (message.length > LARGE_ANSWER) setImmediate(() => this.worker.post(message, true));
    else this.worker.post(message, true);
  }

  /** Asks the interpreter's code something. @param number of the question, which stands in the question, too */
  ask(number: number, question: PythonRequest): Promise<string> {
    return new Promise((resolve, reject) => {
      this.questions.set(number, { resolve, reject });
      this.post(question);
    });
  }

  /** Takes the answer to a question. @throws BadMessage when that question was not asked */
  answered({ number, outcome, text }: PostArgs<"answer">): void {
    const question = this.questions.get(number);
    if (!question) throw new BadMessage(`answer: question ${number} was not asked`);
    this.questions.delete(number);
    if (outcome === "ok") question.resolve(text);
    else question.reject(new ReplyError(text));
  }

  /** Takes note that Python has sent a post that it owed. @throws BadMessage when Python did not owe it */
  checkDue(post: "timer" | "restored" | "timer_restored", number: number): void {
    if (!this.#due.delete(`${post} ${number}`)) throw new BadMessage(`${post}: nobody has asked for ${number}`);
  }

  /**
   * The job that the interpreter's code means by a handle.
   * @returns undefined for 0, and for a job that has ended
   * @throws BadMessage when the handle is that of a job in another interpreter, or of none
   */
  job(handle: number): Job | undefined {
    const job = this.jobs.get(handle);
    if (job || handle === 0) return job;
    const foreign = handle > this.#handles.lastHandle || this.#handles.isStarted(handle);
    if (foreign) throw new BadMessage(`job ${handle} is none of this interpreter's`);
    return undefined;
  }
}

/** The kind and number of the post that Python answers a message with; undefined for most messages. */
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
  const [steps, reader, kinds] = run;
  return {
    ok: true,
    builders,
    run: { steps: steps.map(([type, name, arg]) => ({ type, name, arg })), reader, kinds, begun: begins },
  };
}

/** How a flow ended. */
export const flowOutcome = (told: PostArgs<"done">): FlowOutcome => {
  const { status, errors, totalMs, readMs, stepMs, passed, goesOn } = told;
  return { status, errors, totalMs, readMs, stepMs, passed, goesOn };
};
