/** The figures of the last minutes, for charts: a sample every other second, while the console is open. */

import type { Figures, Sample } from "./page/wire.ts";

const EVERY_MS = 2_000;
/** Ten minutes. */
const MOST = 300;

export class History {
  readonly #figures: () => Figures;
  readonly #samples: Sample[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(figures: () => Figures) {
    this.#figures = figures;
  }

  /** Those that are newer than a moment. */
  since(moment: number): readonly Sample[] {
    return this.#samples.filter(({ at }) => at > moment);
  }

  start(): void {
    this.#take();
    this.#timer = setInterval(() => this.#take(), EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #take(): void {
    this.#samples.push({ at: Date.now(), ...this.#figures() });
    if (this.#samples.length > MOST) this.#samples.shift();
  }
}
