/** A clock for tests, which can be moved: it goes like the system's, only ahead of it. */
import { type Clock, runAfter, type Timer } from "./timer.ts";

interface Planned {
  readonly due: number;
  readonly action: () => void;
  timer: Timer | undefined;
}

export class TestClock implements Clock {
  #ahead = 0;
  /** Where it stands while it is being moved. */
  #standing: number | undefined;
  readonly #planned = new Set<Planned>();

  now(): number {
    return this.#standing ?? performance.now() + this.#ahead;
  }

  after(ms: number, action: () => void): Timer {
    const planned: Planned = { due: this.now() + Math.max(ms, 1), action, timer: undefined };
    this.#planned.add(planned);
    this.#start(planned);
    return { cancel: () => this.#forget(planned) };
  }

  /**
   * Moves it ahead. It stands still meanwhile, so that what repeats does so as often as the time says.
   * @param ms milliseconds
   * @param passed is called with the milliseconds to the next timer, before that fires, and with those to the end
   * @param settle is called when timers have fired and at the end; the clock goes on when what it gives resolves, to false when
   * nobody wants it to
   */
  async move(ms: number, passed: (ms: number) => void, settle: () => Promise<boolean>): Promise<void> {
    const begin = this.now();
    const target = begin + ms;
    this.#standing = begin;
    try {
      for (let at = begin; ; ) {
        const next = Math.min(target, Math.max(at, this.#nextDue));
        this.#standing = next;
        passed(next - at);
        for (const planned of [...this.#planned].filter(({ due }) => due <= next)) this.#fire(planned);
        const goesOn = await settle();
        at = next;
        if (!goesOn || (at === target && this.#nextDue > target)) return;
      }
    } finally {
      this.#ahead = this.now() - performance.now();
      this.#standing = undefined;
      for (const planned of this.#planned) this.#start(planned);
    }
  }

  get isMoving(): boolean {
    return this.#standing !== undefined;
  }

  /** When the next timer is due, by this clock; Infinity without timers. */
  get #nextDue(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { due } of this.#planned) next = Math.min(next, due);
    return next;
  }

  /** By the system's clock, unless this one stands still. */
  #start(planned: Planned): void {
    planned.timer?.cancel();
    if (this.#standing !== undefined) return;
    planned.timer = runAfter(planned.due - this.now(), () => this.#fire(planned));
  }

  #fire(planned: Planned): void {
    // while the clock stands still, it says what is due; what came before may have cancelled it
    if ((this.#standing ?? planned.due) < planned.due || !this.#planned.has(planned)) return;
    this.#forget(planned);
    planned.action();
  }

  #forget(planned: Planned): void {
    planned.timer?.cancel();
    this.#planned.delete(planned);
  }
}
