import type { Caller } from "../commands/caller.ts";
import type { CommandContext } from "../commands/command.ts";

/** What the handler of a client's command may know of that client. Its signal is made only for those who ask. */
export class ClientContext implements CommandContext {
  readonly caller: Caller;
  readonly clientId: number;
  readonly typedName: string;
  readonly ran: (ms: number) => void;
  #controller: AbortController | undefined;
  #gone: boolean;

  /** @param gone the client has gone already */
  constructor(of: Omit<Required<CommandContext>, "signal">, gone: boolean) {
    this.caller = of.caller;
    this.clientId = of.clientId;
    this.typedName = of.typedName;
    this.ran = of.ran;
    this.#gone = gone;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#gone) this.#controller.abort();
    return this.#controller.signal;
  }

  /** The client has gone. */
  depart(): void {
    this.#gone = true;
    this.#controller?.abort();
  }
}
