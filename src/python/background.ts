/**
 * What runs in an interpreter and belongs to no job: coroutines and callbacks of its event loop, finalisers, code that is
 * made again after a restart. Nobody tells the main thread that such code begins. The main thread notices that the event loop
 * does not turn any more; then the interpreter counts as busy, and the code is shown and can be stopped.
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
  /** The turn in which each interpreter's event loop was found to be running something. */
  readonly #seen = new Map<Home, Turn>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: BackgroundOptions) {
    this.#options = options;
    this.#schedule();
  }

  /** Stops what an interpreter runs that belongs to no job, if it runs anything. */
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
    // while the number is odd, the event loop waits and nothing runs
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
