/** When chunks are worth a try, and how long they may be: as the last ones were. */
import { MOST_COMMANDS } from "../python/chunk-memory.ts";

/** As many are always tried. */
const LEAST = 16;
/** After chunks of no use none is tried for a while, in milliseconds: at first, and at most. */
const PAUSE_MS = { first: 1, longest: 20 } as const;

export class ChunkPace {
  #most = LEAST;
  /** Until then none is tried, and for so long after the next one of no use. */
  #pausesUntil = 0;
  #pauseMs: number = PAUSE_MS.first;

  /** Twice as many as the last time: what is too much has to be looked at again. */
  get most(): number {
    return this.#most;
  }

  /** Is it worth a try now? */
  get isFine(): boolean {
    return performance.now() >= this.#pausesUntil;
  }

  /** A chunk has ended with so many carried out. */
  note(done: number): void {
    this.#most = Math.min(Math.max(LEAST, done * 2), MOST_COMMANDS);
    if (done > 1) {
      this.#pauseMs = PAUSE_MS.first;
      return;
    }
    this.#pausesUntil = performance.now() + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, PAUSE_MS.longest);
  }
}
