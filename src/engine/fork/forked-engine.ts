/**
 * A copy of the engine, as it was at one moment, that writes one file and ends. It is what a process is that Valkey has forked:
 * the same memory at the same addresses, but one of its own, in another thread.
 */
import { EngineFiles } from "../engine-files.ts";
import { createSharedMemory, SharedMemoryView } from "../shared-memory.ts";
import { EngineExit, wasiImports } from "../wasi.ts";
import { wasm } from "../wasm.ts";
import { type ChildCalls, childCalls } from "./child-calls.ts";
import { Copy, End, type Job, JobWord } from "./job.ts";
import { ServerState } from "./server-state.ts";

export interface ForkedEngineOptions {
  readonly module: object;
  readonly memory: object;
  readonly build: string;
  readonly directory: string;
  readonly calls: ChildCalls;
  /** Gets what it says. */
  readonly onOutput: (text: string) => void;
}

/** The functions that it may have to call. */
export const CHILD_FUNCTIONS = ["rdbSave", "rewriteAppendOnlyFile"] as const;
type ChildFunctions = Record<(typeof CHILD_FUNCTIONS)[number], (...args: number[]) => number>;

const PAGE = 65536;
const MOST_PAGES = 65536;
/** What it may need besides the copy, whose largest value it may have to copy once more. */
const SPARE_PAGES = 1024;

/** As `server.child_type`. */
const PURPOSE = { save: 1, rewrite: 2 } as const;
/** The deepest end of the stack, which nothing reaches. */
const UNUSED_MEMORY = 1024;
const AOF_OFF = 0;
const NO_CHILD = -1;

/**
 * Makes the copy, while the engine waits, and does the work.
 * @returns what went wrong; undefined when the file is there
 */
export function runForked(options: ForkedEngineOptions, job: Job): string | undefined {
  const { words } = job;
  const memory = copied(options.memory, words);
  if (memory === undefined) return "there is no memory for a copy of the data";
  try {
    return work(options, job, memory);
  } catch (error) {
    if (error instanceof EngineExit && error.code === 0) return undefined;
    return String(error);
  } finally {
    Atomics.store(words, JobWord.end, End.ended);
    Atomics.notify(words, JobWord.end);
  }
}

function copied(source: object, words: Job["words"]): object | undefined {
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
    Atomics.store(words, JobWord.copy, result);
    Atomics.notify(words, JobWord.copy);
  }
}

function work(options: ForkedEngineOptions, job: Job, memory: object): string | undefined {
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
  // as in a process that was forked; and what it has to write is one file, not a log too
  state.set("inForkChild", PURPOSE[job.work.kind]);
  state.set("childPid", NO_CHILD);
  state.set("aofState", AOF_OFF);
  const status = run(exports as unknown as ChildFunctions, job, view);
  files.close();
  if (status === 0) return undefined;
  const failure = files.takeFailure() ?? problems[0] ?? "the engine could not write it";
  return failure instanceof Error ? failure.message : String(failure);
}

const none = (): number => -1;

function run(functions: ChildFunctions, { work }: Job, view: SharedMemoryView): number {
  if (work.kind === "save") return functions.rdbSave(...work.args);
  view.bytes.set(Buffer.from(`${work.name}\0`), UNUSED_MEMORY);
  return functions.rewriteAppendOnlyFile(UNUSED_MEMORY);
}
