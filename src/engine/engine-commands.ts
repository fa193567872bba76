/** What the engine's commands are: what its COMMAND table tells, and what follows from that together with their traits. */
import type { EngineClient, EngineValue } from "./engine-client.ts";
import { arityFits } from "./engine.ts";
import { type Traits, traitsOf } from "./traits.ts";

/** One command, in the terms of COMMAND. */
export class EngineCommand {
  /** Number of words with the name; negative: at least so many. */
  readonly arity: number;
  /** Such as `write`, `denyoom`, `noscript`. */
  readonly flags: ReadonlySet<string>;
  /** Positions of keys; 0 where there are none. A negative last key counts from the end. */
  readonly firstKey: number;
  readonly lastKey: number;
  readonly keyStep: number;
  readonly traits: Traits;
  /** The command has keys, or one of its subcommands has. (Before Redis 7 an engine counts keys of subcommands as the command's.) */
  readonly #keyed: boolean;

  /** @param row an element of the reply of COMMAND: six elements, or ten since Redis 7 */
  constructor(name: string, row: readonly EngineValue[]) {
    const [, arity, flags, firstKey, lastKey, keyStep, , , , subcommands] = row;
    this.arity = Number(arity);
    this.flags = new Set(Array.isArray(flags) ? flags.map(String) : []);
    this.firstKey = Number(firstKey);
    this.lastKey = Number(lastKey);
    this.keyStep = Number(keyStep);
    this.traits = traitsOf(name);
    const parts = Array.isArray(subcommands) ? subcommands.filter(Array.isArray) : [];
    this.#keyed =
      this.firstKey > 0 || this.movable || parts.some((part) => new EngineCommand(String(part[0]), part).hasKeys);
  }

  /** True when the positions do not tell all keys. */
  get movable(): boolean {
    return this.flags.has("movablekeys");
  }

  get hasKeys(): boolean {
    return this.#keyed;
  }

  /** Can this command cause key events, by changing or looking for keys? A module's command counts: nobody knows what it does. */
  get causesEvents(): boolean {
    if (this.flags.has("pubsub") || this.traits.connection) return false;
    return this.#keyed || this.flags.has("module") || this.traits.choosesKey === true;
  }

  /**
   * True for what Redis does not allow inside a script. Newer engines let scripts call the commands that block, those with
   * movable keys have always been allowed.
   */
  get isKeptFromScripts(): boolean {
    return this.flags.has("noscript") || (this.flags.has("blocking") && !this.movable);
  }

  /** True when a command of so many words, the name included, has a right number of them. */
  arityFits(words: number): boolean {
    return arityFits(this.arity, words);
  }

  /** The positions of the keys among so many words, the name being 0; only those that fixed positions tell. */
  keyPositions(words: number): number[] {
    if (this.firstKey <= 0 || this.keyStep <= 0) return [];
    const last = Math.min(this.lastKey < 0 ? words + this.lastKey : this.lastKey, words - 1);
    const positions: number[] = [];
    for (let at = this.firstKey; at <= last; at += this.keyStep) positions.push(at);
    return positions;
  }
}

export class EngineCommands {
  readonly #table = new Map<string, EngineCommand>();

  /** Asks the engine. To be called once it is up. @throws EngineError, EngineClosed */
  async load(client: EngineClient): Promise<void> {
    const rows = await client.call("COMMAND");
    for (const row of Array.isArray(rows) ? rows : []) {
      if (!Array.isArray(row)) continue;
      const name = String(row[0]).toLowerCase();
      this.#table.set(name, new EngineCommand(name, row));
    }
  }

  /** By lower-case name. */
  find(name: string): EngineCommand | undefined {
    return this.#table.get(name);
  }

  /** All of them, with their names. */
  all(): [name: string, command: EngineCommand][] {
    return [...this.#table];
  }
}
