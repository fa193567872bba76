/** The engine by URL: a server compatible with Redis, reached by TCP, TLS or a unix socket. */
import { InternalError, textOf } from "../errors.ts";
import { EngineClient, EngineError } from "./engine-client.ts";
import type { EngineLog } from "./engine-output.ts";
import { deadline } from "./deadline.ts";
import { ENGINE_DOWN, type Engine } from "./engine.ts";
import { UpstreamConnection, type UpstreamTls } from "./upstream-connection.ts";
import { type EngineAddress, parseEngineUrl } from "./url.ts";

export interface UpstreamOptions {
  /** `redis://`, `rediss://` or `unix://`, see {@link parseEngineUrl}. */
  readonly url: string;
  readonly tls?: UpstreamTls;
  readonly log?: EngineLog;
  /** How long connecting and logging in may take, in milliseconds; 5000 unless given. */
  readonly connectTimeoutMs?: number;
  /** How often the server is asked whether it lives, in milliseconds; 2000 unless given. It has as long to answer. */
  readonly healthIntervalMs?: number;
  /** Between 0 and 1, for the jitter of reconnecting. */
  readonly random?: () => number;
}

const CONNECT_TIMEOUT_MS = 5000;
const HEALTH_INTERVAL_MS = 2000;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5000;

export class UpstreamEngine implements Engine {
  readonly description: string;
  readonly embedded = false;
  onStateChange: (up: boolean) => void = () => {};

  readonly #options: UpstreamOptions;
  readonly #address: EngineAddress;
  readonly #connections = new Set<UpstreamConnection>();
  #health: EngineClient | undefined;
  #timer: NodeJS.Timeout | undefined;
  #up = false;
  #stopped = true;
  /** Which process answers; another value after the server was restarted. */
  #runId: string | undefined;

  /** @throws InternalError when the URL can not be used */
  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.#address = parseEngineUrl(options.url);
    this.description = this.#address.description;
  }

  async start(): Promise<void> {
    this.#stopped = false;
    try {
      await this.#check();
    } catch (error) {
      await this.stop();
      const text = textOf(error);
      throw new InternalError(`the engine ${this.description} can not be used: ${text}`, { cause: error });
    }
    this.#up = true;
    this.#watch();
  }

  connect(): UpstreamConnection {
    return this.#open(this.#up ? this.#address : undefined);
  }

  stop(): Promise<void> {
    this.#stopped = true;
    this.#up = false;
    clearTimeout(this.#timer);
    this.#health?.close();
    for (const connection of [...this.#connections]) {
      connection.close();
      connection.onClose();
    }
    return Promise.resolve();
  }

  #open(address: EngineAddress | undefined): UpstreamConnection {
    const timeout = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    const connection = new UpstreamConnection(address, this.#options.tls ?? {}, timeout, ENGINE_DOWN);
    this.#connections.add(connection);
    connection.onEnd = () => this.#connections.delete(connection);
    return connection;
  }

  /** Opens the health connection and asks whether the server is one that can be used. @throws Error when it is not */
  async #check(): Promise<void> {
    const client = new EngineClient(this.#open(this.#address));
    const limit = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    let late = false;
    const endDeadline = deadline(limit, () => {
      late = true;
      client.close();
    });
    try {
      // a server that can not save refuses PING as it does writes, and can be used all the same
      await client.call("ECHO", "");
      const cluster = await info(client, "cluster");
      if (/^cluster_enabled:1/m.test(cluster)) {
        throw new InternalError("it is a node of a cluster, and clusters are not supported");
      }
      const runId = /^run_id:(\w+)/m.exec(await info(client, "server"))?.[1];
      const restarted = this.#up && runId !== this.#runId;
      this.#runId = runId;
      if (restarted) this.#setUp(false);
    } catch (error) {
      client.close();
      throw late ? new InternalError(`${ENGINE_DOWN}: no answer within ${limit} ms`) : error;
    } finally {
      endDeadline();
    }
    this.#health = client;
  }

  /** Watches the health connection, which {@link UpstreamEngine.#check} has opened. */
  #watch(): void {
    const client = this.#health;
    if (client === undefined || this.#stopped) return;
    const interval = this.#options.healthIntervalMs ?? HEALTH_INTERVAL_MS;
    let answered = true;
    const ask = (): void => {
      if (!answered) {
        client.close();
        this.#reconnect(FIRST_RETRY_MS);
        return;
      }
      answered = false;
      const note = (): void => {
        answered = true;
      };
      // an error reply is an answer, too: the server is busy or loading, but it is there
      client.call("PING").then(note, (error) => (error instanceof EngineError ? note() : undefined));
      this.#after(interval, ask);
    };
    client.onClose = () => this.#reconnect(FIRST_RETRY_MS);
    this.#after(interval, ask);
  }

  /** Tries to reach the server at once, and then again and again, with pauses that double. @param pause milliseconds */
  #reconnect(pause: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#check().then(
      () => {
        if (this.#stopped) return;
        this.#setUp(true);
        this.#watch();
      },
      (error: unknown) => {
        if (this.#stopped) return;
        if (this.#up) this.#warn(error);
        this.#setUp(false);
        // a server that hangs, or can not be reached any more, does not close its connections
        for (const connection of [...this.#connections]) connection.lose(new InternalError(ENGINE_DOWN));
        const random = this.#options.random ?? Math.random;
        this.#after(pause * (0.5 + random() / 2), () => this.#reconnect(Math.min(pause * 2, LAST_RETRY_MS)));
      },
    );
  }

  #warn(error: unknown): void {
    const text = textOf(error);
    this.#options.log?.warn(`the engine ${this.description} went away: ${text}`);
  }

  #setUp(up: boolean): void {
    if (this.#up === up) return;
    this.#up = up;
    if (up) this.#options.log?.debug(`the engine ${this.description} is reachable`);
    this.onStateChange(up);
  }

  #after(ms: number, run: () => void): void {
    this.#timer = setTimeout(run, ms);
    this.#timer.unref();
  }
}

/** A section of INFO, or nothing when the user may not see it. */
async function info(client: EngineClient, section: string): Promise<string> {
  try {
    return String(await client.call("INFO", section));
  } catch (error) {
    if (error instanceof EngineError) return "";
    throw error;
  }
}
