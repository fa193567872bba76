/** Short commands of the registrations to the engine, answered within the call where the engine is in this process. */
import type { EngineClient } from "../engine/client.ts";
import { RespReader } from "../python/transcode.ts";

/** A connection whose commands can be carried out at once. */
export interface DirectClient {
  readonly client: EngineClient;
  /** Carries out what was sent, within the call, where the engine can. */
  flush(): void;
}

/** Opens connections of the server's own. */
export interface Connections {
  openDirect(options?: { readonly priority?: boolean }): DirectClient;
}

/** A long reply comes in parts of 64 KiB, one with each flush. */
const MAX_FLUSHES = 65_536;

export class EngineCalls {
  /** True when the engine answers within the call. */
  readonly atOnce: boolean;
  readonly #connections: Connections;
  #direct: DirectClient | undefined;

  /** @param atOnce the engine is in this process */
  constructor(connections: Connections, atOnce: boolean) {
    this.#connections = connections;
    this.atOnce = atOnce;
  }

  /**
   * Sends encoded commands.
   * @param replies how many replies they will have
   * @param done called exactly once, with a reader that stands before the first reply; undefined when the engine is gone
   */
  run(bytes: Buffer, replies: number, done: (replies: RespReader | undefined) => void): void {
    const direct = this.#open();
    let answered = false;
    direct.client.rawCallNow(bytes, replies, (error, data) => {
      answered = true;
      done(error === undefined ? new RespReader(data) : undefined);
    });
    if (!this.atOnce) return;
    for (let flushes = 0; !answered && flushes < MAX_FLUSHES; flushes++) direct.flush();
  }

  /** Ends the connection. */
  close(): void {
    this.#direct?.client.close();
    this.#direct = undefined;
  }

  #open(): DirectClient {
    if (this.#direct) return this.#direct;
    const direct = this.#connections.openDirect();
    direct.client.onClose = () => {
      if (this.#direct === direct) this.#direct = undefined;
    };
    this.#direct = direct;
    return direct;
  }
}
