/** What goes to one client's socket: gathered during a turn of the event loop or a little longer, watched and bounded. */
import type { Socket } from "node:net";

/** The socket holds more than this: whoever produces should wait, in bytes. */
const HIGH_WATER = 1024 * 1024;
/** Up to so many bytes are copied into one write. */
const JOIN_LIMIT = 64 * 1024;
/** How long replies may wait for the next one when that is on its way, in ms: a write costs more than most commands. */
const HOLD_MS = 1;
/** Up to so many bytes wait for that. */
const HOLD_BYTES = 16 * 1024;

interface OutputEvents {
  /** Is a reply being made that the client already waits for? */
  expectsMore(): boolean;
  /** More is waiting than the client may leave unread; nothing more is accepted. */
  onOverflow(): void;
  /** The client reads more slowly than it is sent to: whoever produces should stop until `onDrain`. */
  onFull(): void;
  /** The client reads again after {@link ClientOutput.full} was true. */
  onDrain(): void;
}

export class ClientOutput {
  readonly #socket: Socket;
  readonly #limit: number;
  readonly #events: OutputEvents;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #scheduled = false;
  #held: NodeJS.Timeout | undefined;
  /** `full`: the client reads too slowly; `over`: it has been given up. */
  #room: "free" | "full" | "over" = "free";

  /** @param limit most bytes that may wait for the client; beyond that it is given up */
  constructor(socket: Socket, limit: number, events: OutputEvents) {
    this.#socket = socket;
    this.#limit = limit;
    this.#events = events;
    socket.on("drain", () => this.#drained());
  }

  /** True while the client reads too slowly. */
  get full(): boolean {
    return this.#room === "full";
  }

  /** Takes bytes; they must not be changed afterwards. */
  write(bytes: Uint8Array): void {
    if (this.#room === "over" || bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
    const waiting = this.#bytes + this.#socket.writableLength;
    if (waiting > HIGH_WATER && !this.#noteFull(waiting)) return;
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(() => this.#turnEnded());
    }
  }

  /** Much is waiting. @returns whether that may be */
  #noteFull(waiting: number): boolean {
    if (waiting > this.#limit) {
      this.#room = "over";
      this.#chunks = [];
      this.#events.onOverflow();
      return false;
    }
    if (this.#room === "free") {
      this.#room = "full";
      this.#events.onFull();
    }
    return true;
  }

  #drained(): void {
    if (this.#bytes > 0) this.flush();
    if (!this.full || this.#bytes + this.#socket.writableLength > HIGH_WATER) return;
    this.#room = "free";
    this.#events.onDrain();
  }

  #turnEnded(): void {
    if (this.#bytes > HOLD_BYTES || !this.#events.expectsMore()) this.flush();
    else {
      this.#scheduled = false;
      this.#held ??= setTimeout(() => this.flush(), HOLD_MS);
    }
  }

  /** Hands everything to the socket now. */
  flush(): void {
    this.#scheduled = false;
    clearTimeout(this.#held);
    this.#held = undefined;
    const chunks = this.#chunks;
    const bytes = this.#bytes;
    if (bytes === 0 || this.#room === "over" || !this.#socket.writable) return;
    this.#chunks = [];
    this.#bytes = 0;
    const only = chunks[0];
    if (chunks.length === 1 && only) {
      this.#socket.write(only);
    } else if (bytes <= JOIN_LIMIT) {
      this.#socket.write(Buffer.concat(chunks, bytes));
    } else {
      this.#socket.cork();
      for (const chunk of chunks) this.#socket.write(chunk);
      this.#socket.uncork();
    }
    // what the system has taken at once makes no "drain"
    if (this.full && !this.#socket.writableNeedDrain) this.#drained();
  }
}
