/** Sessions: an accepted script with its namespace, known to others while it owns a registration. */
import { v4 as uuid } from "uuid";
import { DEFAULT_USER } from "../engine/user-rights.ts";
import type { PythonRequest } from "../python/protocol.ts";
import type { PythonSession, SessionPackages } from "../python/python-session.ts";

/** What a session needs to know of one of its registrations. */
export interface OwnedRegistration {
  readonly id: string;
  readonly number: number;
  /** The registration as Python serialised it. */
  readonly blob: Buffer;
}

/** As long as the ids that RedisGears makes. */
const randomId = (): string => (uuid() + uuid()).replaceAll("-", "").slice(0, 40);

export class Session implements PythonSession {
  static #last = 0;

  readonly id: string;
  readonly key: string;
  readonly description: string | undefined;
  /** The engine's user who submitted the script. */
  readonly user: string;
  /** The script's text, where somebody may want to see it beside its errors. */
  source: Buffer | undefined;
  home: object | undefined;
  readonly registrations = new Map<number, OwnedRegistration>();
  /** Called when an interpreter was told to make it again. */
  onRevived: () => void = () => {};
  /** Functions of its time events as Python serialised them, by number. */
  readonly timers = new Map<number, Buffer>();
  /** Executions that are unfinished or stored. */
  executions = 0;
  /** Replaced by another session, but still in use. */
  dead = false;
  /** Requirements as given by REQUIREMENTS. */
  readonly requirements: readonly string[];
  /** What was installed for them. */
  packages: SessionPackages | undefined;
  /** Why they can not be had, as an error for whoever wants to run its code; undefined: nothing is missing. */
  missing: string | undefined;
  /** One of them was named for the first time, or is to be installed again. */
  installationNeeded = false;

  constructor(
    id: string | undefined,
    description?: string,
    requirements: readonly string[] = [],
    user = DEFAULT_USER,
    key?: string,
  ) {
    this.id = id ?? randomId();
    this.key = key ?? `${++Session.#last}:${this.id}`;
    this.description = description;
    this.requirements = requirements;
    this.user = user;
  }

  /** A session of which its interpreter alone knows: that of a script which registered nothing, by what Python calls it. */
  static ofKey(key: string, user: string): Session {
    return new Session(key.slice(key.indexOf(":") + 1), undefined, [], user, key);
  }

  /** Registrations and executions that hold it. */
  get refCount(): number {
    return this.registrations.size + this.executions;
  }

  /** Is it made again when its interpreter dies? */
  get isKept(): boolean {
    return this.registrations.size > 0 || this.timers.size > 0;
  }

  revive(): readonly PythonRequest[] | undefined {
    if (!this.isKept || this.missing !== undefined) return undefined;
    const messages: PythonRequest[] = [];
    for (const { number, blob } of this.registrations.values()) messages.push(["restore", this.key, number, blob]);
    for (const [number, blob] of this.timers) messages.push(["restore_timer", this.key, number, blob]);
    return messages;
  }
}

/** The sessions that others can see. */
export class SessionRegistry {
  /** Called when a session was replaced. */
  onBury: (session: Session) => void = () => {};

  readonly #live = new Map<string, Session>();
  readonly #dead = new Set<Session>();

  find(id: string): Session | undefined {
    return this.#live.get(id);
  }

  /** The live session that Python calls so, if it is this user's: another one of the same id is not meant. */
  named(key: string, user: string): Session | undefined {
    const found = this.#live.get(key.slice(key.indexOf(":") + 1));
    return found?.key === key && found.user === user ? found : undefined;
  }

  /** Is the live session that Python calls so another user's? */
  isOthers(key: string, user: string): boolean {
    const found = this.#live.get(key.slice(key.indexOf(":") + 1));
    return found?.key === key && found.user !== user;
  }

  /** Was it replaced, or has another session its id now? Then nothing can be registered in it any more. */
  isGone(session: Session): boolean {
    return session.dead || (this.#live.get(session.id) ?? session) !== session;
  }

  /** Live sessions, by id. */
  live(): Session[] {
    return [...this.#live.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  dead(): Session[] {
    return [...this.#dead];
  }

  add(session: Session): void {
    this.#live.set(session.id, session);
  }

  /** It was replaced: listed as dead until nothing of it is left. */
  bury(session: Session): void {
    session.dead = true;
    if (this.#live.get(session.id) === session) this.#live.delete(session.id);
    if (session.refCount > 0) this.#dead.add(session);
    this.onBury(session);
  }

  /** It was not replaced after all. */
  exhume(session: Session): void {
    session.dead = false;
    this.#dead.delete(session);
  }

  /** A registration or execution of it is gone. */
  release(session: Session): void {
    if (session.registrations.size === 0 && this.#live.get(session.id) === session) this.#live.delete(session.id);
    if (session.refCount === 0) this.#dead.delete(session);
  }
}
