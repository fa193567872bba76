/** One interpreter of the pool, with what runs and lives in it. */
import { ReplyError } from "../errors.ts";
import type {
  CallContext,
  FlowOutcome,
  Interruptible,
  InterpreterFigures,
  PythonSession,
  PythonTask,
  ScriptOutcome,
} from "./host.ts";
import { encodeMarshal, type MarshalReader, type MarshalValue, MarshalWriter } from "./marshal.ts";
import type { PythonWorker } from "./python-worker.ts";

export class Home implements CallContext {
  readonly number: number;
  readonly worker: PythonWorker;
  readonly #started: (handle: number) => PythonTask | undefined;
  ready = false;
  /** The task it was given and has not ended. */
  current: PythonTask | undefined;
  /** All its started tasks, waiting ones too. */
  readonly tasks = new Map<number, PythonTask>();
  /** Questions that wait for their answers. */
  readonly questions = new Map<number, { resolve(text: string): void; reject(error: Error): void }>();
  /** Sessions that live here and will be asked for again. */
  readonly sessions = new Set<PythonSession>();
  /** A thread is lent to it, or was and the script has not ended: see {@link PythonWorker.lendThread}. */
  lent = false;
  /** The turn of its event loop when it was given the current task: while it has not changed, that has not begun. */
  turnBefore = -1;
  /** Something that is no task's keeps its event loop from turning. */
  heldUp = false;
  /** Handle of the flow that it has begun and that nobody has submitted yet; 0 for none. */
  begun = 0;
  /** The first session that came to live here; with isolation the only one. */
  tenant: PythonSession | undefined;
  /** The task because of which it was ended, when there was no other way to stop that one. */
  stubborn: Interruptible | undefined;
  /** Why the pool has ended it. */
  ending: string | undefined;

  constructor(
    number: number,
    started: (handle: number) => PythonTask | undefined,
    worker: (home: Home) => PythonWorker,
  ) {
    this.number = number;
    this.#started = started;
    this.worker = worker(this);
  }

  get home(): object {
    return this;
  }

  /** Whose code runs here: users do not share interpreters, for nothing separates the code inside one. */
  get user(): string | undefined {
    return this.tenant?.user;
  }

  get idle(): boolean {
    return this.ready && this.current === undefined && !this.heldUp;
  }

  /** May a session of this user come to live here, if sessions share at all? */
  suits(user: string): boolean {
    return this.tenant === undefined || this.tenant.user === user;
  }

  /** Nothing runs here, waits or is remembered. */
  get abandoned(): boolean {
    return this.idle && this.tasks.size === 0 && this.sessions.size === 0 && this.questions.size === 0;
  }

  /** What is told of it. */
  get figures(): InterpreterFigures["interpreters"][number] {
    return {
      number: this.number,
      state: this.ready ? (this.idle ? "idle" : "busy") : "booting",
      heapBytes: this.worker.heapBytes,
      sessions: this.sessions.size,
      tasks: this.tasks.size,
    };
  }

  /** Answers a call of its code. */
  reply(seq: number, status: number, value: Buffer): void {
    const out = new MarshalWriter(value.length + 32).list(4).text("reply").int(seq).int(status);
    this.worker.post(out.encoded(value).finish());
  }

  /** Asks its code something. */
  ask(number: number, [kind, ...rest]: readonly MarshalValue[]): Promise<string> {
    return new Promise((resolve, reject) => {
      this.questions.set(number, { resolve, reject });
      this.worker.post(encodeMarshal([kind as MarshalValue, number, ...rest]));
    });
  }

  /** It answers a question. */
  answered(number: number, reader: MarshalReader): void {
    const question = this.questions.get(number);
    this.questions.delete(number);
    if (reader.text() === "ok") question?.resolve(reader.text());
    else question?.reject(new ReplyError(reader.text()));
  }

  task(handle: number): PythonTask | undefined {
    const task = this.tasks.get(handle) ?? this.#started(handle);
    // a script may claim any number
    return task?.session.user === this.user ? task : undefined;
  }
}

/** Reads how a script's body ended. */
export function readScriptOutcome(reader: MarshalReader): ScriptOutcome {
  if (reader.text() === "error") return { ok: false, error: reader.text(), builders: reader.int() };
  const builders = reader.int();
  const run = reader.value();
  if (run === null) return { ok: true, builders, run: undefined };
  const [mode, steps, source] = run as [string, [string, string, string][], string];
  reader.value();
  const begun = reader.value() === true;
  return {
    ok: true,
    builders,
    run: { mode, steps: steps.map(([type, name, arg]) => ({ type, name, arg })), reader: source, begun },
  };
}

/** Reads how a flow ended. */
export function readFlowOutcome(reader: MarshalReader): FlowOutcome {
  const status = reader.text() === "aborted" ? "aborted" : "done";
  const errors = (reader.value() as MarshalValue[]).map(String);
  const [totalMs, readMs] = [Number(reader.value()), Number(reader.value())];
  return { status, errors, totalMs, readMs, stepMs: (reader.value() as MarshalValue[]).map(Number) };
}
