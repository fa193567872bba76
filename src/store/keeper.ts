/** Between the registry of registrations and the store: what is there is kept, and made again after a restart. */
import { DEFAULT_USER } from "../engine/rights.ts";
import type { Ids } from "../executions/ids.ts";
import { Session } from "../executions/session.ts";
import type { Registration } from "../registrations/registration.ts";
import type { RegistrationRegistry } from "../registrations/registry.ts";
import type { TimeEvents, TimeEventSpec } from "../registrations/timers.ts";
import type { Store, StoredRegistration, StoredSession } from "./store.ts";

export interface KeeperOptions {
  readonly store: Store;
  readonly registrations: RegistrationRegistry;
  readonly ids: Ids;
  readonly timers?: KeptTimers;
}

/** What is kept of the time events. */
export type KeptTimers = Pick<TimeEvents, "list" | "restore" | "forgetAll" | "onChange">;

export class RegistrationKeeper {
  readonly #options: KeeperOptions;
  #changed = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /**
   * Makes everything again that was kept, and keeps what changes from then on. To be called once, when the data is
   * loaded and Python runs.
   * @returns how many registrations there were
   * @throws InternalError when what is kept can not be reached
   */
  async restore(): Promise<number> {
    const { store, registrations, ids, timers } = this.#options;
    const count = restoreSessions(await store.loadRegistrations(), registrations, ids, timers);
    this.#watch();
    return count;
  }

  /**
   * Does to registrations and time events what a restart would do: they end and are made again from what is kept of them.
   * @param settle called in between: whatever was in progress is to have ended when it resolves
   */
  async reload(settle: () => Promise<void>): Promise<void> {
    const { registrations, ids, timers } = this.#options;
    const stored = storedSessions(registrations.list(), timers?.list());
    this.#ignore();
    for (const registration of registrations.list()) registrations.remove(registration, true);
    timers?.forgetAll();
    await settle();
    restoreSessions(stored, registrations, ids, timers);
    this.#watch();
  }

  /** Writes what has changed. @returns whether it is kept, so that a restart brings it back */
  flush(): Promise<boolean> {
    this.#hand();
    return this.#options.store.flush();
  }

  /** Writes what has changed and ends. What is unregistered afterwards, because the server stops, is still kept. */
  async close(): Promise<void> {
    this.#ignore();
    this.#hand();
    await this.#options.store.close();
  }

  #watch(): void {
    const { registrations, timers } = this.#options;
    registrations.onChange = () => this.#note();
    if (timers) timers.onChange = () => this.#note();
  }

  #ignore(): void {
    const { registrations, timers } = this.#options;
    registrations.onChange = () => {};
    if (timers) timers.onChange = () => {};
  }

  /** A script changes many registrations in one turn; they are listed once. */
  #note(): void {
    if (this.#changed) return;
    this.#changed = true;
    setImmediate(() => this.#hand());
  }

  #hand(): void {
    if (!this.#changed) return;
    this.#changed = false;
    const { store, registrations, timers } = this.#options;
    store.saveRegistrations(storedSessions(registrations.list(), timers?.list()));
  }
}

/** Registrations and time events as they are kept: by session, sessions in the order of their oldest registration. */
export function storedSessions(
  registrations: readonly Registration[],
  timers: ReturnType<TimeEvents["list"]> = [],
): StoredSession[] {
  const bySession = new Map<Session, { own: StoredRegistration[]; timed: TimeEventSpec[] }>();
  const entry = (session: Session): { own: StoredRegistration[]; timed: TimeEventSpec[] } => {
    const known = bySession.get(session) ?? { own: [], timed: [] };
    bySession.set(session, known);
    return known;
  };
  for (const { session, number, spec } of registrations) entry(session).own.push({ number, spec });
  for (const { session, spec } of timers) entry(session).timed.push(spec);
  return [...bySession].map(([{ id, description, user, requirements }, { own, timed }]) => ({
    ...{ id, description, requirements },
    ...(user !== DEFAULT_USER && { user }),
    registrations: own,
    ...(timed.length > 0 && { timers: timed }),
  }));
}

/**
 * Makes sessions, their registrations and their time events again under their old ids, oldest registration first; ids
 * continue above them.
 * @returns how many registrations there were
 */
export function restoreSessions(
  stored: readonly StoredSession[],
  registry: Pick<RegistrationRegistry, "restore">,
  ids: Pick<Ids, "atLeastRegistration">,
  timeEvents?: KeptTimers,
): number {
  const all = stored.flatMap(({ id, description, user, requirements, registrations, timers }) => {
    const session = new Session(id, description, requirements, user);
    for (const spec of timers ?? []) timeEvents?.restore(session, spec);
    return registrations.map((registration) => ({ session, ...registration }));
  });
  all.sort((a, b) => a.number - b.number);
  for (const { number } of all) ids.atLeastRegistration(number);
  registry.restore(all);
  return all.length;
}
