/**
 * The messages of the main thread to the Python runtime in a worker, and the numbers in them. Both sides encode messages as
 * Python `marshal` (version 2) lists whose first element is the kind; `marshal.ts` here, the `marshal` module there. What
 * Python sends is declared in `messages.ts`, against which each message is decoded.
 *
 * A tuple is no message but a request for the engine, `(job, words)`: the worker itself carries it out, if it may, and tells by
 * {@link DIRECT_OUTCOME} what has become of it.
 */
import type { MarshalValue } from "./marshal.ts";

/** The fields of each kind of message. A worker handles one after the other; runtime/main.py has a handler for each. */
interface Fields {
  /** Runs a script's body; its flow, if it declares one by run(), has the same handle. */
  script: [handle: number, session: SessionKey, code: Buffer, flags: number];
  /** Runs a flow that was declared and is still waiting. */
  start: [handle: number, flags: number];
  /** Runs the flow of a registration on given records. */
  event: [handle: number, registration: number, records: MarshalValue, flags: number];
  /** The same for several events, of which all but the first are given ahead: each is a handle with its records. */
  events: [registration: number, flags: number, events: readonly (readonly [number, MarshalValue])[]];
  /** Runs the events of a chunk that was offered, see `chunk-memory.ts`. */
  chunk: [flags: number];
  /** A declared flow will never be started: forget it. */
  discard: [handle: number];
  /** Ends a flow that waits for a coroutine or future. */
  abort: [handle: number];
  /** Forgets a registration's flow (its session goes with its last one). */
  unregister: [registration: number];
  /** Calls a registration's onRegistered. A question. */
  registered: [question: number, registration: number];
  /** Shows or resets a session's profile. A question. */
  profile: [question: number, session: SessionKey, action: string, order: string];
  /** Makes a registration again; answered by a post `restored`. */
  restore: [session: SessionKey, registration: number, blob: Buffer];
  /** Makes a time event again; answered by a post `timer_restored`. */
  restore_timer: [session: SessionKey, timer: number, blob: Buffer];
  /** Calls a time event's function; answered by a post `timer`. */
  timer: [timer: number, handle: number];
  /** Forgets a time event's function. */
  timer_drop: [timer: number];
  /** What was asked about a connection, or is told of one that is watched; a text `CODE words` is an error. */
  connection: [connection: number, what: ConnectionAnswer, value: MarshalValue];
  /** Brings in the packages that the worker was given; comes before all else. */
  packages: [];
  /** Compiles a module; answered by a post `compiled`. Only interpreters that never run a script are asked. */
  compile: [number: number, path: string, source: Buffer];
}

/** It is open; a name's addresses; what TLS has agreed upon; bytes; for what it is ready (1 to be read, 2 to be written). */
export type ConnectionAnswer = "open" | "resolve" | "secure" | "take" | "ready";

/** `number:id`, since code of a session that was replaced may still run beside that of its successor. */
type SessionKey = string;

/** What can be asked for: a kind, and its fields. */
export type PythonRequest = { [Kind in keyof Fields]: readonly [kind: Kind, ...fields: Fields[Kind]] }[keyof Fields];

/**
 * What is sent. `nested`: to be run now, on top of what the worker does. `on_top`: to be run on top of the wait that was claimed
 * for it. Answers to calls: {@link replyMessage}.
 */
export type PythonMessage =
  | PythonRequest
  | readonly [kind: "nested", request: PythonRequest]
  | readonly [kind: "on_top", request: PythonRequest];

/** Outcome of a call. `withBytes` is a good value that holds bytes which are not UTF-8: Python turns them into bytearrays. */
export const ReplyStatus = { ok: 0, error: 1, withBytes: 2 } as const;

/** The first byte of a request for the engine, and of no message. */
export const BEGINS_REQUEST = 0x28;

/** What became of a request for the engine: a number that the write of it gives. Mirrored in bridge.py. */
export const DIRECT_OUTCOME = {
  /** Nothing was done: the main thread has to be asked. */
  notHere: 0,
  /** The reply lies in the place for answers. */
  value: 1,
  /** The same, with bytes in it that are not UTF-8. */
  withBytes: 2,
  /** The text of an error lies there. */
  error: 3,
  /** The reply is nil. */
  none: 4,
  /** The reply is OK. */
  ok: 5,
  /** What is to be read next is `[status, value]`, see {@link ReplyStatus}. */
  long: 6,
  /** Nothing was done: words in a tuple are no plain texts and numbers. They are to be made into a list of texts and bytes. */
  unsure: 7,
  /** The reply is a number, added to this. */
  whole: 2 ** 29,
} as const;

/** Bits of a job's `flags`. */
export const JobFlag = {
  /** Errors carry a traceback (PythonAttemptTraceback). */
  traceback: 1,
  /** Steps are timed and profiled (ProfileExecutions). */
  profile: 2,
  /** The caller can not wait (MULTI, Lua, execute): creating an async record is an error. */
  noAsync: 4,
  /** Others may run on top of it while it waits. */
  shares: 8,
  /** mode='sync': the engine is held for the flow until it waits. */
  sync: 16,
  /** Steps are timed, and their records counted. */
  observed: 32,
  /** The records of an event hold bytes: texts that are not UTF-8, which Python turns into bytearrays. */
  bytes: 64,
} as const;

/**
 * In place of the handle of a flow to interrupt, with the number of a turn of the event loop added: whatever runs in that
 * turn, and is no job's, is to stop.
 */
export const BACKGROUND = 2 ** 41;

/** In place of the handle of a flow to interrupt: whatever runs is to make room for nested jobs, and then goes on. */
export const SERVE_NESTED = 2 ** 40;

/** In place of the handle of a flow to interrupt: whatever runs is to tell where it is, and then goes on. */
export const SAMPLE = 2 ** 42;

/** A line that Python has printed. */
export interface OutputLine {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  /** What it counts towards what main may be behind. */
  readonly bytes: number;
  /** The handle of the job, and the number of the session, whose code has printed it; 0: unknown. */
  readonly job: number;
  readonly session: number;
  /** So many messages Python had sent before. */
  readonly after: number;
}

/** What the worker tells main besides the messages of Python, and the lines that it prints. */
export type WorkerNotice =
  | { readonly kind: "ready" }
  | { readonly kind: "died"; readonly reason: string }
  | { readonly kind: "snapshot"; readonly bytes: Uint8Array<ArrayBuffer>; readonly libraries: string };
