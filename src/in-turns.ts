/** Long work is done a little at a time: everybody else is served in between. */

/** Milliseconds in a row. */
const SLICE_MS = 5;

/** Everybody else has a turn. */
export const others = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One piece of work, which gives way when it has been long enough. */
export class Slices {
  #began = performance.now();

  /** Lets others have a turn when it is time. Undefined: it is not. */
  next(): Promise<void> | undefined {
    if (performance.now() - this.#began < SLICE_MS) return undefined;
    return others().then(() => {
      this.#began = performance.now();
    });
  }
}

/** Makes something of each of many things, in their order. What goes meanwhile is still in the list. */
export async function inTurns<T, R>(all: readonly T[], make: (one: T) => R | Promise<R>): Promise<R[]> {
  const slices = new Slices();
  const made: R[] = [];
  for (const one of all) {
    made.push(await make(one));
    await slices.next();
  }
  return made;
}
