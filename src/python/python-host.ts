/**
 * What the rest of the server knows of Python: sessions that live in some interpreter, and tasks that run in them.
 */
import type { EngineThreads } from "../engine/threads.ts";
import type { Maybe } from "../maybe.ts";
import type { MarshalReader, MarshalValue } from "./marshal.ts";
import type { CallArgs, CallOp, PostArgs } from "./messages.ts";

/** One line of RG.GETEXECUTION's steps. */
export interface StepInfo {
  readonly type: string;
  readonly name: string;
  readonly arg: string;
}

/** How a flow ended. Times are milliseconds. */
export interface FlowOutcome {
  readonly status: "done" | "aborted";
  readonly errors: readonly string[];
  readonly totalMs: number;
  readonly readMs: number;
  readonly stepMs: readonly number[];
}

/** What a script's body did. `builders` is how many GearsBuilders it made since it last told (each consumes a registration id). */
export type ScriptOutcome =
  | { readonly ok: false; readonly error: string; readonly builders: number }
  | {
      readonly ok: true;
      readonly builders: number;
      readonly run: DeclaredRun | undefined;
    };

/** The flow that a script's body has declared. */
interface DeclaredRun {
  readonly mode: string;
  readonly steps: readonly StepInfo[];
  readonly reader: string;
  /** It runs already: it must be submitted at once. */
  readonly begun: boolean;
}

/** Packages that the code of a session can import. */
export interface SessionPackages {
  /** Sessions with the same packages can share an interpreter, those with others can not. */
  readonly key: string;
  /** Files of the host, each with the files of one package. */
  readonly packs: readonly string[];
}

/** A module of a package. */
export interface ModuleSource {
  readonly path: string;
  readonly source: Buffer;
}

/** Compiles modules. @returns the contents of their files of bytecode, by path; what does not compile is not there */
export type CompileModules = (modules: readonly ModuleSource[]) => Promise<Map<string, Buffer>>;

/** One script with its globals and registrations. It lives in one interpreter, chosen when its first task starts. */
export interface PythonSession {
  readonly id: string;
  /** What Python calls it: `number:id`. Others can have had the same id, and code of theirs may still run. */
  readonly key: string;
  /** The engine's user who submitted it; its code acts with that user's rights. */
  readonly user: string;
  /** What it has asked for by REQUIREMENTS, besides what comes with the runtime. */
  readonly packages?: SessionPackages | undefined;
  /** Opaque: the interpreter; undefined before the first task, and after the interpreter died. */
  home: object | undefined;
  /** Messages that make the session again in a fresh interpreter; undefined when it can not be made again. */
  revive(): readonly (readonly MarshalValue[])[] | undefined;
  /** These messages were sent; what is sent now comes right behind them. */
  onRevived?(): void;
}

/** A piece of work for an interpreter: a script's body, or one flow. */
export interface PythonTask {
  /** Unique number by which Python and the main thread name it. A script's flow has the number of the script. */
  readonly handle: number;
  /** What it can tell: the end of its body, or results and the end of a flow. */
  readonly kind: "script" | "flow";
  readonly session: PythonSession;
  /** A script whose text looks as if it registers something; undefined for others. */
  readonly registers?: boolean;
  /** For people: such as `execution 0000000000000000000000000000000000000000-5`. */
  readonly name: string;
  /** Counts towards ExecutionThreads while it runs. */
  readonly takesThread: boolean;
  /** Whose commands it sends: holds of the engine are made in this name. */
  readonly owner: object;
  /** The handle of the command behind it, for `call_next()`, `get_command()` and `override_reply()`; 0: there is none. */
  readonly client: number;
  /** The message that starts it. Asked for when it starts. */
  message(): readonly MarshalValue[];
  /** Python has got it. */
  onStart(): void;
  /** The body ended (scripts only). */
  onScript(outcome: ScriptOutcome): void;
  /** Results, as a marshal list that the reader stands before. */
  onResults(items: MarshalReader): void;
  /** The flow waits for a coroutine or future, or goes on. */
  onWaiting(waiting: boolean): void;
  onDone(outcome: FlowOutcome): void;
  /** The interpreter died under it. @param reason undefined when that was the only way to stop this very task */
  onLost(reason: string | undefined): void;
}

/** Code that can be interrupted: a task, or what is called or runs without one under a handle of its own. */
export interface Interruptible {
  readonly handle: number;
  readonly session: Pick<PythonSession, "home">;
  /** For people. */
  readonly name: string;
  /** False while its interpreter has not come to it. */
  readonly begun?: boolean;
}

/** What an interpreter's event loop runs for long and is no task's: a coroutine, a callback, a finaliser. */
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
    readonly tasks: number;
  }[];
  /** Most interpreters at a time. */
  readonly limit: number;
  /** Executions that run, of those that count towards ExecutionThreads. */
  readonly running: number;
  /** Tasks that wait to be started. */
  readonly queued: number;
  readonly oldestWaitMs: number;
  /** Tasks that had to wait and have waited enough, and how long they did together. */
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

/** Runs tasks in interpreters. */
export interface PythonHost {
  /** Boots the first interpreter. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** A fresh task handle. */
  nextHandle(): number;
  /** Queues a task: it starts when its interpreter is free and a thread is left. */
  submit(task: PythonTask): void;
  /** Starts a task at once, inside whatever its interpreter waits for (a sync execution). */
  runNow(task: PythonTask): void;
  /** Takes a task back that has not started. @returns false when it has. */
  withdraw(task: PythonTask): boolean;
  /** Stops a started task: interrupts its Python code; when that has no effect, replaces its interpreter. */
  abort(task: PythonTask): void;
  /** Calls something of a session at once, inside whatever its interpreter waits for or computes. */
  runCallback(callback: Interruptible, message: readonly MarshalValue[]): void;
  /** Stops such a call, as {@link PythonHost.abort} does, until it is said to have ended. */
  stopCallback(callback: Interruptible): void;
  callbackEnded(callback: Interruptible): void;
  /** The session has registrations from now on: its interpreter is remembered, and made again if it dies. */
  retain(session: PythonSession): void;
  /** Makes a session of an earlier run, or of an interpreter that died, in some interpreter. */
  adopt(session: PythonSession): void;
  /** Its last registration is gone. */
  release(session: PythonSession): void;
  /** Sends a message about a session's state (`discard`, `unregister`, …); dropped when the session has no interpreter. */
  tell(session: Pick<PythonSession, "home">, message: readonly MarshalValue[]): void;
  /** Asks a session something; the message gets the question's number in second place. @throws ReplyError with Python's text when it can not answer */
  ask(session: PythonSession, question: readonly MarshalValue[], handle?: number): Promise<string>;
  /** True while an interpreter is booting, so that queued scripts will start in a moment. */
  readonly booting: boolean;
  /** Bytes of all interpreters' heaps. */
  memory(): { total: number; peak: number; current: number };
}

/** Answers one call from Python. @throws ReplyError whose text Python raises, BadMessage when no runtime of ours asks that */
export type CallHandler<Op extends CallOp> = (caller: CallContext, args: CallArgs<Op>) => Maybe<CallReply>;

/** Answers the calls, by operation. */
export type CallHandlers = { readonly [Op in CallOp]: CallHandler<Op> };

/** Takes the posts that are about no task. */
export type PostHandlers = {
  readonly [Op in "keys_close" | "log" | "timer" | "restored" | "timer_restored"]: (
    home: object,
    args: PostArgs<Op>,
  ) => void;
};

/** Who calls. */
export interface CallContext {
  /** The interpreter: identity only. */
  readonly home: object;
  /**
   * The engine's user whose code the interpreter runs; it runs no other user's. (It is the interpreter that tells, and not
   * the task, because code can claim to be any task of its interpreter.) Undefined before the first session came.
   */
  readonly user?: string | undefined;
  /** False while it has not taken the answers that it has: large ones should wait. */
  readonly mayAnswer?: boolean;
  /** Lets its thread use the engine by itself. @param only the task that may; 0: whatever runs there */
  useEngine?(threads: EngineThreads, only: number): void;
  /** A large answer is being made: of one interpreter there is one at a time. */
  prepares?(answer: Promise<unknown>): void;
  /** In whose names its tasks send commands; the call may be on top of any of them. */
  owners?(): object[];
  /**
   * The task that the interpreter runs; undefined for code that belongs to no execution, or to one that has ended.
   * @throws BadMessage when it is another interpreter's, or was never given out
   */
  task(handle: number): PythonTask | undefined;
}

/** A call's answer: how the value is written, or a ready one. */
export interface CallReply {
  readonly status: number;
  /** Marshal bytes of the value. */
  readonly value: Buffer;
}
