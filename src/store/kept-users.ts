/**
 * The users of the embedded engine over restarts. The engine has no files; it is told by ACL SETUSER.
 *
 * With an `aclfile` it is as in Redis: the file is read at the start and by ACL LOAD, and written by ACL SAVE. Without one,
 * users are kept in `dir`: a change is on disk before it is answered. What the configuration says of users (`user`,
 * `requirepass`) is said at each start again, and not kept.
 */
import { join } from "node:path";
import { ConfigError, type UserLine } from "../config.ts";
import { type CommandArgument, EngineError, type EngineValue } from "../engine/engine-client.ts";
import { INTERNAL_USER, type InternalConnections, withConnection } from "../engine/internal-connections.ts";
import { DEFAULT_USER } from "../engine/user-rights.ts";
import { InternalError, ReplyError, textOf } from "../errors.ts";
import type { Logger } from "../log.ts";
import { codeOf, DISK, type FileSystem, prepareFor, REPAIR_HINT, reasonOf, replaceFile, setAside } from "./disk.ts";
import {
  decodeKeptUsers,
  encodeKeptUsers,
  encodeUsers,
  type Fault,
  type FileUser,
  parseUsers,
  sha256,
} from "./users-file.ts";

export const USERS_FILE = "regears-users.acl";

export interface KeptUsersOptions {
  /** Where users are kept; empty: nowhere. */
  readonly directory: string;
  /** The file that is the administrator's; empty: there is none. */
  readonly aclfile: string;
  /** Users that the configuration defines. */
  readonly configured: readonly UserLine[];
  /** The default user's password by the configuration; empty: none. */
  readonly requirepass: string;
  readonly connections: Pick<InternalConnections, "open">;
  /** Rights have changed. */
  readonly onChange: () => void;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  /** A damaged file in `directory` is set aside, rather than keep the server from starting. */
  readonly repair?: boolean;
  /** Milliseconds until a write that failed is tried again; 5000 unless given. */
  readonly retryMs?: number;
  readonly disk?: FileSystem;
  readonly now?: () => Date;
}

/** What the default user is when nobody has said anything. */
const DEFAULT_RULES = ["on", "nopass", "~*", "&*", "+@all"];
/** Exists inside transactions only, where nobody sees it. */
const SCRATCH_USER = "regears-check";
const UNCHANGED = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";

export class KeptUsers {
  readonly #options: KeptUsersOptions;
  readonly #disk: FileSystem;
  readonly #configured: readonly UserLine[];
  #last: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #failing = false;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: KeptUsersOptions) {
    this.#options = options;
    this.#disk = options.disk ?? DISK;
    // in the form in which the engine names its users
    this.#configured = options.configured.map(({ name, rules }) => ({ name: latin1(name), rules: rules.map(latin1) }));
  }

  /** Is there a file for ACL SAVE and ACL LOAD? */
  get hasFile(): boolean {
    return this.#options.aclfile !== "" || this.keeps;
  }

  /** Is each change to be kept? */
  get keeps(): boolean {
    return this.#options.aclfile === "" && this.#options.directory !== "";
  }

  get #path(): string {
    return this.#options.aclfile === "" ? join(this.#options.directory, USERS_FILE) : this.#options.aclfile;
  }

  /**
   * Tells the engine of the users. To be called when it has started and before anybody else is served.
   * @throws ConfigError when the configuration is wrong; InternalError when what is kept can not be read
   */
  async load(): Promise<void> {
    const { aclfile, requirepass, log } = this.#options;
    const reasons = await this.#check(this.#configured);
    for (const [at, { name }] of this.#configured.entries()) {
      const reason = isOwn(name) ? "the name is the server's own" : reasons[at];
      if (reason !== undefined) throw new ConfigError(`user '${name}': ${reason}`);
    }
    const users = aclfile === "" ? await this.#readKept() : await this.#readAclFile(ConfigError);
    if (users.length + this.#configured.length === 0) return;
    await this.#apply(users);
    const byRules = aclfile === "" ? this.#configured : users;
    if (requirepass !== "" && byRules.some(({ name }) => name === DEFAULT_USER))
      log.warn("requirepass has no effect: the default user is defined by its rules");
  }

  /**
   * Resolves when all changes so far are on disk. Does nothing where changes are not kept.
   * @throws ReplyError when they can not be written; it is tried again later
   */
  keep(): Promise<void> {
    if (!this.keeps) return Promise.resolve();
    // who comes while a write is in progress is served by the next one, which asks the engine then
    this.#next ??= this.#last
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.#write();
      });
    this.#last = this.#next;
    return this.#next;
  }

  /** ACL SAVE. @throws ReplyError when the file can not be written */
  async save(): Promise<void> {
    if (this.keeps) return this.keep();
    try {
      const users = encodeUsers(await this.#listed());
      await replaceFile(this.#disk, this.#path, (file) => file.writeFile(users));
    } catch (error) {
      this.#options.log.error(`the users can not be saved: ${textOf(error)}`);
      throw new ReplyError(`ERR There was an error trying to save the ACLs: ${reasonOf(error)}`);
    }
  }

  /** ACL LOAD: all of the file or nothing. @throws ReplyError when it can not be used; then nothing has changed */
  async reload(): Promise<void> {
    const users = this.keeps ? await this.#readKept() : await this.#readAclFile(ReplyError, "ERR ");
    await this.#apply(users);
  }

  /** Tries once more to write what could not be written. */
  async close(): Promise<void> {
    clearTimeout(this.#retry);
    await this.#last.catch(() => {});
    if (this.#failing) await this.#write().catch(() => {});
    clearTimeout(this.#retry);
  }

  // ---- files ----

  async #write(): Promise<void> {
    const { log } = this.#options;
    clearTimeout(this.#retry);
    try {
      const users = encodeKeptUsers(this.#toKeep(await this.#listed()));
      await replaceFile(this.#disk, this.#path, (file) => file.writeFile(users));
      if (this.#failing) log.info("users are kept again");
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) log.error(`users can not be kept, and a restart would undo changes: ${textOf(error)}`);
      this.#failing = true;
      this.#retry = setTimeout(() => void this.keep().catch(() => {}), this.#options.retryMs ?? 5000);
      this.#retry.unref();
      throw new ReplyError(`MISCONF the change is in effect, but a restart would undo it: ${reasonOf(error)}`);
    }
  }

  /** What the configuration has said is left out: it may say something else next time. */
  #toKeep(users: readonly UserLine[]): UserLine[] {
    const configured = new Set(this.#configured.map(({ name }) => name));
    return users.filter(({ name }) => !configured.has(name)).map((user) => this.#withoutOption(user));
  }

  #withoutOption({ name, rules }: UserLine): UserLine {
    const { requirepass } = this.#options;
    const given = `#${sha256(Buffer.from(requirepass))}`;
    if (name !== DEFAULT_USER || requirepass === "" || !rules.includes(given)) return { name, rules };
    const others = rules.filter((rule) => rule !== given);
    const [state = "on", ...rest] = others;
    return { name, rules: others.some(isPassword) ? others : [state, "nopass", ...rest] };
  }

  async #readKept(): Promise<readonly FileUser[]> {
    const { directory, repair = false, log, now = () => new Date() } = this.#options;
    if (directory === "") return [];
    // A folder that can not be written shows when something is to be kept.
    await prepareFor(this.#disk, this.#path).catch(() => {});
    const bytes = await this.#disk.readFile(this.#path).catch((error: unknown) => {
      if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
      throw new InternalError(`the users in ${this.#path} can not be read: ${textOf(error)}`);
    });
    if (bytes === undefined) return [];
    const content = decodeKeptUsers(bytes);
    const parsed = "text" in content ? parseUsers(content.text) : undefined;
    const faults = parsed ? await this.#faultsOf(parsed) : [];
    if (parsed && faults.length === 0) return parsed.users;
    const why = "damage" in content ? content.damage : describe(this.#path, faults);
    const problem = `the users in ${this.#path} can not be used: ${why}`;
    if (!repair) throw new InternalError(`${problem}. ${REPAIR_HINT}`);
    log.error(`${problem}. The file is now ${await setAside(this.#disk, this.#path, "corrupt", now())}`);
    return [];
  }

  async #readAclFile(Failure: new (text: string) => Error, start = ""): Promise<readonly FileUser[]> {
    const path = this.#path;
    let text: string;
    try {
      text = (await this.#disk.readFile(path)).toString("latin1");
    } catch (error) {
      throw new Failure(`${start}Error loading ACLs, opening file '${path}': ${textOf(error)}`);
    }
    const parsed = parseUsers(text);
    const faults = await this.#faultsOf(parsed);
    if (faults.length > 0) throw new Failure(`${start}${describe(path, faults)} ${UNCHANGED}`);
    return parsed.users;
  }

  async #faultsOf({ users, faults }: ReturnType<typeof parseUsers>): Promise<Fault[]> {
    const reasons = await this.#check(users);
    const byEngine = users.flatMap(({ line }, at): Fault[] =>
      reasons[at] === undefined ? [] : [{ line, say: (path) => `${path}:${line}: ${reasons[at]}.` }],
    );
    return [...faults, ...byEngine].sort((a, b) => a.line - b.line);
  }

  // ---- the engine ----

  /** What the engine has against the rules of each user; undefined: nothing. Changes nothing. */
  async #check(users: readonly UserLine[]): Promise<(string | undefined)[]> {
    if (users.length === 0) return [];
    const tries = users.map(({ rules }) => setUser(SCRATCH_USER, rules));
    const replies = await this.#transaction([...tries, ["ACL", "DELUSER", SCRATCH_USER]]);
    return users.map((_, at) => {
      const reply = replies[at];
      return reply instanceof EngineError ? refusalIn(reply.message) : undefined;
    });
  }

  /** These are all users from now on, with those of the configuration. */
  async #apply(fromFile: readonly UserLine[]): Promise<void> {
    const { requirepass, onChange } = this.#options;
    const users = new Map([...fromFile, ...this.#configured].map((user) => [user.name, user.rules]));
    users.delete(INTERNAL_USER);
    const password = requirepass === "" ? [] : ["resetpass", `>${latin1(requirepass)}`];
    const kept = this.#options.aclfile === "" && !this.#configured.some(({ name }) => name === DEFAULT_USER);
    if (kept || !users.has(DEFAULT_USER))
      users.set(DEFAULT_USER, [...(users.get(DEFAULT_USER) ?? DEFAULT_RULES), ...password]);
    const gone = (await this.#listed()).filter(({ name }) => !users.has(name));
    const replies = await this.#transaction([
      ...[...users].map(([name, rules]) => setUser(name, rules)),
      ...gone.map(({ name }) => ["ACL", "DELUSER", bytes(name)]),
    ]);
    onChange();
    const failed = replies.find((reply) => reply instanceof EngineError);
    if (failed instanceof EngineError) throw new InternalError(`the engine refuses users: ${failed.message}`);
  }

  /** The users there are, without the server's own one. */
  async #listed(): Promise<UserLine[]> {
    const [list] = await this.#ask([["ACL", "LIST"]]);
    if (!Array.isArray(list)) throw new InternalError(`the engine does not tell its users: ${String(list)}`);
    const text = list.map((line) => (Buffer.isBuffer(line) ? line.toString("latin1") : "")).join("\n");
    return parseUsers(text).users.filter(({ name }) => !isOwn(name));
  }

  async #transaction(commands: readonly CommandArgument[][]): Promise<EngineValue[]> {
    const replies = (await this.#ask([["MULTI"], ...commands, ["EXEC"]])).at(-1);
    if (!Array.isArray(replies)) throw new InternalError(`the engine refuses users: ${String(replies)}`);
    return replies;
  }

  #ask(commands: readonly CommandArgument[][]): Promise<EngineValue[]> {
    return withConnection(this.#options.connections, (client) => client.pipeline(commands));
  }
}

const latin1 = (text: string): string => Buffer.from(text).toString("latin1");
const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const isOwn = (name: string): boolean => name === INTERNAL_USER;
const isPassword = (rule: string): boolean => rule === "nopass" || rule.startsWith("#");

const setUser = (name: string, rules: readonly string[]): CommandArgument[] => [
  "ACL",
  "SETUSER",
  bytes(name),
  "reset",
  ...rules.map(bytes),
];

/** The engine's error about rules, in the words that Redis has for those of a file: no rule that may be a password is shown. */
function refusalIn(text: string): string {
  const [, rule, reason] = /^ERR Error in ACL SETUSER modifier '(.*)': (.*)$/s.exec(text) ?? [];
  if (reason === undefined) return text;
  return reason.startsWith("Unknown command") ? `Error in applying operation '${rule}': ${reason}` : reason;
}

const describe = (path: string, faults: readonly Fault[]): string => faults.map((fault) => fault.say(path)).join(" ");
