/** Main side: one worker thread with a Python interpreter. It can be posted to, interrupted and ended; it is never restarted. */
import { type MessagePort, receiveMessageOnPort, type Worker } from "node:worker_threads";
import type { EngineThread, EngineThreads } from "../engine/engine-threads.ts";
import { InternalError } from "../errors.ts";
import { Gamble, Receiver, Sender, type Shared, Word } from "./channel.ts";
import { Intake } from "./intake.ts";
import { LentThread } from "./lent-thread.ts";
import { type PythonAssets, spinning, StartedWorker } from "./started-worker.ts";
import { WorkerChunk } from "./worker-chunk.ts";
import { WASM_PAGE } from "./wasm-memory.ts";
import { PrintedLines } from "./printed-lines.ts";
import { type OutputLine, SAMPLE, type WorkerNotice } from "./protocol.ts";

export { loadAssets } from "./snapshot.ts";
export type { PythonAssets } from "./started-worker.ts";

export interface PythonWorkerOptions {
  readonly assets: PythonAssets;
  /** Python's memory, in MiB; beyond it scripts get a MemoryError. Less than the booted interpreter takes (33) is raised to that. */
  readonly memoryLimitMb: number;
  /** Files scripts may write, in MiB (they are kept in memory). */
  readonly memfsLimitMb: number;
  /** One complete message that Python has sent; the receiver owns the bytes. If it throws, the worker is ended. */
  readonly onMessage: (bytes: Uint8Array) => void;
  /** Is there room for what the next message may ask? Asked before each; unless given, there always is. */
  readonly mayTake?: () => boolean;
  /** It sends more than it may, or leaves too many answers lying about: it should be ended. */
  readonly onFlood?: (what: string) => void;
  /** It has carried commands out by itself. @param owes others wait for what they have brought */
  readonly onEngineUsed?: (owes: boolean) => void;
  /** It has ended inside the engine, which must not be used any more. */
  readonly onEngineBroken?: () => void;
  /** One line that Python has printed. */
  readonly onOutput: (printed: OutputLine) => void;
  /** The worker is gone; called once, with a text for the log. */
  readonly onExit: (reason: string) => void;
}

/** SIGINT, as Python counts signals. */
const SIGINT = 2;
/** How long main looks for the next message by itself after it has answered one. */
const LINGER_MS = 0.3;
/** How long main waits at most for what Python is about to send. */
const PATIENCE_MS = 2;
/** In one turn of the event loop it does so for as many milliseconds. */
const AWAITING_MS = 5;

export class PythonWorker {
  /** Fulfilled when the interpreter serves; rejected with an InternalError when it dies before. */
  readonly ready: Promise<void>;
  readonly #options: PythonWorkerOptions;
  readonly lentThread: LentThread;
  readonly chunk: WorkerChunk;
  readonly #shared: Shared;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #printed: PrintedLines;
  readonly #enginePort: MessagePort;
  readonly #packagesPort: MessagePort;
  /** Of the engine, when it uses that by itself. */
  #thread: EngineThread | undefined;
  /** So many of its commands this thread has heard of. */
  #knownCalls = 0;
  readonly #sender: Sender;
  readonly #intake: Intake;
  readonly #gamble = new Gamble(256);
  readonly #awaiting = new Gamble(16);
  /** It slept when it was sent something last. */
  #hasWoken = false;
  #delivering = false;
  /** Since when it is waited for messages within calls in this turn of the event loop, in milliseconds. */
  #awaitsSince: number | undefined;
  #lingerUntil = 0;
  #lingering = false;
  #reason: string | undefined;
  /** Nothing more is delivered: somebody ended the worker. */
  #closed = false;
  #gone = false;
  /** Everything that it had sent was dealt with. */
  #ended = false;
  #settleReady: { resolve: () => void; reject: (error: Error) => void } | undefined;

  constructor(options: PythonWorkerOptions) {
    this.#options = options;
    const { assets, memoryLimitMb, memfsLimitMb } = options;
    const limits = { memoryLimitMb, memfsLimitMb };
    const started = assets.takeStarted?.(limits) ?? new StartedWorker(assets, limits);
    const { shared, worker, port, outputPort, enginePort, packagesPort } = started;
    this.#shared = shared;
    this.lentThread = new LentThread(shared.words);
    this.chunk = new WorkerChunk(shared);
    this.#worker = worker;
    this.#port = port;
    this.#printed = new PrintedLines(outputPort, shared.words, options.onOutput);
    this.#enginePort = enginePort;
    this.#packagesPort = packagesPort;
    this.#sender = new Sender(this.#shared, "inbox", port);
    this.#intake = new Intake({
      ...{ shared: this.#shared, sender: this.#sender },
      receiver: new Receiver(this.#shared, "outbox"),
      deliver: (message) => this.#deliver(message),
      mayTake: options.mayTake ?? (() => true),
      onFlood: options.onFlood ?? (() => {}),
      wake: () => this.#wake(),
    });
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    // Whoever does not wait for it learns of a failure by onExit.
    this.ready.catch(() => {});
    port.on("message", (message: Uint8Array | null) => this.#onPort(message));
    started.listen({
      onNotice: (notice) => this.#onNotice(notice),
      onError: (error) => {
        this.#reason ??= describe(error);
      },
      onExit: () => this.#onExit(),
    });
  }

  /** Size of Python's memory in bytes, as of its last message. It never shrinks. */
  get heapBytes(): number {
    return Atomics.load(this.#shared.words, Word.heapPages) * WASM_PAGE;
  }

  /** Number of what the event loop does now: odd while it waits for a job, even while something runs. */
  get turn(): number {
    return Atomics.load(this.#shared.words, Word.turn) >>> 0;
  }

  /** Does Python wait, and may a job run on top of that? */
  get waitIsOpen(): boolean {
    return Atomics.load(this.#shared.words, Word.openWait) === 1;
  }

  /** Claims the wait for a job, which has to be sent at once. @returns false when it is not open any more */
  claimWait(): boolean {
    return Atomics.compareExchange(this.#shared.words, Word.openWait, 1, 0) === 1;
  }

  /** Gives it the packages in these packs, for life. The message `packages` has Python bring them in. */
  givePackages(packs: readonly string[]): void {
    if (!this.#closed && !this.#gone) this.#packagesPort.postMessage(packs);
  }

  /** False while it leaves too many answers lying about. */
  get takesAnswers(): boolean {
    return this.#intake.takesAnswers;
  }

  /** Lets Python begin so many events after the first of those that it gets with the next message. */
  giveAhead(events: number): void {
    Atomics.store(this.#shared.words, Word.eventsAhead, events);
  }

  /** Lets it begin no more of them. @returns how many it has not begun: the last ones */
  takeBack(): number {
    return Atomics.exchange(this.#shared.words, Word.eventsAhead, 0);
  }

  /** Is a message of it being dealt with, so that no other one can be waited for? */
  get isDelivering(): boolean {
    return this.#delivering;
  }

  /** Takes its messages within the call until `isDone`, for so many milliseconds at most. Not from within the delivery of a message. */
  awaitMessages(isDone: () => boolean, milliseconds: number): void {
    if (!this.#delivering && !this.#gone) this.#await(isDone, milliseconds, true);
  }

  /** Calls of `execute()` that it has answered itself. */
  get directCalls(): number {
    return Atomics.load(this.#shared.words, Word.directCalls) >>> 0;
  }

  /**
   * Lets it use the engine by itself, until that is closed again.
   * @param only the task that may; 0: whatever runs there
   * @returns whether it may
   */
  useEngine(threads: EngineThreads, only: number, withBodies: boolean): boolean {
    if (this.#closed || this.#gone) return false;
    if (this.#thread === undefined) {
      this.#thread = threads.add();
      if (this.#thread === undefined) return false;
      this.#enginePort.postMessage(this.#thread.share);
      Atomics.store(this.#shared.words, Word.engineOffered, 1);
    }
    return this.#thread.open(only, withBodies);
  }

  /** Calls out of the sandbox that were answered with an error. */
  get denials(): number {
    return Atomics.load(this.#shared.words, Word.denials);
  }

  /**
   * Sends a message to Python. The bytes are copied; a worker that is gone ignores it.
   * @param isAnswer Python has asked for it, so it has to take it before it asks for many more
   */
  post(bytes: Uint8Array, isAnswer = false): void {
    if (this.#gone || bytes.length === 0) return;
    if (this.#sender.fits(bytes.length)) this.#sender.sendByRing(bytes);
    else this.#sender.sendByPort(bytes, isAnswer);
    this.#wake();
    this.#linger();
  }

  /**
   * Waits within the call, but not long, for what Python is about to send: between two threads that are both awake that takes
   * less time than anything else. Not from within the delivery of a message.
   */
  awaitSoon(isDone: () => boolean): void {
    if (!spinning || this.#delivering || this.#gone) return;
    const now = performance.now();
    if (this.#awaitsSince === undefined) {
      this.#awaitsSince = now;
      Atomics.store(this.#shared.words, Word.moreComes, 1);
      setImmediate(() => {
        this.#awaitsSince = undefined;
        Atomics.store(this.#shared.words, Word.moreComes, 0);
      });
    }
    // others have their turn
    if (now - this.#awaitsSince > AWAITING_MS || !this.#awaiting.worthwhile) return;
    if (this.#await(isDone, PATIENCE_MS, false)) this.#awaiting.won();
    else this.#awaiting.lost();
  }

  /**
   * Takes what comes meanwhile, for which the worker need not ring.
   * @param inOneGo see {@link Intake.await}
   * @returns whether `isDone` was true in time
   */
  #await(isDone: () => boolean, milliseconds: number, inOneGo: boolean): boolean {
    const { words } = this.#shared;
    if (!this.#lingering) Atomics.store(words, Word.mainPolls, 1);
    this.#intake.await(isDone, milliseconds, !this.#hasWoken, inOneGo);
    const isInTime = isDone();
    if (!this.#lingering) {
      Atomics.store(words, Word.mainPolls, 0);
      // the worker may have sent something before it could see that
      this.#intake.run();
    }
    return isInTime;
  }

  /**
   * Asks Python to interrupt a flow: its SIGINT handler runs and finds the handle by the bridge's `interrupt_target()`.
   * It stays the target until {@link clearInterrupt}.
   */
  interrupt(flow: number): void {
    Atomics.store(this.#shared.target, 0, BigInt(flow));
    Atomics.store(this.#shared.words, Word.interrupt, SIGINT);
    this.#wake();
  }

  /** Asks what runs there to tell where it is, unless something is being interrupted. @returns whether it was asked */
  askSample(): boolean {
    const { target, words } = this.#shared;
    const before = Atomics.compareExchange(target, 0, 0n, BigInt(SAMPLE));
    if (before !== 0n && before !== BigInt(SAMPLE)) return false;
    Atomics.store(words, Word.interrupt, SIGINT);
    this.#wake();
    return true;
  }

  /** Nobody wants to know that any more. */
  endSample(): void {
    Atomics.compareExchange(this.#shared.target, 0, BigInt(SAMPLE), 0n);
  }

  /** Forgets the target, and the signal if Python has not seen it yet. */
  clearInterrupt(): void {
    Atomics.store(this.#shared.target, 0, 0n);
    Atomics.store(this.#shared.words, Word.interrupt, 0);
  }

  /** Ends the thread, whatever it does. `onExit` is called for it. */
  async terminate(): Promise<void> {
    this.#reason ??= "terminated";
    // in the middle of a command its end would be that of the engine
    this.#thread?.revoke();
    // what it has carried out of a client's commands counts
    if (!this.#closed && !this.chunk.isFree) this.#intake.takeRing();
    this.#closed = true;
    await this.#worker.terminate();
  }

  #wake(): void {
    const { words } = this.#shared;
    // whoever falls asleep after this sees that the signal has changed
    Atomics.add(words, Word.signal, 1);
    this.#hasWoken = Atomics.load(words, Word.asleep) !== 0;
    if (this.#hasWoken) Atomics.notify(words, Word.signal);
  }

  #onPort(message: Uint8Array | null): void {
    if (message === null) {
      Atomics.store(this.#shared.words, Word.doorbell, 0);
      this.#noteEngine();
      this.#intake.run();
    } else this.#intake.add(message);
  }

  #deliver(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#printed.beforeMessage();
    const outer = this.#delivering;
    this.#delivering = true;
    try {
      this.#options.onMessage(bytes);
    } catch (error) {
      this.#reason ??= `its message could not be handled: ${describe(error)}`;
      void this.terminate();
    } finally {
      this.#delivering = outer;
      this.#printed.afterMessage();
    }
  }

  /**
   * An answer is mostly followed by the next call within microseconds, while waking this thread takes much longer. So for a
   * moment main stays awake, turning its event loop, and the worker need not ring.
   */
  #linger(): void {
    if (!spinning) return;
    if (this.#lingering) this.#lingerUntil = performance.now() + LINGER_MS;
    else if (this.#gamble.worthwhile) {
      this.#lingerUntil = performance.now() + LINGER_MS;
      this.#lingering = true;
      Atomics.store(this.#shared.words, Word.mainPolls, 1);
      setImmediate(this.#poll);
    }
  }

  /** What it has done in the engine by itself may have brought something for others. */
  #noteEngine(): void {
    const { words } = this.#shared;
    const { directCalls } = this;
    if (this.#thread === undefined || directCalls === this.#knownCalls) return;
    this.#knownCalls = directCalls;
    this.#options.onEngineUsed?.(Atomics.exchange(words, Word.engineOwes, 0) === 1);
  }

  readonly #poll = (): void => {
    this.#noteEngine();
    if (this.#intake.run(true)) this.#gamble.won();
    else if (performance.now() >= this.#lingerUntil || this.#gone) {
      this.#lingering = false;
      Atomics.store(this.#shared.words, Word.mainPolls, 0);
      // The worker may have sent something before it could see that.
      if (!this.#intake.run()) this.#gamble.lost();
      return;
    }
    setImmediate(this.#poll);
  };

  #onNotice(notice: WorkerNotice): void {
    switch (notice.kind) {
      case "ready":
        this.#settleReady?.resolve();
        break;
      case "died":
        this.#reason ??= notice.reason;
        break;
      case "snapshot":
        break;
    }
  }

  #onExit(): void {
    if (this.#gone) return;
    this.#gone = true;
    if (this.#thread?.ended() === false) this.#options.onEngineBroken?.();
    if (this.#closed) {
      this.#end();
      return;
    }
    // What it sent before it died counts.
    for (let last = receiveMessageOnPort(this.#port); last !== undefined; last = receiveMessageOnPort(this.#port)) {
      this.#onPort(last.message as Uint8Array | null);
    }
    this.#intake.finish(() => this.#end());
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#printed.end();
    this.#port.close();
    this.#enginePort.close();
    this.#packagesPort.close();
    const reason = this.#reason ?? "the thread ended";
    this.#settleReady?.reject(new InternalError(`the Python worker died: ${reason}`));
    this.#options.onExit(reason);
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as { code?: unknown };
  return code === "ERR_WORKER_OUT_OF_MEMORY" ? "out of memory (JavaScript's heap)" : error.message;
}
