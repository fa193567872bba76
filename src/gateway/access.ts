/**
 * May a client run an `RG.*` command? The engine knows: it is asked, on the client's own connection, with a harmless
 * command that needs the same right. Its verdict is remembered until rights can have changed.
 */
import type { Access, CommandTable } from "../commands/command.ts";
import type { Maybe, UserRights } from "../engine/rights.ts";

/** Counts the changes of rights that went through this server; one for all clients. */
export class AccessEpoch {
  value = 0;
  /** Is told when a command that changes rights, or who is let in, was carried out. */
  onChanged: () => void = () => {};
  /** Is told before anybody finds out that rights may have changed. */
  onAdvance: () => void = () => {};
  /** Rights may have changed: all verdicts are forgotten. */
  advance(): void {
    this.onAdvance();
    this.value++;
  }

  /** A command was carried out that changes them. */
  changed(): void {
    this.advance();
    this.onChanged();
  }
}

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
  readonly #users: Pick<UserRights, "refusal">;
  readonly #commands: Pick<CommandTable, "find">;

  /** @param commands ours */
  constructor(users: Pick<UserRights, "refusal">, commands: Pick<CommandTable, "find">) {
    this.#users = users;
    this.#commands = commands;
  }

  /** @returns the text of the error reply, or undefined when the user may */
  refusal(
    user: string,
    args: readonly Buffer[],
    ask = this.#users.refusal.bind(this.#users),
  ): Maybe<string | undefined> {
    const row = this.#commands.find(args[0]?.toString("latin1") ?? "");
    if (!row) return ask(user, args);
    if (row.access === "any") return undefined;
    const asked = PROBES[row.access];
    const answer = this.#users.refusal(user, asked.args);
    const inOurWords = (text: string | undefined): string | undefined => refusal(text, asked, row.name);
    return answer instanceof Promise ? answer.then(inOurWords) : inOurWords(answer);
  }
}

/** One client's verdicts. */
export class Verdicts {
  readonly #epoch: AccessEpoch;
  readonly #lifetime: number;
  readonly #now: () => number;
  readonly #known = new Map<Access, string | undefined>();
  #at = 0;
  #of = -1;

  /** @param lifetime how long a verdict is trusted, in milliseconds; Infinity when nobody can change rights behind our back */
  constructor(epoch: AccessEpoch, lifetime: number, now: () => number) {
    this.#epoch = epoch;
    this.#lifetime = lifetime;
    this.#now = now;
  }

  forget(): void {
    this.#known.clear();
  }

  /** Is there a verdict that still holds? */
  has(access: Access): boolean {
    if (this.#of !== this.#epoch.value || this.#now() - this.#at > this.#lifetime) {
      this.#known.clear();
      this.#of = this.#epoch.value;
      this.#at = this.#now();
    }
    return this.#known.has(access);
  }

  /** The engine's error, undefined when the client may. */
  get(access: Access): string | undefined {
    return this.#known.get(access);
  }

  /** Keeps the engine's answer, if it is about rights: a busy engine's refusal says nothing about the next time. */
  keep(access: Access, answer: string | undefined, epoch: number): void {
    if (epoch !== this.#epoch.value) return;
    if (answer === undefined || answer.startsWith("NOPERM") || answer.startsWith("NOAUTH"))
      this.#known.set(access, answer);
  }
}
