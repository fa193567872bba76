/** Interrupts of running Python code: so that it stops, or makes room for what can not wait. */
import { Home } from "./home.ts";
import type { Interruptible, PythonTask } from "./python-host.ts";
import { encodeMarshal } from "./marshal.ts";
import { SERVE_NESTED } from "./protocol.ts";

/** Milliseconds after which, and between which, an interpreter is asked to serve an inline task. */
const NUDGE_EVERY_MS = 10;

/** Milliseconds between two interrupts of code that must stop: the first may come before Python began with the task. */
const INTERRUPT_EVERY_MS = 25;

/** Who is interrupted, and until when. */
export class Interrupts {
  readonly #graceMs: number;
  readonly #onStubborn: (code: Interruptible, home: Home) => void;
  readonly #aborting = new Map<Interruptible, NodeJS.Timeout>();
  /** Inline tasks and calls that have not ended and do not wait. */
  readonly #inline = new Set<Interruptible>();
  #nudging: NodeJS.Timeout | undefined;

  /**
   * @param graceMs milliseconds that interrupted code has to stop
   * @param onStubborn is told of a task that did not
   */
  constructor(graceMs: number, onStubborn: (code: Interruptible, home: Home) => void) {
    this.#graceMs = graceMs;
    this.#onStubborn = onStubborn;
  }

  /** Makes a task stop that is in an interpreter. */
  abort(task: PythonTask): void {
    const home = task.session.home;
    if (!(home instanceof Home) || !home.tasks.has(task.handle) || this.#aborting.has(task)) return;
    // for a flow that waits for a coroutine; if it is busy, the interrupt comes first and this finds nothing to do
    home.worker.post(encodeMarshal(["abort", task.handle]));
    this.interrupt(task);
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
    this.#inline.delete(code);
    const timer = this.#aborting.get(code);
    if (timer === undefined) return;
    clearInterval(timer);
    this.#aborting.delete(code);
    if (code.session.home instanceof Home) code.session.home.worker.clearInterrupt();
  }

  /** Does something run in this interpreter that was called inside whatever it does? */
  runsInside(home: Home): boolean {
    for (const { session, begun } of this.#inline) if (session.home === home && begun !== false) return true;
    return false;
  }

  /** Lets an inline task get through, whatever its interpreter is computing. */
  makeRoomFor(code: Interruptible): void {
    this.#inline.add(code);
    this.#nudging ??= setInterval(() => this.#nudge(), NUDGE_EVERY_MS);
  }

  /** An inline task has ended, or waits: it needs no room any more. */
  leftRoom(code: Interruptible): void {
    this.#inline.delete(code);
  }

  /** Ends all timers. */
  stop(): void {
    clearInterval(this.#nudging);
    for (const timer of this.#aborting.values()) clearInterval(timer);
  }

  /** Lets code that computes and never waits make room for inline tasks: it is interrupted, and they run on top of it. */
  #nudge(): void {
    for (const task of this.#inline) {
      const { home } = task.session;
      if (home instanceof Home && !this.#aborting.has(task)) home.worker.interrupt(SERVE_NESTED);
    }
    if (this.#inline.size > 0) return;
    clearInterval(this.#nudging);
    this.#nudging = undefined;
  }
}
