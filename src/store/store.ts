/** What outlives a restart besides the data: registrations, and time events with a key. */
import type { Logger } from "../log.ts";
import type { Maybe } from "../maybe.ts";
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
}

export type StoredItem = StoredRegistration | StoredTimer;

export interface StoredChange {
  readonly added: readonly StoredItem[];
  readonly removed: readonly Pick<StoredItem, "kind" | "number">[];
}

/** Who writes, and what its Python can read. */
export interface Versions {
  /** Version of Regears. */
  readonly regears: string;
  /** Minor version of Python, such as `3.14`: serialised registrations hold its byte code. */
  readonly python: string;
}

/** How far what is kept has come: of two copies with the same history the one with the higher count is the later one. */
export interface Head {
  /** An identity that nothing else has. */
  readonly history: string;
  /** How many changes there were. */
  readonly count: number;
}

/** What is there after a start. */
export interface StoredState {
  readonly items: readonly StoredItem[];
  /** Time events that are newer than the data, which do not have their keys. */
  readonly newer: readonly StoredTimer[];
  /** Time events that had ended after the moment of the data, which have their keys. */
  readonly ended: readonly StoredTimer[];
}

/** Where changes go, and come from after a restart. */
export interface Store {
  /** To be called once, before anything else. @throws InternalError when what is kept can not be used */
  load(): Promise<StoredState>;
  /**
   * Takes a change to where the data are: it stands before all that is done to them from now on. All of it or nothing,
   * within the call where that is possible; changes that follow each other stay in order.
   * @throws Error when it can not be taken
   */
  enter(change: StoredChange): Maybe<void>;
  /**
   * Resolves when what was entered survives whatever happens. To be called when the call before has ended.
   * @param change all that was entered since the last call that succeeded
   * @throws what went wrong
   */
  settle(change: StoredChange): Promise<void>;
  close(): Promise<void>;
}

/** A file to which changes are written. */
export interface ChangeFile {
  /** To be called once, before anything is written. @throws InternalError when what is kept can not be used */
  load(): Promise<StoredItem[]>;
  /**
   * Keeps a change: all of it or nothing, whatever happens meanwhile. To be called when the write before has ended.
   * @throws what went wrong; then nothing of it is kept
   */
  write(change: StoredChange): Promise<void>;
  close(): Promise<void>;
}

/** A store that has nothing to do with the data: they are in an engine by URL. */
export class SeparateStore implements Store {
  readonly #file: ChangeFile;

  constructor(file: ChangeFile) {
    this.#file = file;
  }

  async load(): Promise<StoredState> {
    return { items: await this.#file.load(), newer: [], ended: [] };
  }

  enter(): void {}

  settle(change: StoredChange): Promise<void> {
    return this.#file.write(change);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Keeps nothing, and says so once. */
export class NullStore implements ChangeFile {
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
