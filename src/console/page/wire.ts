/** What the server tells the page: the form that both sides agree on. */

/** A value of a reply. Errors, bytes that are no text and what was cut are objects. */
export type ReplyJson =
  | null
  | number
  | string
  | readonly ReplyJson[]
  | { readonly error: string }
  | { readonly bytes: string }
  | { readonly more: number };

/** An execution that has ended. Times are milliseconds, moments since 1970. */
export interface SlowOne {
  readonly id: string;
  readonly status: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly elapsedMs: number;
  /** It can be looked at still. */
  readonly kept: boolean;
  readonly session: string;
  readonly description: string;
  readonly registration: string;
  readonly records: number;
  readonly results: number;
  readonly errors: number;
}

/** Which elements of a reply are wanted, when that is a list. */
export interface Part {
  /** The first one, of those that match. */
  readonly from: number;
  readonly most: number;
  /** A text that is in what is wanted; empty: all is. */
  readonly match: string;
}

/** Counters since the start, and gauges. Times are milliseconds. */
export interface Figures {
  readonly done: number;
  readonly failed: number;
  readonly aborted: number;
  /** That executions which have ended ran, together. */
  readonly ranMs: number;
  readonly running: number;
  readonly queued: number;
  readonly queueMs: number;
  readonly interpreters: number;
  readonly pythonBytes: number;
  readonly processBytes: number;
  readonly cpuMs: number;
  readonly clients: number;
}

export interface Sample extends Figures {
  /** Milliseconds since 1970. */
  readonly at: number;
}
