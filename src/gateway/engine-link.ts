/**
 * A client's connection to the engine: opened with its first command, and answerable for what becomes of its replies.
 *
 * The engine knows who the client is and which database it has selected by this connection alone. So a client has one, and
 * when that one has ended nothing more is carried out: on another connection it would be somebody else's, in database 0.
 */
import {
  type ClientAddresses,
  DOWN,
  type Engine,
  type EngineConnection,
  ENGINE_DOWN,
  type HeldConnection,
} from "../engine/engine.ts";
import { andAfterwards, andThen, type Maybe } from "../maybe.ts";
import { isOwnLine, withOrigin } from "./monitors.ts";
import type { Replies } from "./replies.ts";

const DOWN_REPLY = Buffer.from(`-${ENGINE_DOWN}\r\n`);

interface LinkEvents {
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

type Link =
  | { readonly is: "unopened" }
  | { readonly is: "open"; readonly connection: EngineConnection; full: boolean }
  /** The connection has ended, on either side: nothing more may be sent. */
  | { readonly is: "over" };

const UNOPENED: Link = { is: "unopened" };
const OVER: Link = { is: "over" };

export class EngineLink {
  readonly #engine: Engine;
  readonly #replies: Replies;
  readonly #events: LinkEvents;
  readonly #addresses: ClientAddresses;
  #link: Link = UNOPENED;
  /** Later commands rely on what the connection knows: it has answered, or will have to do with what was sent. */
  #bound = false;
  /** How many jobs keep the connection to their ends. */
  #jobs = 0;
  /** The connection is to be closed when the last job has ended. */
  #unwanted = false;
  /** The client reads too slowly for more. */
  #paused = false;
  /** Others carry out commands over the connection. */
  #isLent = false;
  /** How many urgent questions of ours wait for their replies, however slowly the client reads. */
  #urgent = 0;

  constructor(engine: Engine, replies: Replies, addresses: ClientAddresses, events: LinkEvents) {
    this.#engine = engine;
    this.#replies = replies;
    this.#addresses = addresses;
    this.#events = events;
  }

  /** True while the engine can not take more. */
  get full(): boolean {
    return this.#link.is === "open" && this.#link.full;
  }

  /** True when the connection has ended. */
  get over(): boolean {
    return this.#link === OVER;
  }

  /**
   * Sends commands whose replies the caller has announced. When the connection is {@link over} they are forgotten.
   * @param quiet MONITOR does not show them
   */
  send(bytes: Uint8Array, quiet = false): void {
    const link = this.#opened();
    if (!link) this.#replies.drop(DOWN);
    else if (!link.connection.write(bytes, quiet)) link.full = true;
  }

  /**
   * Sends something of the server's own; the client does not see its replies.
   * @param quiet MONITOR does not show it
   * @returns the last of them
   * @throws DOWN when the connection ends before that, or had ended
   */
  async ask(bytes: Uint8Array, replies: number, quiet = false): Promise<Buffer> {
    if (this.over) throw DOWN;
    const waiting = Array.from(
      { length: replies },
      () => new Promise<Buffer>((resolve, reject) => this.#replies.expectPrivate(resolve, reject)),
    );
    this.send(bytes, quiet);
    const all = await Promise.all(waiting);
    return all.at(-1) ?? Buffer.alloc(0);
  }

  /** As {@link ask}, for a job that may hold the engine: others wait for it, so its replies come however slowly the client reads. */
  async askUrgently(bytes: Uint8Array, replies: number): Promise<Buffer> {
    return this.#urgently(() => this.ask(bytes, replies));
  }

  /** As {@link askUrgently}, for one command, whose reply comes within the call where the engine can do that. @throws DOWN */
  askAtOnce(bytes: Uint8Array): Maybe<Buffer> {
    if (this.over) throw DOWN;
    return this.#urgently(() => this.#askNow(bytes));
  }

  #urgently(ask: () => Maybe<Buffer>): Maybe<Buffer> {
    if (this.#urgent++ === 0 && this.#paused) this.#connection?.resume();
    return andAfterwards(ask, () => {
      if (--this.#urgent === 0 && this.#paused) this.#connection?.pause();
    });
  }

  #askNow(bytes: Uint8Array): Maybe<Buffer> {
    let reply: Buffer | undefined;
    let failure: Error | undefined;
    let settled = (): void => {};
    this.#replies.expectPrivate(
      (frame) => {
        reply = frame;
        settled();
      },
      (reason) => {
        failure = reason;
        settled();
      },
    );
    this.send(bytes);
    this.#connection?.flushNow?.();
    if (failure) throw failure;
    if (reply) return reply;
    return new Promise((resolve, reject) => {
      settled = () => (reply ? resolve(reply) : reject(failure));
    });
  }

  /**
   * Has others carry out commands of the client's in the engine, over this connection. Nothing else may be under way.
   * @param act gives how many commands were carried out
   * @param onDone is told, before the client gets the replies to these
   * @returns undefined when that is not possible now
   */
  lend(act: (connection: HeldConnection) => Maybe<number>, onDone: (count: number) => void): Maybe<void> | undefined {
    const connection = this.#connection;
    const held = this.#paused ? undefined : connection?.holdBack?.();
    if (connection === undefined || held === undefined) return undefined;
    this.#jobs++;
    this.#isLent = true;
    return andAfterwards(
      () => andThen(act(held), onDone),
      () => {
        this.#isLent = false;
        if (!this.#paused) connection.resume();
        connection.flushNow?.();
        if (--this.#jobs === 0 && this.#unwanted) this.close();
      },
    );
  }

  /** The client is about to monitor, or no longer does so. */
  monitor(on: boolean): void {
    this.#opened()?.connection.monitor?.(on);
  }

  /** What the client sees of a line of MONITOR which the engine has just sent; undefined: nothing. */
  shownLine(line: Buffer): Buffer | undefined {
    if (isOwnLine(line)) return undefined;
    const connection = this.#connection;
    if (connection?.monitor === undefined) return line;
    return connection.cause === undefined ? undefined : withOrigin(line, connection.cause);
  }

  pause(): void {
    this.#paused = true;
    if (this.#urgent === 0) this.#connection?.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.#isLent) this.#connection?.resume();
  }

  /**
   * Something is about to be sent that gives later commands another meaning, such as AUTH. An engine that could not be
   * reached for it may not be tried again: those commands would be carried out without it.
   */
  commit(): void {
    this.#bound = true;
  }

  /** Runs what nobody may see half done: {@link close} takes effect only when it has ended. */
  async toItsEnd<T>(run: () => Promise<T>): Promise<T> {
    this.#jobs++;
    try {
      return await run();
    } finally {
      if (--this.#jobs === 0 && this.#unwanted) this.close();
    }
  }

  /** Closes the connection for good; nothing is owed any more. */
  close(): void {
    this.#unwanted = true;
    if (this.#jobs > 0) return;
    const connection = this.#connection;
    this.#link = OVER;
    connection?.close();
    this.#replies.drop(DOWN);
  }

  get #connection(): EngineConnection | undefined {
    return this.#link.is === "open" ? this.#link.connection : undefined;
  }

  /** @returns undefined when it is over */
  #opened(): (Link & { readonly is: "open" }) | undefined {
    if (this.#link.is === "unopened") this.#link = { is: "open", connection: this.#connect(), full: false };
    return this.#link.is === "open" ? this.#link : undefined;
  }

  #connect(): EngineConnection {
    const connection = this.#engine.connect({ addresses: this.#addresses });
    connection.onData = (bytes) => {
      this.#bound = true;
      try {
        this.#replies.receive(bytes);
      } catch (reason) {
        this.#events.onBroken(reason);
      }
    };
    connection.onDrain = () => {
      if (this.#link.is === "open") this.#link.full = false;
      this.#events.onDrain();
    };
    connection.onClose = (reason) => this.#closed(reason);
    if (this.#paused && this.#urgent === 0) connection.pause();
    return connection;
  }

  /** Without a reason the engine closed this connection: QUIT, CLIENT KILL, a request it does not accept. */
  #closed(reason: Error | undefined): void {
    // a connection that has never answered knew nothing of the client
    const again = reason !== undefined && !this.#bound;
    this.#link = again ? UNOPENED : OVER;
    if (reason === undefined || this.#replies.inside) this.#replies.drop(DOWN);
    else this.#replies.fail(DOWN, DOWN_REPLY);
    if (again) this.#events.onRefused(reason);
    else if (reason) this.#events.onLost();
    else this.#events.onEnd();
  }
}
