/** Delays of any length. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { runAfter } from "../src/timer.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const DAY = 86_400_000;

describe("a timer", () => {
  it.each([1, 1_000, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 35 * DAY, 2 ** 32, 1_000 * DAY])(
    "fires after %d ms, once, and not before",
    (ms) => {
      const action = vi.fn();
      runAfter(ms, action);
      vi.advanceTimersByTime(ms - 1);
      expect(action).not.toHaveBeenCalled();
      vi.advanceTimersByTime(1);
      expect(action).toHaveBeenCalledTimes(1);
      vi.advanceTimersByTime(100 * DAY);
      expect(action).toHaveBeenCalledTimes(1);
    },
  );

  it("takes less than a millisecond for one", () => {
    const action = vi.fn();
    runAfter(-5, action);
    runAfter(0, action);
    vi.advanceTimersByTime(1);
    expect(action).toHaveBeenCalledTimes(2);
  });

  it("never fires when it is endless or cancelled, in whatever part of its time", () => {
    const action = vi.fn();
    runAfter(Number.POSITIVE_INFINITY, action);
    const timer = runAfter(60 * DAY, action);
    vi.advanceTimersByTime(40 * DAY);
    timer.cancel();
    vi.advanceTimersByTime(1_000 * DAY);
    expect(action).not.toHaveBeenCalled();
  });

  it("refuses what is no delay", () => {
    expect(() => runAfter(Number.NaN, () => {})).toThrow(RangeError);
  });
});
