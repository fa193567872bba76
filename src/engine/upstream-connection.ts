/** One socket to a server by URL: it logs in and selects the database before anything else is sent. */
import { isIP, type Socket, connect as connectPlain } from "node:net";
import { type SecureVersion, connect as connectTls } from "node:tls";
import { InternalError } from "../errors.ts";
import { FrameCollector } from "../resp/frames.ts";
import { deadline } from "./deadline.ts";
import { type CommandArgument, encodeCommands } from "./encode.ts";
import type { EngineConnection } from "./engine.ts";
import type { EngineAddress } from "./url.ts";

/** PEM texts for `rediss://`, and how strict to be. */
export interface UpstreamTls {
  /** Authorities that may sign the server's certificate, instead of the well-known ones. */
  readonly ca?: string | Buffer;
  /** The client's certificate and key. */
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  /** The name that the server's certificate must have; the URL's host unless given. */
  readonly serverName?: string;
  readonly minVersion?: SecureVersion;
  /** Takes any certificate. */
  readonly insecure?: boolean;
}

/** Bytes that may wait for the login before `write()` asks to stop. */
const HIGH_WATER = 1024 * 1024;
const MINUS = 45;

export class UpstreamConnection implements EngineConnection {
  onData: (bytes: Buffer) => void = () => {};
  onDrain: () => void = () => {};
  onClose: (reason?: Error) => void = () => {};
  /** @internal for the engine's own bookkeeping; comes before `onClose`, and for `close()` as well */
  onEnd: () => void = () => {};

  readonly #socket: Socket | undefined;
  readonly #peer: string;
  readonly #greeting: readonly (readonly CommandArgument[])[] = [];
  /** Puts the login's replies together. */
  readonly #collector = new FrameCollector();
  readonly #endDeadline: () => void = () => {};
  /** What was written before the login was done; undefined from then on. */
  #waiting: Uint8Array[] | undefined = [];
  #waitingBytes = 0;
  #wantsDrain = false;
  #open = true;

  /**
   * @param address undefined when the server is known to be down: the connection then closes at once
   * @param timeoutMs how long connecting and logging in may take
   * @param down the reason for an unreachable server
   * @param peer what people call that server
   */
  constructor(
    address: EngineAddress | undefined,
    tls: UpstreamTls,
    timeoutMs: number,
    down: string,
    peer = "the engine",
  ) {
    this.#peer = peer;
    if (address === undefined) {
      setImmediate(() => this.#fail(new InternalError(down)));
      return;
    }
    this.#greeting = greeting(address);
    const socket = openSocket(address, tls);
    this.#socket = socket;
    const late = (): void => this.#fail(new InternalError(`${down}: no answer within ${timeoutMs} ms`));
    this.#endDeadline = deadline(timeoutMs, late);
    socket.once(address.tls ? "secureConnect" : "connect", () => this.#greet(socket));
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
    socket.on("drain", () => this.#drain());
    socket.on("error", (error) => this.#fail(new InternalError(`${down}: ${error.message}`, { cause: error })));
    socket.on("close", () => this.#fail(this.#waiting === undefined ? undefined : new InternalError(down)));
  }

  write(bytes: Uint8Array): boolean {
    if (!this.#open) return true;
    const room = this.#waiting === undefined ? (this.#socket?.write(bytes) ?? true) : this.#wait(this.#waiting, bytes);
    if (!room) this.#wantsDrain = true;
    return room;
  }

  #wait(waiting: Uint8Array[], bytes: Uint8Array): boolean {
    waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    return this.#waitingBytes <= HIGH_WATER;
  }

  pause(): void {
    // The login must go on: its replies are not delivered.
    if (this.#waiting === undefined) this.#socket?.pause();
    else this.#pausedEarly = true;
  }

  resume(): void {
    this.#pausedEarly = false;
    this.#socket?.resume();
  }

  #pausedEarly = false;

  close(): void {
    this.#end();
  }

  /** Closes the connection because the server is gone, though nothing on this connection says so. */
  lose(reason: InternalError): void {
    this.#fail(reason);
  }

  #greet(socket: Socket): void {
    if (this.#greeting.length === 0) this.#ready();
    else socket.write(encodeCommands(this.#greeting));
  }

  #take(bytes: Buffer): void {
    if (!this.#open) return;
    if (this.#waiting === undefined) {
      this.onData(bytes);
      return;
    }
    const end = this.#endOfReply(bytes);
    if (end < 0) return;
    this.#replied(this.#collector.take());
    if (end < bytes.length) this.#take(bytes.subarray(end));
  }

  #endOfReply(bytes: Buffer): number {
    try {
      return this.#collector.read(bytes, 0);
    } catch (error) {
      this.#fail(new InternalError(`${this.#peer}'s reply is not RESP`, { cause: error }));
      return -1;
    }
  }

  #replies = 0;

  #replied(reply: Buffer): void {
    const text = reply.subarray(1).toString().trim();
    const [command] = this.#greeting[this.#replies++] ?? [];
    // a reply that nothing has asked for: the server refuses the connection, for instance because it has too many
    if (command === undefined) this.#fail(new InternalError(text));
    else if (reply[0] === MINUS) this.#fail(new InternalError(`${this.#peer} refuses ${String(command)}: ${text}`));
    else if (this.#replies === this.#greeting.length) this.#ready();
  }

  #ready(): void {
    this.#endDeadline();
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    this.#waitingBytes = 0;
    if (this.#pausedEarly) this.#socket?.pause();
    let room = true;
    for (const bytes of waiting) room = this.#socket?.write(bytes) ?? true;
    if (room) this.#drain();
  }

  #drain(): void {
    const wanted = this.#wantsDrain;
    this.#wantsDrain = false;
    if (wanted && this.#open) this.onDrain();
  }

  #fail(reason: InternalError | undefined): void {
    if (!this.#open) return;
    this.#end();
    this.onClose(reason);
  }

  #end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#endDeadline();
    this.#waiting = undefined;
    this.#socket?.destroy();
    this.onEnd();
  }
}

function openSocket(address: EngineAddress, tls: UpstreamTls): Socket {
  if (!address.tls) return connectPlain(address.connect);
  const host = "host" in address.connect ? (address.connect.host ?? "") : "";
  const serverName = tls.serverName ?? (isIP(host) === 0 ? host : undefined);
  return connectTls({
    ...address.connect,
    rejectUnauthorized: tls.insecure !== true,
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    ...(tls.minVersion === undefined ? {} : { minVersion: tls.minVersion }),
  });
}

function greeting(address: EngineAddress): CommandArgument[][] {
  const commands: CommandArgument[][] = [];
  if (address.password !== undefined) {
    commands.push(["AUTH", ...(address.user === undefined ? [] : [address.user]), address.password]);
  }
  if (address.database !== 0) commands.push(["SELECT", String(address.database)]);
  return commands;
}
