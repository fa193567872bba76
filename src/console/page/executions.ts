/** RG.TOP for the views. */
import { fields, list, type Reply, run, shown } from "./api.ts";

export interface Progress {
  readonly id: string;
  readonly status: string;
  readonly place: string;
  readonly session: string;
  readonly description: string;
  readonly user: string;
  readonly registration: string;
  readonly created: number;
  readonly queuedMs: number;
  readonly elapsedMs: number;
  readonly reader: string;
  readonly steps: readonly string[];
  /** How many records were read. */
  readonly records: number;
  /** How many records came out of the reader and, when they were counted, of each step, in their order. */
  readonly counts: readonly number[];
  /** The step whose code runs just now, the first being 1; 0: unknown. */
  readonly step: number;
  readonly results: number;
  readonly errors: number;
  readonly interpreter: string;
  readonly memoryBytes: number;
  /** The lines of a Python stack; undefined when there is none. */
  readonly stack: string | undefined;
  readonly source: string | undefined;
}

export async function top(...options: readonly string[]): Promise<Progress[]> {
  return list(await run("RG.TOP", ...options)).map(progress);
}

function progress(reply: Reply): Progress {
  const all = fields(reply);
  const text = (name: string): string => shown(all[name]);
  const number = (name: string): number => Number(all[name] ?? 0);
  const optional = (name: string): string | undefined => (typeof all[name] === "string" ? all[name] : undefined);
  return {
    id: text("executionId"),
    status: text("status"),
    place: text("place"),
    session: text("session"),
    description: text("description"),
    user: text("user"),
    registration: text("registration"),
    created: number("created"),
    queuedMs: number("queued_ms"),
    elapsedMs: number("elapsed_ms"),
    reader: text("reader"),
    steps: list(all.steps).map(shown),
    records: number("records"),
    counts: list(all.counts).map(Number),
    step: number("step"),
    results: number("results"),
    errors: number("errors"),
    interpreter: text("interpreter"),
    memoryBytes: number("memory_bytes"),
    stack: optional("stack"),
    source: optional("source"),
  };
}

/** Results as they are in the reply of RG.GETRESULTS, and errors. What a script answers that ran no flow is its only result. */
export function outcomeOf(reply: Reply): [results: Reply, errors: readonly string[]] {
  const [results, errors] = list(reply);
  return Array.isArray(results) ? [results, list(errors).map(String)] : [[reply], []];
}

export const isOver = ({ status }: Progress): boolean => status === "done" || status === "aborted";

/** What a list says of the state of an execution that has ended. */
export const endOf = ({ status, errors }: Pick<Progress, "status" | "errors">): string =>
  status === "done" && errors > 0 ? "failed" : status;

/** What a list says of an execution's state. */
export function stateOf(one: Progress): string {
  if (isOver(one)) return endOf(one);
  return one.place === "nested" || one.place === "resumed" ? "running" : one.place;
}

/** The step whose code runs just now, and with several how many there are. */
export const stepOf = ({ step, steps }: Progress): string =>
  step === 0 ? "" : `${steps[step - 1] ?? ""} (${step} of ${steps.length})`;

/** Whose it is, in a few words. */
export function nameOf({
  description,
  session,
  registration,
}: Pick<Progress, "description" | "session" | "registration">): string {
  const name = description || (session.length > 24 ? `${session.slice(0, 12)}…` : session);
  return registration ? `${name} (event)` : name;
}
