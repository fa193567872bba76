/** Short commands of the registrations to the engine, answered within the call where the engine is in this process. */
import type { DirectClient, InternalConnections } from "../engine/internal.ts";
import { RespReader } from "../python/transcode.ts";

/** Opens connections of the server's own. */
export type Connections = Pick<InternalConnections, "openDirect">;

/** A long reply comes in parts of 64 KiB, one with each flush: enough for the longest value. */
const MAX_FLUSHES = 16_384;

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
    let answer: { readonly reader: RespReader | undefined } | undefined;
    let waiting = true;
    direct.client.rawCallNow(bytes, replies, (error, data) => {
      answer = { reader: error === undefined ? new RespReader(data) : undefined };
      if (!waiting) done(answer.reader);
    });
    for (let flushes = 0; this.atOnce && !answer && flushes < MAX_FLUSHES; flushes++) direct.flush();
    waiting = false;
    // Not inside the callback: the client delivers nothing more before that has returned, and `done` may call again.
    const given = answer as { readonly reader: RespReader | undefined } | undefined;
    if (given) done(given.reader);
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
