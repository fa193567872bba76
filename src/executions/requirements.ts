/** Requirements of scripts: packages that come with the server are there, others are installed. */
import { ReplyError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { InstallError } from "../packages/package-errors.ts";
import type { Packages } from "../packages/packages.ts";
import { BadTransfer } from "../packages/transfer.ts";
import type { Session, SessionRegistry } from "./session.ts";

/** One of the requirements that RG.PYDUMPREQS lists. */
export interface KnownRequirement {
  /** As given. */
  readonly name: string;
  readonly refCount: number;
  /** Is it there? Of a session that was made again it may be missing. */
  readonly installed: boolean;
  /** File names. */
  readonly wheels: readonly string[];
  /** Where they are kept; empty: it comes with the server. */
  readonly path: string;
}

/** What is known of a requirement that was installed. */
type Kept = Pick<KnownRequirement, "wheels" | "path">;

const UNSATISFIED = "Could not satisfy requirements (look at redis log file for more information)";
const NOT_INSTALLED = "Failed installing requirements on shard, please check shard logs for more details.";
/** Longest reason that a client is told. */
const MAX_REASON = 1000;

/** Those that scripts with an effect have named. */
export class Requirements {
  readonly #sessions: SessionRegistry;
  readonly #packages: Packages;
  readonly #log: Pick<Logger, "warn" | "error">;
  readonly #known = new Set<string>();
  readonly #installed = new Map<string, Kept>();

  constructor(sessions: SessionRegistry, packages: Packages, log: Pick<Logger, "warn" | "error">) {
    this.#sessions = sessions;
    this.#packages = packages;
    this.#log = log;
    sessions.onBury = (session) => this.#forget(session);
  }

  /**
   * Gets for a session what it requires.
   * @param force choose anew, even if it was installed before
   * @returns undefined when everything comes with the server; rejects with a ReplyError when it can not be had
   */
  prepare(session: Session, force = false): Promise<void> | undefined {
    const { requirements } = session;
    session.installationNeeded = requirements.some((name) => force || !this.find(name));
    const wanted = requirements.filter((name) => !this.#packages.isBuiltIn(name));
    return wanted.length === 0 ? undefined : this.#install(session, wanted, force);
  }

  async #install(session: Session, wanted: readonly string[], force: boolean): Promise<void> {
    try {
      const { packages, wheelsOf } = await this.#packages.install(wanted, force);
      const path = await this.#packages.folder();
      session.packages = packages;
      for (const [name, wheels] of wheelsOf) this.#installed.set(name, { wheels, path });
    } catch (error) {
      const reason = reasonOf(error);
      this.#log.warn(`requirements of session ${session.id} are not available: ${reason}`);
      const text = error instanceof InstallError ? NOT_INSTALLED : UNSATISFIED;
      throw new ReplyError(`${text}: ${reason}`);
    }
  }

  /** Gets for sessions of an earlier run what they require. What is missing is logged: their code tells by its errors. */
  async restore(sessions: Iterable<Session>): Promise<void> {
    for (const session of sessions) await this.prepare(session)?.catch(() => {});
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
    const kept = this.#installed.get(name);
    return {
      ...{ name, refCount: 1 + this.#users(name).length },
      installed: kept !== undefined || this.#packages.isBuiltIn(name),
      ...(kept ?? { wheels: [], path: "" }),
    };
  }

  /** One that can be exported. @throws ReplyError when it is not known, or comes with the server */
  exportable(name: string): KnownRequirement {
    const requirement = this.find(name);
    if (!requirement) throw new ReplyError("requirement does not exists");
    if (this.#packages.isBuiltIn(name)) {
      throw new ReplyError(`ERR requirement '${name}' is part of the server: there is nothing to export`);
    }
    return requirement;
  }

  /** For another server, in chunks. @throws ReplyError when it is not installed */
  async export({ name }: KnownRequirement): Promise<Buffer[]> {
    const chunks = await this.#packages.exported(name);
    if (!chunks) throw new ReplyError(`ERR requirement '${name}' is not installed`);
    return chunks;
  }

  /** Takes what another server has exported. @throws ReplyError when that can not be */
  async import(chunks: readonly Buffer[]): Promise<void> {
    try {
      const name = await this.#packages.import(chunks);
      const { wheelsOf } = await this.#packages.install([name], false);
      this.#installed.set(name, { wheels: wheelsOf.get(name) ?? [], path: await this.#packages.folder() });
      this.#known.add(name);
    } catch (error) {
      if (error instanceof BadTransfer) throw new ReplyError(error.message);
      const reason = reasonOf(error);
      this.#log.warn(`a requirement can not be imported: ${reason}`);
      throw new ReplyError(`${NOT_INSTALLED}: ${reason}`);
    }
  }

  #users(name: string): Session[] {
    const all = [...this.#sessions.live(), ...this.#sessions.dead()];
    return all.filter(({ requirements }) => requirements.includes(name));
  }

  /** The session was replaced: what nobody else uses is dropped. */
  #forget(session: Session): void {
    for (const name of session.requirements) {
      if (!this.#users(name).every((user) => user === session)) continue;
      this.#known.delete(name);
      if (!this.#installed.delete(name)) continue;
      this.#packages
        .forget(name)
        .catch((error: unknown) => this.#log.error({ err: error }, `${name} is not forgotten`));
    }
  }
}

/** On one line, as an error reply is one. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/\s+/g, " ").slice(0, MAX_REASON);
}
