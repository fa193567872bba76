/** A connection of the server's own that is opened when it is needed, and anew when it has ended. */
import type { Maybe } from "../maybe.ts";
import type { CommandArgument } from "./encode.ts";
import type { EngineClient, EngineValue } from "./engine-client.ts";

export class LastingClient {
  readonly #open: () => EngineClient;
  #client: EngineClient | undefined;

  constructor(open: () => EngineClient) {
    this.#open = open;
  }

  /** See {@link EngineClient.ask}. @throws EngineClosed when the connection ended first */
  ask(...request: Parameters<EngineClient["ask"]>): Maybe<Buffer> {
    return this.#get().ask(...request);
  }

  /** See {@link EngineClient.call}. @throws EngineClosed when the connection ended first */
  call(...command: readonly CommandArgument[]): Promise<EngineValue> {
    return this.#get().call(...command);
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  #get(): EngineClient {
    if (this.#client) return this.#client;
    const client = this.#open();
    client.onClose = () => {
      if (this.#client === client) this.#client = undefined;
    };
    this.#client = client;
    return client;
  }
}
