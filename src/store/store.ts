/** What outlives a restart besides the data: registrations, and time events with a key. */
import type { Logger } from "../log.ts";
import type { RegistrationSpec } from "../registrations/registration.ts";
import type { TimeEventSpec } from "../registrations/time-events.ts";

/** The session of something that is kept. Each item has it whole, so that the loss of one never costs another. */
export interface StoredSession {
  /** Tells sessions apart that have had the same id. */
  readonly number: number;
  readonly id: string;
  readonly description: string | undefined;
  /** The engine's user who submitted it. */
  readonly user: string;
  /** Requirements as given by REQUIREMENTS. */
  readonly requirements: readonly string[];
}

export interface StoredRegistration {
  readonly kind: "registration";
  /** The part of its id after the dash. */
  readonly number: number;
  readonly session: StoredSession;
  readonly spec: RegistrationSpec;
}

export interface StoredTimer {
  readonly kind: "timer";
  readonly number: number;
  readonly session: StoredSession;
  readonly spec: TimeEventSpec;
  /** Milliseconds since 1970: data of an earlier moment do not have its key, later ones do unless it was deleted. */
  readonly madeAt: number;
}

export type StoredItem = StoredRegistration | StoredTimer;

export interface StoredChange {
  readonly added: readonly StoredItem[];
  readonly removed: readonly Pick<StoredItem, "kind" | "number">[];
}

export interface Store {
  /** To be called once, before anything is written. @throws InternalError when what is kept can not be used */
  load(): Promise<StoredItem[]>;
  /**
   * Keeps a change: all of it or nothing, whatever happens meanwhile. To be called when the write before has ended.
   * @throws what went wrong; then nothing of it is kept
   */
  write(change: StoredChange): Promise<void>;
  close(): Promise<void>;
}

/** Keeps nothing, and says so once. */
export class NullStore implements Store {
  readonly #log: Pick<Logger, "info">;
  #told = false;

  constructor(log: Pick<Logger, "info">) {
    this.#log = log;
  }

  load(): Promise<StoredItem[]> {
    return Promise.resolve([]);
  }

  write(): Promise<void> {
    if (!this.#told) this.#log.info("registrations are not kept over a restart: there is no `dir` to keep them in");
    this.#told = true;
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
