/**
 * A way into Valkey that leaves its event loop out. For a command of the server's own a turn of the loop, and a second one for
 * the reply, take more time than the command: here the two functions are called that the loop would call for the connection.
 *
 * What Valkey puts off until its loop turns (what a client has sent that was blocked, clients to be freed, invalidations for
 * trackers) still needs a turn: whoever uses this entry has to see to it.
 */
import type { Internals } from "./internals.ts";

/** The functions of Valkey, by their names in its source (networking.c). */
export interface DirectFunctions {
  /** Reads what has come for a connection, and carries it out. */
  readQueryFromClient(connection: number): void;
  /** Writes a client's replies. */
  writeToClient(client: number): number;
  /** Writes all replies, and what else clients get. */
  handleClientsWithPendingWrites(): number;
  /** Bytes of a client's replies that its own buffer does not hold. */
  getClientOutputBufferMemoryUsage(client: number): number;
  /** Writes what was changed to the append-only file, and with `appendfsync always` also brings it to the disk (aof.c). */
  flushAppendOnlyFile(force: number): void;
}

export const DIRECT_FUNCTIONS: readonly (keyof DirectFunctions)[] = [
  "readQueryFromClient",
  "writeToClient",
  "handleClientsWithPendingWrites",
  "getClientOutputBufferMemoryUsage",
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
   * Carries out what has come for a connection, and writes its replies, and what others get by it.
   * @returns false when Valkey still has something for somebody, which leaves it in its next turn
   */
  run(descriptor: number): boolean {
    this.#functions.readQueryFromClient(this.#internals.clientOf(descriptor).connection);
    // Valkey's event loop also writes the append-only file before it sends the replies
    if (this.#internals.syncsAlways) this.#functions.flushAppendOnlyFile(0);
    return this.give();
  }

  /** Writes what Valkey holds for clients. @returns false when it still has something for somebody, which leaves it in its next turn */
  give(): boolean {
    this.#functions.handleClientsWithPendingWrites();
    return this.#internals.pendingWrites === 0;
  }

  /** Brings everything that was changed into the append-only file. */
  flush(): void {
    this.#functions.flushAppendOnlyFile(1);
  }
}
