/** Does a server serve others while somebody attacks it? */
import { pingsDuring } from "./ping-probe.ts";

/**
 * A bystander may wait so long, in milliseconds. The promise is 100, on a machine that does nothing else: to measure that,
 * set `REGEARS_PING_LIMIT_MS` to 100 and run one file alone. Beside other tests the machine itself makes everybody wait.
 */
const LIMIT_MS = Number(process.env.REGEARS_PING_LIMIT_MS ?? 1_000);
/**
 * Attacks that take minutes, or need the machine for themselves, run by `npm run attacks` only.
 */
export const ATTACKS = process.env.REGEARS_ATTACKS === "1";

/** What a machine does to PINGs while nothing happens is looked at for so long. */
const IDLE_MS = 1_000;
/** A busy machine may stop everybody for a moment: then the attack is tried again. */
const TRIES = 3;

/**
 * Milliseconds that a PING may take now: the limit, and what it takes by itself on a busy machine. To be asked only when the
 * limit alone was not kept, since that takes its time.
 */
export async function pingLimit(port: number): Promise<number> {
  const { pings } = await pingsDuring(port, () => new Promise<void>((resolve) => setTimeout(resolve, IDLE_MS)));
  return LIMIT_MS + pings.slowestMs;
}

/**
 * Attacks, and PINGs meanwhile.
 * @returns what the attack gave
 * @throws Error when a PING took too long, each time
 */
export async function servesDuring<T>(port: number, attack: () => Promise<T>): Promise<T> {
  for (let left = TRIES - 1; ; left--) {
    const { result, pings } = await pingsDuring(port, attack);
    if (pings.slowestMs < LIMIT_MS) return result;
    const limit = await pingLimit(port);
    if (pings.slowestMs < limit) return result;
    if (left === 0)
      throw new Error(`a PING took ${pings.slowestMs.toFixed(0)} ms, at most ${limit.toFixed(0)} are allowed`);
  }
}
