/** A connection to the embedded engine. */
import type { EngineConnection, HeldConnection } from "./engine.ts";
import type { LentConnection } from "./engine-threads.ts";
import type { VirtualSocket } from "./virtual-socket.ts";

/** What a connection needs of the engine. */
interface Driver {
  /** A socket has input, or has ended. */
  wake(socket: VirtualSocket): void;
  /** A socket may be delivered to again. */
  resumed(socket: VirtualSocket): void;
  /** See {@link EngineConnection.monitor}. */
  setMonitoring(socket: VirtualSocket, monitoring: boolean): void;
  /** A connection wants to be told when its input has been read. */
  noteFull(connection: EmbeddedConnection): void;
  /** Valkey has closed this socket's connection, in another thread. */
  noteClosed(socket: VirtualSocket): void;
  /** Most bytes of replies that Valkey may hold for a client; 0: no limit. */
  readonly clientOutputLimit: number;
  /** See {@link EmbeddedConnection.flushNow}. */
  flush(socket: VirtualSocket): void;
}

/** Unread input above which `write()` asks to stop, in bytes. */
export const HIGH_WATER = 1024 * 1024;

export class EmbeddedConnection implements EngineConnection {
  onData: (bytes: Buffer) => void = () => {};
  onDrain: () => void = () => {};
  onClose: (reason?: Error) => void = () => {};
  /** @internal the engine's end */
  readonly socket: VirtualSocket;
  readonly #driver: Driver;
  #open = true;

  /** @internal use `EmbeddedEngine.connect` */
  constructor(driver: Driver, socket: VirtualSocket) {
    this.#driver = driver;
    this.socket = socket;
  }

  write(bytes: Uint8Array, quiet = false): boolean {
    if (!this.#open || this.socket.ended) return true;
    this.socket.push(bytes, quiet);
    this.#driver.wake(this.socket);
    if (this.socket.unread <= HIGH_WATER) return true;
    this.#driver.noteFull(this);
    return false;
  }

  /**
   * Carries out what was written, at once and before anything of other connections, and delivers the replies within
   * this call. Of long replies (more than 64 KiB) a part may come later. Does nothing when called from the engine's log.
   */
  flushNow(): void {
    if (this.#open) this.#driver.flush(this.socket);
  }

  /** Lets MONITOR show what is carried out by {@link EmbeddedConnection.flushNow} as the command of a script. */
  flushShown(): void {
    this.socket.shown = true;
    this.flushNow();
    this.socket.shown = false;
  }

  get cause(): string | undefined {
    return this.socket.cause;
  }

  /** Hands the connection to a thread that sends and receives by itself. All earlier commands must have been answered. */
  lend(): LentConnection {
    const { socket } = this;
    return {
      descriptor: socket.descriptor,
      set onClosing(listener: () => void) {
        socket.onClosing = listener;
      },
      close: (closedThere) => {
        if (closedThere) this.#driver.noteClosed(socket);
        this.close();
      },
    };
  }

  holdBack(): HeldConnection | undefined {
    const { socket } = this;
    const isQuiet = socket.unread === 0 && !socket.hasOutput && !socket.inWriting && !socket.monitoring;
    const isThere = this.#open && socket.descriptor >= 0 && !socket.ended && !socket.closed;
    if (!isThere || !isQuiet || socket.paused) return undefined;
    socket.paused = true;
    return {
      descriptor: socket.descriptor,
      outputLimit: this.#driver.clientOutputLimit,
      noteClosed: () => this.#driver.noteClosed(socket),
    };
  }

  monitor(on: boolean): void {
    this.#driver.setMonitoring(this.socket, on);
  }

  pause(): void {
    this.socket.paused = true;
  }

  resume(): void {
    if (!this.socket.paused) return;
    this.socket.paused = false;
    this.#driver.resumed(this.socket);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.socket.ended = true;
    this.socket.drop();
    this.socket.dropOutput();
    this.#driver.wake(this.socket);
  }

  /** @internal hands over what the engine wrote, and its end */
  deliver(reason: Error | undefined): void {
    const socket = this.socket;
    if (!this.#open) return;
    // One piece at a time: a receiver may pause, or flush and so bring about another delivery inside this one.
    while (socket.hasOutput && (!socket.paused || socket.monitoring) && this.#open) this.onData(socket.takeOutput());
    if (this.#open && socket.closed && !socket.hasOutput) {
      this.#open = false;
      this.onClose(reason);
    }
  }
}
