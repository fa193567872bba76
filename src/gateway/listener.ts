/** The server's sockets: accepts clients, counts them, and lets them finish when the server stops. */
import { lstatSync, unlinkSync } from "node:fs";
import { createServer, type Server, type ServerOpts, type Socket } from "node:net";
import { listening } from "../listening.ts";
import { addressesOf } from "./addresses.ts";
import { Gateway } from "./gateway.ts";
import { createServer as createTlsServer } from "node:tls";
import type { GatewayDeps } from "./gateway-deps.ts";
import { DENIED, isLocal } from "./protected.ts";
import { Client } from "./client.ts";
import { hasBadCertificate, type TlsListening } from "./tls.ts";

interface ListenerOptions {
  /** TCP port, 0 for a free one; undefined: no TCP. */
  readonly port?: number | undefined;
  /** Addresses to listen on; 127.0.0.1 unless given. */
  readonly bind?: readonly string[] | undefined;
  /** Path of a unix socket. */
  readonly unixSocket?: string | undefined;
  /** A port with TLS, at the same addresses. */
  readonly tls?: TlsListening | undefined;
}

const KEEP_ALIVE_MS = 300_000;
const BACKLOG = 511;
/** How often idle clients are looked for. */
const IDLE_LOOK_MS = 1000;
const TOO_MANY = "-ERR max number of clients reached\r\n";

export class Listener {
  readonly #options: ListenerOptions;
  readonly #gateway: Gateway;
  readonly #servers: Server[] = [];
  readonly #clients = new Set<Client>();
  #nextId = 1;
  #refused = 0;
  #port = 0;
  #onEmpty: (() => void) | undefined;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(options: ListenerOptions, deps: GatewayDeps) {
    this.#options = options;
    this.#gateway = new Gateway(deps);
  }

  /** Clients that are connected now. */
  get clients(): number {
    return this.#clients.size;
  }

  /** Clients that were let in so far. */
  get accepted(): number {
    return this.#nextId - 1;
  }

  /** Clients that were turned away because there were too many. */
  get refused(): number {
    return this.#refused;
  }

  /** Are only clients of this machine served now? */
  get protects(): boolean {
    return this.#gateway.protects;
  }

  isLocal(socket: Pick<Socket, "remoteAddress" | "remoteFamily">): boolean {
    return isLocal(socket);
  }

  /** Must clients say who they are? */
  get authRequired(): boolean {
    return this.#gateway.authRequired;
  }

  /** What is listened on, in the words of Redis. */
  get kinds(): ("tcp" | "tls" | "unix")[] {
    const { port, tls, unixSocket } = this.#options;
    return [
      ...(port === undefined ? [] : ["tcp" as const]),
      ...(tls ? ["tls" as const] : []),
      ...(unixSocket === undefined ? [] : ["unix" as const]),
    ];
  }

  /** The TCP port, once {@link listen} has ended. */
  get port(): number {
    return this.#port;
  }

  /**
   * Begins to listen, after the engine has been started.
   * @throws InternalError when an address can not be used; then nothing is listened on
   */
  async listen(): Promise<void> {
    const { bind = ["127.0.0.1"], port, unixSocket, tls } = this.#options;
    await this.#gateway.learnAccess();
    this.#idleTimer = setInterval(() => this.#closeIdle(), IDLE_LOOK_MS);
    this.#idleTimer.unref();
    try {
      if (port !== undefined) {
        for (const host of bind) {
          const server = await this.#open({ host, port: this.#port || port, backlog: BACKLOG });
          const address = server.address();
          if (typeof address === "object" && address) this.#port = address.port;
        }
      }
      for (const host of tls ? bind : []) await this.#open({ host, port: tls?.port ?? 0, backlog: BACKLOG }, tls);
      if (unixSocket !== undefined) {
        removeStaleSocket(unixSocket);
        await this.#open({ path: unixSocket, backlog: BACKLOG });
      }
    } catch (reason) {
      clearInterval(this.#idleTimer);
      for (const server of this.#servers.splice(0)) server.close();
      throw reason;
    }
  }

  /**
   * Stops accepting, lets clients have the replies they are owed, and closes them.
   * @param graceMs how long to wait for replies, in milliseconds
   */
  async close(graceMs = 2000): Promise<void> {
    clearInterval(this.#idleTimer);
    const closed = this.#servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve)));
    for (const client of [...this.#clients]) client.finish();
    if (this.#clients.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, graceMs);
        this.#onEmpty = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    for (const client of [...this.#clients]) client.close();
    await Promise.all(closed);
  }

  /** `timeout`, also for clients that never said a word. */
  #closeIdle(): void {
    const { timeout } = this.#gateway.settings;
    if (timeout === 0) return;
    for (const client of this.#clients) if (client.isIdleFor(timeout * 1000)) client.close();
  }

  async #open(address: Parameters<typeof listening>[1], tls?: TlsListening): Promise<Server> {
    const options = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
    const server = tls ? this.#createTlsServer(options, tls) : createServer(options);
    if (!tls) server.on("connection", (socket) => this.#accept(socket));
    await listening(server, address);
    server.on("error", (reason) => this.#gateway.log.error({ err: reason }, "a client could not be accepted"));
    this.#servers.push(server);
    return server;
  }

  #createTlsServer(options: ServerOpts, tls: TlsListening): Server {
    // Until the handshake is done nobody reads the socket, and so nobody would notice that its other end has gone.
    const server = createTlsServer({ ...options, ...tls.options, allowHalfOpen: false });
    // who has not ended the handshake counts too: such clients must not be more than clients may be
    const { settings } = this.#gateway;
    const adapt = (): void => {
      server.maxConnections = settings.maxClients;
    };
    adapt();
    server.on("connection", adapt);
    server.on("secureConnection", (socket) => {
      socket.allowHalfOpen = true;
      if (tls.optional && hasBadCertificate(socket)) socket.destroy();
      else this.#accept(socket);
    });
    server.on("tlsClientError", (reason, socket) => {
      this.#gateway.log.debug({ err: reason }, "a TLS client was refused");
      // Node.js leaves it open when the handshake takes too long
      socket.destroy();
    });
    return server;
  }

  #accept(socket: Socket): void {
    // Its end has been told already, to nobody.
    if (socket.destroyed) return;
    if (this.#gateway.protects && !isLocal(socket)) {
      socket.on("error", () => {});
      socket.end(DENIED, () => socket.destroy());
      return;
    }
    if (this.#clients.size >= this.#gateway.settings.maxClients) {
      this.#refused++;
      socket.on("error", () => {});
      socket.end(TOO_MANY, () => socket.destroy());
      return;
    }
    const addresses = addressesOf(socket, this.#options.unixSocket);
    const client = new Client(this.#nextId++, socket, this.#gateway, addresses);
    this.#clients.add(client);
    client.onClosed = () => {
      this.#clients.delete(client);
      if (this.#clients.size === 0) this.#onEmpty?.();
    };
  }
}

/** A socket left behind by a server that was killed would keep the path. Other kinds of files are left alone. */
function removeStaleSocket(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) unlinkSync(path);
}
