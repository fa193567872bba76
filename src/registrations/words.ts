/** Words that somebody has, and how many have each. */
export class Words {
  readonly #counts = new Map<string, number>();
  #set: ReadonlySet<string> | undefined;

  /** The words that somebody has. It is another set when there are others. */
  get set(): ReadonlySet<string> {
    this.#set ??= new Set(this.#counts.keys());
    return this.#set;
  }

  /** One more has these words. */
  add(words: Iterable<string>): void {
    for (const word of words) {
      const count = this.#counts.get(word) ?? 0;
      this.#counts.set(word, count + 1);
      if (count === 0) this.#set = undefined;
    }
  }

  /** One of those who have these words is gone. */
  remove(words: Iterable<string>): void {
    for (const word of words) {
      const count = this.#counts.get(word) ?? 0;
      if (count > 1) this.#counts.set(word, count - 1);
      else if (this.#counts.delete(word)) this.#set = undefined;
    }
  }
}
