/** How many interpreters the pool should boot now. */
import type { Home } from "./home.ts";
import type { Job } from "./job.ts";
import type { PythonSession } from "./python-session.ts";

export interface Demand {
  readonly homes: readonly Home[];
  /** ExecutionThreads. */
  readonly threads: number;
  /** Most interpreters at a time. */
  readonly limit: number;
  readonly queue: readonly Job[];
  /** Sessions with registrations that have to be made again. */
  readonly orphans: ReadonlySet<PythonSession>;
}

/** Sets of packages that may have interpreters of their own at a time, besides what there would be without packages. */
const MAX_PACKAGE_SETS = 8;

/**
 * Sessions of one user share interpreters: one for each script that waits, and a spare one while everybody is busy. Each
 * further user may bring one interpreter more than there would be.
 */
export function missingShared({ homes, limit, queue, orphans }: Demand): number {
  // every interpreter has registrations: the next script gets a new one, in which it does not delay their executions
  if (homes.length > 0 && homes.length < limit && homes.every((home) => home.sessions.size > 0)) return 1;
  // the case that is looked at first is the one of most calls: they come after each message of an interpreter
  if (queue.length === 0 && orphans.size === 0 && homes.some((home) => home.idle)) return 0;
  const scripts = queue.map(({ session }) => session).filter((session) => session.home === undefined);
  const foreign = [...orphans].filter((session) => !homes.some((home) => home.suits(session)));
  const waiting = [...scripts, ...foreign];
  const unserved = waiting.filter((session) => !homes.some((home) => home.idle && home.suits(session)));
  if (unserved.length === 0 && homes.some((home) => home.idle)) return 0;
  const isWanted = (home: Home): boolean => waiting.length === 0 || waiting.some((session) => home.suits(session));
  const booting = homes.filter((home) => !home.ready && isWanted(home)).length;
  const users = new Set([...homes, ...waiting].flatMap(({ user }) => user ?? []));
  const room = limit + Math.max(users.size, 1) - 1 + packageRoom(homes, waiting) - homes.length;
  return Math.min(Math.max(unserved.length, 1) - booting, room);
}

/** Each set of packages may bring one more, too, but there is a limit: scripts choose their packages as they like. */
const packageRoom = (homes: readonly Home[], waiting: readonly PythonSession[]): number =>
  Math.min(
    new Set([...homes.flatMap(({ tenant }) => tenant ?? []), ...waiting].flatMap(({ packages }) => packages?.key ?? []))
      .size,
    MAX_PACKAGE_SETS,
  );

const NOBODY: ReadonlySet<PythonSession> = new Set();

/**
 * What is to be done for sessions that no interpreter takes when there can be no further one: an interpreter in which nobody
 * lives gives way, or else those sessions that could wait for ever have to be refused.
 */
export function withoutRoom({ homes, queue, orphans }: Demand): {
  readonly unused?: Home | undefined;
  readonly hopeless: ReadonlySet<PythonSession>;
} {
  if (queue.length === 0 && orphans.size === 0) return { hopeless: NOBODY };
  const waiting = waitingOf(queue, orphans);
  const unsuited = waiting.filter((session) => !homes.some((home) => home.suits(session)));
  if (unsuited.length === 0) return { hopeless: NOBODY };
  const free = homes.filter((home) => home.abandoned && !waiting.some((session) => home.suits(session)));
  // with the only one of its kind the room that its packages have brought would go as well
  const isOneOfMany = ({ kind }: Home): boolean => homes.filter((home) => home.kind === kind).length > 1;
  const lodged = free.filter(({ tenant }) => tenant !== undefined);
  const unused = lodged.find(isOneOfMany) ?? lodged[0] ?? free[0];
  return { unused, hopeless: homes.every((home) => home.sessions.size > 0) ? new Set(unsuited) : NOBODY };
}

/** Sessions do not share: one for each session that waits, and a spare one for the next. */
export function missingIsolated({ homes, threads, limit, queue, orphans }: Demand): number {
  const unused = homes.filter((home) => home.tenant === undefined);
  const booting = homes.filter((home) => !home.ready).length;
  const waiting = waitingOf(queue, orphans);
  // who has registrations was let in before, and is owed an interpreter whatever the limit is now
  const room = Math.max(limit - homes.length, orphans.size - unused.length);
  const plain = waiting.filter(isPlain).length - unused.filter((home) => home.isPlain).length;
  const ordinary =
    waiting.filter((session) => !isPlain(session)).length + 1 - unused.filter((one) => !one.isPlain).length;
  return Math.min(Math.max(plain, 0) + Math.max(ordinary, 0), room, threads - booting);
}

/** With isolation: an interpreter that nobody has used gives way when there is no room for those who wait, and it suits none. */
export function withoutUse({ homes, limit, queue, orphans }: Demand): ReturnType<typeof withoutRoom> {
  const unused = homes.filter((home) => home.tenant === undefined);
  const waiting = waitingOf(queue, orphans);
  const suits = (home: Home): boolean => waiting.some((session) => home.suits(session));
  if (homes.length < limit || waiting.length === 0 || unused.some(suits)) return { hopeless: NOBODY };
  return { unused: unused.find(({ abandoned }) => abandoned), hopeless: NOBODY };
}

/** Is the next interpreter to be one without the packages that the others have from the start? */
export function wantsPlain({ homes, queue, orphans }: Demand): boolean {
  const isServed = (session: PythonSession): boolean =>
    homes.some((one) => one.tenant && one.idle && one.suits(session));
  const waiting = waitingOf(queue, orphans).filter((session) => isPlain(session) && !isServed(session));
  return waiting.length > homes.filter((home) => home.isPlain && home.tenant === undefined).length;
}

const isPlain = ({ packages }: PythonSession): boolean => packages?.isPlain ?? false;

/** Sessions that wait for an interpreter. */
function waitingOf(queue: readonly Job[], orphans: ReadonlySet<PythonSession>): PythonSession[] {
  const waiting = queue.map(({ session }) => session).filter(({ home }) => home === undefined);
  return [...new Set([...orphans, ...waiting])];
}
