/** A client for tests that sees the bytes: it writes what it is told and collects what comes. */
import { connect, type Socket } from "node:net";

/** Long enough for a busy machine; only a test that fails waits for its end. */
const PATIENCE_MS = 20_000;

/** Encodes a command as a multibulk request. */
export function request(...args: readonly (string | Uint8Array)[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = typeof arg === "string" ? Buffer.from(arg) : arg;
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n"));
  }
  return Buffer.concat(parts);
}

/** One connection; every wait is bounded, so that a test fails with what had come instead of hanging. */
export class PlainClient {
  readonly socket: Socket;
  closed = false;
  #received = "";
  #bytes = 0;
  #wake: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => {
      this.#bytes += chunk.length;
      this.#received += chunk.toString("latin1");
      this.#notify();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#notify();
    });
  }

  /** All bytes that ever came. */
  get bytesReceived(): number {
    return this.#bytes;
  }

  /** What has come and was not taken yet (latin1). */
  get pending(): string {
    return this.#received;
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Sends one command as multibulk. */
  send(...args: readonly (string | Uint8Array)[]): void {
    this.socket.write(request(...args));
  }

  /** Waits for exactly this text and takes it; anything else that comes instead is the failure's message. */
  async expect(text: string, timeout = PATIENCE_MS): Promise<void> {
    const wanted = Buffer.from(text).toString("latin1");
    const got = await this.read(wanted.length, timeout).catch(() => this.#take(this.#received.length));
    if (got !== wanted)
      throw new Error(`expected ${JSON.stringify(wanted)}, got ${JSON.stringify(got + this.#received)}`);
  }

  /** Waits for at least `count` bytes and takes that many. */
  async read(count: number, timeout = PATIENCE_MS): Promise<string> {
    await this.until(() => this.#received.length >= count, timeout);
    return this.#take(count);
  }

  /** Waits until the server has closed the connection; gives everything that came before. */
  async readToEnd(timeout = PATIENCE_MS): Promise<string> {
    await this.until(() => this.closed, timeout);
    return this.#take(this.#received.length);
  }

  /** Waits until what has come satisfies the condition. */
  async until(condition: () => boolean, timeout = PATIENCE_MS): Promise<void> {
    const deadline = Date.now() + timeout;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0 || (this.closed && this.#received === ""))
        throw new Error(`nothing more than ${JSON.stringify(this.#received.slice(0, 300))}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 100));
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  destroy(): void {
    this.socket.destroy();
  }

  #take(count: number): string {
    const text = this.#received.slice(0, count);
    this.#received = this.#received.slice(count);
    return text;
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = [];
    for (const go of wake) go();
  }
}

/** Connects to a port on this machine, or to a unix socket by its path. */
export function connectPlain(target: number | string): Promise<PlainClient> {
  return new Promise((resolve, reject) => {
    const socket = typeof target === "number" ? connect(target, "127.0.0.1") : connect(target);
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(new PlainClient(socket));
    });
  });
}

/**
 * Two PINGs, each with its PONG. Before the second is read, the server's event loop has turned: it has read what other
 * clients had sent before this was called.
 */
export async function pingTwice(client: PlainClient): Promise<void> {
  for (let times = 0; times < 2; times++) {
    client.write("PING\r\n");
    await client.expect("+PONG\r\n");
  }
}
