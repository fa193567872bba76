/**
 * What an interpreter may send: the schema of every message, and the only place where one is decoded. A script can write
 * messages of its own, so each is a stranger's: what does not fit is a {@link BadMessage}, upon which the interpreter is
 * ended. The runtime checks what scripts give it before it sends, so an honest script never gets there.
 *
 * A message is read once, from its first byte to its last, before anything is done about it. Every list has a limit, and so
 * has the depth of what may nest. Whose job, timer or question a number names is known to its interpreter's {@link Home}.
 */
import { InternalError } from "../errors.ts";
import { MarshalReader } from "./marshal.ts";

/** An interpreter sent what no runtime of ours sends. The text says what, for the log. */
export class BadMessage extends InternalError {
  override name = "BadMessage";
}

/**
 * Most arguments of a command: a quarter of a client's, whose commands are not decoded in one piece. With all of them main is
 * held for less than 100 ms. Mirrored in convert.py.
 */
const MAX_ARGUMENTS = 262_144;
/** Most elements of the results in one message, nested ones too. Mirrored in convert.py. */
const MAX_ELEMENTS = 1_048_576;
/** How deep results may nest. convert.py goes to 500. */
const MAX_DEPTH = 512;
/** Most errors of one execution. Mirrored in flow.py. */
const MAX_ERRORS = 65_536;
/** Most steps of a flow, and most lines that RG.GETEXECUTION shows of them. Mirrored in records.py. */
const MAX_STEPS = 10_000;
const MAX_STEP_LINES = MAX_STEPS * 5 + 1;
/** Longest text of a line that scripts log, in bytes. calls.py cuts at 16 384 characters. */
const MAX_LOG_BYTES = 65_536 + 256;
/** Longest Python stack, in bytes. sampling.py cuts at 16 384 characters. */
const MAX_STACK_BYTES = 65_536;
/** Longest name of an operation, or of a dict's key. */
const MAX_NAME_BYTES = 64;
/** Longest of all other names: of keys, triggers, commands, options. Mirrored in convert.py. */
const MAX_WORD_BYTES = 65_536;
/** Most words of a list. Mirrored in registrations.py. */
const MAX_WORDS = 4_096;
/** Longest error, in bytes: convert.py cuts at so many, and says how long it was. */
const MAX_ERROR_BYTES = 1_048_576 + 64;
/** Bytes that are decoded as text in one message. flow.py and records.py send less. */
const MAX_TEXT_BYTES = 8 * 1_048_576 + MAX_ERROR_BYTES;
/** Longest function of a registration or time event, as Python serialises it. Mirrored in serialise.py. */
const MAX_BLOB_BYTES = 64 * 1_048_576;
/** Longest host that a script connects to. */
const MAX_HOST_BYTES = 1_024;
/** Most bytes that are sent or taken in one message. Mirrored in sockets.py. */
const MAX_SEND_BYTES = 65_536;
const MAX_RECEIVE_BYTES = 65_000;
/** Longest text with certificates of CAs. Mirrored in tls.py. */
const MAX_PEM_BYTES = 524_288;
/** Longest time, in milliseconds, that an execution can tell of itself. */
const MAX_MS = 1e15;

/** Reads one value. @throws InternalError when there is another one */
type Field<T> = (reader: MarshalReader) => T;
type Fields = Readonly<Record<string, Field<unknown>>>;
/** What the fields of a message become. */
type Values<F extends Fields> = { readonly [Name in keyof F]: ReturnType<F[Name]> };

const unfit = (wanted: string): InternalError => new InternalError(`expected ${wanted}`);

const integer =
  (min: number, max: number): Field<number> =>
  (reader) => {
    const value = reader.int();
    if (typeof value !== "number" || value < min || value > max) throw unfit(`an integer from ${min} to ${max}`);
    return value;
  };

const flag: Field<boolean> = (reader) => reader.bool();

/** Bytes or text: what a command's argument is. A view of the message, which nobody else writes to. */
const bytes =
  (maxBytes = Number.POSITIVE_INFINITY): Field<Buffer> =>
  (reader) => {
    const value = reader.bytes();
    if (value.length > maxBytes) throw unfit(`at most ${maxBytes} bytes`);
    return value;
  };

const text =
  (maxBytes = MAX_WORD_BYTES): Field<string> =>
  (reader) =>
    reader.text(maxBytes);

const oneOf =
  <T extends string>(...words: readonly T[]): Field<T> =>
  (reader) => {
    const value = reader.text(MAX_NAME_BYTES) as T;
    if (!words.includes(value)) throw unfit(`one of ${words.join(", ")}`);
    return value;
  };

const nullable =
  <T>(field: Field<T>): Field<T | null> =>
  (reader) =>
    reader.none() ? null : field(reader);

const list =
  <T>(item: Field<T>, max: number, min = 0): Field<T[]> =>
  (reader) => {
    const count = reader.list();
    if (count < min || count > max) throw unfit(`a list of ${min} to ${max}`);
    const items: T[] = [];
    for (let i = 0; i < count; i++) items.push(item(reader));
    return items;
  };

const tuple =
  <T extends readonly unknown[]>(...fields: { readonly [At in keyof T]: Field<T[At]> }): Field<T> =>
  (reader) => {
    if (reader.list() !== fields.length) throw unfit(`a list of ${fields.length}`);
    return fields.map((field) => field(reader)) as unknown as T;
  };

/** A dict with these keys, of which the optional ones may be missing. */
const record = <R extends Fields, O extends Fields>(
  required: R,
  optional: O,
): Field<Values<R> & Partial<Values<O>>> => {
  const fields: Fields = { ...required, ...optional };
  return (reader) => {
    const values: Record<string, unknown> = {};
    for (reader.dict(); !reader.dictEnds(); ) {
      const name = reader.text(MAX_NAME_BYTES);
      if (!Object.hasOwn(fields, name) || Object.hasOwn(values, name)) throw unfit("each known key once");
      values[name] = (fields[name] as Field<unknown>)(reader);
    }
    for (const name of Object.keys(required)) if (!Object.hasOwn(values, name)) throw unfit(`the key ${name}`);
    return values as Values<R> & Partial<Values<O>>;
  };
};

/** Results, which are checked here and turned into replies where they are kept. The reader stands before them. */
const results =
  (skip: (reader: MarshalReader) => void): Field<MarshalReader> =>
  (reader) => {
    const start = reader.at;
    skip(reader);
    return new MarshalReader(reader.source.subarray(start, reader.at));
  };

const INT64 = [-(2n ** 63n), 2n ** 63n - 1n] as const;

/** Reads over one result. @returns how many elements may still follow */
function skipResult(reader: MarshalReader, left: number, depth: number): number {
  if (left <= 0) throw unfit(`at most ${MAX_ELEMENTS} elements`);
  if (reader.isList) {
    if (depth >= MAX_DEPTH) throw unfit(`at most ${MAX_DEPTH} lists in each other`);
    let count = reader.list();
    if (count >= left) throw unfit(`at most ${MAX_ELEMENTS} elements`);
    for (left--; count > 0; count--) left = skipResult(reader, left, depth + 1);
    return left;
  }
  if (reader.isBytes) reader.skipBytes();
  else {
    const value = reader.int();
    if (typeof value === "bigint" && (value < INT64[0] || value > INT64[1])) throw unfit("an integer of 64 bits");
  }
  return left - 1;
}

const oneResult = results((reader) => void skipResult(reader, MAX_ELEMENTS, 0));
const manyResults = results((reader) => {
  if (!reader.isList) throw unfit("a list of results");
  skipResult(reader, MAX_ELEMENTS + 1, 0);
});

const whole = integer(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
const natural = integer(0, Number.MAX_SAFE_INTEGER);
/** The job of whose code a message comes; 0 for none. Which ones an interpreter may name: {@link Home.job}. */
const job = natural;
/** GearsBuilders made since this was last told: each consumes an id. */
const builders = natural;

const milliseconds: Field<number> = (reader) => {
  const value = reader.float();
  if (!(Math.abs(value) <= MAX_MS)) throw unfit("milliseconds");
  // differences of clocks can be a little below zero
  return value > 0 ? value : 0;
};

const SESSION_KEY = /^[1-9]\d{0,15}:/;
const session: Field<string> = (reader) => {
  const key = reader.text(MAX_WORD_BYTES);
  if (!SESSION_KEY.test(key)) throw unfit("a session's key");
  return key;
};

const steps = list(tuple<[string, string, string]>(text(), text(), text()), MAX_STEP_LINES);
/** What each step is; see RUNNERS in steps.py. */
const kinds = list(text(MAX_NAME_BYTES), MAX_STEPS);
/** Records that came out of the reader, and of each step with its kind; empty when they were not counted. */
const passed = list(tuple<[string, number]>(text(MAX_NAME_BYTES), natural), MAX_STEPS + 1);
const words = nullable(list(text(), MAX_WORDS));
const error = text(MAX_ERROR_BYTES);
const outcome = oneOf("ok", "error");

const registration = record(
  {
    reader: oneOf("KeysReader", "StreamReader", "CommandReader"),
    mode: oneOf("sync", "async", "async_local"),
    desc: nullable(text()),
    session,
    has_on_registered: flag,
    blob: bytes(MAX_BLOB_BYTES),
  },
  {
    prefix: text(),
    eventTypes: words,
    keyTypes: words,
    commands: words,
    readValue: flag,
    batch: integer(1, Number.MAX_SAFE_INTEGER),
    duration: whole,
    onFailedPolicy: oneOf("continue", "abort", "retry"),
    onFailedRetryInterval: whole,
    trimStream: flag,
    trigger: nullable(text()),
    hook: nullable(text()),
    keyprefix: nullable(text()),
    inorder: flag,
  },
);

/** The number that Python has given to a connection. */
const connection = integer(1, Number.MAX_SAFE_INTEGER);
/** What it is to be ready for: 1 to be read, 2 to be written. */
const readiness = integer(0, 3);
const tlsSettings = record(
  {
    /** What the server is told of its name, and whose certificate it has to be. */
    server: text(MAX_HOST_BYTES),
    verify: flag,
    identity: nullable(text(MAX_HOST_BYTES)),
    protocols: list(text(255), 16),
    defaults: flag,
    authorities: text(MAX_PEM_BYTES),
    certificate: text(MAX_WORD_BYTES),
    key: text(MAX_WORD_BYTES),
    passphrase: text(1_024),
    ciphers: text(4_096),
    least: oneOf("", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    most: oneOf("", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
  },
  {},
);

/** What Python asks, and waits for the answer. Fields in their order. */
export const CALLS = {
  execute: { args: list(bytes(), MAX_ARGUMENTS, 1), job },
  call_next: { args: list(bytes(), MAX_ARGUMENTS), job },
  atomic: { enter: integer(0, 1), job },
  keys_open: { pattern: bytes(MAX_WORD_BYTES), noScan: flag, readValue: flag, job },
  keys_next: { cursor: natural },
  config_get: { key: text() },
  register: { builders, spec: registration, job },
  run: { steps, job, session },
  /** A time event's function is about to be called: may it be, and is the engine held for it? */
  timer_begin: { number: natural },
  time_event: { seconds: whole, key: nullable(text()), blob: bytes(MAX_BLOB_BYTES), session, job },
  get_command: { job },
  override_reply: { value: oneResult, job },
  // connections to other servers
  connection_open: {
    connection,
    host: text(MAX_HOST_BYTES),
    port: integer(1, 65_535),
    /** 4 or 6; 0: whichever there is. */
    family: integer(0, 6),
    session: nullable(session),
  },
  connection_receive: { connection, max: integer(1, MAX_RECEIVE_BYTES), peek: flag },
  connection_send: { connection, data: bytes(MAX_SEND_BYTES) },
  /** Which of these are ready now? */
  connection_poll: { wanted: list(tuple<[number, number]>(connection, readiness), MAX_WORDS) },
  connection_state: { connection },
  connection_certificate: { connection },
} as const satisfies Record<string, Fields>;

/** What Python tells. Fields in their order. */
export const POSTS = {
  /** A script's body has ended: with an error, or with the flow that it has declared. */
  script: {
    job,
    error: nullable(error),
    builders,
    run: nullable(tuple<[[string, string, string][], string, string[]]>(steps, text(), kinds)),
    /** The flow runs already, with the thread that was lent. */
    begins: flag,
  },
  /** `passed`: so far, since an interpreter that sends much can not be asked where it is. */
  results: { job, items: manyResults, passed },
  done: {
    job,
    items: manyResults,
    status: oneOf("done", "aborted"),
    errors: list(error, MAX_ERRORS),
    totalMs: milliseconds,
    readMs: milliseconds,
    stepMs: list(milliseconds, MAX_STEP_LINES),
    passed,
    /** The next one of the events that were given ahead has begun. */
    goesOn: flag,
  },
  /** Where it is, because it was asked: {@link SAMPLE}. */
  sample: { job, stack: text(MAX_STACK_BYTES), step: integer(0, MAX_STEPS), results: natural, passed },
  waiting: { job, passed },
  running: { job },
  /** It begins on top of another that waits, and that goes on when it has ended or waits for a coroutine or future. */
  covers: { job, other: job },
  /** Code waits on top of which a job may run. */
  open: {},
  keys_close: { cursor: natural },
  // what is answered by a message `connection`, when the time has come
  connection_resolve: { connection, host: text(MAX_HOST_BYTES), port: nullable(integer(0, 65_535)) },
  connection_secure: { connection, settings: tlsSettings },
  connection_take: { connection, max: integer(1, MAX_RECEIVE_BYTES) },
  connection_watch: { connection, events: readiness },
  connection_shut: { connection },
  connection_close: { connection },
  /** The session has ended: all its connections are closed. */
  connections_end: { session },
  /** `session` is the number of the session in whose code it happened; 0: unknown. */
  log: { level: oneOf("debug", "verbose", "notice", "warning"), text: text(MAX_LOG_BYTES), job, session: natural },
  /** Answers to what was asked: of a session, of a time event, and whether one was made again. */
  answer: { number: natural, outcome, text: error },
  /** `again`: it could not be called, or its end is unknown, and that is not its fault. */
  timer: { number: natural, outcome: oneOf("ok", "error", "again"), text: error },
  restored: { number: natural, outcome, text: error },
  timer_restored: { number: natural, outcome, text: error },
  /** The bytecode of a module, as a file of it would hold it; null when it does not compile. */
  compiled: { number: natural, code: nullable(bytes(MAX_BLOB_BYTES)) },
} as const satisfies Record<string, Fields>;

export type CallOp = keyof typeof CALLS;
type PostOp = keyof typeof POSTS;
/** Posts in which a job tells of itself. */
export type JobPostOp = "script" | "results" | "done" | "waiting" | "running" | "covers";
/** Posts that something of the server takes: they are neither a job's, nor the answer to a question, nor a compiler's. */
export type ServerPostOp = Exclude<PostOp, JobPostOp | "open" | "answer" | "compiled" | "sample">;
type AllCallArgs = { readonly [Op in CallOp]: Values<(typeof CALLS)[Op]> };
type AllPostArgs = { readonly [Op in PostOp]: Values<(typeof POSTS)[Op]> };
export type CallArgs<Op extends CallOp> = AllCallArgs[Op];
export type PostArgs<Op extends PostOp> = AllPostArgs[Op];

/** Where the code of an interpreter is. */
export type StackSample = PostArgs<"sample">;

/** A decoded call: `op` tells the type of `args`, and `seq` goes back with the answer. */
export type CallMessage<Ops extends CallOp = CallOp> = {
  readonly [Op in Ops]: {
    readonly kind: "call";
    readonly seq: number;
    readonly op: Op;
    readonly args: CallArgs<Op>;
  };
}[Ops];
/** A decoded post. */
export type PostMessage<Ops extends PostOp = PostOp> = {
  readonly [Op in Ops]: { readonly kind: "post"; readonly op: Op; readonly args: PostArgs<Op> };
}[Ops];

const kindOf = oneOf("call", "post");

/** A schema as decoding wants it. */
interface Schema {
  readonly names: readonly string[];
  readonly fields: readonly Field<unknown>[];
}

const schemas = (all: Record<string, Fields>): Map<string, Schema> =>
  new Map(
    Object.entries(all).map(([op, fields]) => [op, { names: Object.keys(fields), fields: Object.values(fields) }]),
  );
const CALL_SCHEMAS = schemas(CALLS);
const POST_SCHEMAS = schemas(POSTS);

/** Decodes a message of an interpreter. @throws BadMessage when it is none that the runtime sends */
export function decodeMessage(message: Uint8Array): CallMessage | PostMessage {
  const reader = new MarshalReader(message, MAX_TEXT_BYTES);
  let op = "message";
  let schema: Schema | undefined;
  let at = 0;
  try {
    const length = reader.list();
    const kind = kindOf(reader);
    const isCall = kind === "call";
    const seq = isCall ? natural(reader) : 0;
    op = reader.text(MAX_NAME_BYTES);
    schema = (isCall ? CALL_SCHEMAS : POST_SCHEMAS).get(op);
    if (!schema) throw unfit("a known operation");
    const { names, fields } = schema;
    if (length !== fields.length + (isCall ? 3 : 2)) throw unfit(`${fields.length} arguments`);
    const args: Record<string, unknown> = {};
    for (; at < fields.length; at++) args[names[at] as string] = (fields[at] as Field<unknown>)(reader);
    if (reader.more) throw unfit("nothing more");
    return { kind, seq, op, args } as unknown as CallMessage | PostMessage;
  } catch (error) {
    if (!(error instanceof InternalError)) throw error;
    throw new BadMessage(`${[op, schema?.names[at]].filter(Boolean).join(", ")}: ${error.message}`);
  }
}
