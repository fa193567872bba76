/** Hears from the engine which keys were changed, in whatever way: by commands, scripts, expiry or eviction. */
import type { EngineClient } from "../engine/engine-client.ts";
import type { InternalConnections } from "../engine/internal-connections.ts";
import { others } from "../in-turns.ts";

/** The channel on which the engine tells a connection that speaks RESP2. */
const CHANNEL = "__redis__:invalidate";

export class ChangedKeys {
  /** All keys were removed. */
  flushed = false;
  /** Nothing is heard any more. */
  broken = false;
  readonly #listener: EngineClient;
  readonly #reader: EngineClient;
  #keys = new Set<string>();

  private constructor(listener: EngineClient, reader: EngineClient) {
    this.#listener = listener;
    this.#reader = reader;
    listener.onClose = () => {
      this.broken = true;
    };
    listener.onPush = (_kind, [_channel, keys]) => {
      if (Array.isArray(keys)) for (const key of keys) this.#keys.add((key as Buffer).toString("latin1"));
      else this.flushed = true;
    };
  }

  /** @param reader the connection on whose behalf the engine tells */
  static async listen(reader: EngineClient, connections: Pick<InternalConnections, "open">): Promise<ChangedKeys> {
    const listener = connections.open();
    const changed = new ChangedKeys(listener, reader);
    try {
      const id = String(await listener.call("CLIENT", "ID"));
      await listener.call("SUBSCRIBE", CHANNEL);
      await reader.call("CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", id);
      return changed;
    } catch (error) {
      changed.close();
      throw error;
    }
  }

  /** How many keys were changed since the last {@link ChangedKeys.take}. */
  get size(): number {
    return this.#keys.size;
  }

  /** The keys that were changed, of whatever database, and starts anew. */
  take(): Buffer[] {
    const keys = [...this.#keys].map((key) => Buffer.from(key, "latin1"));
    this.#keys = new Set();
    return keys;
  }

  /** Resolves when everything has been heard that happened before the call. */
  async catchUp(): Promise<void> {
    // The engine tells of changes after the pass in which they were made, and hands that over one pass later.
    await this.#reader.call("PING");
    await this.#reader.call("PING");
    await others();
  }

  close(): void {
    this.#listener.onClose = () => {};
    this.#listener.close();
  }
}
