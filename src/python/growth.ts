/** How many interpreters the pool should boot now. */
import type { Home } from "./home.ts";
import type { PythonSession, PythonTask } from "./python-host.ts";

export interface Demand {
  readonly homes: readonly Home[];
  /** ExecutionThreads. */
  readonly threads: number;
  /** Most interpreters at a time. */
  readonly limit: number;
  readonly queue: readonly PythonTask[];
  /** Sessions with registrations that have to be made again. */
  readonly orphans: ReadonlySet<PythonSession>;
}

/**
 * Sessions of one user share interpreters: one for each script that waits, and a spare one while everybody is busy. Each
 * further user may bring one interpreter more than there would be.
 */
export function missingShared({ homes, limit, queue, orphans }: Demand): number {
  // every interpreter has registrations: the next script gets one in which it does not delay their executions
  if (homes.length > 0 && homes.length < limit && homes.every((home) => home.sessions.size > 0)) return 1;
  // most of the time: this is asked after each message of an interpreter
  if (queue.length === 0 && orphans.size === 0 && homes.some((home) => home.idle)) return 0;
  const scripts = queue.map(({ session }) => session).filter((session) => session.home === undefined);
  const foreign = [...orphans].filter(({ user }) => !homes.some((home) => home.suits(user)));
  const waiting = [...scripts, ...foreign];
  const unserved = waiting.filter(({ user }) => !homes.some((home) => home.idle && home.suits(user)));
  if (unserved.length === 0 && homes.some((home) => home.idle)) return 0;
  const booting = homes.filter((home) => !home.ready).length;
  const users = new Set([...homes, ...waiting].flatMap(({ user }) => user ?? []));
  const room = limit + Math.max(users.size, 1) - 1 - homes.length;
  return Math.min(Math.max(unserved.length, 1) - booting, room);
}

/** Sessions do not share: one for each session that waits, and a spare one for the next. */
export function missingIsolated({ homes, threads, limit, queue, orphans }: Demand): number {
  const unused = homes.filter((home) => home.tenant === undefined).length;
  const booting = homes.filter((home) => !home.ready).length;
  const waiting = new Set(orphans);
  for (const { session } of queue) if (session.home === undefined) waiting.add(session);
  // who has registrations was let in before, and is owed an interpreter whatever the limit is now
  const room = Math.max(limit - homes.length, orphans.size - unused);
  return Math.min(waiting.size + 1 - unused, room, threads - booting);
}
