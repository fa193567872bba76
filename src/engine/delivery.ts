/**
 * What Valkey wrote, on its way to the connections: those opened with `priority` first, then the others in the order in which
 * Valkey wrote to them.
 */
import { Fifo } from "../resp/fifo.ts";
import { type EmbeddedConnection, HIGH_WATER } from "./embedded-connection.ts";
import type { VirtualSocket } from "./virtual-socket.ts";

const LOW_WATER = HIGH_WATER / 4;

export class Delivery {
  readonly #connections = new Map<VirtualSocket, EmbeddedConnection>();
  /** Sockets with something to deliver, priority ones apart. */
  readonly #urgent = new Fifo<VirtualSocket>();
  readonly #ordinary = new Fifo<VirtualSocket>();
  /** Connections whose `write()` gave false. */
  readonly #full = new Set<EmbeddedConnection>();
  /** Why the engine has ended, if it has, and not as somebody wanted it. */
  #reason: Error | undefined;

  /** From now on the connection gets what Valkey writes to its socket. */
  add(connection: EmbeddedConnection): void {
    this.#connections.set(connection.socket, connection);
  }

  /** A connection wants to be told when its input has been read. */
  noteFull(connection: EmbeddedConnection): void {
    this.#full.add(connection);
  }

  /** Valkey has written to a socket, or has closed it. */
  noteOutput(socket: VirtualSocket): void {
    if (socket.undelivered) return;
    socket.undelivered = true;
    (socket.priority ? this.#urgent : this.#ordinary).push(socket);
  }

  /** Does anything wait to be delivered? */
  get isDue(): boolean {
    return this.#urgent.length > 0 || this.#ordinary.length > 0;
  }

  /**
   * Delivers everything. A receiver may flush and so cause more output and a delivery inside this one: that one goes on
   * where this one stands, so that nobody gets bytes out of order.
   */
  deliver(): void {
    while (this.isDue) {
      const socket = this.#urgent.shift() ?? this.#ordinary.shift();
      if (socket !== undefined) this.#deliverTo(socket);
    }
    if (this.#full.size > 0) this.#tellDrained();
  }

  /** The engine has ended: delivers what there is, and closes all connections. */
  closeAll(reason: Error | undefined): void {
    this.#reason = reason;
    for (const socket of this.#connections.keys()) {
      socket.closed = true;
      this.noteOutput(socket);
    }
    this.deliver();
  }

  #deliverTo(socket: VirtualSocket): void {
    socket.undelivered = false;
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    connection.deliver(this.#reason);
    // a connection that is paused still has to get its last bytes
    if (socket.closed && !socket.hasOutput) this.#connections.delete(socket);
  }

  #tellDrained(): void {
    for (const connection of this.#full) {
      if (connection.socket.unread > LOW_WATER) continue;
      this.#full.delete(connection);
      if (!connection.socket.ended && !connection.socket.closed) connection.onDrain();
    }
  }
}
