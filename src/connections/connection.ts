/**
 * One connection of a script: a socket of Node's that is only read when somebody takes something, so it holds no more unread
 * bytes than its limit, and takes no more to send while it holds so many unsent. Everybody who waits for it is told when it can
 * be read or written, or has failed.
 */
import { connect as connectPlain, type Socket, type TcpNetConnectOpts } from "node:net";
import {
  checkServerIdentity,
  type ConnectionOptions as TlsOptions,
  connect as connectSecure,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { runAfter } from "../timer.ts";

/** What a connection can be ready for; bits. */
export const Readiness = { read: 1, write: 2 } as const;

/** Somebody who waits. */
export interface Watcher {
  readonly events: number;
  /** It is ready for these; called once. */
  readonly onReady: (events: number) => void;
}

/** How a connection becomes one of TLS. */
export interface TlsSettings {
  readonly context: SecureContext;
  /** The name that the server is told; none when empty. */
  readonly serverName: string;
  /** The certificate must be one of a known CA. */
  readonly verify: boolean;
  /** The certificate must be of this name or address; undefined: of any. */
  readonly identity: string | undefined;
  readonly protocols: readonly string[];
}

export interface ConnectionOptions {
  /** As {@link readHost} gives it: an address, never a name. */
  readonly address: string;
  readonly port: number;
  /** For people: what the script has named. */
  readonly target: string;
  /** Most bytes that it holds unread, and most that it holds unsent. */
  readonly bufferBytes: number;
}

/** Milliseconds that what was sent before a close may take to leave. */
const LINGER_MS = 5_000;

type Stage = "connecting" | "securing" | "open" | "failed" | "closed";

export class Connection {
  readonly options: ConnectionOptions;
  readonly since = performance.now();
  /** When something was last sent or taken. */
  lastUse = this.since;
  #socket: Socket;
  #secured: TLSSocket | undefined;
  #stage: Stage = "connecting";
  #error: string | undefined;
  /** The other side has said that nothing follows. */
  #ended = false;
  #shut = false;
  readonly #watchers = new Set<Watcher>();

  constructor(options: ConnectionOptions) {
    this.options = options;
    const { address, port, bufferBytes } = options;
    // nothing is looked up: what was judged is connected to
    const lookup = (): never => {
      throw new Error("an address is not looked up");
    };
    const how: TcpNetConnectOpts & { readonly highWaterMark: number } = {
      ...{ host: address, port, lookup, highWaterMark: bufferBytes },
      ...{ allowHalfOpen: true, noDelay: true, keepAlive: true },
    };
    this.#socket = connectPlain(how);
    this.#socket.once("connect", () => this.#goTo("open"));
    this.#listen(this.#socket);
  }

  get stage(): Stage {
    return this.#stage;
  }

  get isSecure(): boolean {
    return this.#secured !== undefined;
  }

  /** Why it does not work, as `CODE text`; undefined: it does, or nobody knows yet. */
  get error(): string | undefined {
    return this.#stage === "closed" ? "EBADF it was closed" : this.#error;
  }

  /** Addresses and ports of both ends, ours first. */
  get ends(): [string, number, string, number] {
    const { localAddress = "", localPort = 0 } = this.#socket;
    return [localAddress, localPort, this.options.address, this.options.port];
  }

  get figures(): {
    readonly received: number;
    readonly sent: number;
    readonly unread: number;
    readonly unsent: number;
  } {
    const { bytesRead, bytesWritten, readableLength, writableLength } = this.#secured ?? this.#socket;
    return { received: bytesRead, sent: bytesWritten, unread: readableLength, unsent: writableLength };
  }

  /** For which of these it is ready. What fails at once is ready for everything. */
  ready(events: number): number {
    if (this.#stage === "failed" || this.#stage === "closed") return events;
    if (this.#stage !== "open") return 0;
    const stream = this.#stream;
    const canRead = stream.readableLength > 0 || this.#ended;
    const canWrite = this.#shut || stream.writableLength < this.options.bufferBytes;
    return events & ((canRead ? Readiness.read : 0) | (canWrite ? Readiness.write : 0));
  }

  /** Tells a watcher when it is ready, at once if it is. @returns ends that */
  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher);
    this.#tell(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /**
   * Takes what has come. Without a byte it is the end, if it is {@link ready} to be read.
   * @param peek it stays there
   */
  take(max: number, peek: boolean): Buffer {
    const stream = this.#stream;
    this.lastUse = performance.now();
    const bytes = stream.read(Math.min(max, stream.readableLength)) as Buffer | null;
    if (bytes === null) return Buffer.alloc(0);
    if (peek) stream.unshift(bytes);
    // the end may have come together with these bytes: nothing tells of it but a further read
    else if (stream.readableLength === 0) stream.read(0);
    return bytes;
  }

  /** Sends; the bytes must not change afterwards. */
  send(bytes: Buffer): void {
    this.lastUse = performance.now();
    this.#stream.write(bytes, () => this.#changed());
  }

  /** Says that we send nothing more. */
  shut(): void {
    if (this.#stage !== "open" || this.#shut) return;
    this.#shut = true;
    this.#stream.end();
    this.#changed();
  }

  get isShut(): boolean {
    return this.#shut;
  }

  /** Becomes a connection of TLS; it is open again when that has succeeded. */
  secure({ context, serverName, verify, identity, protocols }: TlsSettings): void {
    const raw = this.#socket;
    raw.removeAllListeners("readable").removeAllListeners("end");
    this.#stage = "securing";
    const how: TlsOptions & { readonly highWaterMark: number } = {
      ...{ socket: raw, secureContext: context, rejectUnauthorized: false, servername: serverName },
      ...{ ALPNProtocols: [...protocols], highWaterMark: this.options.bufferBytes },
      // that is looked at below
      checkServerIdentity: () => undefined,
    };
    const tls = connectSecure(how);
    this.#secured = tls;
    this.#listen(tls);
    tls.once("secureConnect", () => {
      const wrong = verify && !tls.authorized ? `${tls.authorizationError}` : mismatch(tls, identity);
      if (wrong === undefined) this.#goTo("open");
      else this.#fail(`CERTIFICATE ${wrong}`);
    });
  }

  /** What was agreed upon: the protocol, the cipher's name and bits, and the application's protocol; undefined without TLS. */
  get agreed(): [string, string, number, string] | undefined {
    const tls = this.#secured;
    if (!tls) return undefined;
    const { name } = tls.getCipher() ?? { name: "" };
    const bits = /256|CHACHA20/.test(name) ? 256 : 128;
    return [tls.getProtocol() ?? "", name, bits, tls.alpnProtocol || ""];
  }

  /** The certificate of the other side; undefined: there is none. */
  get certificate(): ReturnType<TLSSocket["getPeerCertificate"]> | undefined {
    const found = this.#secured?.getPeerCertificate();
    return found?.raw === undefined ? undefined : found;
  }

  /** Ends it. What was sent has a few seconds to leave. */
  close(): void {
    if (this.#stage === "closed") return;
    const stream = this.#stream;
    const leaves = this.#stage === "open" && stream.writableLength > 0;
    this.#goTo("closed");
    if (!leaves) {
      this.#destroy();
      return;
    }
    const late = runAfter(LINGER_MS, () => this.#destroy());
    stream.end(() => {
      late.cancel();
      this.#destroy();
    });
    stream.resume();
  }

  get #stream(): Socket {
    return this.#secured ?? this.#socket;
  }

  #destroy(): void {
    this.#secured?.destroy();
    this.#socket.destroy();
  }

  #listen(stream: Socket): void {
    stream.on("readable", () => {
      // the end is only told to those who read up to it
      if (stream.readableLength === 0) stream.read();
      this.#changed();
    });
    stream.once("end", () => {
      this.#ended = true;
      this.#changed();
    });
    stream.on("drain", () => this.#changed());
    stream.on("error", (error: NodeJS.ErrnoException) => this.#fail(failureText(error, this.isSecure)));
    stream.once("close", () => {
      if (this.#stage === "connecting" || this.#stage === "securing")
        this.#fail("ECONNRESET the connection was closed");
      this.#ended = true;
      this.#changed();
    });
  }

  #fail(error: string): void {
    if (this.#stage === "failed" || this.#stage === "closed") return;
    this.#error = error;
    this.#destroy();
    this.#goTo("failed");
  }

  #goTo(stage: Stage): void {
    if (this.#stage === "closed") return;
    this.#stage = stage;
    this.#changed();
  }

  #changed(): void {
    for (const watcher of [...this.#watchers]) this.#tell(watcher);
  }

  #tell(watcher: Watcher): void {
    const events = this.ready(watcher.events);
    if (events !== 0 && this.#watchers.delete(watcher)) watcher.onReady(events);
  }
}

/** What is wrong with the name in a certificate. */
function mismatch(tls: TLSSocket, identity: string | undefined): string | undefined {
  if (identity === undefined) return undefined;
  return checkServerIdentity(identity, tls.getPeerCertificate())?.message;
}

function failureText(error: NodeJS.ErrnoException, isSecure: boolean): string {
  const code = error.code ?? "EIO";
  // what is no system's error is one of TLS
  return isSecure && !/^E[A-Z]+$/.test(code) ? `TLS ${error.message}` : `${code} ${error.message}`;
}
