/**
 * The executions there are: those in progress, and the finished ones that are kept, least recently used first out.
 * Unlike RedisGears 1.2 (first in, first out, everything counted) only finished executions are counted and evicted.
 */
import { Durations } from "./durations.ts";
import { Execution, type ExecutionStatus } from "./execution.ts";
import { type Ids, idOf, parseId } from "./ids.ts";

export interface RegistryLimits {
  /** Finished executions that are kept (MaxExecutions); 0 or less: no limit. */
  readonly maxExecutions: () => number;
  /** Bytes that kept results may take together; 0: no limit. */
  readonly maxResultBytes: () => number;
}

/** Milliseconds after which a lowered limit holds for all. */
const SHRINK_AFTER_MS = 1_000;

/** What a list of executions tells of each. */
export interface ExecutionSummary {
  readonly id: string;
  readonly number: number;
  readonly status: ExecutionStatus;
  readonly registered: boolean;
}

/** An execution that has not begun. There can be very many, so each becomes an {@link Execution} only when it must. */
export interface WaitingExecution extends ExecutionSummary {
  /** Makes it an execution: somebody asks for it, or it begins. To be called by the registry only. */
  toExecution(): Execution;
}

export class ExecutionRegistry {
  readonly #ids: Ids;
  readonly #limits: RegistryLimits;
  readonly #all = new Map<number, Execution | WaitingExecution>();
  /** Finished and kept, in the order of their last use. */
  readonly #finished = new Map<number, Execution>();
  #bytes = 0;
  /** After the limit was lowered: how many finished ones may stay for a moment. */
  #ceiling = 0;
  /** After the limit was changed: the numbers of those that were in progress then. */
  #inProgress = new Set<number>();
  #shrinking: NodeJS.Timeout | undefined;

  constructor(ids: Ids, limits: RegistryLimits) {
    this.#ids = ids;
    this.#limits = limits;
  }

  /** Executions that have ended, of any kind. `failed` are those with an error; `ms` ran Python. */
  readonly ended = { done: 0, failed: 0, aborted: 0, ms: 0 };
  /** Is told of each that has ended, if anybody wants to know. */
  onSettled: ((execution: Execution) => void) | undefined;
  /** How long those that have ended ran Python. */
  readonly durations = new Durations();

  /** Number of executions there are. */
  get size(): number {
    return this.#all.size;
  }

  /** Bytes of the kept results. */
  get resultBytes(): number {
    return this.#bytes;
  }

  /** Creates an execution. It takes the place of the least recently used finished one when there are as many as may be. */
  create(options: { registered: boolean; kept: boolean }): Execution {
    const limit = this.#limits.maxExecutions();
    if (limit > 0 && this.#finished.size >= limit) {
      const [oldest] = this.#finished.values();
      if (oldest) this.drop(oldest);
    }
    const { id, number } = this.#ids.nextExecution();
    const execution = new Execution({ id, number, registered: options.registered, kept: options.kept });
    this.#all.set(execution.number, execution);
    return execution;
  }

  /** Makes the execution of a number that is listed as waiting. */
  make(number: number, options: { registered: boolean; kept: boolean }): Execution {
    return new Execution({ id: idOf(number), number, ...options });
  }

  /** Adds an execution that waits for its turn; `make` is given its number. */
  addWaiting<T extends WaitingExecution>(make: (number: number) => T): T {
    const waiting = make(this.#ids.nextExecution().number);
    this.#all.set(waiting.number, waiting);
    return waiting;
  }

  /** Finds by the id that a client typed. */
  find(id: Buffer): Execution | undefined {
    const number = parseId(id);
    return number === undefined ? undefined : this.get(number);
  }

  /** Finds by number. */
  get(number: number): Execution | undefined {
    const found = this.#all.get(number);
    if (found === undefined || found instanceof Execution) return found;
    const execution = found.toExecution();
    this.#all.set(number, execution);
    return execution;
  }

  /** Its results were read: it is now the most recently used. */
  touch(execution: Execution): void {
    if (this.#finished.delete(execution.number)) this.#finished.set(execution.number, execution);
  }

  /** All executions, in the order of their creation. */
  list(): ExecutionSummary[] {
    return [...this.#all.values()];
  }

  /** Finished executions that are kept, the one first that has ended, or was asked for, last. */
  lastFinished(count: number): Execution[] {
    return count <= 0 ? [] : [...this.#finished.values()].slice(-count).reverse();
  }

  /** Takes note that an execution has finished: it is kept (and others are evicted) or forgotten. */
  settle(execution: Execution): void {
    this.#count(execution);
    this.onSettled?.(execution);
    if (!execution.kept) {
      this.#all.delete(execution.number);
      execution.onDrop?.();
      return;
    }
    this.#finished.set(execution.number, execution);
    this.#bytes += execution.resultBytes;
    this.evict();
  }

  /** How many executions there are in each status. */
  counts(): Record<ExecutionStatus, number> {
    const counts = { created: 0, running: 0, done: 0, aborted: 0 };
    for (const { status } of this.#all.values()) counts[status]++;
    return counts;
  }

  #count({ status, errors, totalMs }: Execution): void {
    if (status === "aborted") this.ended.aborted++;
    else if (errors.length > 0) this.ended.failed++;
    else this.ended.done++;
    this.ended.ms += totalMs;
    this.durations.add(totalMs);
  }

  /** Forgets an execution. */
  drop(execution: Execution): void {
    this.#all.delete(execution.number);
    if (this.#finished.delete(execution.number)) this.#bytes -= execution.resultBytes;
    execution.onDrop?.();
  }

  /**
   * MaxExecutions was changed. As in RedisGears a lower limit acts one by one: each new execution pushes one out, and what
   * is in progress can be read when it has ended, whatever else there is. What is then still too much goes a second later.
   */
  limitChanged(): void {
    this.#inProgress = new Set([...this.#all.keys()].filter((number) => !this.#finished.has(number)));
    this.#ceiling = Math.max(this.#finished.size, this.#limits.maxExecutions()) + this.#inProgress.size;
    this.#shrinkLater();
  }

  #shrinkLater(): void {
    clearTimeout(this.#shrinking);
    this.#shrinking = setTimeout(() => {
      for (const number of this.#inProgress) {
        if (this.#finished.has(number) || !this.#all.has(number)) this.#inProgress.delete(number);
      }
      this.#ceiling = 0;
      this.evict();
      if (this.#inProgress.size === 0) return;
      this.#ceiling = this.#limits.maxExecutions() + this.#inProgress.size;
      this.#shrinkLater();
    }, SHRINK_AFTER_MS);
    this.#shrinking.unref();
  }

  /** Forgets finished executions until the limits are kept. */
  evict(): void {
    const [limit, bytes] = [this.#limits.maxExecutions(), this.#limits.maxResultBytes()];
    const count = Math.max(limit, this.#ceiling);
    for (const oldest of this.#finished.values()) {
      if ((limit <= 0 || this.#finished.size <= count) && (bytes <= 0 || this.#bytes <= bytes)) return;
      this.drop(oldest);
    }
  }
}
