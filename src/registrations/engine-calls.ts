/** Short commands of the registrations to the engine, answered within the call where the engine is in this process. */
import { EngineClosed } from "../engine/engine-client.ts";
import type { InternalConnections } from "../engine/internal-connections.ts";
import { LastingClient } from "../engine/lasting-client.ts";
import type { Maybe } from "../maybe.ts";
import { RespReader } from "../python/transcode.ts";

/** Opens connections of the server's own. */
export type Connections = Pick<InternalConnections, "open">;

export class EngineCalls {
  /** True when the engine answers within the call. */
  readonly atOnce: boolean;
  readonly #client: LastingClient;

  /** @param atOnce the engine is in this process */
  constructor(connections: Connections, atOnce: boolean) {
    this.#client = new LastingClient(() => connections.open());
    this.atOnce = atOnce;
  }

  /**
   * Sends encoded commands.
   * @param replies how many replies they will have
   * @returns a reader that stands before the first reply; undefined when the engine is gone
   */
  ask(bytes: Buffer, replies = 1): Maybe<RespReader | undefined> {
    try {
      const reply = this.#client.ask(bytes, replies, "whole");
      return reply instanceof Promise ? reply.then((frame) => new RespReader(frame), gone) : new RespReader(reply);
    } catch (reason) {
      return gone(reason);
    }
  }

  /** Ends the connection. */
  close(): void {
    this.#client.close();
  }
}

function gone(reason: unknown): undefined {
  if (!(reason instanceof EngineClosed)) throw reason;
}
