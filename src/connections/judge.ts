/** Who may connect, and where to. */
import type { UserRights } from "../engine/user-rights.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { type Host, readHost } from "./hosts.ts";
import type { InterpreterConnections } from "./interpreter-connections.ts";
import type { HostResolver } from "./host-resolver.ts";
import { shownTarget, type Targets } from "./targets.ts";

export interface JudgeOptions {
  readonly targets: Targets;
  readonly resolver: HostResolver;
  /** Users who may connect although they have not all rights. */
  readonly users: readonly string[];
  readonly rights: Pick<UserRights, "isFree" | "lastingRefusal">;
}

/** What was found: a value, or why there is none, as `CODE words`. */
export type Found<T> = { readonly value: T } | { readonly failure: string };

const NOT_ALLOWED = "EPERM scripts may not open connections: the option allow-connect names where they may";
const RUNS_PYTHON = ["EVAL", "return 1", "0"].map((word) => Buffer.from(word));

export class Judge {
  /** How often something was not allowed. */
  refused = 0;
  readonly #options: JudgeOptions;

  constructor(options: JudgeOptions) {
    this.#options = options;
  }

  /** Why code of this user may connect to nothing; undefined: it may to something. */
  refusal(user: string): Maybe<string | undefined> {
    const { targets, rights, users } = this.#options;
    if (targets.none) return this.#refuse(NOT_ALLOWED);
    return andThen(rights.isFree(user), (free) => {
      if (free) return undefined;
      if (!users.includes(user)) return this.#refuse(notFree(user));
      // one that was deleted, or may run nothing any more, may not connect either
      return andThen(rights.lastingRefusal(user, RUNS_PYTHON), (refused) =>
        refused === undefined ? undefined : this.#refuse(notFree(user)),
      );
    });
  }

  /** The addresses of a host that may be connected to, one at least. @param port undefined: whatever port it will be */
  addresses(own: InterpreterConnections, written: string, port: number | undefined): Maybe<Found<readonly string[]>> {
    const host = readHost(written);
    if (!host) return { failure: `EAI ${written.slice(0, 100)} is no name or address` };
    if (host.kind === "name") return this.#resolve(own, host, port);
    const { targets } = this.#options;
    const name = own.nameOf(host.text);
    const allowed = targets.allows(host.text, port) || (name !== undefined && targets.allowsFor(name, host.text, port));
    return allowed ? { value: [host.text] } : this.#notTo(host, port);
  }

  #resolve(own: InterpreterConnections, host: Host, port: number | undefined): Maybe<Found<readonly string[]>> {
    const { targets, resolver } = this.#options;
    if (!targets.mayResolve(host.text, port)) return this.#notTo(host, port);
    if (own.resolvesMost) return { failure: "EAI too many names are being resolved" };
    own.resolving++;
    return resolver
      .addresses(host.text)
      .then(
        (all): Found<readonly string[]> => {
          const allowed = all.filter((address) => targets.allowsFor(host.text, address, port));
          for (const address of allowed) own.grant(address, host.text);
          return allowed.length > 0 ? { value: allowed } : this.#notTo(host, port);
        },
        (error: Error): Found<readonly string[]> => ({ failure: `EAI ${error.message}` }),
      )
      .finally(() => {
        own.resolving--;
      });
  }

  #notTo(host: Host, port: number | undefined): { readonly failure: string } {
    const target = shownTarget(host.text, port);
    return { failure: this.#refuse(`EPERM connections to ${target} are not allowed (option allow-connect)`) };
  }

  #refuse(text: string): string {
    this.refused++;
    return text;
  }
}

const notFree = (user: string): string =>
  `EPERM user '${user}' may not open connections: only users with all rights may, and those named by allow-connect-users`;
