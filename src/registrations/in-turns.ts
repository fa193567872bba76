/** Long lists are made a little at a time: everybody else is served in between. */

/** Milliseconds in a row. */
const SLICE_MS = 5;

class Turns {
  #began = performance.now();

  /** Lets others have theirs, when this one has been long enough. */
  async next(): Promise<void> {
    if (performance.now() - this.#began < SLICE_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#began = performance.now();
  }
}

/** Makes something of each of many things, in their order. What goes meanwhile is still in the list. */
export async function inTurns<T, R>(all: readonly T[], make: (one: T) => R | Promise<R>): Promise<R[]> {
  const turns = new Turns();
  const made: R[] = [];
  for (const one of all) {
    made.push(await make(one));
    await turns.next();
  }
  return made;
}
