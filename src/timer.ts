/** Timers for delays that scripts, clients or options have chosen: of any length. */

/** Node's timers take no more, and fire at once when they are given more. */
const LONGEST_MS = 2 ** 31 - 1;

export interface Timer {
  /** It will not run any more. */
  cancel(): void;
}

/** Time and timers, so that tests can do without waiting. Milliseconds of a clock that never goes back. */
export interface Clock {
  now(): number;
  /** See {@link runAfter}. */
  after(ms: number, action: () => void): Timer;
}

/**
 * Runs an action once, later. The timer does not keep the process alive.
 * @param ms milliseconds, of any number: what is below 1 is 1, and Infinity is never
 * @throws RangeError for NaN, which is no delay: whoever takes one from outside has to refuse it there
 */
export function runAfter(ms: number, action: () => void): Timer {
  if (Number.isNaN(ms)) throw new RangeError("a delay can not be NaN");
  let timer: NodeJS.Timeout;
  const wait = (left: number): void => {
    const part = Math.min(left, LONGEST_MS);
    timer = setTimeout(() => (left > part ? wait(left - part) : action()), part).unref();
  };
  wait(ms);
  return { cancel: () => clearTimeout(timer) };
}

export const SYSTEM_CLOCK: Clock = { now: () => performance.now(), after: runAfter };
