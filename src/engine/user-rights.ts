/**
 * What a user of the engine may do. Some things are done for a user on connections that are not the user's: a hook runs
 * in place of a command, a script's `execute()` runs long after its client has gone. The engine is asked beforehand.
 *
 * The engine is asked once about a user with all rights, until rights can have changed; every command of any other user is
 * tried with `ACL DRYRUN`. Where the engine can not tell (Redis before 7, or the server's user there may not use ACL), only
 * users with all rights pass, and the user whose rights the server acts with anyway.
 */
import { andThen, type Maybe } from "../maybe.ts";
import { fieldsOf, isError, scalarText, splitAggregate } from "../resp/frames.ts";
import { EngineClosed, type EngineClient, encodeCommand } from "./engine-client.ts";
import { ENGINE_DOWN } from "./engine.ts";
import { LastingClient } from "./lasting-client.ts";
import { hasForm, traitsOf, wordOf } from "./traits.ts";

/** The user of clients that never said who they are. */
export const DEFAULT_USER = "default";

/** Counts the changes of rights that go through this server; one for all. */
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

export interface UserRightsOptions {
  /** Opens a connection that may use ACL. */
  readonly open: () => EngineClient;
  /** Changes with every change of rights. */
  readonly epoch: { readonly value: number };
  /** The server's own user in the engine; undefined: one that may do everything. */
  readonly ownUser: string | undefined;
  /** How long an answer is trusted, in milliseconds; Infinity when nobody can change rights but through this server. */
  readonly lifetimeMs: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/** What is known of a user: all rights, some, or the reason why everything is refused. */
type Standing = "all" | "some" | { readonly refused: string };

export class UserRights {
  readonly #options: UserRightsOptions;
  readonly #now: () => number;
  readonly #known = new Map<string, Standing>();
  /** Of {@link UserRights.lastingRefusal}, by user and command. */
  readonly #verdicts = new Map<string, string | undefined>();
  readonly #client: LastingClient;
  #epoch = -1;
  #at = 0;

  constructor(options: UserRightsOptions) {
    this.#options = options;
    this.#client = new LastingClient(options.open);
    this.#now = options.now ?? (() => performance.now());
  }

  /** Has this user all rights? Answered at once by an engine in this process, like everything here. */
  isFree(user: string): Maybe<boolean> {
    return andThen(this.#standing(user), (standing) => standing === "all");
  }

  /**
   * May this user run this command?
   * @param args the command; must not change before an answer that comes later
   * @returns the text of the error reply, or undefined when the user may
   */
  refusal(user: string, args: readonly Uint8Array[]): Maybe<string | undefined> {
    return andThen(this.#standing(user), (standing) => {
      if (standing === "all") return undefined;
      return standing === "some" ? this.#try(user, args) : standing.refused;
    });
  }

  /**
   * As {@link refusal}, for the same command again and again: the engine is asked once, until rights can have changed.
   * @param args of a small number of commands: what is known of each is kept
   */
  lastingRefusal(user: string, args: readonly Uint8Array[]): Maybe<string | undefined> {
    return andThen(this.#standing(user), (standing) => {
      if (standing !== "some") return standing === "all" ? undefined : standing.refused;
      const key = JSON.stringify([user, ...args.map(word)]);
      if (this.#verdicts.has(key)) return this.#verdicts.get(key);
      const isCurrent = this.#mark();
      return andThen(this.#try(user, args), (refused) => {
        // an engine that can not be reached has said nothing
        if (isCurrent() && refused !== DOWN.refused) this.#verdicts.set(key, refused);
        return refused;
      });
    });
  }

  /** As {@link refusal}, for a command that is then sent on a connection with more rights than the user has. */
  refusalInStead(user: string, args: readonly Uint8Array[]): Maybe<string | undefined> {
    return andThen(this.refusal(user, args), (refused) => {
      const { reachesFurther } = traitsOf(wordOf(args[0]));
      if (refused !== undefined || !hasForm(reachesFurther, args)) return refused;
      return andThen(this.isFree(user), (free) => (free ? undefined : TOO_INDIRECT));
    });
  }

  /** May this user read this key? Judged by the right to GET it, whatever its type. */
  mayRead(user: string, key: Uint8Array): Maybe<boolean> {
    return andThen(this.refusal(user, [GET, key]), (refused) => refused === undefined);
  }

  #standing(user: string): Maybe<Standing> {
    const { epoch, lifetimeMs } = this.#options;
    if (this.#epoch !== epoch.value || this.#now() - this.#at > lifetimeMs) {
      this.#known.clear();
      this.#verdicts.clear();
      this.#epoch = epoch.value;
      this.#at = this.#now();
    }
    return this.#known.get(user) ?? this.#learn(user);
  }

  #learn(user: string): Maybe<Standing> {
    const isCurrent = this.#mark();
    return andThen(this.#ask(["ACL", "GETUSER", user]), (reply) => {
      if (!reply) return DOWN;
      const standing = this.#judge(user, reply);
      if (isCurrent()) this.#known.set(user, standing);
      return standing;
    });
  }

  /** Gives a function that tells whether what is asked of the engine from now on still counts. */
  #mark(): () => boolean {
    const [asked, at] = [this.#epoch, this.#at];
    return () => asked === this.#options.epoch.value && asked === this.#epoch && at === this.#at;
  }

  #judge(user: string, reply: Buffer): Standing {
    if (!isError(reply)) {
      const { children } = splitAggregate(reply) ?? {};
      if (!children || children.length === 0) return { refused: `NOPERM User '${user}' does not exist` };
      return hasAllRights(reply) ? "all" : "some";
    }
    // an engine without users at all
    if (/^ERR unknown command/i.test(scalarText(reply))) return "all";
    return user === this.#options.ownUser ? "all" : unknowable(user);
  }

  #try(user: string, args: readonly Uint8Array[]): Maybe<string | undefined> {
    return andThen(this.#ask(["ACL", "DRYRUN", user, ...args]), (reply) => {
      if (!reply) return DOWN.refused;
      if (isError(reply) && /subcommand/i.test(scalarText(reply))) {
        return user === this.#options.ownUser ? undefined : unknowable(user).refused;
      }
      return verdict(reply, args);
    });
  }

  /** Gives the engine's reply; undefined when it can not be reached. */
  #ask(command: readonly (string | Uint8Array)[]): Maybe<Buffer | undefined> {
    try {
      const reply = this.#client.ask(encodeCommand(command));
      return reply instanceof Promise ? reply.catch(unreachable) : reply;
    } catch (reason) {
      return unreachable(reason);
    }
  }
}

function unreachable(reason: unknown): undefined {
  if (!(reason instanceof EngineClosed)) throw reason;
}

const DOWN = { refused: ENGINE_DOWN };
const TOO_INDIRECT = "NOPERM only a user with all rights may run this from a script: it could reach any key";

const GET = Buffer.from("GET");

const unknowable = (user: string): { readonly refused: string } => ({
  refused: `NOPERM the engine does not tell what user '${user}' may do (that takes ACL DRYRUN, of Redis 7)`,
});

const word = (bytes: Uint8Array | undefined): string =>
  Buffer.from(bytes ?? [])
    .toString("latin1")
    .toLowerCase();

/** Reads ACL GETUSER. What was a list before Redis 7 is a text since then. */
function hasAllRights(reply: Buffer): boolean {
  const field = fieldsOf(reply);
  const is = (name: string, ...accepted: readonly string[]): boolean => {
    const value = field(name);
    // an older engine does not limit what it does not know
    if (value === undefined) return true;
    const words = splitAggregate(value)?.children.map((child) => scalarText(child)) ?? [scalarText(value)];
    return accepted.includes(words.join(" "));
  };
  return (
    field("commands") !== undefined &&
    is("commands", "+@all") &&
    is("keys", "~*", "*") &&
    is("channels", "&*", "*") &&
    is("databases", "alldbs") &&
    is("selectors", "")
  );
}

/** The error that the user's own connection would have got, made of the engine's answer to ACL DRYRUN. */
function verdict(reply: Buffer, args: readonly Uint8Array[]): string | undefined {
  const text = scalarText(reply);
  if (isError(reply)) {
    if (/^ERR Command .* not found/i.test(text)) return `ERR unknown command '${word(args[0])}'`;
    return /^ERR User/i.test(text) ? `NOPERM ${text.slice(4)}` : text;
  }
  if (text === "OK") return undefined;
  const [, what] = /has no permissions to access the '.*' (key|channel|database)$/s.exec(text) ?? [];
  return what === undefined ? `NOPERM ${text}` : `NOPERM No permissions to access a ${what}`;
}
