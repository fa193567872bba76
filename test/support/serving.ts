/** Does a server serve others while somebody attacks it? */
import { pingsDuring } from "./ping-probe.ts";
import type { RunningRegears } from "./regears.ts";

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

/**
 * Milliseconds that a PING may take now: the limit, and what it takes by itself on a busy machine. To be asked only when the
 * limit alone was not kept, since that takes its time.
 */
export async function pingLimit(port: number): Promise<number> {
  const { pings } = await pingsDuring(port, () => new Promise<void>((resolve) => setTimeout(resolve, IDLE_MS)));
  return LIMIT_MS + pings.slowestMs;
}

/**
 * An attack, which is made once, and PINGs meanwhile. What counts is how long the server holds its loop by itself; where the
 * system does not tell, what a PING takes on this machine by itself is allowed in addition.
 * @returns what the attack gave
 * @throws Error when a PING took too long
 */
export async function servesDuring<T>(server: RunningRegears, attack: () => Promise<T>): Promise<T> {
  const { port, process } = server;
  const { result, pings } = await pingsDuring(port, attack, process.pid);
  if (pings.heldMs < LIMIT_MS) return result;
  const limit = await pingLimit(port);
  if (pings.heldMs < limit) return result;
  throw new Error(`a PING took ${pings.heldMs.toFixed(0)} ms, at most ${limit.toFixed(0)} are allowed`);
}
