/** The smallest engine there is: a server at a TCP port. For tests of what stands in front of an engine. */
import { connect } from "node:net";
import type { Engine, EngineConnection } from "../../src/engine/engine.ts";

export class TcpEngine implements Engine {
  readonly description: string;
  readonly embedded = false;
  onStateChange: (up: boolean) => void = () => {};
  /** Connections that are open now. */
  open = 0;
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
    this.description = `127.0.0.1:${port}`;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  connect(): EngineConnection {
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    this.open++;
    let failure: Error | undefined;
    let closing = false;
    const connection: EngineConnection = {
      onData: () => {},
      onDrain: () => {},
      onClose: () => {},
      write: (bytes) => socket.write(bytes),
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      close: () => {
        closing = true;
        socket.destroy();
      },
    };
    socket.on("data", (bytes: Buffer) => connection.onData(bytes));
    socket.on("drain", () => connection.onDrain());
    socket.on("error", (error) => {
      failure = error;
    });
    socket.on("close", () => {
      this.open--;
      if (!closing) connection.onClose(failure);
    });
    return connection;
  }
}
