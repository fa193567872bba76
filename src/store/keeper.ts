/** Between the registry of registrations and the store: what is there is kept, and made again after a restart. */
import type { Ids } from "../executions/ids.ts";
import { Session } from "../executions/session.ts";
import type { Registration } from "../registrations/registration.ts";
import type { RegistrationRegistry } from "../registrations/registry.ts";
import type { Store, StoredSession } from "./store.ts";

export interface KeeperOptions {
  readonly store: Store;
  readonly registrations: RegistrationRegistry;
  readonly ids: Ids;
}

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
    const { store, registrations, ids } = this.#options;
    const count = restoreSessions(await store.loadRegistrations(), registrations, ids);
    registrations.onChange = () => this.#note();
    return count;
  }

  /** Writes what has changed. @returns whether it is kept, so that a restart brings it back */
  flush(): Promise<boolean> {
    this.#hand();
    return this.#options.store.flush();
  }

  /** Writes what has changed and ends. What is unregistered afterwards, because the server stops, is still kept. */
  async close(): Promise<void> {
    this.#options.registrations.onChange = () => {};
    this.#hand();
    await this.#options.store.close();
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
    this.#options.store.saveRegistrations(storedSessions(this.#options.registrations.list()));
  }
}

/** Registrations as they are kept: by session, sessions in the order of their oldest registration. */
export function storedSessions(registrations: readonly Registration[]): StoredSession[] {
  const bySession = new Map<Session, Registration[]>();
  for (const registration of registrations) {
    const known = bySession.get(registration.session);
    if (known) known.push(registration);
    else bySession.set(registration.session, [registration]);
  }
  return [...bySession].map(([{ id, description, requirements }, own]) => ({
    id,
    description,
    requirements,
    registrations: own.map(({ number, spec }) => ({ number, spec })),
  }));
}

/**
 * Makes sessions and their registrations again under their old ids, oldest registration first; ids continue above them.
 * @returns how many registrations there were
 */
export function restoreSessions(
  stored: readonly StoredSession[],
  registry: Pick<RegistrationRegistry, "restore">,
  ids: Pick<Ids, "atLeastRegistration">,
): number {
  const all = stored.flatMap(({ id, description, requirements, registrations }) => {
    const session = new Session(id, description, requirements);
    return registrations.map((registration) => ({ session, ...registration }));
  });
  all.sort((a, b) => a.number - b.number);
  for (const { session, number, spec } of all) {
    ids.atLeastRegistration(number);
    registry.restore(session, number, spec);
  }
  return all.length;
}
