/** How long things took, in classes: what Prometheus calls a histogram. */

/** Upper bounds of the classes, in milliseconds; the last class has none. */
export const DURATION_BOUNDS_MS = [
  1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
] as const;

export class Durations {
  /** How many there were in each class. */
  readonly counts: number[] = Array.from({ length: DURATION_BOUNDS_MS.length + 1 }, () => 0);
  sumMs = 0;

  add(ms: number): void {
    let at = 0;
    while (at < DURATION_BOUNDS_MS.length && ms > (DURATION_BOUNDS_MS[at] as number)) at++;
    this.counts[at] = (this.counts[at] as number) + 1;
    this.sumMs += ms;
  }
}
