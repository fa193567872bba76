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
