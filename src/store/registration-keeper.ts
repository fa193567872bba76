/**
 * Between the registrations and time events that there are and the store: what comes and goes is written, and made again
 * after a restart. What can not be written is taken back, so that nobody relies on what a restart would not bring back.
 */
import { ReplyError, textOf } from "../errors.ts";
import type { Ids } from "../executions/ids.ts";
import { Session } from "../executions/session.ts";
import type { Logger } from "../log.ts";
import type { Maybe } from "../maybe.ts";
import type { Registration } from "../registrations/registration.ts";
import type { RegistrationRegistry } from "../registrations/registration-registry.ts";
import type { KeptTimer, TimeEvents } from "../registrations/time-events.ts";
import { Delta } from "./delta.ts";
import { reasonOf } from "./disk.ts";
import type { Store, StoredChange, StoredItem, StoredSession, StoredState } from "./store.ts";

interface KeeperOptions {
  readonly store: Store;
  readonly registrations: RegistrationRegistry;
  readonly ids: Ids;
  readonly timers: KeptTimers;
  /** Gets for sessions what their code needs, before they are made again. */
  readonly prepareSessions?: (sessions: Iterable<Session>) => Promise<void>;
  readonly log: Pick<Logger, "info" | "error">;
  /** Milliseconds until a write that nobody waits for is tried again; 5000 unless given. */
  readonly retryMs?: number;
}

/** What is kept of the time events. */
export type KeptTimers = Pick<
  TimeEvents,
  "list" | "restore" | "takeBack" | "forgetAll" | "onChange" | "kept" | "entered"
>;

/** What has come and gone. */
class Change {
  readonly registrations: Delta<Registration>;
  readonly timers: Delta<KeptTimer>;

  constructor(registrations = new Delta<Registration>(), timers = new Delta<KeptTimer>()) {
    this.registrations = registrations;
    this.timers = timers;
  }

  get isEmpty(): boolean {
    return this.registrations.isEmpty && this.timers.isEmpty;
  }

  followedBy({ registrations, timers }: Change): Change {
    return new Change(this.registrations.followedBy(registrations), this.timers.followedBy(timers));
  }

  overriddenBy({ registrations, timers }: Change): Change {
    return new Change(this.registrations.overriddenBy(registrations), this.timers.overriddenBy(timers));
  }
}

export class RegistrationKeeper {
  readonly #options: KeeperOptions;
  /** What has changed and is not in the store yet. */
  #change = new Change();
  /** What is in the store, and would not survive yet. */
  #entered = new Change();
  /** Rejects when something could not enter the store that nobody was told of yet. */
  #entering: Maybe<void> = undefined;
  /** What the store may have, although it was taken back: it has to go. */
  #undo = new Change();
  /** Why what had changed was taken back the last time. */
  #refusal: ReplyError | undefined;
  /** The write that goes on, and the one after it, which will take everything that has changed by then. */
  #writing: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #noted = false;
  #failing = false;
  #retry: NodeJS.Timeout | undefined;
  /** The sessions' numbers in the store. */
  readonly #sessions = new WeakMap<Session, number>();
  #lastSession = 0;

  constructor(options: KeeperOptions) {
    this.#options = options;
    const { registrations, timers } = options;
    registrations.kept = () => this.flush();
    registrations.entered = () => this.#enter();
    timers.kept = registrations.kept;
    timers.entered = registrations.entered;
  }

  /**
   * Makes everything again that was kept, and keeps what changes from then on. To be called once, when the data is
   * loaded and Python runs.
   * @param withoutEnded is given what there is before it is made again, and tells which time events have ended
   * @returns how many registrations there were
   * @throws InternalError when what is kept can not be used
   */
  async restore(withoutEnded: (state: StoredState) => Promise<ReadonlySet<StoredItem>>): Promise<number> {
    const { store, log } = this.#options;
    const state = await store.load();
    const ended = await withoutEnded(state);
    const count = await this.#restore(state.items.filter((item) => !ended.has(item)));
    this.#watch();
    if (ended.size === 0) return count;
    const change = { added: [], removed: [...ended] };
    try {
      await store.enter(change);
      await store.settle(change);
    } catch (error) {
      // they end again at the next start
      log.error(`time events that have ended can not be removed: ${textOf(error)}`);
    }
    return count;
  }

  /**
   * Does to registrations and time events what a restart would do: they end and are made again from what is kept of them.
   * @param settle called in between: whatever was in progress is to have ended when it resolves
   */
  async reload(settle: () => Promise<void>): Promise<void> {
    const { registrations, timers } = this.#options;
    // A change that can not be written is taken back.
    await this.flush().catch(() => {});
    const stored = this.#storedForm(registrations.list(), timers.list());
    this.#ignore();
    for (const registration of registrations.list()) registrations.remove(registration, true);
    timers.forgetAll();
    await settle();
    await this.#restore(stored);
    this.#watch();
  }

  /**
   * Resolves when all that has changed so far is on disk. Changes that come while one write goes on share the next one.
   * @throws ReplyError when it can not be written; everything that is not on disk has been taken back then
   */
  flush(): Promise<void> {
    if (this.#change.isEmpty && this.#entered.isEmpty) return this.#writing ?? Promise.resolve();
    this.#next ??= (this.#writing ?? Promise.resolve()).then(
      () => this.#write(),
      (error) => {
        // What was to be written next stood on what is taken back, and so is that.
        this.#next = undefined;
        throw error;
      },
    );
    return this.#next;
  }

  /** Writes what has changed and ends. What is unregistered afterwards, because the server stops, is still kept. */
  async close(): Promise<void> {
    this.#ignore();
    clearTimeout(this.#retry);
    await this.flush().catch(() => {});
    await this.#options.store.close();
  }

  #watch(): void {
    const { registrations, timers } = this.#options;
    registrations.onChange = (one, isThere) => this.#note(this.#change.registrations, one, isThere);
    timers.onChange = (one, isThere) => this.#note(this.#change.timers, one, isThere);
  }

  #ignore(): void {
    const { registrations, timers } = this.#options;
    registrations.onChange = () => {};
    timers.onChange = () => {};
  }

  /** Everything is written soon, whether somebody waits for it or not. */
  #note<T extends { readonly number: number }>(delta: Delta<T>, one: T, isThere: boolean): void {
    delta.note(one, isThere);
    if (this.#noted) return;
    this.#noted = true;
    setImmediate(() => {
      this.#noted = false;
      this.flush().catch(() => {});
    });
  }

  /**
   * Takes what has changed to the store, within the call where that is possible: it stands before whatever is done to the
   * data from now on. Whether that is so tells {@link flush}. Rejects when it has been taken back on its way.
   */
  #enter(): Maybe<void> {
    const [change, undo] = [this.#change, this.#undo];
    // what has changed since is true of the store, also where it is what was to be taken back
    const all = undo.overriddenBy(change);
    if (all.isEmpty) return undefined;
    [this.#change, this.#undo] = [new Change(), new Change()];
    this.#entered = this.#entered.followedBy(change);
    const notUndone = (): void => {
      this.#undo = undo.overriddenBy(this.#undo);
    };
    try {
      const entering = this.#options.store.enter(this.#stored(all));
      return entering instanceof Promise ? this.#entersLater(entering, notUndone) : undefined;
    } catch (error) {
      notUndone();
      const failed = Promise.reject(error);
      failed.catch(() => {});
      this.#entering = failed;
      return undefined;
    }
  }

  #entersLater(entering: Promise<void>, onFailed: () => void): Promise<void> {
    const [before, refusal] = [this.#entering, this.#refusal];
    const entered = entering.then(
      () => {
        if (this.#refusal !== refusal) throw this.#refusal;
      },
      () => onFailed(),
    );
    // who does not wait for it learns by `flush`
    entered.catch(() => {});
    this.#entering = Promise.resolve(before).then(() => entering);
    this.#entering.catch(() => {});
    return entered;
  }

  #write(): Promise<void> {
    this.#next = undefined;
    void this.#enter();
    const [change, entering] = [this.#entered, this.#entering];
    [this.#entered, this.#entering] = [new Change(), undefined];
    this.#writing = this.#settle(change, entering).finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #settle(change: Change, entering: Maybe<void>): Promise<void> {
    const { store, log } = this.#options;
    try {
      await entering;
      await store.settle(this.#stored(change));
    } catch (error) {
      if (!this.#failing) log.error(`registrations can not be kept, and are refused until they can: ${textOf(error)}`);
      this.#failing = true;
      this.#refusal =
        error instanceof ReplyError
          ? error
          : new ReplyError(`MISCONF Errors writing the registrations to disk: ${reasonOf(error)}`);
      this.#takeBack(change);
      throw this.#refusal;
    }
    if (this.#failing) log.info("registrations are kept again");
    this.#failing = false;
  }

  /** Nothing has changed since the last write that succeeded, but for time events that have ended: nobody waits for that. */
  #takeBack(failed: Change): void {
    const { registrations, timers } = failed.followedBy(this.#entered).followedBy(this.#change);
    [this.#change, this.#entered, this.#entering] = [new Change(), new Change(), undefined];
    this.#ignore();
    this.#options.registrations.takeBack([...registrations.added.values()], [...registrations.removed.values()]);
    for (const timer of timers.added.values()) this.#options.timers.takeBack(timer);
    this.#watch();
    for (const timer of timers.removed.values()) this.#change.timers.note(timer, false);
    const undo = new Change();
    for (const one of registrations.removed.values()) undo.registrations.note(one, true);
    for (const one of registrations.added.values()) undo.registrations.note(one, false);
    for (const one of timers.added.values()) undo.timers.note(one, false);
    this.#undo = this.#undo.followedBy(undo);
    this.#retryLater();
  }

  /** Nobody waits for what has to be written now. */
  #retryLater(): void {
    if (this.#change.isEmpty && this.#undo.isEmpty) return;
    clearTimeout(this.#retry);
    const again = (): void => {
      void this.#enter();
      this.flush().then(
        () => this.#retryLater(),
        () => {},
      );
    };
    this.#retry = setTimeout(again, this.#options.retryMs ?? 5000).unref();
  }

  #stored({ registrations, timers }: Change): StoredChange {
    return {
      added: this.#storedForm(registrations.added.values(), timers.added.values()),
      removed: [
        ...[...registrations.removed.keys()].map((number) => ({ kind: "registration", number }) as const),
        ...[...timers.removed.keys()].map((number) => ({ kind: "timer", number }) as const),
      ],
    };
  }

  #storedForm(registrations: Iterable<Registration>, timers: Iterable<KeptTimer>): StoredItem[] {
    return [
      ...Array.from(registrations, ({ number, session, spec }): StoredItem => {
        return { kind: "registration", number, session: this.#storedSession(session), spec };
      }),
      ...Array.from(timers, ({ number, session, spec }): StoredItem => {
        return { kind: "timer", number, session: this.#storedSession(session), spec };
      }),
    ];
  }

  #storedSession(session: Session): StoredSession {
    const number = this.#sessions.get(session) ?? ++this.#lastSession;
    this.#sessions.set(session, number);
    const { id, description, user, requirements } = session;
    return { number, id, description, user, requirements };
  }

  /**
   * Makes sessions, their registrations and their time events again under their old ids, oldest first; ids continue above
   * them.
   * @returns how many registrations there were
   */
  async #restore(stored: readonly StoredItem[]): Promise<number> {
    const { registrations, ids, timers } = this.#options;
    const sessions = new Map<number, Session>();
    const sessionOf = ({ number, id, description, user, requirements }: StoredSession): Session => {
      const session = sessions.get(number) ?? new Session(id, description, requirements, user);
      sessions.set(number, session);
      this.#sessions.set(session, number);
      this.#lastSession = Math.max(this.#lastSession, number);
      return session;
    };
    const inOrder = stored.toSorted((a, b) => a.number - b.number);
    await this.#options.prepareSessions?.(new Set(inOrder.map(({ session }) => sessionOf(session))));
    for (const item of inOrder) if (item.kind === "timer") timers.restore(sessionOf(item.session), item.spec);
    const all = inOrder.flatMap((item) =>
      item.kind === "registration" ? [{ ...item, session: sessionOf(item.session) }] : [],
    );
    for (const { number } of all) ids.atLeastRegistration(number);
    registrations.restore(all);
    return all.length;
  }
}
