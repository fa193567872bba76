/** Work that takes much of something is done for so many at a time; the others wait for their turn. */
export class Places {
  readonly #places: number;
  #taken = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#places = places;
  }

  /** How many have a place. */
  get taken(): number {
    return this.#taken;
  }

  /** How many wait for one. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Does it when there is a place. */
  async take<T>(act: () => Promise<T>): Promise<T> {
    if (this.#taken < this.#places) this.#taken++;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await act();
    } finally {
      // whoever leaves a place gives it to the next
      const next = this.#waiting.shift();
      if (next) next();
      else this.#taken--;
    }
  }
}
