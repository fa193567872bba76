/**
 * May somebody run an `RG.*` command? The engine knows: it is asked with a harmless command that needs the same right.
 */
import type { UserRights } from "../engine/user-rights.ts";
import { andThen, type Maybe } from "../maybe.ts";
import type { Caller } from "./caller.ts";
import type { Access, CommandRow, CommandTable } from "./command.ts";

interface Probe {
  readonly request: Buffer;
  readonly args: readonly Buffer[];
  /** The name that the engine's refusal puts between apostrophes. */
  readonly name: string;
}

const probe = (name: string, ...args: readonly string[]): Probe => ({
  name,
  args: args.map((arg) => Buffer.from(arg)),
  request: Buffer.from(`*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join("")}`),
});

/** Spelled as nobody does it, so that MONITOR can leave them out: {@link isOwnLine}. */
const PROBES: Readonly<Record<Access, Probe>> = {
  script: probe("eval", "evaL", "return 1", "0"),
  admin: probe("config|get", "confiG", "GET", "regears"),
  read: probe("dbsize", "dbsizE"),
  any: probe("ping", "pinG"),
};
/** PING is allowed to a subscriber in RESP2; an `RG.*` command is not. */
const SUBSCRIBER_PROBE = probe("echo", "echO", "regears");

/** The command that needs the same right as `access`. */
export const accessProbe = (access: Access, subscriber: boolean): Probe =>
  subscriber && access === "any" ? SUBSCRIBER_PROBE : PROBES[access];

/**
 * Reads the engine's answer to a probe.
 * @param answer the text of its error, or undefined when there was none
 * @returns the error's text with the real command's name in it, or undefined when the command may run
 */
export function refusal(answer: string | undefined, asked: Probe, commandName: string): string | undefined {
  return answer?.replace(`'${asked.name}'`, `'${commandName}'`);
}

/** May a user run a command, be it the engine's or ours? For commands that do not pass on the user's own connection. */
export class CommandRights {
  readonly #users: Pick<UserRights, "isFree" | "refusal" | "refusalInStead">;
  readonly #commands: Pick<CommandTable, "find">;

  /** @param commands ours */
  constructor(users: Pick<UserRights, "isFree" | "refusal" | "refusalInStead">, commands: Pick<CommandTable, "find">) {
    this.#users = users;
    this.#commands = commands;
  }

  /**
   * @param args must not change before an answer that comes later
   * @returns the text of the error reply, or undefined when the user may
   */
  refusal({ kind, user }: Pick<Caller, "kind" | "user">, args: readonly Buffer[]): Maybe<string | undefined> {
    return andThen(this.#users.isFree(user), (free) => {
      if (free) return undefined;
      const row = this.#commands.find(args[0]?.toString("latin1") ?? "");
      if (row) return this.#ofOurs(user, row);
      // what Python sends goes over a connection with more rights than its user has
      return kind === "python" ? this.#users.refusalInStead(user, args) : this.#users.refusal(user, args);
    });
  }

  #ofOurs(user: string, { access, name }: Pick<CommandRow, "access" | "name">): Maybe<string | undefined> {
    if (access === "any") return undefined;
    const asked = PROBES[access];
    return andThen(this.#users.refusal(user, asked.args), (text) => refusal(text, asked, name));
  }
}
