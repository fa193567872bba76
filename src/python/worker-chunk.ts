/** The main thread's end of what a worker and the main thread write for each other about a chunk. */
import { type Shared, Word } from "./channel.ts";
import { ChunkMemory, type ChunkRow, ChunkState, type ChunkTerms } from "./chunk-memory.ts";

export class WorkerChunk {
  readonly #words: Shared["words"];
  readonly #memory: ChunkMemory;
  #rows: readonly ChunkRow[] | undefined;

  constructor({ words, chunk }: Shared) {
    this.#words = words;
    this.#memory = new ChunkMemory(chunk);
  }

  /** Lets the worker begin; a message has to follow that has Python ask for the first event. None may be under way. */
  offer(terms: ChunkTerms, commands: Uint8Array, ends: readonly number[]): void {
    this.#memory.offer(terms, commands, ends);
    Atomics.store(this.#words, Word.chunkDone, 0);
    Atomics.store(this.#words, Word.chunk, ChunkState.offered);
  }

  /** Tells it who is told of which events. @returns false when they are too many */
  setTable(rows: readonly ChunkRow[]): boolean {
    if (rows === this.#rows) return true;
    if (!this.#memory.setTable(rows)) return false;
    this.#rows = rows;
    return true;
  }

  /** Is none offered, or under way? */
  get isFree(): boolean {
    return Atomics.load(this.#words, Word.chunk) === ChunkState.none;
  }

  /** @returns whether it was as far as `from` says */
  move(from: number, to: number): boolean {
    return Atomics.compareExchange(this.#words, Word.chunk, from, to) === from;
  }

  /** Nothing further of it begins. @returns true when the code of an execution runs */
  stop(): boolean {
    for (;;) {
      if (this.move(ChunkState.handling, ChunkState.adopted)) return true;
      if (this.move(ChunkState.running, ChunkState.stopped)) return false;
      const now = Atomics.load(this.#words, Word.chunk);
      if (now !== ChunkState.handling && now !== ChunkState.running) return false;
    }
  }

  /** Does the code of an execution run? */
  get isHandling(): boolean {
    const state = Atomics.load(this.#words, Word.chunk);
    return state === ChunkState.handling || state === ChunkState.adopted;
  }

  /** How many commands were carried out. */
  get done(): number {
    return Atomics.load(this.#words, Word.chunkDone);
  }

  /** The handle of the execution that has begun last. */
  get handle(): number {
    return Atomics.load(this.#words, Word.chunkHandle);
  }
}
