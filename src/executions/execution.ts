/** One execution: what was asked, how far it is, what came out. */
import type { Passed, StepInfo } from "../python/job.ts";
import type { Reply } from "../resp/reply.ts";
import type { Session } from "./session.ts";

export type ExecutionStatus = "created" | "running" | "done" | "aborted";

export interface ExecutionOptions {
  readonly id: string;
  readonly number: number;
  /** Started by a registration. */
  readonly registered: boolean;
  /** Stays in the store when it has finished. */
  readonly kept: boolean;
}

export class Execution {
  readonly id: string;
  readonly number: number;
  readonly registered: boolean;
  kept: boolean;
  status: ExecutionStatus = "created";
  /** When it was made, has begun and has ended, in milliseconds since 1970; 0: it has not. */
  readonly createdAt = Date.now();
  startedAt = 0;
  endedAt = 0;
  /** Whose code it runs; undefined for code in the background, of which only the interpreter is known. */
  session: Session | undefined;
  /** Number of the registration that has started it. */
  registration: number | undefined;
  /** What gives its records, and the kinds of its steps in their order; empty until the script has declared them. */
  reader = "";
  kinds: readonly string[] = [];
  /** How many records came out of the reader and, when they were counted, of each step. */
  counts: readonly number[] = [];
  /** Last step first. */
  steps: readonly StepInfo[] = [];
  stepMs: readonly number[] = [];
  errors: readonly string[] = [];
  totalMs = 0;
  readMs = 0;
  resultCount = 0;
  /** Bytes that the results and errors take in memory. */
  resultBytes = 0;
  /** Its interpreter died under it: what it did is unknown. */
  lost = false;
  /** Called when it is forgotten. */
  onDrop: (() => void) | undefined;
  /** What a script that started no flow answers; undefined for flows. */
  outcome: Reply | undefined;
  readonly #chunks: Buffer[] = [];
  /** Promises are made when somebody asks: most executions of events end before anybody does. */
  #finished: Deferred | undefined = undefined;
  #declared: Deferred | undefined = undefined;
  #isDeclared = false;

  constructor({ id, number, registered, kept }: ExecutionOptions) {
    this.id = id;
    this.number = number;
    this.registered = registered;
    this.kept = kept;
  }

  /** Resolves when the execution has finished. */
  get finished(): Promise<void> {
    this.#finished ??= new Deferred(this.isFinished);
    return this.#finished.promise;
  }

  /** Resolves when the script's body has run, or never will: from then on the steps are known. */
  get declared(): Promise<void> {
    this.#declared ??= new Deferred(this.#isDeclared);
    return this.#declared.promise;
  }

  get isFinished(): boolean {
    return this.status === "done" || this.status === "aborted";
  }

  /** Its code has begun to run. */
  begin(): void {
    this.status = "running";
    if (this.startedAt === 0) this.startedAt = Date.now();
  }

  /** The body has run and declared a flow with these steps. */
  declare(steps: readonly StepInfo[], reader = "", kinds: readonly string[] = []): void {
    this.steps = steps;
    this.reader = reader;
    this.kinds = kinds;
    this.#noteDeclared();
  }

  /** Takes note of what came out of the reader and of each step, and of what the steps are. */
  countPassed(passed: Passed): void {
    this.counts = passed.map(([, count]) => count);
    if (passed.length > 1) this.kinds = passed.slice(1).map(([kind]) => kind);
  }

  /** Adds encoded results. */
  append(count: number, ...chunks: readonly Buffer[]): void {
    this.resultCount += count;
    for (const chunk of chunks) {
      this.resultBytes += chunk.length;
      this.#chunks.push(chunk);
    }
  }

  /** Forgets the results so far. */
  dropResults(): void {
    this.#chunks.length = 0;
    this.resultCount = 0;
    this.resultBytes = 0;
  }

  /** Ends it. An aborted execution has neither results nor errors. */
  finish(status: "done" | "aborted", errors: readonly string[] = []): void {
    if (this.isFinished) return;
    this.status = status;
    this.endedAt = Date.now();
    this.errors = errors;
    if (status === "aborted") this.dropResults();
    for (const error of errors) this.resultBytes += error.length * 2;
    this.#noteDeclared();
    this.#finished?.resolve();
  }

  #noteDeclared(): void {
    this.#isDeclared = true;
    this.#declared?.resolve();
  }

  /** The encoded results, one after the other. */
  get resultChunks(): readonly Buffer[] {
    return this.#chunks;
  }

  /** The results as an array reply. */
  results(): Reply {
    return { type: "raw", chunks: [Buffer.from(`*${this.resultCount}\r\n`), ...this.#chunks] };
  }

  /** What RG.GETRESULTS answers: `[results, errors]`, or the script's own reply. */
  reply(): Reply {
    if (this.outcome) return this.outcome;
    const errors: Reply[] = this.errors.map((error) => ({ type: "bulk", bytes: Buffer.from(error) }));
    return {
      type: "array",
      items: [this.results(), { type: "array", items: errors }],
    };
  }
}

/** A promise that somebody else resolves. */
class Deferred {
  readonly promise: Promise<void>;
  resolve: () => void = () => {};

  constructor(isResolved: boolean) {
    this.promise = isResolved ? Promise.resolve() : new Promise((resolve) => (this.resolve = resolve));
  }
}
