/**
 * What Valkey forks for: saving, and rewriting its append-only file, while it serves its clients. When Valkey calls its
 * `serverFork` the engine is copied into another thread, and Valkey is told that it has a child process. What the end of a child
 * changes in Valkey is changed here, at the moment at which Valkey would look after its children.
 */
import * as fs from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";
import type { EngineFolder } from "../files/engine-folder.ts";
import { SAVE_ARGUMENTS } from "../valkey-hooks.ts";
import type { MemoryView } from "../wasm.ts";
import { ChildProcess } from "./child-process.ts";
import { type ChildStart, rewrittenName, temporaryName, type Work } from "./copy-job.ts";
import { REPLICA_FUNCTIONS, type ReplicaFunctions, type ReplicaNetwork, Replicas } from "./replicas.ts";
import { AofRewriting, REWRITING_FUNCTIONS, type RewritingFunctions } from "./aof-rewriting.ts";
import { ServerState } from "./server-state.ts";

/** Functions of Valkey that are called when a copy has begun or ended. */
export interface ForkFunctions extends RewritingFunctions, ReplicaFunctions {
  resetChildState(): void;
  objectGetVal(object: number): number;
}

export const FORK_FUNCTIONS: readonly (keyof ForkFunctions)[] = [
  ...(["resetChildState", "objectGetVal"] as const),
  ...REWRITING_FUNCTIONS,
  ...REPLICA_FUNCTIONS,
];

export interface EngineParts {
  readonly start: ChildStart;
  /** The memory of the engine. */
  readonly memory: MemoryView;
  /** The exports of the engine's instance: {@link ForkFunctions} and the stack pointer. */
  readonly exports: Readonly<Record<string, unknown>>;
  /** The engine's folder, and the files in it that are not on the disk. */
  readonly folder: EngineFolder;
  readonly virtual: Map<string, Buffer>;
  readonly network: ReplicaNetwork;
  readonly log: { debug(text: string): void; warn(text: string): void };
  /** Gets what copies print, cut anywhere. */
  readonly onOutput: (text: string) => void;
}

interface ForksOptions extends Omit<EngineParts, "exports"> {
  readonly state: ServerState;
  readonly functions: ForkFunctions;
  readonly stackPointer: { readonly value: number };
}

/** What copies an engine. @returns undefined when the engine can not be copied, since its build is not known */
export function forksOf({ exports, ...parts }: EngineParts): EngineForks | undefined {
  const state = ServerState.ofBuild(parts.start.build, parts.memory);
  const known = state && FORK_FUNCTIONS.every((name) => typeof exports[name] === "function");
  if (!known) return undefined;
  const functions = exports as unknown as ForkFunctions;
  return new EngineForks({ ...parts, state, functions, stackPointer: exports.__stack_pointer as { value: number } });
}

/** `server.child_type`, what Valkey forks for. */
const Purpose = { none: 0, save: 1, rewrite: 2 } as const;
const NOBODY = 0;
const [OK, FAILED] = [0, -1];
/** The bit of `rdbflags` that says that the dump is for a replica. */
const FOR_REPLICA = 2;
/** C's number of this error, as WASI has it. */
const NO_MEMORY = 48;

/** The numbers by which Valkey knows its copies; its own is 42. */
const FIRST_PID = 43;
const GIB = 2 ** 30;
const MB = 2 ** 20;
/** A thread that waits for the next copy is started this long after the last one has begun, in milliseconds. */
const NEXT_THREAD_MS = 1_000;

const seconds = (): number => Math.floor(Date.now() / 1000);

export class EngineForks {
  readonly #options: ForksOptions;
  readonly #rewriting: AofRewriting;
  readonly #replicas: Replicas;
  #next: ChildProcess | undefined;
  #child: ChildProcess | undefined;
  #pid = FIRST_PID - 1;
  #saveArguments: number[] = [];
  #held = false;
  /** A save that begins when nobody holds the engine any more. */
  #deferred: Work | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ForksOptions) {
    this.#options = options;
    this.#rewriting = new AofRewriting(options);
    this.#replicas = new Replicas(options);
    removeOldFiles(options.start.directory);
    this.#prepareSoon();
  }

  /** An argument of `rdbSaveBackground`, which is about to begin. */
  noteSaveArgument(value: number): void {
    if (this.#saveArguments.length === SAVE_ARGUMENTS) this.#saveArguments = [];
    this.#saveArguments.push(value);
  }

  /** Does what `serverFork` would do. @returns the number of the child; -1 when there is none */
  fork(purpose: number): number {
    const pid = this.#pid + 1;
    const work = this.#workOf(purpose, pid);
    if (work === undefined) return FAILED;
    const { state, memory, log } = this.#options;
    const lack = lackOfMemory(memory.bytes.length);
    if (lack !== undefined) {
      log.warn(`a copy of the data for writing in the background was refused: ${lack}`);
      state.errno = NO_MEMORY;
      return FAILED;
    }
    const child = this.#next ?? this.#spawn();
    this.#next = undefined;
    this.#prepareSoon();
    child.onGone = () => {
      if (child.end?.kind !== "done") this.#removeFiles(pid);
    };
    const waits = this.#held && work.kind === "save" && !work.forReplica;
    const errno = waits ? undefined : this.#copy(child, work, pid);
    if (errno !== undefined) {
      state.errno = errno;
      return FAILED;
    }
    if (waits) this.#deferred = { ...work, args: withoutSaveInfo(work.args) };
    this.#pid = pid;
    this.#child = child;
    state.set("childPid", pid);
    state.set("childType", purpose);
    state.setLong("forks", state.long("forks") + 1);
    return pid;
  }

  /**
   * Somebody holds the engine: saves wait until {@link release}, so that one has either all of the holder's changes or none.
   */
  hold(): void {
    this.#held = true;
  }

  /** Nobody holds the engine any more. Has to be called between the engine's steps. */
  release(): void {
    this.#held = false;
    const [work, child] = [this.#deferred, this.#child];
    this.#deferred = undefined;
    if (work === undefined || child === undefined || child.end !== undefined) return;
    const { state } = this.#options;
    state.setLong("dirtyBeforeSave", state.long("dirty"));
    this.#copy(child, work, this.#pid);
  }

  /** Called when Valkey would look after its children. */
  reap(): void {
    const { end } = this.#child ?? {};
    if (end === undefined) return;
    const { state, functions } = this.#options;
    this.#child = undefined;
    this.#deferred = undefined;
    if (end.kind === "failed") this.#options.log.warn(`writing in the background has failed: ${end.reason}`);
    const [done, killed] = [end.kind === "done", end.kind === "killed"];
    if (state.get("childType") === Purpose.save) this.#saveEnded(done, killed);
    else this.#rewriting.end(this.#pid, done, killed);
    this.#removeFiles(this.#pid);
    functions.resetChildState();
  }

  killSave(): void {
    if (this.#options.state.get("childType") === Purpose.save) this.#child?.kill();
  }

  /** Ends the copy that rewrites the append-only file. Valkey, too, knows that it is over when this returns. */
  killRewrite(): void {
    const { state, functions } = this.#options;
    if (state.get("childType") !== Purpose.rewrite) return;
    this.#child?.kill();
    this.#child = undefined;
    this.#removeFiles(this.#pid);
    state.setLong("aofRewriteStart", -1);
    functions.resetChildState();
  }

  /** Ends the save when a client has sent BGSAVE CANCEL. @param client the address of a client that has sent BGSAVE */
  noteSaveCommand(client: number): void {
    const { state, functions } = this.#options;
    const [, option, more] = state.argumentsOf(client);
    if (option === undefined || more !== undefined) return;
    if (state.textAt(functions.objectGetVal(option)).toLowerCase() === "cancel") this.killSave();
  }

  /** The engine has ended: its copies are ended, too. */
  close(): void {
    clearTimeout(this.#timer);
    this.#replicas.close();
    for (const child of [this.#child, this.#next]) child?.kill();
    if (this.#child) this.#removeFiles(this.#pid);
  }

  #workOf(purpose: number, pid: number): Work | undefined {
    if (purpose === Purpose.save && this.#saveArguments.length === SAVE_ARGUMENTS)
      return { kind: "save", args: this.#saveArguments, forReplica: isForReplica(this.#saveArguments) };
    if (purpose === Purpose.rewrite) return { kind: "rewrite", name: rewrittenName(pid) };
    return undefined;
  }

  /** Makes the copy. @returns the number of C's error when that is not possible */
  #copy(child: ChildProcess, work: Work, pid: number): number | undefined {
    const { state, memory, stackPointer } = this.#options;
    const size = memory.bytes.length;
    const began = performance.now();
    const errno = child.begin(work, pid, stackPointer.value);
    const milliseconds = performance.now() - began;
    if (errno !== undefined) return errno;
    state.setLong("forkTime", Math.round(milliseconds * 1000));
    state.forkRate = (size / GIB / milliseconds) * 1000;
    state.set("currentCopyBytes", size);
    state.set(work.kind === "save" ? "saveCopyBytes" : "rewriteCopyBytes", size);
    return undefined;
  }

  /** Does what Valkey's `backgroundSaveDoneHandler` would do. */
  #saveEnded(done: boolean, killed: boolean): void {
    const { state, log } = this.#options;
    const now = seconds();
    if (done) {
      log.debug("Background saving terminated with success");
      state.setLong("dirty", Math.max(0, state.long("dirty") - state.long("dirtyBeforeSave")));
      state.setLong("lastSave", now);
    }
    if (!killed) state.set("lastSaveStatus", done ? OK : FAILED);
    state.set("rdbChildType", NOBODY);
    state.setLong("saveTime", now - state.long("saveStart"));
    state.setLong("saveStart", -1);
    this.#replicas.saveEnded(done);
  }

  #spawn(): ChildProcess {
    return new ChildProcess(this.#options.start, this.#options.onOutput);
  }

  #prepareSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#next ??= this.#spawn();
    }, NEXT_THREAD_MS).unref();
  }

  #removeFiles(pid: number): void {
    for (const name of [temporaryName(pid), temporaryRewrite(pid), rewrittenName(pid)])
      fs.rmSync(join(this.#options.start.directory, name), { force: true });
  }
}

/** Is a save for a replica? Such a save can not wait. @param arguments of `rdbSaveBackground(req, filename, rsi, flags)` */
const isForReplica = ([, , , flags = 0]: readonly number[]): boolean => (flags & FOR_REPLICA) !== 0;

/**
 * The arguments for a save that begins later: what `rsi` points to lies on the stack and is gone when the call has returned.
 */
const withoutSaveInfo = ([request = 0, name = 0, , flags = 0]: readonly number[]): number[] => [
  request,
  name,
  0,
  flags,
];

const temporaryRewrite = (pid: number): string => `temp-rewriteaof-${pid}.aof`;

/** Temporary files that a server has left that was killed. Nothing else would ever remove them. */
const OLD_FILE = /^temp-(?:\d+\.rdb|rewriteaof-(?:bg-)?\d+\.aof)$/;

function removeOldFiles(directory: string): void {
  for (const name of fs.readdirSync(directory))
    if (OLD_FILE.test(name)) fs.rmSync(join(directory, name), { force: true });
}

/**
 * Why there is no memory for so many bytes; undefined when there is. The system would end the server instead of refusing
 * them.
 */
function lackOfMemory(bytes: number): string | undefined {
  const free = process.availableMemory?.() ?? freemem();
  if (free === 0 || free >= bytes) return undefined;
  return `it needs ${Math.ceil(bytes / MB)} MB, and ${Math.floor(free / MB)} MB are free`;
}
