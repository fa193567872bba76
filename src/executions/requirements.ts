/** Requirements of scripts: packages that come with the server are accepted, others can not be installed. */
import type { Logger } from "../log.ts";
import type { Session, SessionRegistry } from "./session.ts";

/** What scripts may require; the runtime brings them. */
const BUILT_IN: ReadonlySet<string> = new Set(["gearsclient", "cloudpickle"]);
/** The repository of gearsclient, which it requires of itself. */
const GEARSCLIENT_URL = /\/redisgears-py(\.git)?(@[^/]*)?(#.*)?$/i;
/** The name of a requirement: what stands before extras, versions and markers. */
const NAME = /^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:$|[[(<>=!~;@\s])/;

/** One of the requirements that RG.PYDUMPREQS lists. */
export interface KnownRequirement {
  /** As given. */
  readonly name: string;
  readonly refCount: number;
}

function isBuiltIn(requirement: string): boolean {
  if (/^(git\+)?(https?|ssh|git):\/\//.test(requirement)) return GEARSCLIENT_URL.test(requirement);
  const name = NAME.exec(requirement)?.[1];
  return name !== undefined && BUILT_IN.has(name.toLowerCase().replaceAll(/[._-]+/g, "-"));
}

/** Those that scripts with an effect have named. */
export class Requirements {
  readonly #sessions: SessionRegistry;
  readonly #log: Pick<Logger, "warn">;
  readonly #known = new Set<string>();

  constructor(sessions: SessionRegistry, log: Pick<Logger, "warn">) {
    this.#sessions = sessions;
    this.#log = log;
    sessions.onBury = (session) => this.#forget(session);
  }

  /** Are these all there? The first that is not is logged: the reply of RedisGears does not name it. */
  areSatisfied(requirements: readonly string[]): boolean {
    const missing = requirements.find((requirement) => !isBuiltIn(requirement));
    if (missing === undefined) return true;
    this.#log.warn(
      `requirement '${missing}' is not available: this server can not install Python packages; ` +
        `it brings ${[...BUILT_IN].join(" and ")}`,
    );
    return false;
  }

  /** A script of this session has registered or run something. */
  note(session: Session): void {
    for (const name of session.requirements) this.#known.add(name);
  }

  /** In the order in which they became known. */
  list(): KnownRequirement[] {
    // those of sessions of an earlier run were not named to this one
    for (const session of this.#sessions.live()) this.note(session);
    return [...this.#known].map((name) => this.describe(name));
  }

  find(name: string): KnownRequirement | undefined {
    return this.list().find((known) => known.name === name);
  }

  /** One that a session names. */
  describe(name: string): KnownRequirement {
    return { name, refCount: 1 + this.#users(name).length };
  }

  #users(name: string): Session[] {
    const all = [...this.#sessions.live(), ...this.#sessions.dead()];
    return all.filter(({ requirements }) => requirements.includes(name));
  }

  /** The session was replaced: what nobody else uses is dropped. */
  #forget(session: Session): void {
    for (const name of session.requirements) {
      if (this.#users(name).every((user) => user === session)) this.#known.delete(name);
    }
  }
}
