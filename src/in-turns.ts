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

/** The things in order, by a comparison that takes its time. */
export async function sortedInTurns<T>(all: readonly T[], compare: (a: T, b: T) => number): Promise<T[]> {
  const slices = new Slices();
  let sorted = [...all];
  for (let width = 1; width < sorted.length; width *= 2) {
    const merged: T[] = [];
    for (let start = 0; start < sorted.length; start += 2 * width) {
      let [left, right] = [start, start + width];
      const [middle, end] = [Math.min(right, sorted.length), Math.min(right + width, sorted.length)];
      while (left < middle || right < end) {
        const isLeft = right >= end || (left < middle && compare(sorted[left] as T, sorted[right] as T) <= 0);
        merged.push(sorted[isLeft ? left++ : right++] as T);
        await slices.next();
      }
    }
    sorted = merged;
  }
  return sorted;
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
