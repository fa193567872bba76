/** Requirements of scripts: packages that come with the server are there, others are installed. */
import { ReplyError, textOf } from "../errors.ts";
import type { Logger } from "../log.ts";
import { InstallError } from "../packages/package-errors.ts";
import type { Packages } from "../packages/packages.ts";
import { BadTransfer } from "../packages/transfer.ts";
import type { Clock, Timer } from "../timer.ts";
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
/** Most requirements of one script: reading each takes its time, and so does looking who else has named it. */
const MAX_REQUIREMENTS = 500;
/** Longest reason that a client is told. */
const MAX_REASON = 1000;
/** Milliseconds until packages that sessions of an earlier run miss are looked for again. */
const RETRY_MS = 30_000;

interface RequirementsOptions {
  readonly sessions: SessionRegistry;
  readonly packages: Packages;
  readonly clock: Clock;
  /** A session has what it has missed: it can be made again. */
  readonly onBack: (session: Session) => void;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
}

/** Those that scripts with an effect have named. */
export class Requirements {
  readonly #options: RequirementsOptions;
  readonly #known = new Set<string>();
  readonly #installed = new Map<string, Kept>();
  /** Sessions of an earlier run that miss packages. */
  readonly #missing = new Set<Session>();
  #retry: Timer | undefined;
  #retrying = false;

  constructor(options: RequirementsOptions) {
    this.#options = options;
    options.sessions.onBury = (session) => this.#forget(session);
  }

  /**
   * Gets for a session what it requires.
   * @param force choose anew, even if it was installed before
   * @returns undefined when everything comes with the server; rejects with a ReplyError when it can not be had
   */
  prepare(session: Session, force = false): Promise<void> | undefined {
    const preparing = this.#prepare(session, force);
    // what was installed may be what others miss
    return preparing?.then(() => void this.#retryMissing());
  }

  /**
   * Gets for sessions of an earlier run what they require. Executions of those that miss something fail with the reason, until
   * it can be had.
   */
  async restore(sessions: Iterable<Session>): Promise<void> {
    this.close();
    const restoring = Array.from(sessions, async (session) => {
      if (!(await this.#restore(session))) this.#missing.add(session);
    });
    await Promise.all(restoring);
    this.#retryLater();
  }

  /** Looks for nothing any more. */
  close(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#missing.clear();
  }

  #prepare(session: Session, force: boolean): Promise<void> | undefined {
    const { requirements } = session;
    if (requirements.length > MAX_REQUIREMENTS) {
      const reason = `there are ${requirements.length} requirements, at most ${MAX_REQUIREMENTS} are allowed`;
      return Promise.reject(new ReplyError(`${UNSATISFIED}: ${reason}`));
    }
    session.installationNeeded = requirements.some((name) => force || !this.find(name));
    const wanted = this.#options.packages.toInstall(requirements);
    return wanted.length === 0 ? undefined : this.#install(session, wanted, force);
  }

  /** @throws ReplyError */
  async #install(session: Session, wanted: readonly string[], force: boolean): Promise<void> {
    const { packages, log } = this.#options;
    try {
      const installed = await packages.install(wanted, force);
      const path = await packages.folder();
      session.packages = installed.packages;
      for (const [name, wheels] of installed.wheelsOf) {
        if (wheels.length > 0 || !packages.isBuiltIn(name)) this.#installed.set(name, { wheels, path });
        else this.#installed.delete(name);
      }
    } catch (error) {
      const reason = reasonOf(error);
      const text = `${error instanceof InstallError ? NOT_INSTALLED : UNSATISFIED}: ${reason}`;
      if (session.missing !== text) log.warn(`requirements of session ${session.id} are not available: ${reason}`);
      throw new ReplyError(text);
    }
  }

  /** @returns whether it has all that it requires */
  async #restore(session: Session): Promise<boolean> {
    try {
      await this.#prepare(session, false);
      session.missing = undefined;
    } catch (error) {
      session.missing = (error as ReplyError).message;
    }
    return session.missing === undefined;
  }

  #retryLater(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    if (this.#missing.size > 0) this.#retry = this.#options.clock.after(RETRY_MS, () => void this.#retryMissing());
  }

  /** Something was installed, or time has passed: there may be now what was missing. */
  async #retryMissing(): Promise<void> {
    if (this.#missing.size === 0 || this.#retrying) return;
    this.#retrying = true;
    for (const session of this.#missing) {
      if (session.isKept && !(await this.#restore(session))) continue;
      // the server may have stopped meanwhile, or the session been replaced
      if (!this.#missing.delete(session) || !session.isKept) continue;
      this.#options.log.info(`session ${session.id} has its packages again`);
      this.#options.onBack(session);
    }
    this.#retrying = false;
    this.#retryLater();
  }

  /** A script of this session has registered or run something. */
  note(session: Session): void {
    for (const name of session.requirements) this.#known.add(name);
  }

  /** In the order in which they became known. */
  list(): KnownRequirement[] {
    // those of sessions of an earlier run were not named to this one
    for (const session of this.#options.sessions.live()) this.note(session);
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
      installed: kept !== undefined || this.#options.packages.isBuiltIn(name),
      ...(kept ?? { wheels: [], path: "" }),
    };
  }

  /** One that can be exported. @throws ReplyError when it is not known, or comes with the server */
  exportable(name: string): KnownRequirement {
    const requirement = this.find(name);
    if (!requirement) throw new ReplyError("requirement does not exists");
    if (this.#options.packages.isBuiltIn(name) && !this.#installed.has(name)) {
      throw new ReplyError(`ERR requirement '${name}' is part of the server: there is nothing to export`);
    }
    return requirement;
  }

  /** For another server, in chunks. @throws ReplyError when it is not installed */
  async export({ name }: KnownRequirement): Promise<Buffer[]> {
    const chunks = await this.#options.packages.exported(name);
    if (!chunks) throw new ReplyError(`ERR requirement '${name}' is not installed`);
    return chunks;
  }

  /** Takes what another server has exported. @throws ReplyError when that can not be */
  async import(chunks: readonly Buffer[]): Promise<void> {
    try {
      const name = await this.#options.packages.import(chunks);
      const { wheelsOf } = await this.#options.packages.install([name], false);
      this.#installed.set(name, { wheels: wheelsOf.get(name) ?? [], path: await this.#options.packages.folder() });
      this.#known.add(name);
      void this.#retryMissing();
    } catch (error) {
      if (error instanceof BadTransfer) throw new ReplyError(error.message);
      const reason = reasonOf(error);
      this.#options.log.warn(`a requirement can not be imported: ${reason}`);
      throw new ReplyError(`${NOT_INSTALLED}: ${reason}`);
    }
  }

  #sessions(): Session[] {
    return [...this.#options.sessions.live(), ...this.#options.sessions.dead()];
  }

  #users(name: string): Session[] {
    return this.#sessions().filter(({ requirements }) => requirements.includes(name));
  }

  /** The session was replaced: what nobody else uses is dropped. */
  #forget(session: Session): void {
    for (const name of session.requirements) {
      if (!this.#users(name).every((user) => user === session)) continue;
      this.#known.delete(name);
      if (this.#installed.delete(name)) this.#forgetTogether([name]);
    }
    const { requirements } = session;
    const isAsked = this.#sessions().some((other) => other !== session && hasSame(other.requirements, requirements));
    if (requirements.length > 1 && !isAsked) this.#forgetTogether(requirements);
  }

  #forgetTogether(names: readonly string[]): void {
    this.#options.packages
      .forget(names)
      .catch((error: unknown) => this.#options.log.error({ err: error }, `${names.join(", ")} is not forgotten`));
  }
}

/** The same texts, in whatever order? */
function hasSame(some: readonly string[], others: readonly string[]): boolean {
  const [one, other] = [new Set(some), new Set(others)];
  return one.size === other.size && [...one].every((text) => other.has(text));
}

/** On one line, as an error reply is one. */
function reasonOf(error: unknown): string {
  const text = textOf(error);
  return text.replaceAll(/\s+/g, " ").slice(0, MAX_REASON);
}
