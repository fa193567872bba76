/** Whatever has to wait its turn: first in, first out, without moving the others each time that one goes. */

/** So many places of things that have gone are kept at most, if not more things are there. */
const MOST_GONE = 1024;

export class Fifo<T> {
  #items: (T | undefined)[] = [];
  /** Where the first one is. */
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  get first(): T | undefined {
    return this.#items[this.#head];
  }

  /** The one that has so many before it. */
  at(index: number): T | undefined {
    return this.#items[this.#head + index];
  }

  get last(): T | undefined {
    return this.#head === this.#items.length ? undefined : this.#items[this.#items.length - 1];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Puts something before all others. */
  unshift(item: T): void {
    if (this.#head > 0) this.#items[--this.#head] = item;
    else this.#items.unshift(item);
  }

  /** Takes the first one out. */
  shift(): T | undefined {
    const items = this.#items;
    if (this.#head === items.length) return undefined;
    const item = items[this.#head];
    items[this.#head++] = undefined;
    if (this.#head === items.length) {
      items.length = 0;
      this.#head = 0;
    } else if (this.#head > MOST_GONE && this.#head > items.length - this.#head) {
      items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Takes all of them out. */
  clear(): T[] {
    const rest = this.#items.slice(this.#head) as T[];
    this.#items = [];
    this.#head = 0;
    return rest;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let at = this.#head; at < this.#items.length; at++) yield this.#items[at] as T;
  }
}
