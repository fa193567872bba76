/** Interrupts of running Python code: so that it stops, or makes room for what can not wait. */
import { Home } from "./home.ts";
import type { Interruptible, Job } from "./job.ts";
import { encodeMarshal } from "./marshal.ts";
import { SERVE_NESTED } from "./protocol.ts";

/** Milliseconds between two interrupts by which computing code makes room for nested jobs and callbacks; the first comes as late. */
const NUDGE_EVERY_MS = 10;

/** Milliseconds between two interrupts of code that must stop: the first may come before Python began with it. */
const INTERRUPT_EVERY_MS = 25;

/** Who is interrupted, and until when. */
export class Interrupts {
  readonly #graceMs: number;
  readonly #onStubborn: (code: Interruptible, home: Home) => void;
  readonly #homes: ReadonlySet<Home>;
  readonly #aborting = new Map<Interruptible, NodeJS.Timeout>();
  #nudging: NodeJS.Timeout | undefined;

  /**
   * @param graceMs milliseconds that interrupted code has to stop
   * @param onStubborn is told of code that did not
   */
  constructor(graceMs: number, homes: ReadonlySet<Home>, onStubborn: (code: Interruptible, home: Home) => void) {
    this.#graceMs = graceMs;
    this.#homes = homes;
    this.#onStubborn = onStubborn;
  }

  /** Makes a job stop that is in an interpreter. */
  abort(job: Job): void {
    const home = job.session.home;
    if (!(home instanceof Home) || !job.isStarted || this.#aborting.has(job)) return;
    // The message is for a flow that waits for a coroutine. One that computes is interrupted first, and the message comes late.
    home.worker.post(encodeMarshal(["abort", job.handle]));
    this.interrupt(job);
  }

  /** Makes code stop, until it has ended. */
  interrupt(code: Interruptible): void {
    const home = code.session.home;
    if (!(home instanceof Home) || this.#aborting.has(code)) return;
    home.worker.interrupt(code.handle);
    const deadline = performance.now() + this.#graceMs;
    const timer = setInterval(() => {
      if (performance.now() < deadline) {
        home.worker.interrupt(code.handle);
        return;
      }
      this.ended(code);
      this.#onStubborn(code, home);
    }, INTERRUPT_EVERY_MS);
    this.#aborting.set(code, timer);
  }

  /** The code has ended, or is given up: nobody needs to interrupt it any more. */
  ended(code: Interruptible): void {
    const timer = this.#aborting.get(code);
    if (timer === undefined) return;
    clearInterval(timer);
    this.#aborting.delete(code);
    if (code.session.home instanceof Home) code.session.home.worker.clearInterrupt();
  }

  /** From now on, and while there are nested jobs and callbacks, computing code is interrupted so that they can run on top of it. */
  makeRoom(): void {
    this.#nudging ??= setInterval(() => this.#nudge(), NUDGE_EVERY_MS);
  }

  /** Ends all timers. */
  stop(): void {
    clearInterval(this.#nudging);
    for (const timer of this.#aborting.values()) clearInterval(timer);
  }

  /** Interrupts all interpreters that have nested jobs or callbacks, unless only such as are being stopped. */
  #nudge(): void {
    let needed = false;
    for (const { nested, worker } of this.#homes) {
      if (nested.size === 0) continue;
      needed = true;
      if ([...nested].some((code) => !this.#aborting.has(code))) worker.interrupt(SERVE_NESTED);
    }
    if (needed) return;
    clearInterval(this.#nudging);
    this.#nudging = undefined;
  }
}
