/** A client's connection to the engine: opened with its first command, and answerable for what becomes of its replies. */
import { type ClientAddresses, type Engine, type EngineConnection, ENGINE_DOWN } from "../engine/engine.ts";
import { withOrigin } from "./monitors.ts";
import type { Replies } from "./replies.ts";

/** What waits for a reply is rejected with this when the engine has gone. */
export const DOWN = new Error(ENGINE_DOWN);
const DOWN_REPLY = Buffer.from(`-${ENGINE_DOWN}\r\n`);

export interface LinkEvents {
  /** The engine takes more again. */
  onDrain(): void;
  /** The engine closed this connection: so must the client. */
  onEnd(): void;
  /** The engine went away, and with it what it knew of this client; what waited has been told. */
  onLost(): void;
  /** The engine could not be reached; the client has been told and may try again. */
  onRefused(reason: Error): void;
  /** What the engine sends can not be read. */
  onBroken(reason: unknown): void;
}

export class EngineLink {
  readonly #engine: Engine;
  readonly #replies: Replies;
  readonly #events: LinkEvents;
  readonly #addresses: ClientAddresses;
  #connection: EngineConnection | undefined;
  #answered = false;
  #full = false;
  #paused = false;

  constructor(engine: Engine, replies: Replies, addresses: ClientAddresses, events: LinkEvents) {
    this.#engine = engine;
    this.#replies = replies;
    this.#addresses = addresses;
    this.#events = events;
  }

  /** True while the engine can not take more. */
  get full(): boolean {
    return this.#full;
  }

  /** Sends commands whose replies the caller has announced. */
  send(bytes: Uint8Array): void {
    this.#connection ??= this.#connect();
    if (!this.#connection.write(bytes)) this.#full = true;
  }

  /**
   * Sends something of the server's own; the client does not see its replies.
   * @returns the last of them
   * @throws DOWN
   */
  async ask(bytes: Uint8Array, replies: number): Promise<Buffer> {
    const waiting = Array.from({ length: replies }, () => this.#replies.expectPrivate());
    this.send(bytes);
    const all = await Promise.all(waiting);
    return all.at(-1) ?? Buffer.alloc(0);
  }

  /** The same for a question of the server's own, which MONITOR does not show. */
  askQuietly(bytes: Uint8Array): Promise<Buffer> {
    const reply = this.#replies.expectPrivate();
    this.#connection ??= this.#connect();
    if (!this.#connection.write(bytes, true)) this.#full = true;
    return reply;
  }

  /** The client is about to monitor, or no longer does so. */
  monitor(on: boolean): void {
    this.#connection ??= this.#connect();
    this.#connection.monitor?.(on);
  }

  /** What the client sees of a line of MONITOR which the engine has just sent; undefined: nothing. */
  shownLine(line: Buffer): Buffer | undefined {
    const connection = this.#connection;
    if (connection?.monitor === undefined) return line;
    return connection.cause === undefined ? undefined : withOrigin(line, connection.cause);
  }

  pause(): void {
    this.#paused = true;
    this.#connection?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#connection?.resume();
  }

  /** Closes the connection; nothing is owed any more. */
  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
    this.#replies.drop(DOWN);
  }

  #connect(): EngineConnection {
    const connection = this.#engine.connect({ addresses: this.#addresses });
    this.#answered = false;
    connection.onData = (bytes) => {
      this.#answered = true;
      try {
        this.#replies.receive(bytes);
      } catch (reason) {
        this.#events.onBroken(reason);
      }
    };
    connection.onDrain = () => {
      this.#full = false;
      this.#events.onDrain();
    };
    connection.onClose = (reason) => this.#closed(reason);
    if (this.#paused) connection.pause();
    return connection;
  }

  /** Without a reason the engine closed this connection: QUIT, CLIENT KILL, a request it does not accept. */
  #closed(reason: Error | undefined): void {
    this.#connection = undefined;
    this.#full = false;
    const again = reason !== undefined && !this.#answered;
    if (reason === undefined || this.#replies.inside) this.#replies.drop(DOWN);
    else this.#replies.fail(DOWN, DOWN_REPLY);
    if (again) this.#events.onRefused(reason);
    else if (reason) this.#events.onLost();
    else this.#events.onEnd();
  }
}
