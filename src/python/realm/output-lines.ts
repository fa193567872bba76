/**
 * Runs in the worker: cuts what Python prints into lines. A script that prints without end must not fill main's memory: what
 * main has not taken yet is bounded, and lines beyond that are counted and dropped.
 */
import { StringDecoder } from "node:string_decoder";
import { type PortEnd, type Sender, Word } from "../channel.ts";
import type { OutputLine } from "../protocol.ts";

/** A longer line is cut into several. */
const MAX_LINE = 16 * 1024;
/** Bytes of lines that main may be behind. */
const MAX_BEHIND = 1024 * 1024;
/** Bytes that a line costs besides its text. */
const LINE_BYTES = 100;

type Stream = "stdout" | "stderr";

export class OutputLines {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #port: PortEnd;
  readonly #messages: Pick<Sender, "total">;
  readonly #partial: Record<Stream, string> = { stdout: "", stderr: "" };
  readonly #decoders: Record<Stream, StringDecoder> = {
    stdout: new StringDecoder("utf8"),
    stderr: new StringDecoder("utf8"),
  };
  #dropped = 0;
  /** Whose lines they are: the handle of a job and the number of a session, 0 for none. */
  #job = 0;
  #session = 0;

  /** @param messages what Python sends besides: main keeps lines and messages in their order */
  constructor(words: Int32Array<SharedArrayBuffer>, port: PortEnd, messages: Pick<Sender, "total">) {
    this.#words = words;
    this.#port = port;
    this.#messages = messages;
  }

  /** What is printed from now on is another job's (an even number, two more than twice the handle) or session's (an odd one). */
  comesFrom(number: number): void {
    this.flush();
    if (number % 2 === 0) this.#job = number / 2 - 1;
    else this.#session = (number - 1) / 2;
  }

  /** Takes printed bytes; sends the lines that are complete. */
  write(stream: Stream, bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += MAX_LINE) {
      const lines = (this.#partial[stream] + this.#decoders[stream].write(bytes.subarray(at, at + MAX_LINE))).split(
        "\n",
      );
      const rest = lines.pop() ?? "";
      for (const line of lines) this.#send(stream, line);
      if (rest.length >= MAX_LINE) this.#send(stream, rest);
      this.#partial[stream] = rest.length >= MAX_LINE ? "" : rest;
    }
  }

  /** Sends what is left without an end of line. */
  flush(): void {
    for (const stream of ["stdout", "stderr"] as const) {
      if (this.#partial[stream] !== "") this.#send(stream, this.#partial[stream]);
      this.#partial[stream] = "";
    }
  }

  #send(stream: Stream, text: string): void {
    const bytes = text.length * 2 + LINE_BYTES;
    if (Atomics.load(this.#words, Word.outputBytes) + bytes > MAX_BEHIND) {
      this.#dropped++;
      return;
    }
    if (this.#dropped > 0) {
      const note = `[${this.#dropped} lines of output were dropped]`;
      this.#dropped = 0;
      this.#post("stderr", note, note.length * 2 + LINE_BYTES);
    }
    this.#post(stream, text, bytes);
  }

  #post(stream: Stream, text: string, bytes: number): void {
    Atomics.add(this.#words, Word.outputBytes, bytes);
    const whose = { job: this.#job, session: this.#session };
    this.#port.postMessage({ stream, text, bytes, ...whose, after: this.#messages.total } satisfies OutputLine);
  }
}
