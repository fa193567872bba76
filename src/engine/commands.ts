/** What the engine's commands are: their arity, flags and where their keys stand. */
import { type EngineClient, type EngineCommand, loadCommandTable } from "./client.ts";

export class EngineCommands {
  #table: ReadonlyMap<string, EngineCommand> = new Map();

  /** Asks the engine. To be called once it is up. */
  async load(client: EngineClient): Promise<void> {
    this.#table = await loadCommandTable(client);
  }

  /** By lower-case name. */
  find(name: string): EngineCommand | undefined {
    return this.#table.get(name);
  }

  /** True when a command of so many words, the name included, has a right number of them. */
  static arityFits({ arity }: EngineCommand, words: number): boolean {
    return arity >= 0 ? words === arity : words >= -arity;
  }

  /**
   * True for what Redis does not allow inside a script. Newer engines let scripts call the commands that block, those with
   * movable keys have always been allowed.
   */
  static isKeptFromScripts({ flags, movable }: EngineCommand): boolean {
    return flags.has("noscript") || (flags.has("blocking") && !movable);
  }

  /** The positions of a command's keys among its words, the name being 0; only those that fixed positions tell. */
  static keyPositions({ firstKey, lastKey, keyStep }: EngineCommand, words: number): number[] {
    if (firstKey <= 0 || keyStep <= 0) return [];
    const last = Math.min(lastKey < 0 ? words + lastKey : lastKey, words - 1);
    const positions: number[] = [];
    for (let at = firstKey; at <= last; at += keyStep) positions.push(at);
    return positions;
  }
}
