/** Which commands are not simply passed on. Most are, so the question has to be cheap: a bitmap answers it for nearly all. */
import type { CommandRow, CommandTable } from "../commands/command.ts";
import type { Path } from "../commands/path.ts";
import { traitsOf, wordOf } from "../engine/traits.ts";
import { nameHash, type RequestDecoder } from "../resp/request-decoder.ts";
import { PLANNERS, type Planner } from "./planners.ts";

export interface Route {
  readonly name: string;
  readonly row: CommandRow | undefined;
  /** For a command of the engine that has to do with the state of its connection. */
  readonly plan: Planner | undefined;
  /** A middleware has always something to do with it. */
  readonly watched: boolean;
}

export class Router {
  readonly #mayBeSpecial = new Uint8Array(32768);
  readonly #routes = new Map<string, Route>();

  constructor(commands: CommandTable, { always, translated }: Pick<Path, "always" | "translated">) {
    for (const name of new Set([
      ...PLANNERS.keys(),
      ...translated,
      ...commands.rows.map(({ name }) => name),
      ...always,
    ]))
      this.#add({ name, row: commands.find(name), plan: PLANNERS.get(name), watched: always.includes(name) });
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
