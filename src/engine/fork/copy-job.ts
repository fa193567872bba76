/** What the main thread and the thread of a copy tell each other. */
import type { SharedWords } from "../shared-memory.ts";

/** What a worker gets when it starts. All of it can be posted. */
export interface ChildStart {
  /** The compiled module of the engine. */
  readonly module: object;
  /** The memory that is to be copied. */
  readonly memory: object;
  /** The build of Valkey, for `ServerState.ofBuild`. */
  readonly build: string;
  /** The folder with the engine's files. */
  readonly directory: string;
}

/** What the copy is made for. */
export type Work =
  | {
      readonly kind: "save";
      /** Arguments of `rdbSave`; addresses in them are valid in the copy, too. */
      readonly args: readonly number[];
      /** Is it sent to a replica? */
      readonly forReplica: boolean;
    }
  | {
      readonly kind: "rewrite";
      /** The file to be written. */
      readonly name: string;
    };

export interface CopyJob {
  readonly work: Work;
  /** The number by which Valkey knows the copy. */
  readonly pid: number;
  /** The engine's stack pointer; the copy's stack begins below it. */
  readonly stackPointer: number;
  /** When the copy is made, in seconds since 1970. */
  readonly moment: number;
  readonly words: SharedWords;
}

/** What the copy's thread tells the main thread. */
export type Told =
  /** A part of the log of the copied engine. */
  | { readonly output: string }
  /** The work has ended. */
  | { readonly done: boolean; readonly reason?: string };

/** Indexes of the words that both threads share. */
export const CopyWord = { copy: 0, end: 1, count: 2 } as const;

/** Values of {@link CopyWord.copy}. */
export const Copy = { pending: 0, made: 1, noMemory: 2 } as const;

/** Values of {@link CopyWord.end}: the main thread may change `running` into `killed`. */
export const End = {
  running: 0,
  /** The file gets its name. The main thread has to wait for the end. */
  finishing: 1,
  killed: 2,
  ended: 3,
} as const;

export const createCopyWords = (): SharedWords => new Int32Array(new SharedArrayBuffer(CopyWord.count * 4));

/** Names of files that are being written, those of Valkey with its constant process number and ours. */
export const temporaryName = (pid: number): string => `temp-${pid}.rdb`;
export const rewrittenName = (pid: number): string => `temp-rewriteaof-bg-${pid}.aof`;
