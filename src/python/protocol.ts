/**
 * The messages between the main thread and the Python runtime in a worker. Both sides encode them as Python `marshal`
 * (version 2) lists whose first element is the kind; `marshal.ts` here, the `marshal` module there. Bytes are Buffers,
 * text is decoded where this file says `string`.
 *
 * Direction main → Python. A worker handles one job at a time; `nested` ones run while it waits for a reply to a call.
 *
 *   ["reply", seq, status, value]               answer to a call; status see ReplyStatus
 *   ["script", job, session, code, flags]       run a script's body; its flow (if it calls run()) has the handle `job`
 *   ["start", flow, execId, flags]              run a flow that was declared and is still waiting
 *   ["event", flow, execId, registration, records, flags]   start a flow of a registration on given records
 *   ["discard", flow]                           a declared flow will never be started: forget it
 *   ["abort", flow]                             end a flow that waits for a coroutine or future
 *   ["unregister", registration]                forget a registration's flow (its session goes with its last one)
 *   ["registered", question, registration]      call its onRegistered; answered unless the question is 0
 *   ["restore", session, registration, blob]    make a registration again; `restore_timer` does so for a time event
 *   ["timer", number, handle]                   call a time event's function; `timer_drop` forgets it
 *   ["profile", question, session, action, order]     show or reset a session's profile
 *   ["packages"]                                bring in the packages that the worker was given; comes before all else
 *   ["compile", number, path, source]           compile a module; answered by the post `compiled`. Only interpreters that
 *                                               never run a script are asked
 *   ["nested", message]                         one of the above, to be run now, while a call waits for its reply
 *
 * A `session` is the key of one, `number:id`: code of a session that was replaced may still run beside that of its successor.
 *
 * Direction Python → main. Calls wait for their reply, posts do not. Which there are, and what they hold, is declared in
 * `messages.ts`, against which each is decoded. `done` brings the last results along.
 *
 *   ["call", seq, op, ...args]
 *   ["post", op, ...args]
 *
 * A tuple is no message but a request for the engine, `(task, words)`: the worker itself carries it out, if it may, and tells by {@link DIRECT_OUTCOME} what has become of it.
 */

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
  /** mode='sync': runs inline; no other execution may be served meanwhile. */
  sync: 8,
} as const;

/**
 * In place of the handle of a flow to interrupt, with the number of a turn of the event loop added: whatever runs in that
 * turn, and is no job's, is to stop.
 */
export const BACKGROUND = 2 ** 41;

/** In place of the handle of a flow to interrupt: whatever runs is to make room for nested jobs, and then goes on. */
export const SERVE_NESTED = 2 ** 40;

/** What the worker tells main besides the messages of Python. */
export type WorkerNotice =
  | { readonly kind: "ready" }
  | { readonly kind: "died"; readonly reason: string }
  | { readonly kind: "output"; readonly stream: "stdout" | "stderr"; readonly text: string; readonly bytes: number }
  | { readonly kind: "snapshot"; readonly bytes: Uint8Array<ArrayBuffer> };
