/**
 * A copy of the engine, as it was at one moment, that writes one file and ends. It stands for a process that Valkey would fork:
 * it has a memory of its own with the same contents at the same addresses, and works in another thread.
 */
import { EngineFiles } from "../engine-files.ts";
import { createSharedMemory, SharedMemoryView } from "../shared-memory.ts";
import { EngineExit, wasiImports } from "../wasi.ts";
import { wasm } from "../wasm.ts";
import { type ChildCalls, childCalls } from "./child-calls.ts";
import { Copy, End, type CopyJob, CopyWord } from "./copy-job.ts";
import { ServerState } from "./server-state.ts";
import { textOf } from "../../errors.ts";

export interface ForkedEngineOptions {
  readonly module: object;
  readonly memory: object;
  readonly build: string;
  readonly directory: string;
  readonly calls: ChildCalls;
  /** Gets what the copy prints, cut anywhere. */
  readonly onOutput: (text: string) => void;
}

/** The functions of Valkey that do the copy's work. */
export const CHILD_FUNCTIONS = ["rdbSave", "rewriteAppendOnlyFile"] as const;
type ChildFunctions = Record<(typeof CHILD_FUNCTIONS)[number], (...args: number[]) => number>;

const PAGE = 65536;
const MOST_PAGES = 65536;
/** Memory that may be needed besides a second time the data: Valkey may have to copy the largest value once more. */
const SPARE_PAGES = 1024;

/** Values of `server.child_type`. */
const PURPOSE = { save: 1, rewrite: 2 } as const;
/** The deepest end of the stack, which nothing reaches. */
const UNUSED_MEMORY = 1024;
const AOF_OFF = 0;
const NO_CHILD = -1;

/**
 * Makes the copy, while the engine waits, and does the work.
 * @returns what went wrong; undefined when the file is there
 */
export function runForked(options: ForkedEngineOptions, job: CopyJob): string | undefined {
  const { words } = job;
  const memory = copied(options.memory, words);
  if (memory === undefined) return "there is no memory for a copy of the data";
  try {
    return work(options, job, memory);
  } catch (error) {
    if (error instanceof EngineExit && error.code === 0) return undefined;
    return String(error);
  } finally {
    Atomics.store(words, CopyWord.end, End.ended);
    Atomics.notify(words, CopyWord.end);
  }
}

function copied(source: object, words: CopyJob["words"]): object | undefined {
  let result: number = Copy.noMemory;
  try {
    const from = new SharedMemoryView(source).bytes;
    const pages = from.length / PAGE;
    const memory = createSharedMemory(pages, Math.min(MOST_PAGES, pages * 2 + SPARE_PAGES));
    new SharedMemoryView(memory).bytes.set(from);
    result = Copy.made;
    return memory;
  } catch {
    return undefined;
  } finally {
    Atomics.store(words, CopyWord.copy, result);
    Atomics.notify(words, CopyWord.copy);
  }
}

function work(options: ForkedEngineOptions, job: CopyJob, memory: object): string | undefined {
  const view = new SharedMemoryView(memory);
  const calls = childCalls(options.calls, job);
  const problems: string[] = [];
  const note = { warn: (text: string) => problems.push(text) };
  const files = new EngineFiles({ directory: options.directory, calls }, new Map(), view, note);
  const host = { socket: none, listen: none, accept: none, read: none, write: none, close: none, poll: () => 0 };
  const { exports } = new wasm.Instance(options.module, {
    host,
    wasi_snapshot_preview1: wasiImports(view, {
      onOutput: options.onOutput,
      onHook: (hook, argument) => files.onHook(hook, argument),
      files: files.imports,
    }),
    env: { memory, __c_longjmp: new wasm.Tag({ parameters: ["i32"] }) },
  });
  const state = ServerState.ofBuild(options.build, view);
  if (state === undefined) return "an unknown build of Valkey";
  (exports.__stack_pointer as { value: number }).value = job.stackPointer;
  // as in a process that Valkey has forked; without an append-only file, for it writes its one file and nothing else
  state.set("inForkChild", PURPOSE[job.work.kind]);
  state.set("childPid", NO_CHILD);
  state.set("aofState", AOF_OFF);
  const status = run(exports as unknown as ChildFunctions, job, view);
  files.close();
  if (status === 0) return undefined;
  const failure = files.takeFailure() ?? problems[0] ?? "the engine could not write it";
  return textOf(failure);
}

const none = (): number => -1;

function run(functions: ChildFunctions, { work }: CopyJob, view: SharedMemoryView): number {
  if (work.kind === "save") return functions.rdbSave(...work.args);
  view.bytes.set(Buffer.from(`${work.name}\0`), UNUSED_MEMORY);
  return functions.rewriteAppendOnlyFile(UNUSED_MEMORY);
}
