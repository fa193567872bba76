/** A connection of the server's own that is opened when it is needed, and anew when it has ended. */
import type { EngineClient } from "./client.ts";

export class LastingClient {
  readonly #open: () => EngineClient;
  #client: EngineClient | undefined;

  constructor(open: () => EngineClient) {
    this.#open = open;
  }

  /** The present one. */
  get(): EngineClient {
    if (this.#client) return this.#client;
    const client = this.#open();
    client.onClose = () => {
      if (this.#client === client) this.#client = undefined;
    };
    this.#client = client;
    return client;
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}
