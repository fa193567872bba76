/** A line that says how far an execution is; on a terminal it is written again and again. */
import type { WriteStream } from "node:tty";
import type { Progress } from "./run-script.ts";

export class ProgressLine {
  readonly #output: Pick<WriteStream, "write" | "isTTY">;
  readonly #begun = performance.now();
  readonly #aborted: AbortSignal;
  #last: Progress | undefined;

  /** @param aborted has fired when somebody aborts the execution */
  constructor(output: Pick<WriteStream, "write" | "isTTY">, aborted: AbortSignal) {
    this.#output = output;
    this.#aborted = aborted;
  }

  show(progress: Progress): void {
    this.#last = progress;
    if (this.#output.isTTY) this.#output.write(`\r\x1b[K${this.#text(progress)}`);
  }

  /** The last line stays. */
  end(): void {
    if (this.#last === undefined) return;
    this.#output.write(`${this.#output.isTTY ? "\r\x1b[K" : ""}${this.#text(this.#last)}\n`);
  }

  #text({ status, records, results }: Progress): string {
    return `${this.#aborted.aborted ? "aborted" : status}, ${records} records read, ${results} results, ${((performance.now() - this.#begun) / 1000).toFixed(1)} s`;
  }
}
