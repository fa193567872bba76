/**
 * The server's own connections to the engine. They act as a user of their own, so that `requirepass` and ACL changes by
 * clients do not lock the server out of its own engine. (An engine by URL is reached as the user in the URL.)
 */
import { randomBytes } from "node:crypto";
import { type DirectConnection, EngineClient } from "./engine-client.ts";
import { encodeCommand } from "./encode.ts";
import type { ConnectOptions, Engine } from "./engine.ts";
import type { LentConnection } from "./engine-threads.ts";

/** The ACL user that the server acts as in an embedded engine. */
export const INTERNAL_USER = "regears";

/** An engine which may be able to serve one connection before the others. */
interface PriorityEngine extends Engine {
  connect(options?: ConnectOptions): DirectConnection;
}

export class InternalConnections {
  readonly #engine: PriorityEngine;
  #password: string | undefined;

  constructor(engine: PriorityEngine) {
    this.#engine = engine;
  }

  /**
   * Creates the user. To be called right after the engine's start.
   * @param requirepass the password that the engine was started with, if any
   */
  async start(requirepass: string): Promise<void> {
    if (!this.#engine.embedded) return;
    const client = new EngineClient(this.#engine.connect());
    if (requirepass !== "") await client.call("AUTH", requirepass);
    const password = randomBytes(24).toString("hex");
    await client.call("ACL", "SETUSER", INTERNAL_USER, "reset", "on", `>${password}`, "~*", "&*", "+@all");
    client.close();
    this.#password = password;
  }

  /**
   * Opens a connection that may do everything.
   * @param options `priority`: it gets its bytes before all others, for listening to notifications
   */
  open(options: ConnectOptions = {}): EngineClient {
    return this.#login(options).client;
  }

  /** Opens such a connection for a thread that uses the engine by itself; undefined when the engine does not answer. */
  lend(): LentConnection | undefined {
    const { connection, client } = this.#login({});
    // PING fails as writes do, while the engine can not save
    const answer = client.ask(encodeCommand(["ECHO", ""]));
    return answer instanceof Promise ? undefined : connection.lend?.();
  }

  #login(options: ConnectOptions): { readonly connection: DirectConnection; readonly client: EngineClient } {
    const connection = this.#engine.connect(options);
    const client = new EngineClient(connection);
    if (this.#password !== undefined) {
      // nobody waits for this reply: a failure shows in the reply to whatever is asked next
      client.call("AUTH", INTERNAL_USER, this.#password).catch(() => {});
      // Valkey must not disconnect the server itself when clients take too much memory
      client.call("CLIENT", "NO-EVICT", "ON").catch(() => {});
    }
    return { connection, client };
  }
}

/**
 * Gives `act` a connection of its own, which is closed when it has ended.
 * @throws what `act` throws
 */
export async function withConnection<T>(
  connections: Pick<InternalConnections, "open">,
  act: (client: EngineClient) => Promise<T>,
): Promise<T> {
  const client = connections.open();
  try {
    return await act(client);
  } finally {
    client.close();
  }
}
