/** A client that is as light as one in Node.js can be: RESP2, replies as values, pipelines in one write. */
import { connect, type Socket } from "node:net";

export type Reply = string | number | null | Error | Reply[];
export type Command = readonly (string | number)[];

export class Client {
  readonly #socket: Socket;
  readonly #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void }[] = [];
  #bytes: Buffer = Buffer.alloc(0);

  /** Connects to a server on this machine. */
  static open(port: number): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new Client(socket)));
    });
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (data) => this.#take(data));
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("the server has closed the connection"));
    });
  }

  /** Sends a command. An error reply is a value. */
  send(...command: Command): Promise<Reply> {
    const reply = this.#reply();
    this.#socket.write(encode(command));
    return reply;
  }

  /** Sends commands at once. */
  pipe(commands: readonly Command[]): Promise<Reply[]> {
    const replies = commands.map(() => this.#reply());
    this.#socket.write(commands.map(encode).join(""));
    return Promise.all(replies);
  }

  /** Sends a command. @throws Error for an error reply, and for errors of an execution */
  async must(...command: Command): Promise<Reply> {
    const reply = await this.send(...command);
    if (reply instanceof Error) throw reply;
    if (Array.isArray(reply) && Array.isArray(reply[1]) && reply[1].length > 0) throw new Error(String(reply[1][0]));
    return reply;
  }

  async number(...command: Command): Promise<number> {
    return Number(await this.must(...command));
  }

  close(): void {
    this.#socket.destroy();
  }

  #reply(): Promise<Reply> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #take(data: Buffer): void {
    this.#bytes = this.#bytes.length > 0 ? Buffer.concat([this.#bytes, data]) : data;
    let at = 0;
    for (let found = parse(this.#bytes, at); found; found = parse(this.#bytes, at)) {
      at = found.end;
      this.#waiting.shift()?.resolve(found.value);
    }
    this.#bytes = this.#bytes.subarray(at);
  }
}

function encode(command: Command): string {
  const parts = command.map((part) => `$${Buffer.byteLength(String(part))}\r\n${part}\r\n`);
  return `*${command.length}\r\n${parts.join("")}`;
}

interface Parsed {
  readonly value: Reply;
  readonly end: number;
}

/** The reply at an offset; undefined while it is not whole. */
function parse(bytes: Buffer, at: number): Parsed | undefined {
  const lineEnd = bytes.indexOf("\r\n", at);
  if (lineEnd < 0) return undefined;
  const line = bytes.toString("utf8", at + 1, lineEnd);
  const end = lineEnd + 2;
  switch (String.fromCharCode(bytes[at] ?? 0)) {
    case "+":
      return { value: line, end };
    case "-":
      return { value: new Error(line), end };
    case ":":
      return { value: Number(line), end };
    case "$":
      return bulk(bytes, end, Number(line));
    case "*":
      return array(bytes, end, Number(line));
    default:
      throw new Error(`a reply of an unknown kind: ${bytes.toString("latin1", at, at + 40)}`);
  }
}

function bulk(bytes: Buffer, start: number, length: number): Parsed | undefined {
  if (length < 0) return { value: null, end: start };
  const end = start + length + 2;
  return bytes.length < end ? undefined : { value: bytes.toString("utf8", start, end - 2), end };
}

function array(bytes: Buffer, start: number, length: number): Parsed | undefined {
  const value: Reply[] = [];
  let end = start;
  for (let i = 0; i < length; i++) {
    const item = parse(bytes, end);
    if (item === undefined) return undefined;
    value.push(item.value);
    end = item.end;
  }
  return { value, end };
}
