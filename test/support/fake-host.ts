/** A PythonHost whose "Python" are functions of the test, one for each registration. */
import type { FlowOutcome, PythonHost, PythonSession, PythonTask } from "../../src/python/python-host.ts";
import { decodeMarshal, encodeMarshal, MarshalReader, type MarshalValue } from "../../src/python/marshal.ts";

/** A record as Python would see it. */
export type Record = Map<string, MarshalValue>;

export interface FlowRun {
  readonly task: PythonTask;
  readonly records: readonly Record[];
  readonly flags: number;
  /** The flow waits for a coroutine from now on; it goes on when the promise is fulfilled. */
  wait(until: Promise<void>): Promise<void>;
}

/** What a registration does. Gives its results; what it throws becomes an error entry. */
export type FlowFunction = (run: FlowRun) => unknown;

export class FakeHost implements PythonHost {
  readonly booting = false;
  readonly told: (readonly MarshalValue[])[] = [];
  readonly functions = new Map<number, FlowFunction>();
  /** While true, background tasks stay in the queue. */
  busy = false;
  readonly #queue: PythonTask[] = [];
  readonly #running = new Map<number, PythonTask>();
  #scheduled = false;
  #lastHandle = 0;

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  nextHandle(): number {
    return ++this.#lastHandle;
  }

  submit(task: PythonTask): void {
    this.#queue.push(task);
    this.#schedule();
  }

  runNow(task: PythonTask): void {
    void this.#run(task);
  }

  withdraw(task: PythonTask): boolean {
    const at = this.#queue.indexOf(task);
    if (at >= 0) this.#queue.splice(at, 1);
    return at >= 0;
  }

  abort(task: PythonTask): void {
    this.#end(task, { status: "aborted", errors: [] });
  }

  /** The interpreter of a running task dies. */
  kill(task: PythonTask): void {
    if (this.#running.delete(task.handle)) task.onLost("it was killed");
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

  memory() {
    return { total: 0, peak: 0, current: 0 };
  }

  /** A running task by its handle, as calls from Python find theirs. */
  task(handle: number): PythonTask | undefined {
    return this.#running.get(handle);
  }

  /** Lets queued tasks begin again. */
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
        const task = this.#queue.shift();
        if (!task) return;
        void this.#run(task);
      }
    });
  }

  async #run(task: PythonTask): Promise<void> {
    this.#running.set(task.handle, task);
    task.onStart();
    const message = decodeMarshal(encodeMarshal(task.message())) as MarshalValue[];
    const [, , , registration, records, flags] = message;
    const run: FlowRun = {
      task,
      records: records as unknown as Record[],
      flags: Number(flags),
      wait: async (until) => {
        task.onWaiting(true);
        await until;
        if (this.#running.has(task.handle)) task.onWaiting(false);
      },
    };
    try {
      const results = await this.functions.get(Number(registration))?.(run);
      if (!this.#running.has(task.handle)) return;
      if (Array.isArray(results)) task.onResults(new MarshalReader(encodeMarshal(results as MarshalValue[])));
      this.#end(task, { status: "done", errors: [] });
    } catch (error) {
      this.#end(task, { status: "done", errors: [error instanceof Error ? error.message : String(error)] });
    }
  }

  #end(task: PythonTask, outcome: Pick<FlowOutcome, "status" | "errors">): void {
    if (this.#running.delete(task.handle)) task.onDone({ ...outcome, totalMs: 0.4, readMs: 0, stepMs: [] });
  }
}
