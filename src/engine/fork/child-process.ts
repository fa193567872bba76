/** Main side: the thread of a copy of the engine, from before it is made until it has ended. */
import { Worker } from "node:worker_threads";
import {
  type ChildStart,
  Copy,
  createCopyWords,
  End,
  type CopyJob,
  CopyWord,
  type Told,
  type Work,
} from "./copy-job.ts";

// Workers always run compiled code, also when this file itself is run from its source.
const workerFile = new URL(
  import.meta.url.endsWith(".ts") ? "../../../dist/engine/fork/copy-worker.js" : "./copy-worker.js",
  import.meta.url,
);

/** C's numbers of errors, as WASI has them. */
const CErrno = { noMemory: 48, timedOut: 73 } as const;

/** The engine stands still while it is copied, and not for longer than this, in milliseconds. */
const LONGEST_COPY_MS = 30_000;
/** How long a file may take to get its name, in milliseconds. */
const LONGEST_FINISH_MS = 10_000;

/** How a copy has ended. `killed`: the main thread has ended it, which is no failure. */
export type ChildEnd = { readonly kind: "done" | "killed" } | { readonly kind: "failed"; readonly reason: string };

export class ChildProcess {
  /** How the copy has ended; undefined while it works. */
  end: ChildEnd | undefined;
  /** Called once, when the copy has ended. */
  onEnd: () => void = () => {};
  /** Called when the copy's thread has ended. */
  onGone: () => void = () => {};
  readonly #worker: Worker;
  readonly #words = createCopyWords();

  /** Starts the thread, which waits for {@link begin}. @param onOutput gets the copy's log, cut anywhere */
  constructor(start: ChildStart, onOutput: (text: string) => void) {
    this.#worker = new Worker(workerFile, {
      name: "regears-save",
      workerData: start,
      env: {},
      argv: [],
      execArgv: [],
      stdin: false,
    });
    this.#worker.unref();
    this.#worker.on("message", (told: Told) => {
      if ("output" in told) onOutput(told.output);
      else if ("done" in told)
        this.#ended(told.done ? { kind: "done" } : { kind: "failed", reason: told.reason ?? "for no known reason" });
    });
    this.#worker.on("error", (error) => this.#ended({ kind: "failed", reason: String(error) }));
    this.#worker.on("exit", () => {
      this.#ended({ kind: "failed", reason: "its thread has ended" });
      this.onGone();
    });
  }

  /**
   * Gives the thread its job. The copy is made when this returns.
   * @returns the number of C's error when it could not be made
   */
  begin(work: Work, pid: number, stackPointer: number): number | undefined {
    const words = this.#words;
    const job: CopyJob = { work, pid, stackPointer, words, moment: Date.now() / 1000 };
    this.#worker.postMessage(job);
    Atomics.wait(words, CopyWord.copy, Copy.pending, LONGEST_COPY_MS);
    const copy = Atomics.load(words, CopyWord.copy);
    if (copy === Copy.made) return undefined;
    const lacks = copy === Copy.noMemory;
    this.#ended({
      kind: "failed",
      reason: lacks ? "no memory for a copy of the data" : "copying the data took too long",
    });
    this.kill();
    return lacks ? CErrno.noMemory : CErrno.timedOut;
  }

  /**
   * Ends the copy before its file gets its name. If the file is just getting its name this waits for that, and kills
   * nothing.
   */
  kill(): void {
    const words = this.#words;
    const before = Atomics.compareExchange(words, CopyWord.end, End.running, End.killed);
    if (before === End.finishing) Atomics.wait(words, CopyWord.end, End.finishing, LONGEST_FINISH_MS);
    if (before === End.running) this.#ended({ kind: "killed" });
    void this.#worker.terminate();
  }

  #ended(end: ChildEnd): void {
    if (this.end !== undefined) return;
    this.end = end;
    this.onEnd();
  }
}
