/**
 * What the rest of the server knows of Python: sessions that live in some interpreter, and jobs that run in them.
 */
import type { EngineThreads } from "../engine/engine-threads.ts";
import type { Maybe } from "../maybe.ts";
import type { ChunkRow } from "./chunk-memory.ts";
import type { FlowJob, Interruptible, Job, Origin } from "./job.ts";
import type { CallArgs, CallOp, PostArgs, ServerPostOp, StackSample } from "./messages.ts";
import type { PythonRequest } from "./protocol.ts";
import type { PythonSession } from "./python-session.ts";

/** A module of a package. */
export interface ModuleSource {
  readonly path: string;
  readonly source: Buffer;
}

/** Compiles modules. @returns the contents of their files of bytecode, by path; what does not compile is not there */
export type CompileModules = (modules: readonly ModuleSource[]) => Promise<Map<string, Buffer>>;

/** What an interpreter's event loop runs for long and is no job's: a coroutine, a callback, a finaliser. */
export interface BackgroundRun {
  /** Stops it, as {@link PythonHost.abort} does. */
  stop(): void;
  /** Called when it has ended. */
  onEnd: () => void;
}

/** What is told of the interpreters. */
export interface InterpreterFigures {
  readonly interpreters: readonly {
    readonly number: number;
    readonly state: "booting" | "idle" | "busy";
    readonly heapBytes: number;
    /** Sessions with registrations that live in it. */
    readonly sessions: number;
    readonly jobs: number;
  }[];
  /** Most interpreters at a time. */
  readonly limit: number;
  /** Executions that run, of those that count towards ExecutionThreads. */
  readonly running: number;
  /** Jobs that wait to be started. */
  readonly queued: number;
  readonly oldestWaitMs: number;
  /** Jobs that had to wait and have waited enough, and how long they did together. */
  readonly waits: number;
  readonly waitMs: number;
  /** Calls from Python by operation, and messages that want no answer. */
  readonly calls: ReadonlyMap<string, number>;
  readonly posts: number;
  /** Interpreters that died or had to be ended, by reason. */
  readonly restarts: ReadonlyMap<string, number>;
  /** System calls that the sandbox answered with an error. */
  readonly denials: number;
}

/** Commands that a client has sent one after the other, and whose events in mode `sync` an interpreter deals with. */
export interface ChunkOffer {
  /** A session of that interpreter. */
  readonly session: Pick<PythonSession, "home">;
  /** In whose name the engine is held. */
  readonly owner: object;
  /** 0; or the number of a registration, if these are no commands but its events, as Python reads them. */
  readonly events: number;
  /** The descriptors of the client's connection, and of the one that is told of events. */
  readonly client: number;
  readonly listener: number;
  /** Most bytes of replies that the engine may hold for the client; 0: no limit. */
  readonly outputLimit: number;
  readonly commands: Uint8Array;
  /** Where each of the commands ends. */
  readonly ends: readonly number[];
  /** Who is told of which events: the same object as long as that does not change. */
  readonly rows: readonly ChunkRow[];
  /** The flags of its executions. */
  readonly flags: number;
  readonly sink: ChunkSink;
}

/** Is told what happens in a chunk, in that order. */
export interface ChunkSink {
  /**
   * Commands have told the listener this.
   * @param types of keys for which the interpreter has asked then, one after the other, by their places in `TYPE_NAMES`
   */
  onTold(bytes: Buffer, types: Uint8Array): void;
  /** The code of the present execution has told it this. */
  onOwn(bytes: Buffer): void;
  /** An execution has begun and ended: the first one of those that were caused. */
  onEnded(registration: number, done: PostArgs<"done">): void;
  /**
   * An execution has begun and goes on: a flow has to be made of it that has begun.
   * @param isAlone nothing else of the chunk is under way: what the listener is told now is told by the execution's code
   */
  onBegun(registration: number, handle: number, isAlone: boolean): void;
}

export interface ChunkEnd {
  /** How many of the commands were carried out. */
  readonly done: number;
  /** How many executions have begun. */
  readonly begun: number;
  /** The engine still holds what the code of the last execution has told the listener. */
  readonly isCut: boolean;
  /** The engine has closed the client's connection. */
  readonly isClosed: boolean;
}

/** Runs jobs in interpreters. */
export interface PythonHost {
  /** Boots the first interpreter. @param handlers answer what Python asks of the server */
  start(handlers: Handlers): Promise<void>;
  stop(): Promise<void>;
  /** A fresh handle of a job. */
  nextHandle(): number;
  /** Queues a job: it starts when its interpreter is free and a thread is left. */
  submit(job: Job): void;
  /**
   * Takes note of a flow that Python has begun by itself: together with its script, to be called before `onScript` returns, or
   * after the event before it, to be called before `onDone` returns.
   */
  submitBegun(job: FlowJob): void;
  /** Python begins no more of the events that were given ahead. @returns how many it has not begun: the last ones */
  takeBack(session: Pick<PythonSession, "home">): number;
  /** Starts a job at once, on top of whatever its interpreter does (a sync execution). */
  runNow(job: Job): void;
  /**
   * Has an interpreter carry out commands, in the name of who holds the engine. Their replies stay in the engine.
   * @returns undefined: it can not now, and has done nothing
   */
  carryOut(offer: ChunkOffer): Maybe<ChunkEnd> | undefined;
  /** Takes a queued job back: it has ended. @returns false when it is not queued */
  withdraw(job: Job): boolean;
  /** Stops a started job: interrupts its Python code; when that has no effect, replaces its interpreter. */
  abort(job: Job): void;
  /** Jobs that wait for coroutines and futures. */
  readonly waiting: ReadonlySet<Job>;
  /** Calls something of a session at once, inside whatever its interpreter waits for or computes. */
  runCallback(callback: Interruptible, message: PythonRequest): void;
  /** Stops a callback, as {@link PythonHost.abort} does a job: until {@link callbackEnded} is called. */
  stopCallback(callback: Interruptible): void;
  callbackEnded(callback: Interruptible): void;
  /** The session has registrations from now on: its interpreter is remembered, and made again if it dies. */
  retain(session: PythonSession): void;
  /** Makes a session of an earlier run, or of an interpreter that died, in some interpreter. */
  adopt(session: PythonSession): void;
  /** The session has no registrations any more. */
  release(session: PythonSession): void;
  /** Sends a message about a session's state (`discard`, `unregister`, …); dropped when the session has no interpreter. */
  tell(session: Pick<PythonSession, "home">, message: PythonRequest): void;
  /**
   * Asks a session something.
   * @param number a fresh handle, which stands in the question, too
   * @throws ReplyError with Python's text when it can not answer
   */
  ask(session: PythonSession, number: number, question: PythonRequest): Promise<string>;
  /** Is no job queued, and does no interpreter that has booted run or wait with anything? Coroutines in the background are nothing. */
  readonly isIdle: boolean;
  /** True while an interpreter is booting, so that queued scripts will start in a moment. */
  readonly booting: boolean;
  /** The interpreter in which a session lives: its number, and the bytes of its heap. */
  interpreterOf(
    session: Pick<PythonSession, "home">,
  ): { readonly number: number; readonly heapBytes: number } | undefined;
  /**
   * Asks the code that runs in a session's interpreter where it is; the code goes on meanwhile.
   * @returns undefined when nothing runs there, or it does not tell within a tenth of a second
   */
  sampleStack(session: Pick<PythonSession, "home">): Promise<StackSample | undefined>;
  /** Bytes of all interpreters' heaps. */
  memory(): { total: number; peak: number; current: number };
}

/** Answers one call from Python. @throws ReplyError whose text Python raises, BadMessage when no runtime of ours asks that */
type CallHandler<Op extends CallOp> = (caller: CallContext, args: CallArgs<Op>) => Maybe<CallReply>;

/** Takes one post from Python. @throws BadMessage when no runtime of ours tells that */
type PostHandler<Op extends ServerPostOp> = (caller: CallContext, args: PostArgs<Op>) => void;

/** Answer the calls, by operation. */
export type CallHandlers = { readonly [Op in CallOp]: CallHandler<Op> };

/** Take the posts that are neither a job's nor the answer to a question, by operation. */
export type PostHandlers = { readonly [Op in ServerPostOp]: PostHandler<Op> };

/** What the rooms of the server do about messages of Python. */
export type Handlers = CallHandlers & PostHandlers;

/** Who calls, or tells something. */
export interface CallContext {
  /** The interpreter: identity only. */
  readonly home: object;
  /**
   * The engine's user whose code the interpreter runs; it runs no other user's. (It is the interpreter that tells, and not
   * the job, because code can claim to be any job of its interpreter.) Undefined before the first session came.
   */
  readonly user?: string | undefined;
  /** The interpreter has died: nothing is opened or held any more for what its code has asked. */
  readonly isGone?: boolean;
  /** False while the interpreter leaves answers lying: large ones should wait. */
  readonly mayAnswer?: boolean;
  /** For people. */
  readonly number?: number;
  /** Sends a message that its code has asked for, and has to take before it asks for many more. */
  tell?(message: PythonRequest): void;
  /** Lets its thread use the engine by itself. @param only the handle of the job that may; 0: whatever runs there */
  useEngine?(threads: EngineThreads, only: number, withBodies: boolean): boolean;
  /** A large answer is being made: of one interpreter there is one at a time. */
  prepares?(answer: Promise<unknown>): void;
  /** Whose a line is that it logs: by the handle of a job and the number of a session, as it tells them. */
  origin?(job: number, session: number): Origin;
  /** In whose names its jobs send commands; the call may be on top of any of them. */
  owners?(): object[];
  /**
   * The interpreter's job of a handle; undefined for code that belongs to no job, or to one that has ended.
   * @throws BadMessage when it is another interpreter's, or was never given out
   */
  job(handle: number): Job | undefined;
}

/** A call's answer: how the value is written, or a ready one. */
export interface CallReply {
  readonly status: number;
  /** Marshal bytes of the value. */
  readonly value: Buffer;
}
