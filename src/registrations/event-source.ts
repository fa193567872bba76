/** What executions of registrations are started on. */
import type { Execution } from "../executions/execution.ts";
import type { Maybe } from "../maybe.ts";
import type { JobCause } from "../python/job.ts";
import type { MarshalValue } from "../python/marshal.ts";
import type { RowBatch, RowTold } from "../python/stream-row.ts";

/** What an execution is started on. */
export interface EventSource {
  /** Reads the records, when the execution begins to read: at once with an engine in this process. */
  read(): Maybe<MarshalValue>;
  /** Most probably there are no records: then Python has nothing to do, and is not asked. */
  readonly mayBeEmpty?: boolean;
  /** Reads them before the execution begins; undefined where they can be others then. */
  readAhead?(): MarshalValue | undefined;
  /**
   * Its execution has ended, or will never begin. The next one in order has not begun yet, unless Python has begun it by itself.
   * @param end undefined: nothing was done about it but to run its steps
   */
  onEnd?(execution: Execution, end?: SourceEnd): void;
  /** Given for batches of streams that are read when they begin. */
  readonly stream?: StreamSource;
}

/** How the execution of a batch has ended that Python's thread has acknowledged. */
export interface SourceEnd {
  readonly told: RowTold;
  /** The next batch of the same stream has begun, for which {@link StreamSource.again} makes a source. */
  readonly goesOn: boolean;
}

/** A batch of a stream that Python's thread can read, acknowledge, and go on from by itself; see `stream-row.ts`. */
export interface StreamSource {
  /** What it would read; undefined: it can not be read there now. @param begins it is the present one, which was read */
  batch(begins: boolean): Omit<RowBatch, "handle"> | undefined;
  /** The ids that were read. */
  ids(): readonly string[];
  /** How many full batches of the stream wait behind this one. */
  waiting(): number;
  /** A source for the next batch of the same stream, which has begun. */
  again(): EventSource;
  /** It has begun, and these were read. */
  begun(ids: readonly string[]): void;
  /** Python's thread may read the stream by itself, or does not any more. */
  lent(isLent: boolean): void;
}

export interface EventOptions {
  /** The finished execution is kept in its registration's list (KeysReader, StreamReader). */
  readonly kept?: boolean;
  /** Texts that start with `+` or `-` answer statuses and errors. */
  readonly prefixRule?: boolean;
  /** The caller can not wait: a step that needs a coroutine fails. */
  readonly noAsync?: boolean;
  /** In whose name the engine is held and commands are sent; default: the execution's own. */
  readonly owner?: object;
  /** The command behind the event. */
  readonly cause?: JobCause;
}
