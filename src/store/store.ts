/** What outlives a restart: registrations with their sessions (and, for the embedded engine, the data: `data.ts`). */
import type { Logger } from "../log.ts";
import type { RegistrationSpec } from "../registrations/registration.ts";
import type { TimeEventSpec } from "../registrations/timers.ts";

export interface StoredRegistration {
  /** The part of its id after the dash. */
  readonly number: number;
  readonly spec: RegistrationSpec;
}

/** A session that owns registrations or time events with a key. Not kept are statistics, executions, and the state of streams. */
export interface StoredSession {
  readonly id: string;
  readonly description: string | undefined;
  /** The engine's user who submitted it; files of earlier versions do not tell, then it is the default one. */
  readonly user?: string | undefined;
  /** Requirements as given by REQUIREMENTS. */
  readonly requirements: readonly string[];
  readonly registrations: readonly StoredRegistration[];
  readonly timers?: readonly TimeEventSpec[];
}

export interface Store {
  /** To be called once, before anything is saved. @throws InternalError when what is kept can not be reached */
  loadRegistrations(): Promise<StoredSession[]>;
  /** These are all sessions from now on. It is written soon; a failure is logged and tried again. */
  saveRegistrations(sessions: readonly StoredSession[]): void;
  /** Writes now what is not written yet. @returns whether it is kept, so that a restart brings it back */
  flush(): Promise<boolean>;
  /** Writes what is not written yet, and stops trying. */
  close(): Promise<void>;
}

/** Keeps nothing, and says so once. */
export class NullStore implements Store {
  readonly #log: Pick<Logger, "info">;
  #told = false;

  constructor(log: Pick<Logger, "info">) {
    this.#log = log;
  }

  loadRegistrations(): Promise<StoredSession[]> {
    return Promise.resolve([]);
  }

  saveRegistrations(): void {
    if (this.#told) return;
    this.#told = true;
    this.#log.info("registrations are not kept over a restart: there is no `dir` to keep them in");
  }

  flush(): Promise<boolean> {
    return Promise.resolve(false);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
