/** Waiting for what shall happen. No test waits for a time and hopes. */

/** Only ends what hangs, on slow machines too; what has to be fast is measured where that is the subject. */
const LIMIT_MS = 120_000;
const PAUSE_MS = 5;

/**
 * Waits until a condition holds, or until something is there.
 * @param find asked again and again; anything but undefined, null, false, 0 and "" is what was waited for
 * @param what is said when it never comes
 * @returns what was found
 * @throws Error when it takes longer than two minutes, or what `find` throws
 */
export async function until<T>(find: () => T | Promise<T>, what = String(find)): Promise<NonNullable<T>> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const found = await find();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`not within ${LIMIT_MS} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

/**
 * Lets the event loop turn some times: what this process does by itself, without time or network, has been done then. So it
 * comes after what must not happen where everything is in one process.
 */
export async function turns(count = 20): Promise<void> {
  for (let left = count; left > 0; left--) await new Promise((resolve) => setImmediate(resolve));
}
