/** A PythonHost whose "Python" are functions of the test, one for each registration. */
import { FlowJob, type FlowOutcome, type Interruptible, type Job } from "../../src/python/job.ts";
import { type JobHome, Jobs } from "../../src/python/jobs.ts";
import type { PythonHost } from "../../src/python/python-host.ts";
import type { PythonSession } from "../../src/python/python-session.ts";
import { decodeMarshal, encodeMarshal, MarshalReader, type MarshalValue } from "../../src/python/marshal.ts";

/** A record as Python would see it. */
export type Record = Map<string, MarshalValue>;

export interface FlowRun {
  readonly job: FlowJob;
  readonly records: readonly Record[];
  readonly flags: number;
  /** The flow waits for a coroutine from now on; it goes on when the promise is fulfilled. */
  wait(until: Promise<void>): Promise<void>;
}

/** What a registration does. Gives its results; what it throws becomes an error entry. */
export type FlowFunction = (run: FlowRun) => unknown;

export class FakeHost implements PythonHost {
  readonly isIdle = true;
  readonly booting = false;
  readonly told: (readonly MarshalValue[])[] = [];
  readonly functions = new Map<number, FlowFunction>();
  /** While true, background jobs stay in the queue. */
  busy = false;
  protected readonly home: JobHome = {
    current: undefined,
    jobs: new Map<number, Job>(),
    nested: new Set<Interruptible>(),
    onTop: new Set<Job>(),
    lentThread: { isOut: false, lend: () => {}, reclaim: () => false },
  };
  readonly jobs = new Jobs(Number.POSITIVE_INFINITY, new Set([this.home]));
  #scheduled = false;

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  nextHandle(): number {
    return this.jobs.nextHandle();
  }

  submit(job: Job): void {
    this.jobs.enqueue(job);
    this.#schedule();
  }

  takeBack(): number {
    return 0;
  }

  submitBegun(job: Job): void {
    this.jobs.start(job, this.home);
    job.onStart();
  }

  carryOut(): undefined {
    return undefined;
  }

  runNow(job: Job): void {
    this.jobs.nest(job, this.home);
    void this.#run(job);
  }

  withdraw(job: Job): boolean {
    return this.jobs.withdraw(job);
  }

  abort(job: Job): void {
    this.#end(job, { status: "aborted", errors: [] });
  }

  /** The interpreter of a running job dies. */
  kill(job: Job): void {
    if (!job.isStarted) return;
    this.jobs.end(job, this.home);
    job.onLost({ kind: "died", reason: "it was killed" });
  }

  get waiting(): ReadonlySet<Job> {
    return this.jobs.waiting;
  }

  runCallback(): void {}
  stopCallback(): void {}
  callbackEnded(): void {}
  adopt(): void {}
  retain(): void {}
  release(): void {}

  tell(_session: PythonSession, message: readonly MarshalValue[]): void {
    this.told.push(message);
  }

  ask(): Promise<string> {
    return Promise.reject(new Error("not here"));
  }

  async sampleStack(): Promise<undefined> {}

  interpreterOf(): undefined {
    return undefined;
  }

  memory() {
    return { total: 0, peak: 0, current: 0 };
  }

  /** A running job by its handle, as calls from Python find theirs. */
  job(handle: number): Job | undefined {
    return this.home.jobs.get(handle);
  }

  /** Lets queued jobs begin again. */
  resume(): void {
    this.busy = false;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.busy) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      while (!this.busy) {
        const next = this.jobs.startNext(() => this.home);
        if (!next) return;
        void this.#run(next.job);
      }
    });
  }

  async #run(job: Job): Promise<void> {
    if (!(job instanceof FlowJob)) throw new TypeError("only flows are run here");
    job.onStart();
    const message = decodeMarshal(encodeMarshal(job.message())) as MarshalValue[];
    const [, , registration, records, flags] = message;
    const run: FlowRun = {
      job,
      records: records as unknown as Record[],
      flags: Number(flags),
      wait: async (until) => {
        this.jobs.wait(job, this.home);
        job.onWaiting(true);
        await until;
        if (job.place !== "waiting") return;
        this.jobs.resume(job, this.home);
        job.onWaiting(false);
      },
    };
    try {
      const results = await this.functions.get(Number(registration))?.(run);
      if (!job.isStarted) return;
      if (Array.isArray(results)) job.onResults(new MarshalReader(encodeMarshal(results as MarshalValue[])));
      this.#end(job, { status: "done", errors: [] });
    } catch (error) {
      this.#end(job, { status: "done", errors: [error instanceof Error ? error.message : String(error)] });
    }
  }

  #end(job: Job, outcome: Pick<FlowOutcome, "status" | "errors">): void {
    if (!job.isStarted || !(job instanceof FlowJob)) return;
    this.jobs.end(job, this.home);
    job.onDone({ ...outcome, totalMs: 0.4, readMs: 0, stepMs: [], passed: [], goesOn: false });
  }
}
