/** ExecutionThreads: how many executions run at a time, and the threads that are lent to interpreters. */
import type { Home } from "./home.ts";

export class Threads {
  /** Tasks that run and count. */
  running = 0;
  readonly #limit: number;
  readonly #homes: ReadonlySet<Home>;

  constructor(limit: number, homes: ReadonlySet<Home>) {
    this.#limit = limit;
    this.#homes = homes;
  }

  /** May one more task run? One that was lent and not used may be taken back for it. */
  claim(): boolean {
    if (this.#free) return true;
    if (this.running >= this.#limit) return false;
    return [...this.#homes].some((home) => home.lent && this.#takeBack(home));
  }

  /** Lends an interpreter one, if one is left: the flow of the script that it runs next may begin without asking. */
  lend(home: Home): void {
    if (!this.#free) return;
    home.lent = true;
    home.worker.lendThread();
  }

  /** The script has ended. @returns true when its flow has begun with the thread, which has to be counted now */
  endLoan(home: Home): boolean {
    const used = home.lent && !home.worker.takeThreadBack();
    home.lent = false;
    return used;
  }

  get #free(): boolean {
    let taken = this.running;
    for (const { lent } of this.#homes) if (lent) taken++;
    return taken < this.#limit;
  }

  #takeBack(home: Home): boolean {
    home.lent = !home.worker.takeThreadBack();
    return !home.lent;
  }
}
