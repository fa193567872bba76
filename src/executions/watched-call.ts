/**
 * Code that runs and belongs to no execution: the function of a time event, an `onRegistered`, what an interpreter runs in
 * the background. When it takes long it is shown as an execution, so that it can be seen and aborted; it uses up an id then,
 * and leaves nothing behind.
 */
import { runAfter, type Timer } from "../timer.ts";
import type { Execution } from "./execution.ts";
import type { Stoppable, Supervisor } from "./supervisor.ts";

export interface CallOptions {
  /** Milliseconds after which `onLimit` is called; 0: never. */
  readonly limitMs: number;
  readonly onLimit: () => void;
  /** Somebody aborts it. */
  readonly stop: () => void;
  /** Milliseconds after which it is shown. */
  readonly showAfterMs?: number;
}

/** As for the body of a script whose client waits. */
const SHOW_AFTER_MS = 1_000;

export class WatchedCall implements Stoppable {
  readonly #runner: Supervisor;
  readonly #options: CallOptions;
  readonly #limit: Timer | undefined;
  readonly #shown: Timer;
  #execution: Execution | undefined;
  #aborted = false;

  constructor(runner: Supervisor, options: CallOptions) {
    this.#runner = runner;
    this.#options = options;
    const { limitMs, onLimit, showAfterMs = SHOW_AFTER_MS } = options;
    this.#limit = limitMs > 0 ? runAfter(limitMs, onLimit) : undefined;
    this.#shown = runAfter(showAfterMs, () => this.#show());
  }

  stop(): void {
    this.#aborted = true;
    this.#options.stop();
  }

  /** It has ended. */
  end(): void {
    this.#limit?.cancel();
    this.#shown.cancel();
    const execution = this.#execution;
    if (!execution) return;
    this.#execution = undefined;
    this.#runner.forget(execution);
    execution.finish(this.#aborted ? "aborted" : "done");
    this.#runner.registry.settle(execution);
  }

  #show(): void {
    const execution = this.#runner.registry.create({ registered: false, kept: false });
    execution.begin();
    execution.declare([]);
    this.#execution = execution;
    this.#runner.track(execution, this);
  }
}
