/** A client for tests that speaks RESP2 and gives decoded replies. */
import { connect, type Socket } from "node:net";
import RedisParser from "redis-parser";
import { request } from "./plain-client.ts";

/** A reply: bulk and simple strings as text, arrays nested; an error inside an array is an Error. */
export type Value = string | number | null | Error | Value[];

/** One connection. */
export class Client {
  readonly #socket: Socket;
  readonly #waiting: { resolve: (value: Value) => void; reject: (error: Error) => void }[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    const parser = new RedisParser({
      returnReply: (reply: unknown) => this.#waiting.shift()?.resolve(reply as Value),
      returnError: (error: Error) => this.#waiting.shift()?.reject(error),
    });
    socket.on("data", (bytes) => parser.execute(bytes));
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("the connection was closed"));
    });
  }

  /** Sends a command. @throws Error with the text of an error reply, or when the connection closes. */
  call(...args: readonly (string | Uint8Array)[]): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write(request(...args));
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** Connects to a server on 127.0.0.1. */
export function connectClient(port: number): Promise<Client> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => resolve(new Client(socket)));
  });
}

/** Runs something with a client of its own. */
export async function withClient<T>(port: number, use: (client: Client) => Promise<T>): Promise<T> {
  const client = await connectClient(port);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** Sends one command over a connection of its own: one connection's scripts run in their order. */
export const callOnce = (port: number, ...args: readonly (string | Uint8Array)[]): Promise<Value> =>
  withClient(port, (client) => client.call(...args));
