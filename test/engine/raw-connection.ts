/** A client's connection of an engine seen as bytes, with promises instead of callbacks. */
import type { Engine, EngineConnection } from "../../src/engine/engine.ts";

export class RawConnection {
  readonly connection: EngineConnection;
  /** Everything that came and was not taken by {@link RawConnection.until}, as latin1. */
  text = "";
  bytes = 0;
  closed = false;
  reason: Error | undefined;
  #wake: () => void = () => {};

  constructor(engine: Engine) {
    this.connection = engine.connect({ addresses: { peer: "192.0.2.1:1000", local: "192.0.2.2:6379" } });
    this.connection.onData = (bytes) => {
      this.text += bytes.toString("latin1");
      this.bytes += bytes.length;
      this.#wake();
    };
    this.connection.onClose = (reason) => {
      this.closed = true;
      this.reason = reason;
      this.#wake();
    };
  }

  /** Sends text as latin1. */
  send(text: string): void {
    this.connection.write(Buffer.from(text, "latin1"));
  }

  /** Waits for text that matches, takes all up to its end, and gives it. */
  async until(pattern: RegExp): Promise<string> {
    await this.when(() => pattern.test(this.text));
    const match = pattern.exec(this.text);
    const end = (match?.index ?? 0) + (match?.[0].length ?? 0);
    const taken = this.text.slice(0, end);
    this.text = this.text.slice(end);
    return taken;
  }

  /** Waits for the end. */
  async end(): Promise<Error | undefined> {
    await this.when(() => this.closed);
    return this.reason;
  }

  async when(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        if (this.closed) reject(new Error(`closed (${this.reason?.message}) after ${JSON.stringify(this.text)}`));
      });
    }
  }
}
