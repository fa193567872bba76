/** What one client may do of the things that the engine does not see. */
import type { Access, CommandRow } from "../commands/command.ts";
import { accessProbe, refusal } from "../commands/command-rights.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { isError, scalarText } from "../resp/frames.ts";
import type { Verdicts } from "./verdicts.ts";
import type { ClientState } from "./client-state.ts";
import type { Gateway } from "./gateway.ts";

export class ClientAccess {
  readonly #gateway: Gateway;
  readonly #state: ClientState;
  readonly #ask: (request: Buffer) => Promise<Buffer>;
  readonly #verdicts: Verdicts;

  /** @param ask asks the engine, on the client's own connection */
  constructor(gateway: Gateway, state: ClientState, ask: (request: Buffer) => Promise<Buffer>) {
    this.#gateway = gateway;
    this.#state = state;
    this.#ask = ask;
    this.#verdicts = gateway.verdicts();
  }

  /** The client is somebody else now. */
  forget(): void {
    this.#verdicts.forget();
  }

  /** Is it known already that the client may? */
  isKnownToHave(access: Access): boolean {
    return this.#verdicts.has(access) && this.#verdicts.get(access) === undefined;
  }

  /** The engine's refusal if the client may not run this command of ours. */
  refusal({ access, name }: Pick<CommandRow, "access" | "name">): Maybe<string | undefined> {
    const subscriber = this.#state.restricted;
    const probe = accessProbe(access, subscriber);
    if (!subscriber && this.#verdicts.has(access)) return refusal(this.#verdicts.get(access), probe, name);
    const epoch = this.#gateway.rights.value;
    return this.#ask(probe.request).then((reply) => {
      const answer = isError(reply) ? scalarText(reply) : undefined;
      if (!subscriber) this.#verdicts.keep(access, answer, epoch);
      return refusal(answer, probe, name);
    });
  }

  /** The engine's refusal if the client may not run a command which the engine does not see, or not as it was sent. */
  refusalOf(args: readonly Buffer[]): Maybe<string | undefined> {
    // in a transaction the client is known already, and any question would be queued
    const asked = this.#state.transaction
      ? undefined
      : this.refusal({ access: "any", name: args[0]?.toString("latin1").toLowerCase() ?? "" });
    return andThen(asked, (stranger) => {
      // users who may not even PING are no strangers
      if (stranger !== undefined && !stranger.startsWith("NOPERM")) return stranger;
      return this.#gateway.path.refusal({ kind: "client", user: this.#state.user }, args);
    });
  }
}
