/** Which commands are not simply passed on. Most are, so the question has to be cheap: a bitmap answers it for nearly all. */
import type { CommandRow, CommandTable } from "../commands/command.ts";
import { nameHash, type RequestDecoder } from "../resp/request.ts";

/** Commands of the engine that the gateway takes note of; see `special.ts`. */
export const SPECIALS: ReadonlySet<string> = new Set([
  ...["multi", "exec", "discard", "reset", "quit", "watch", "hello", "auth", "select", "client", "monitor"],
  ...["subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe"],
  ...["command", "module", "info", "acl", "config", "debug", "sync", "psync", "replconf", "replicaof", "slaveof"],
]);

/** About the connection and not about data: never put before the interceptor, never kept for a stage of a transaction. */
export const CONNECTION_COMMANDS: ReadonlySet<string> = new Set([
  ...["multi", "exec", "discard", "watch", "reset", "quit", "sync", "psync", "replconf"],
]);

/** Commands of the engine by which clients come in and look around; they touch no data. */
const PASSES_GATE: ReadonlySet<string> = new Set([
  ...["auth", "hello", "select", "client", "ping", "echo", "command", "info", "quit", "reset"],
]);

export interface Route {
  readonly name: string;
  readonly row: CommandRow | undefined;
  /** The gateway takes note of this command of the engine. */
  readonly special: boolean;
  /** The interceptor is to be asked about it even when it is not active. */
  readonly watched: boolean;
}

export class Router {
  readonly #mayBeSpecial = new Uint8Array(32768);
  readonly #routes = new Map<string, Route>();

  /** @param watched names that the interceptor is always asked about */
  constructor(commands: CommandTable, watched: readonly string[] = []) {
    for (const name of new Set([...SPECIALS, ...commands.rows.map((row) => row.name), ...watched])) {
      const row = commands.find(name);
      this.#add({ name, row, special: SPECIALS.has(name), watched: watched.includes(name) });
    }
  }

  /** Finds the route of the present command; undefined when it is any other command of the engine. */
  find(request: RequestDecoder): Route | undefined {
    if (this.#mayBeSpecial[request.nameHash] === 0) return undefined;
    return this.#routes.get(request.view(0).toString("latin1").toLowerCase());
  }

  /** Is the present command served even while somebody holds the engine? */
  passesGate(request: RequestDecoder): boolean {
    const row = this.find(request)?.row;
    return row ? row.passesGate === true : PASSES_GATE.has(request.view(0).toString("latin1").toLowerCase());
  }

  #add(route: Route): void {
    this.#mayBeSpecial[nameHash(route.name)] = 1;
    this.#routes.set(route.name, route);
  }
}
