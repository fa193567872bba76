/**
 * Main side: the lines that one interpreter prints. They come by a port of their own, since messages of Python wait until there
 * is room for what they ask, and keep their place among those.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { Fifo } from "../resp/fifo.ts";
import { type SharedMemoryWords, Word } from "./channel.ts";
import type { OutputLine } from "./protocol.ts";

export class PrintedLines {
  readonly #port: MessagePort;
  readonly #words: SharedMemoryWords;
  readonly #onLine: (line: OutputLine) => void;
  /** Lines that have come and were not told: messages come before them. */
  readonly #early = new Fifo<OutputLine>();
  /** Messages that were dealt with. */
  #messages = 0;

  constructor(port: MessagePort, words: SharedMemoryWords, onLine: (line: OutputLine) => void) {
    this.#port = port;
    this.#words = words;
    this.#onLine = onLine;
    port.on("message", (line: OutputLine) => {
      this.#add(line);
      this.#tell(this.#messages);
    });
    port.unref();
  }

  /** A message of Python's is to be dealt with: what was printed before it is told first. */
  beforeMessage(): void {
    if (Atomics.load(this.#words, Word.outputBytes) > 0) this.#receive();
    if (this.#early.length > 0) this.#tell(this.#messages);
  }

  /** It was dealt with. */
  afterMessage(): void {
    this.#messages++;
    if (this.#early.length > 0) this.#tell(this.#messages);
  }

  /** Nothing more will come: tells what is left. */
  end(): void {
    this.#receive();
    this.#tell(Number.POSITIVE_INFINITY);
    this.#port.close();
  }

  #receive(): void {
    for (let next = receiveMessageOnPort(this.#port); next !== undefined; next = receiveMessageOnPort(this.#port))
      this.#add(next.message as OutputLine);
  }

  #add(line: OutputLine): void {
    Atomics.sub(this.#words, Word.outputBytes, line.bytes);
    this.#early.push(line);
  }

  /** Tells the lines before which no more messages than these came. */
  #tell(messages: number): void {
    for (let next = this.#early.first; next !== undefined && next.after <= messages; next = this.#early.first) {
      this.#early.shift();
      this.#onLine(next);
    }
  }
}
