/**
 * The main thread's side of a chunk (see `chunk-memory.ts`): offers it to an interpreter, takes what that tells, and waits within
 * the call, but not long. An execution that has begun and ended by then never was a job. One that goes on becomes a job as
 * others are, and the interpreter ends the chunk when that one has ended, or waits.
 */
import type { Maybe } from "../maybe.ts";
import { ChunkState, type ChunkTerms, EndFlag, Entry, readEntry } from "./chunk-memory.ts";
import { BadMessage, type CallMessage, type PostArgs, type PostMessage } from "./messages.ts";
import type { PythonRequest } from "./protocol.ts";
import type { ChunkEnd, ChunkOffer } from "./python-host.ts";
import type { PythonWorker } from "./python-worker.ts";

/** How long this thread waits for a chunk and does nothing else: a little longer than a chunk lasts. */
const PATIENCE_MS = 5;
/** After this time the interpreter begins no further command. */
const LONGEST_MS = 3;
/** How long this thread waits for the end of a command, once no further one is to follow. */
const LAST_COMMAND_MS = 20;
/** Most executions of a chunk. */
export const MOST_EXECUTIONS = 1_024;

/** The interpreter, as far as a chunk has to do with it. */
interface ChunkHome {
  readonly worker: PythonWorker;
  chunk: object | undefined;
  post(message: PythonRequest): void;
}

/** An execution that has begun, and of which no end is known. */
interface Begun {
  readonly handle: number;
  readonly registration: number;
}

export class Chunk {
  readonly #home: ChunkHome;
  readonly #offer: ChunkOffer;
  readonly #handle: number;
  #begun: Begun | undefined;
  #isAdopted = false;
  /** Nothing further begins, and the code of an execution runs, or did so when that was decided. */
  #isStopped = false;
  #end: ChunkEnd | undefined;
  #onEnd: (end: ChunkEnd) => void = () => {};
  /** Has it ended, or has its execution become a job, after which it ends? */
  readonly #isOver = (): boolean => this.#end !== undefined || this.#isAdopted;

  /** @param handle of its first execution; there are {@link MOST_EXECUTIONS} for it */
  constructor(home: ChunkHome, offer: ChunkOffer, handle: number) {
    this.#handle = handle;
    this.#home = home;
    this.#offer = offer;
  }

  /** Offers the chunk, and waits for its end. */
  run(): Maybe<ChunkEnd> {
    const { worker } = this.#home;
    const { events, client, listener, outputLimit, commands, ends, flags } = this.#offer;
    const terms: ChunkTerms = {
      ...{ events, client, listener, outputLimit, handle: this.#handle },
      handles: MOST_EXECUTIONS,
      milliseconds: LONGEST_MS,
    };
    worker.chunk.offer(terms, commands, ends);
    this.#home.post(["chunk", flags]);
    worker.awaitMessages(this.#isOver, PATIENCE_MS);
    if (!this.#isOver()) this.#stop();
    if (this.#end !== undefined) return this.#end;
    return new Promise((resolve) => {
      this.#onEnd = resolve;
    });
  }

  /** Do its executions change things of which others are told as they go? */
  get tellsOthers(): boolean {
    return this.#offer.events > 0;
  }

  /** Takes what the interpreter's JavaScript tells. @throws BadMessage when Python has left something out */
  tell(bytes: Buffer): void {
    const { kind, first, second, told, types } = readEntry(bytes);
    const { sink } = this.#offer;
    if (kind === Entry.own) {
      sink.onOwn(told);
      return;
    }
    if (this.#begun !== undefined && !this.#isAdopted) throw new BadMessage("chunk: an execution has no end");
    if (told.length > 0) sink.onTold(told, types);
    if (kind === Entry.begun) {
      this.#begun = { handle: first, registration: second };
      this.#isAdopted = false;
      if (this.#isStopped) this.#adoptLast();
    } else if (kind === Entry.end) this.#ended(first);
  }

  /**
   * A message of Python's has come.
   * @returns true when it tells of nothing but the end of an execution of the chunk
   */
  takes(message: CallMessage | PostMessage): boolean {
    const begun = this.#begun;
    if (begun === undefined || this.#isAdopted) return false;
    if (message.kind === "post" && message.op === "done") {
      const args = message.args as PostArgs<"done">;
      if (args.job === begun.handle) {
        this.#begun = undefined;
        this.#offer.sink.onEnded(begun.registration, args);
        return true;
      }
    }
    this.#adopt(begun);
    return false;
  }

  /** The interpreter is gone. */
  abandon(): void {
    const begun = this.#begun;
    if (begun !== undefined && !this.#isAdopted) {
      this.#isAdopted = true;
      this.#offer.sink.onBegun(begun.registration, begun.handle, false);
    }
    // what the listener is told then, if anything, is what the execution's code has caused
    this.#ended(this.#home.worker.chunk.isHandling ? EndFlag.ownCut : 0);
  }

  /** The execution becomes a job, and the chunk ends after it. */
  #adopt({ registration, handle }: Begun): void {
    const { worker } = this.#home;
    this.#isAdopted = true;
    const isHandling = worker.chunk.move(ChunkState.handling, ChunkState.adopted);
    // it may be a later one already, which is told to have begun next
    this.#isStopped ||= isHandling;
    const goesOn = isHandling && worker.chunk.handle === handle;
    worker.chunk.move(ChunkState.running, ChunkState.stopped);
    this.#offer.sink.onBegun(registration, handle, goesOn);
  }

  /** It takes long: nothing further of the chunk is to begin. */
  #stop(): void {
    const { worker } = this.#home;
    if (worker.chunk.move(ChunkState.offered, ChunkState.none)) this.#ended(0);
    else if (worker.chunk.stop()) {
      this.#isStopped = true;
      this.#adoptLast();
      // what has begun may not have been told yet; it may also be told later than that
      if (!this.#isOver()) worker.awaitMessages(this.#isOver, LAST_COMMAND_MS);
    } else worker.awaitMessages(this.#isOver, LAST_COMMAND_MS);
  }

  /** The execution in whose code the interpreter was when the chunk was stopped becomes a job, if it was told that it has begun. */
  #adoptLast(): void {
    const begun = this.#begun;
    if (begun === undefined || this.#isAdopted || begun.handle !== this.#home.worker.chunk.handle) return;
    this.#isAdopted = true;
    this.#offer.sink.onBegun(begun.registration, begun.handle, true);
  }

  #ended(flags: number): void {
    if (this.#end !== undefined) return;
    const { chunk } = this.#home.worker;
    this.#end = {
      done: chunk.done,
      // the word is of an earlier chunk when none has begun
      begun: Math.max(0, chunk.handle - this.#handle + 1),
      isCut: (flags & EndFlag.ownCut) !== 0,
      isClosed: (flags & EndFlag.closed) !== 0,
    };
    this.#home.chunk = undefined;
    this.#onEnd(this.#end);
  }
}
