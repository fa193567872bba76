/**
 * What runs in an interpreter and is no job's: coroutines and callbacks of its event loop, finalisers, code that is made
 * again after a restart. Nobody tells the main thread that such code begins, so it is noticed by the loop that does not
 * turn any more, and is then busy, can be seen, and can be stopped.
 */
import type { Home } from "./home.ts";
import type { Interrupts } from "./interrupts.ts";
import type { Interruptible } from "./job.ts";
import type { BackgroundRun } from "./python-host.ts";
import { BACKGROUND } from "./protocol.ts";

interface BackgroundOptions {
  readonly homes: ReadonlySet<Home>;
  readonly interrupts: Interrupts;
  /** Is told of what runs for long. */
  readonly onRun: (run: BackgroundRun) => void;
  /** An interpreter's loop turns again. */
  readonly onFree: () => void;
}

/** Milliseconds between two looks at the loops, and while something is being stopped. */
const LOOK_EVERY_MS = 250;
const LOOK_OFTEN_MS = 25;

/** Milliseconds that something may run before it is told of. */
const LONG_MS = 1_000;

export class Background {
  readonly #options: BackgroundOptions;
  /** What each loop was found in the middle of. */
  readonly #seen = new Map<Home, Turn>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: BackgroundOptions) {
    this.#options = options;
    this.#schedule();
  }

  /** Stops what runs there, if anything does. */
  stop(home: Home): void {
    const turn = this.#look(home);
    if (turn) this.#stopTurn(turn);
  }

  /** An interpreter is gone. */
  onGone(home: Home): void {
    this.#end(home, this.#seen.get(home));
  }

  close(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    const isUrgent = [...this.#seen.values()].some(({ stopping }) => stopping);
    this.#timer = setTimeout(() => this.#lookAtAll(), isUrgent ? LOOK_OFTEN_MS : LOOK_EVERY_MS).unref();
  }

  #lookAtAll(): void {
    for (const home of this.#options.homes) {
      const turn = this.#look(home);
      if (turn && !turn.told && performance.now() - turn.since >= LONG_MS) this.#tell(turn);
    }
    this.#schedule();
  }

  /** Finds out whether something runs that is no job's. */
  #look(home: Home): Turn | undefined {
    const { turn: number } = home.worker;
    const seen = this.#seen.get(home);
    if (seen?.number === number) return seen;
    this.#end(home, seen);
    // odd numbers are those of waits
    if (!home.ready || number % 2 === 1 || home.runsJob) return undefined;
    const turn = new Turn(home, number);
    this.#seen.set(home, turn);
    return turn;
  }

  #tell(turn: Turn): void {
    if (turn.home.runsJob) {
      this.#seen.delete(turn.home);
      return;
    }
    turn.told = true;
    turn.home.heldUp = true;
    turn.stop = () => this.#stopTurn(turn);
    this.#options.onRun(turn);
  }

  #stopTurn(turn: Turn): void {
    if (turn.stopping || this.#seen.get(turn.home) !== turn) return;
    turn.stopping = true;
    this.#options.interrupts.interrupt(turn);
    this.#schedule();
  }

  #end(home: Home, turn: Turn | undefined): void {
    if (!turn) return;
    this.#seen.delete(home);
    if (turn.stopping) this.#options.interrupts.ended(turn);
    if (!turn.told) return;
    home.heldUp = false;
    turn.onEnd();
    this.#options.onFree();
  }
}

/** One turn of an interpreter's loop, in which something runs. */
class Turn implements BackgroundRun, Interruptible {
  readonly home: Home;
  readonly number: number;
  readonly since = performance.now();
  told = false;
  stopping = false;
  stop: () => void = () => {};
  onEnd: () => void = () => {};

  constructor(home: Home, number: number) {
    this.home = home;
    this.number = number;
  }

  get handle(): number {
    return BACKGROUND + this.number;
  }

  get session(): Interruptible["session"] {
    return { home: this.home };
  }

  get name(): string {
    return `code in the background of interpreter ${this.home.number}`;
  }
}
