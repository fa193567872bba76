/** A timer that comes later than this was held up by the thread's own work. */
const BUSY_MS = 50;

/**
 * Calls `late` after `ms` milliseconds in which this thread could have read an answer. When the thread was busy, as it is
 * while the server starts, an answer may have come and not been read yet: then the time begins anew.
 * @returns a function that takes the deadline away
 */
export function deadline(ms: number, late: () => void): () => void {
  let timer: NodeJS.Timeout;
  const begin = (): void => {
    const due = performance.now() + ms;
    timer = setTimeout(() => (performance.now() > due + BUSY_MS ? begin() : late()), ms);
  };
  begin();
  return () => clearTimeout(timer);
}
