/**
 * The seam for what must see clients' commands before the engine does: command hooks, key misses, `sync` key events.
 * The session asks for each command that is about data or is an `RG.*` one; what it is told to do happens in the client's order of
 * commands, and nothing later of that client is sent before it has been done.
 */
import type { CommandContext } from "../commands/command.ts";
import type { Reply } from "../resp/reply.ts";

/** A client's command as it lies in the decoder: valid only during the call. */
export interface RequestView {
  /** Number of arguments, the name included. */
  readonly count: number;
  /** Argument `index` without copying; must not be kept. */
  view(index: number): Buffer;
  /** Copies of the arguments from `first` on. */
  copy(first: number): Buffer[];
}

/** Sends one command on the client's own engine connection, with its rights and its database, and gives the reply. */
export type EngineCall = (request: Buffer) => Promise<Buffer>;

/** Runs instead of a command: the engine never sees that. Inside MULTI it runs at its place in EXEC, with caller `multi`. */
export interface Replacement {
  readonly kind: "replace";
  /** Once begun it goes on to its end, also when the client leaves meanwhile: its `ask` works until then. */
  readonly whole?: true;
  readonly run: (context: CommandContext, ask: EngineCall) => Reply | Promise<Reply>;
}

export type Interception =
  | Replacement
  /**
   * The engine carries the command out alone, with all the client's earlier ones answered; then the reply is held until
   * `settle` has ended. Inside MULTI the same happens at its place in EXEC.
   */
  | {
      readonly kind: "hold";
      /** @returns what the client gets instead of the engine's reply, or undefined to send that one */
      settle(reply: Buffer, context: CommandContext): Reply | undefined | Promise<Reply | undefined>;
    };

/** Several interceptors as one: the first that has something to say about a command decides. */
export function firstOf(interceptors: readonly Interceptor[]): Interceptor {
  return {
    always: interceptors.flatMap(({ always = [] }) => always),
    get active() {
      return interceptors.some((interceptor) => interceptor.active);
    },
    intercept: (name, request, clientId) => {
      for (const interceptor of interceptors) {
        const asked = interceptor.active || interceptor.always?.includes(name);
        const found = asked ? interceptor.intercept(name, request, clientId) : undefined;
        if (found) return found;
      }
      return undefined;
    },
  };
}

export interface Interceptor {
  /** False lets the session forward runs of commands without asking about each of them. */
  readonly active: boolean;
  /** Names (lower case) of commands that are asked about even so. */
  readonly always?: readonly string[];
  /** Tells what to do with a command, by its name in lower case; undefined: nothing special. */
  intercept(name: string, request: RequestView, clientId: number): Interception | undefined;
}
