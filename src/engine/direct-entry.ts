/**
 * A way into Valkey that leaves its event loop out. For a command of the server's own a turn of the loop, and a second one for
 * the reply, take more time than the command: here the two functions are called that the loop would call for the connection.
 *
 * What Valkey puts off until its loop turns (replies of other clients, clients to be freed, invalidations for trackers)
 * still needs a turn: whoever uses this entry has to see to it.
 */
import type { Internals } from "./internals.ts";

/** The functions of Valkey, by their names in its source (networking.c). */
export interface DirectFunctions {
  /** Reads what has come for a connection, and carries it out. */
  readQueryFromClient(connection: number): void;
  /** Writes a client's replies. */
  writeToClient(client: number): number;
  /** Writes what was changed to the append-only file, and with `appendfsync always` also brings it to the disk (aof.c). */
  flushAppendOnlyFile(force: number): void;
}

export const DIRECT_FUNCTIONS: readonly (keyof DirectFunctions)[] = [
  "readQueryFromClient",
  "writeToClient",
  "flushAppendOnlyFile",
];

export class DirectEntry {
  readonly #functions: DirectFunctions;
  readonly #internals: Internals;

  constructor(functions: DirectFunctions, internals: Internals) {
    this.#functions = functions;
    this.#internals = internals;
  }

  /**
   * Carries out what has come for a connection, and writes its replies.
   * @param isClosed tells whether Valkey has closed the connection meanwhile
   * @returns false when Valkey has replies for others too, which leave it in its next turn
   */
  run(descriptor: number, isClosed: () => boolean): boolean {
    const { connection, client } = this.#internals.clientOf(descriptor);
    this.#functions.readQueryFromClient(connection);
    // Valkey's event loop also writes the append-only file before it sends the replies
    if (this.#internals.syncsAlways) this.#functions.flushAppendOnlyFile(0);
    if (!isClosed()) this.#functions.writeToClient(client);
    // this client itself stays in the list until the loop turns
    return this.#internals.pendingWrites <= 1;
  }

  /** Brings everything that was changed into the append-only file. */
  flush(): void {
    this.#functions.flushAppendOnlyFile(1);
  }
}
