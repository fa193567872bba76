/** The clock of `--test-clock`. */
import { describe, expect, it } from "vitest";
import { TestClock } from "../src/test-clock.ts";

const settled = (): Promise<boolean> => Promise.resolve(true);

describe("a clock for tests", () => {
  it("fires what is due on the way, each at its time, and what that plans as well", async () => {
    const clock = new TestClock();
    const begin = clock.now();
    const fired: number[] = [];
    const every = (ms: number): void => {
      clock.after(ms, () => {
        fired.push(Math.round(clock.now() - begin));
        every(ms);
      });
    };
    every(1000);
    clock.after(2500, () => fired.push(-1));
    clock.after(9000, () => fired.push(-2)).cancel();
    const moved: number[] = [];
    await clock.move(4000, (ms) => moved.push(ms), settled);
    // it was begun a moment before the move
    expect(fired).toEqual([1000, 2000, -1, 3000, 4000]);
    expect(Math.round(moved.reduce((sum, ms) => sum + ms, 0))).toBe(4000);
    expect(clock.now() - begin).toBeGreaterThanOrEqual(4000);
  });

  it("goes by itself otherwise", async () => {
    const clock = new TestClock();
    let left = 2;
    await new Promise<void>((resolve) => {
      clock.after(100_000, () => --left === 0 && resolve());
      clock.after(5, () => --left === 0 && resolve());
      void clock.move(99_999, () => {}, settled);
    });
    expect(clock.isMoving).toBe(false);
  });

  it("stops where it is when nobody wants it to go on", async () => {
    const clock = new TestClock();
    const begin = clock.now();
    let fired = 0;
    clock.after(1000, () => fired++);
    clock.after(2000, () => fired++);
    await clock.move(
      5000,
      () => {},
      () => Promise.resolve(false),
    );
    expect(fired).toBe(1);
    expect(clock.now() - begin).toBeLessThan(2000);
  });
});
