/**
 * All jobs of the pool: the queue, the threads, and which interpreter has which job. Each change of a job's place is made
 * here, and what is told of jobs in numbers is derived from their places.
 */
import type { Interruptible, Job } from "./job.ts";
import type { LentThread } from "./lent-thread.ts";

/** How a job comes to run in an interpreter: it is the only one there, or runs while another waits. */
type Start = "alone" | "on top";

/** What an interpreter has to do with jobs; changed by {@link Jobs} only. */
export interface JobHome {
  /** The job that it was given and that has neither ended nor begun to wait. */
  current: Job | undefined;
  /** All its started jobs, waiting ones too, by their handles. */
  readonly jobs: Map<number, Job>;
  /** What runs on top of whatever else it does, or will in a moment: nested jobs, and callbacks. */
  readonly nested: Set<Interruptible>;
  /** Its started jobs that run while another waits. */
  readonly onTop: Set<Job>;
  readonly lentThread: Pick<LentThread, "isOut" | "lend" | "reclaim">;
}

export class Jobs<Home extends JobHome> {
  /** Jobs that did not start at once and do not wait any more, and how long they waited together. */
  waits = 0;
  waitMs = 0;
  readonly #limit: number;
  readonly #homes: ReadonlySet<Home>;
  readonly #queue: Job[] = [];
  /** When those that could not start at once were submitted. */
  readonly #since = new Map<Job, number>();
  readonly #waiting = new Set<Job>();
  /** Jobs on top of others, each with the one that waits beneath it. */
  readonly #beneath = new Map<Job, Job>();
  #running = 0;
  #lastHandle = 0;

  /** @param limit how many may hold a thread at a time (ExecutionThreads) */
  constructor(limit: number, homes: ReadonlySet<Home>) {
    this.#limit = limit;
    this.#homes = homes;
  }

  nextHandle(): number {
    return ++this.#lastHandle;
  }

  /** Gives out so many handles in a row. @returns the first */
  takeHandles(count: number): number {
    const first = this.#lastHandle + 1;
    this.#lastHandle += count;
    return first;
  }

  /** Those from `first` to `last` were not used; they are given out again, unless others were given out meanwhile. */
  giveBackHandles(first: number, last: number): void {
    if (this.#lastHandle === last) this.#lastHandle = first - 1;
  }

  /** The last handle that was given out. */
  get lastHandle(): number {
    return this.#lastHandle;
  }

  /** Does a job run under this handle, in whatever interpreter? */
  isStarted(handle: number): boolean {
    for (const { jobs } of this.#homes) if (jobs.has(handle)) return true;
    return false;
  }

  /** Those that wait to be started, in the order in which they will be. */
  get queue(): readonly Job[] {
    return this.#queue;
  }

  /** Those that wait for coroutines and futures. */
  get waiting(): ReadonlySet<Job> {
    return this.#waiting;
  }

  /** How many hold a thread. */
  get running(): number {
    return this.#running;
  }

  /** Milliseconds that the queued job which waits longest has waited. */
  get oldestWaitMs(): number {
    const [oldest] = this.#since.values();
    return oldest === undefined ? 0 : performance.now() - oldest;
  }

  /**
   * Puts a job into the queue, in the order of the handles. A script's flow has the handle of its script, and so comes before
   * jobs that were submitted while the script ran and would otherwise take its place in the interpreter.
   */
  enqueue(job: Job): void {
    job.goTo("queued");
    let at = this.#queue.length;
    while (at > 0 && (this.#queue[at - 1] as Job).handle > job.handle) at--;
    this.#queue.splice(at, 0, job);
  }

  /** Begins to measure how long a job waits, if it could not start at once. */
  noteWait(job: Job): void {
    if (job.place === "queued") this.#since.set(job, performance.now());
  }

  /** Takes a job out of the queue that will not be started. @returns false when it is not there */
  withdraw(job: Job): boolean {
    if (job.place !== "queued") return false;
    this.#dequeue(job);
    job.goTo("ended");
    return true;
  }

  /**
   * Starts the first queued job that can be.
   * @param homeFor the interpreter that can take a job now
   * @param claim is asked last: how the job can be run there, if at all
   * @returns the job, and the interpreter that has to be sent its message; undefined when no job can start
   */
  startNext(
    homeFor: (job: Job) => Home | undefined,
    claim: (home: Home) => Start | undefined = () => "alone",
  ): { readonly job: Job; readonly home: Home; readonly as: Start } | undefined {
    let noThread = false;
    for (const job of this.#queue) {
      if (noThread && job.takesThread) continue;
      const home = homeFor(job);
      if (!home) continue;
      noThread = job.takesThread && !this.#claimThread();
      if (noThread) continue;
      const as = claim(home);
      if (as === undefined) continue;
      this.#dequeue(job);
      if (as === "alone") this.start(job, home);
      else this.#startOnTop(job, home);
      return { job, home, as };
    }
    return undefined;
  }

  /** A job has an interpreter: it comes from the queue, or is a flow that Python has begun together with its script. */
  start(job: Job, home: Home): void {
    this.#move(job, "running", home);
    home.current = job;
  }

  #startOnTop(job: Job, home: Home): void {
    this.#move(job, "running", home);
    home.onTop.add(job);
  }

  /** A job runs on top of what an interpreter does. */
  nest(job: Job, home: Home): void {
    this.#move(job, "nested", home);
    home.nested.add(job);
  }

  /** A flow waits for a coroutine or future: its interpreter and its thread are free for others. */
  wait(job: Job, home: Home): void {
    this.#move(job, "waiting", home);
    this.#waiting.add(job);
  }

  /** A flow goes on that has waited. */
  resume(job: Job, home: Home): void {
    this.#move(job, "resumed", home);
  }

  /** A job has begun on top of another, which waits. */
  cover(job: Job, beneath: Job): void {
    this.#beneath.set(job, beneath);
  }

  /** Is there another job on top of this one? Then it can not go on. */
  isCovered(job: Job): boolean {
    for (const beneath of this.#beneath.values()) if (beneath === job) return true;
    return false;
  }

  /** A job has ended, or died with its interpreter. */
  end(job: Job, home: Home): void {
    this.#move(job, "ended", home);
    home.jobs.delete(job.handle);
  }

  /** Lends a thread for the flow of the script that an interpreter is given next, if one is left. */
  lendThread(home: Home): void {
    if (this.#hasFreeThread) home.lentThread.lend();
  }

  #move(job: Job, place: Job["place"], home: Home): void {
    const before = Number(job.holdsThread);
    job.goTo(place);
    this.#running += Number(job.holdsThread) - before;
    this.#waiting.delete(job);
    home.nested.delete(job);
    home.onTop.delete(job);
    if (place === "waiting" || place === "ended") this.#beneath.delete(job);
    if (home.current === job) home.current = undefined;
    home.jobs.set(job.handle, job);
  }

  #dequeue(job: Job): void {
    this.#queue.splice(this.#queue.indexOf(job), 1);
    const since = this.#since.get(job);
    if (since === undefined) return;
    this.#since.delete(job);
    this.waits++;
    this.waitMs += performance.now() - since;
  }

  /** May one more job run? A thread that was lent and not used may be taken back for it. */
  #claimThread(): boolean {
    if (this.#hasFreeThread) return true;
    if (this.#running >= this.#limit) return false;
    for (const { lentThread } of this.#homes) if (lentThread.reclaim()) return true;
    return false;
  }

  get #hasFreeThread(): boolean {
    let taken = this.#running;
    for (const { lentThread } of this.#homes) if (lentThread.isOut) taken++;
    return taken < this.#limit;
  }
}
