/** `atomic()` blocks of Python code: who holds the engine by one, and for how long. */
import type { EngineGate } from "../engine/engine-gate.ts";
import { runAfter, type Timer } from "../timer.ts";
import type { Job } from "./job.ts";
import type { CallContext } from "./python-host.ts";

export interface AtomicBlocksOptions {
  readonly gate: EngineGate;
  /** Milliseconds that a block may hold the engine (`script-time-limit`); 0: no limit. */
  readonly limitMs: number;
  /** Ends what an interpreter runs that belongs to no job. */
  readonly stopBackground: (home: object) => void;
  /** Replaces an interpreter. */
  readonly replace: (home: object, reason: string) => void;
  readonly log: { warn(text: string): void };
}

/** What one piece of code holds: its blocks, which are inside each other. */
interface Hold {
  readonly owner: object;
  readonly job: Job | undefined;
  depth: number;
  limit: Timer | undefined;
}

/** Milliseconds after the limit within which even code that resists has been ended, by the end of its interpreter. */
const PATIENCE_MS = 3_000;

export class AtomicBlocks {
  readonly #options: AtomicBlocksOptions;
  /** By interpreter, and by the handle that the code has named; code without a job has names that nobody knows. */
  readonly #holds = new Map<object, Map<number, Hold>>();

  constructor(options: AtomicBlocksOptions) {
    this.#options = options;
  }

  /** Code enters a block. Resolves when it holds the engine, or was stopped while it waited for it. */
  async enter(caller: CallContext, handle: number): Promise<void> {
    const { gate } = this.#options;
    const job = caller.job(handle);
    const owner = job?.owner ?? caller.home;
    await gate.hold(owner, () => nameOf(job));
    if (caller.isGone || (job && !caller.job(handle))) {
      gate.release(owner);
      return;
    }
    const hold = this.#holds.get(caller.home)?.get(handle);
    if (hold?.owner === owner) hold.depth++;
    else this.#begin(caller.home, handle, owner, job);
  }

  /** Code leaves a block; one that was taken from it is left already. */
  leave(home: object, handle: number): void {
    const hold = this.#holds.get(home)?.get(handle);
    if (!hold) return;
    this.#options.gate.release(hold.owner);
    if (--hold.depth === 0) this.#forget(home, handle, hold);
  }

  /** A job has ended: what it did not give back is taken back. */
  onJobEnd(home: object, { handle }: Job): void {
    this.#take(home, handle);
  }

  /** An interpreter is gone. */
  onGone(home: object): void {
    for (const handle of [...(this.#holds.get(home)?.keys() ?? [])]) this.#take(home, handle);
  }

  #begin(home: object, handle: number, owner: object, job: Job | undefined): void {
    this.#take(home, handle);
    const { limitMs } = this.#options;
    const hold: Hold = { owner, job, depth: 1, limit: undefined };
    if (limitMs > 0) hold.limit = runAfter(limitMs, () => this.#tooLong(home, handle, hold));
    const holds = this.#holds.get(home);
    if (holds) holds.set(handle, hold);
    else this.#holds.set(home, new Map([[handle, hold]]));
  }

  #tooLong(home: object, handle: number, hold: Hold): void {
    const { limitMs, log } = this.#options;
    const reason = `it held the engine longer than script-time-limit (${limitMs} ms)`;
    log.warn(`GEARS: ${nameOf(hold.job)} is stopped: ${reason}`);
    hold.limit = runAfter(PATIENCE_MS, () => {
      this.#take(home, handle);
      this.#options.replace(home, reason);
    });
    if (hold.job) hold.job.stop({ kind: "fault", error: `Execution was stopped: ${reason}` });
    else this.#options.stopBackground(home);
  }

  #take(home: object, handle: number): void {
    const hold = this.#holds.get(home)?.get(handle);
    if (!hold) return;
    for (let left = hold.depth; left > 0; left--) this.#options.gate.release(hold.owner);
    this.#forget(home, handle, hold);
  }

  #forget(home: object, handle: number, { limit }: Hold): void {
    limit?.cancel();
    const holds = this.#holds.get(home);
    holds?.delete(handle);
    if (holds?.size === 0) this.#holds.delete(home);
  }
}

/** Who holds the engine by a block. */
const nameOf = (job: Job | undefined): string => `an atomic block ${job ? `of ${job.name}` : "in the background"}`;
