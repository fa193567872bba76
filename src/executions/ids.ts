/** Ids of executions and registrations: `<node id>-<number>`, with a counter for each. */

/** The node id of a single node. */
export const NODE_ID = "0".repeat(40);

/** No number above this is skipped: half of those up to 2^53 are left to be given out. */
const LAST_SKIPPED = 2 ** 52;

/** Longest text that is looked at as an id: the node's, and a number that may have zeros before it. */
const MAX_ID = 1024;
const ID = /^\s*(\d+)/;

/** The id of a number. */
export const idOf = (number: number): string => `${NODE_ID}-${number}`;

/** Hands out the ids. Which actions consume one: docs/spec/commands.md, section 2. */
export class Ids {
  #executions = 0;
  #registrations = 0;

  nextExecution(): { id: string; number: number } {
    const number = this.#executions++;
    return { id: `${NODE_ID}-${number}`, number };
  }

  nextRegistration(): { id: string; number: number } {
    const number = this.#registrations++;
    return { id: `${NODE_ID}-${number}`, number };
  }

  /**
   * Builders, administrative commands and the ends of registering scripts use up numbers that nobody sees. Whatever an
   * interpreter claims, what is left are numbers that can be told apart.
   */
  skip(executions: number, registrations: number): void {
    if (this.#executions + executions <= LAST_SKIPPED) this.#executions += executions;
    if (this.#registrations + registrations <= LAST_SKIPPED) this.#registrations += registrations;
  }

  /** Executions count from the beginning again, as after a start. */
  restart(): void {
    this.#executions = 0;
  }

  /** Continues above a restored registration. */
  atLeastRegistration(number: number): void {
    this.#registrations = Math.max(this.#registrations, number + 1);
  }
}

/** The number in an id as a client typed it; undefined when it can not be one of ours. */
export function parseId(id: Buffer): number | undefined {
  if (id.length > MAX_ID) return undefined;
  const text = id.toString("latin1");
  if (!text.startsWith(NODE_ID) || text[40] !== "-") return undefined;
  const number = ID.exec(text.slice(41))?.[1];
  return number === undefined ? undefined : Number(number);
}
