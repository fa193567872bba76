/**
 * A way into Valkey that leaves its event loop out. For a command of the server's own a turn of the loop, and a second one for
 * the reply, take more time than the command: here the two functions are called that the loop would call for the connection.
 *
 * What Valkey puts off until its loop turns (replies of other clients, clients to be freed, invalidations for trackers)
 * still needs a turn: whoever uses this entry has to see to it.
 */
import type { MemoryView } from "./wasm.ts";

/** The functions of Valkey, by their names in its source (networking.c). */
export interface DirectFunctions {
  /** Reads what has come for a connection, and carries it out. */
  readQueryFromClient(connection: number): void;
  /** Writes a client's replies. */
  writeToClient(client: number): number;
}

export const DIRECT_FUNCTIONS: readonly (keyof DirectFunctions)[] = ["readQueryFromClient", "writeToClient"];

/** Addresses inside one exact build of Valkey. */
export interface DirectLayout {
  /** Of the pointer `server.el`. */
  readonly eventLoop: number;
  /** Of the pointer `server.clients_pending_write`. */
  readonly pendingWrites: number;
}

// struct aeEventLoop: the pointer to its aeFileEvents at 16; aeFileEvent: 16 bytes, `clientData` (a connection) at 12.
const EVENTS_WORD = 4;
const EVENT_WORDS = 4;
const EVENT_DATA_WORD = 3;
// struct connection: `private_data` (its client) at 24. struct list: `len` at 20.
const CONNECTION_CLIENT_WORD = 6;
const LIST_LENGTH_WORD = 5;

export class DirectEntry {
  readonly #functions: DirectFunctions;
  readonly #layout: DirectLayout;
  readonly #memory: MemoryView;

  constructor(functions: DirectFunctions, layout: DirectLayout, memory: MemoryView) {
    this.#functions = functions;
    this.#layout = layout;
    this.#memory = memory;
  }

  /**
   * Carries out what has come for a connection, and writes its replies.
   * @param isClosed tells whether Valkey has closed the connection meanwhile
   * @returns false when Valkey has replies for others too, which leave it in its next turn
   */
  run(descriptor: number, isClosed: () => boolean): boolean {
    const words = this.#memory.words;
    const events = (words[((words[this.#layout.eventLoop >> 2] ?? 0) >> 2) + EVENTS_WORD] ?? 0) >> 2;
    const connection = words[events + descriptor * EVENT_WORDS + EVENT_DATA_WORD] ?? 0;
    const client = words[(connection >> 2) + CONNECTION_CLIENT_WORD] ?? 0;
    this.#functions.readQueryFromClient(connection);
    if (!isClosed()) this.#functions.writeToClient(client);
    // this client itself stays in the list until the loop turns
    return this.#pendingWrites <= 1;
  }

  get #pendingWrites(): number {
    const words = this.#memory.words;
    const list = (words[this.#layout.pendingWrites >> 2] ?? 0) >> 2;
    return words[list + LIST_LENGTH_WORD] ?? 0;
  }
}
