/**
 * The executions there are: those in progress, and the finished ones that are kept, least recently used first out.
 * Unlike RedisGears 1.2 (first in, first out, everything counted) only finished executions are counted and evicted.
 */
import { Execution } from "./execution.ts";
import { type Ids, parseId } from "./ids.ts";

export interface RegistryLimits {
  /** Finished executions that are kept (MaxExecutions); 0 or less: no limit. */
  readonly maxExecutions: () => number;
  /** Bytes that kept results may take together; 0: no limit. */
  readonly maxResultBytes: () => number;
}

export class ExecutionRegistry {
  readonly #ids: Ids;
  readonly #limits: RegistryLimits;
  readonly #all = new Map<number, Execution>();
  /** Finished and kept, in the order of their last use. */
  readonly #finished = new Map<number, Execution>();
  #bytes = 0;

  constructor(ids: Ids, limits: RegistryLimits) {
    this.#ids = ids;
    this.#limits = limits;
  }

  /** Number of executions there are. */
  get size(): number {
    return this.#all.size;
  }

  /** Bytes of the kept results. */
  get resultBytes(): number {
    return this.#bytes;
  }

  create(options: { registered: boolean; kept: boolean }): Execution {
    const execution = new Execution({ ...this.#ids.nextExecution(), ...options });
    this.#all.set(execution.number, execution);
    return execution;
  }

  /** Finds by the id that a client typed. */
  find(id: Buffer): Execution | undefined {
    const number = parseId(id);
    return number === undefined ? undefined : this.#all.get(number);
  }

  /** Its results were read: it is now the most recently used. */
  touch(execution: Execution): void {
    if (this.#finished.delete(execution.number)) this.#finished.set(execution.number, execution);
  }

  /** All executions, in the order of their creation. */
  list(): Execution[] {
    return [...this.#all.values()];
  }

  /** Takes note that an execution has finished: it is kept (and others are evicted) or forgotten. */
  settle(execution: Execution): void {
    if (!execution.kept) {
      this.#all.delete(execution.number);
      return;
    }
    this.#finished.set(execution.number, execution);
    this.#bytes += execution.resultBytes;
    this.evict();
  }

  /** Forgets an execution. */
  drop(execution: Execution): void {
    this.#all.delete(execution.number);
    if (this.#finished.delete(execution.number)) this.#bytes -= execution.resultBytes;
  }

  /** Forgets finished executions until the limits are kept. To be called when a limit was lowered. */
  evict(): void {
    const [count, bytes] = [this.#limits.maxExecutions(), this.#limits.maxResultBytes()];
    for (const oldest of this.#finished.values()) {
      if ((count <= 0 || this.#finished.size <= count) && (bytes <= 0 || this.#bytes <= bytes)) return;
      this.drop(oldest);
    }
  }
}
