/** What the pool counts. Everything else that is told of it is looked up when somebody asks. */
import type { PythonWorker } from "./python-worker.ts";

export class Tally {
  /** Calls from Python by their operation. */
  readonly calls = new Map<string, number>();
  /** Messages from Python that want no answer. */
  posts = 0;
  /** Interpreters that ended before the server did, by the reason. */
  readonly restarts = new Map<string, number>();
  /** Calls that the sandbox refused in interpreters that are gone. */
  denials = 0;
  #peak = 0;
  #freed = 0;
  /** Calls of `execute()` that were answered in their own threads by interpreters that are gone. */
  #direct = 0;

  /** The memory of the interpreters, of which there are `current` bytes now. */
  memory(current: number): { total: number; peak: number; current: number } {
    this.#peak = Math.max(this.#peak, current);
    return { total: this.#freed + this.#peak, peak: this.#peak, current };
  }

  /** An interpreter is gone. */
  countGone({ heapBytes, denials, directCalls }: Pick<PythonWorker, "heapBytes" | "denials" | "directCalls">): void {
    this.#freed += heapBytes;
    this.denials += denials;
    this.#direct += directCalls;
  }

  /** Calls by their operation, with those of `execute()` that interpreters have answered in their own threads. */
  callsWith(homes: readonly { readonly worker: Pick<PythonWorker, "directCalls"> }[]): ReadonlyMap<string, number> {
    const direct = homes.reduce((sum, { worker }) => sum + worker.directCalls, this.#direct);
    if (direct === 0) return this.calls;
    return new Map([...this.calls, ["execute", (this.calls.get("execute") ?? 0) + direct]]);
  }

  countCall(operation: string): void {
    this.calls.set(operation, (this.calls.get(operation) ?? 0) + 1);
  }

  countRestart(reason: string): void {
    this.restarts.set(reason, (this.restarts.get(reason) ?? 0) + 1);
  }
}

/** The kind of an interpreter's end: few words, so that they can be counted. */
export function restartReason(reason: string): string {
  if (/called JavaScript|can not be handled|could not be handled/.test(reason)) return "sandbox";
  if (/memory/i.test(reason)) return "memory";
  return "fatal";
}
