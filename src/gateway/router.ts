/** Which commands are not simply passed on. Most are, so the question has to be cheap: a bitmap answers it for nearly all. */
import type { CommandRow, CommandTable } from "../commands/command.ts";
import { traitsOf, wordOf } from "../engine/traits.ts";
import { nameHash, type RequestDecoder } from "../resp/request.ts";
import { PLANNERS, type Planner } from "./special.ts";

export interface Route {
  readonly name: string;
  readonly row: CommandRow | undefined;
  /** For a command of the engine that the gateway takes note of. */
  readonly plan: Planner | undefined;
  /** Something has always to be done about it. */
  readonly watched: boolean;
}

export class Router {
  readonly #mayBeSpecial = new Uint8Array(32768);
  readonly #routes = new Map<string, Route>();

  /** @param watched names of commands about which {@link Path.find} is always asked */
  constructor(commands: CommandTable, watched: readonly string[] = []) {
    for (const name of new Set([...PLANNERS.keys(), ...commands.rows.map((row) => row.name), ...watched])) {
      const row = commands.find(name);
      this.#add({ name, row, plan: PLANNERS.get(name), watched: watched.includes(name) });
    }
  }

  /** Finds the route of the present command; undefined when it is any other command of the engine. */
  find(request: RequestDecoder): Route | undefined {
    if (this.#mayBeSpecial[request.nameHash] === 0) return undefined;
    return this.#routes.get(wordOf(request.view(0)));
  }

  /** Is the present command served even while somebody holds the engine? */
  passesGate(request: RequestDecoder): boolean {
    const row = this.find(request)?.row;
    return (row ?? traitsOf(wordOf(request.view(0)))).passesGate === true;
  }

  #add(route: Route): void {
    this.#mayBeSpecial[nameHash(route.name)] = 1;
    this.#routes.set(route.name, route);
  }
}
