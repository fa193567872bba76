/**
 * Starts the executions of registrations and keeps their books.
 *
 * An event that has to wait for its turn is a {@link WaitingEvent} in its registration's queue: a few words, listed as a
 * `created` execution under the id it will have. It becomes an execution when its turn comes, or when somebody asks.
 */
import type { Execution } from "../executions/execution.ts";
import { type EventAhead, type Flow, jobFlags } from "../executions/flow.ts";
import { idOf } from "../executions/ids.ts";
import type { WaitingExecution } from "../executions/execution-registry.ts";
import type { ExecutionRunner } from "../executions/execution-runner.ts";
import type { RunningBody } from "../executions/supervisor.ts";
import { andThen, type Maybe } from "../maybe.ts";
import type { JobCause } from "../python/job.ts";
import type { MarshalValue } from "../python/marshal.ts";
import type { PostArgs } from "../python/messages.ts";
import { JobFlag } from "../python/protocol.ts";
import { Fifo } from "../resp/fifo.ts";
import type { Registration } from "./registration.ts";

/** Where the engine can be held, so that nobody else's command passes. */
export interface Holdable {
  /** @param name says who holds it, when somebody asks */
  hold(owner: object, name?: () => string): Promise<void>;
  /** Does so if nobody else does. @returns whether it is held */
  holdNow(owner: object, name: () => string): boolean;
  release(owner: object): void;
  /** May `owner` send a command now? */
  isOpenFor(owner: object): boolean;
  /** Calls `go` when nobody else holds the engine: at once, or later. */
  whenOpen(owner: object, go: () => void): void;
}

/** What an execution is started on. */
export interface EventSource {
  /** Reads the records, when the execution begins to read: at once with an engine in this process. */
  read(): Maybe<MarshalValue>;
  /** Most probably there are no records: then Python has nothing to do, and is not asked. */
  readonly mayBeEmpty?: boolean;
  /** Reads them before the execution begins; undefined where they can be others then. */
  readAhead?(): MarshalValue | undefined;
  /** Its execution has ended, or will never begin. The next one in order has not begun yet. */
  onEnd?(execution: Execution): void;
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

export interface EventStarterOptions {
  readonly runner: ExecutionRunner;
  readonly gate: Holdable;
  /** MaxExecutionsPerRegistration; 0 or less: no limit. */
  readonly maxPerRegistration: () => number;
  /** The engine answers within the call, so records can be read at the moment when Python begins. */
  readonly readsAtOnce?: boolean;
  /** An execution has ended with errors. */
  readonly onFailure?: (registration: Registration, execution: Execution) => void;
}

/** Options of most KeysReader and StreamReader executions. */
export const KEPT: EventOptions = { kept: true };

/** Options of an execution whose owner holds the engine. */
export type InlineOptions = EventOptions & { readonly owner: object };

/** How far an inline execution is. */
export interface InlineRun {
  readonly execution: Execution;
  /** Resolves when it has ended or waits for a coroutine; then the engine is not held for it any more. Undefined: it does not. */
  readonly left: Promise<void> | undefined;
}

class WaitingEvent implements WaitingExecution {
  readonly number: number;
  readonly registration: Registration;
  readonly source: EventSource;
  readonly options: EventOptions;
  /** Undefined until it is needed. */
  execution: Execution | undefined;
  /** Python has begun it, of which this thread will be told in a moment, and somebody wants it to end. */
  isUnwanted = false;
  readonly #starter: EventStarter;

  constructor(
    number: number,
    starter: EventStarter,
    registration: Registration,
    source: EventSource,
    options: EventOptions,
  ) {
    this.number = number;
    this.registration = registration;
    this.source = source;
    this.options = options;
    this.#starter = starter;
  }

  get id(): string {
    return idOf(this.number);
  }

  get status(): "created" {
    return "created";
  }

  get registered(): boolean {
    return true;
  }

  toExecution(): Execution {
    this.execution ??= this.#starter.makeExecution(this);
    return this.execution;
  }
}

/** What waits in one registration, in order. */
class Turns {
  busy = false;
  /** The next ones are being begun, further up in the stack. */
  beginning = false;
  /** Scripts whose bodies run and have caused events in it. */
  bodies = 0;
  readonly events = new Fifo<WaitingEvent>();
  /** Handles for the first ones of them: Python has these events, and begins each when the one before it has ended. */
  ahead: number[] = [];
}

/** What an execution is begun with. */
interface Start {
  readonly registration: Registration;
  readonly source: EventSource;
  readonly options: EventOptions;
  readonly execution: Execution;
  /** Called once, when it has ended or waits for a coroutine. @param goesOn Python has begun the next event */
  leave(goesOn: boolean): void;
  /** See {@link FlowEvent}. */
  readonly ahead?: () => readonly EventAhead[];
}

/** Most events that Python gets ahead. */
const MOST_AHEAD = 63;

export class EventStarter {
  /** Called when the last but a few of many waiting events have begun; see {@link EventStarter.waiting}. */
  onProgress: () => void = () => {};

  readonly #runner: ExecutionRunner;
  readonly #gate: Holdable;
  readonly #maxPerRegistration: () => number;
  readonly #readsAtOnce: boolean;
  readonly #onFailure: NonNullable<EventStarterOptions["onFailure"]>;
  readonly #turns = new Map<Registration, Turns>();
  #waiting = 0;
  #begun = 0;
  /** Executions that hold the engine, the outermost first. */
  readonly #inline: Execution[] = [];

  constructor(options: EventStarterOptions) {
    this.#runner = options.runner;
    this.#gate = options.gate;
    this.#maxPerRegistration = options.maxPerRegistration;
    this.#readsAtOnce = options.readsAtOnce ?? false;
    this.#onFailure = options.onFailure ?? (() => {});
  }

  /** Events of all registrations that wait for their turn. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Events whose executions have not ended. */
  get inProgress(): number {
    return this.#waiting + this.#begun;
  }

  /**
   * Starts an execution in the registration's mode. A `sync` one holds the engine until it has ended or waits for a
   * coroutine.
   * @returns the execution when it has ended
   */
  run(registration: Registration, records: MarshalValue, options: EventOptions = {}): Maybe<Execution> {
    const { mode, inOrder } = registration.spec;
    const source: EventSource = { read: () => records };
    let execution: Execution;
    if (mode === "sync") execution = this.#runHolding(registration, source, options);
    else if (inOrder) execution = this.enqueue(registration, source, options).toExecution();
    else {
      execution = this.#create(registration, options);
      this.#begin({ registration, source, options, execution, leave: () => {} });
    }
    return execution.isFinished ? execution : execution.finished.then(() => execution);
  }

  /** Starts an execution when the registration's earlier ones have ended or wait for coroutines. */
  enqueue(registration: Registration, source: EventSource, options: EventOptions = KEPT): WaitingExecution {
    const event = this.#runner.registry.addWaiting(
      (number) => new WaitingEvent(number, this, registration, source, options),
    );
    registration.statistics.triggered++;
    registration.pending.waiting++;
    registration.session.executions++;
    this.#waiting++;
    let turns = this.#turns.get(registration);
    if (!turns) {
      turns = new Turns();
      this.#turns.set(registration, turns);
    }
    turns.events.push(event);
    if (this.#runner.presentBody) this.#waitForBody(this.#runner.presentBody, registration, turns);
    else this.#next(registration, turns);
    return event;
  }

  /** In RedisGears a script's body has the server to itself: what it causes finds the data as the body leaves them. */
  #waitForBody(body: RunningBody, registration: Registration, turns: Turns): void {
    turns.bodies++;
    this.#takeBack(registration, turns);
    body.onBodyEnd(() => {
      turns.bodies--;
      this.#next(registration, turns);
    });
  }

  /** What holds the engine just now, of the executions that do; undefined: none does. */
  get running(): string | undefined {
    const execution = this.#inline.at(-1);
    return execution && nameOf(execution);
  }

  /**
   * Starts an execution whose `owner` holds the engine until it has left.
   * @param onLeft is called once, before anything else is done that the execution has asked for since
   * @param begun the handle by which Python has begun it by itself; undefined: it has not
   */
  runInline(
    registration: Registration,
    source: EventSource,
    options: InlineOptions,
    onLeft: () => void = () => {},
    begun?: number,
  ): InlineRun {
    return this.#runInline(registration, source, options, this.#create(registration, options), onLeft, begun);
  }

  /** The flags with which Python runs `sync` executions. */
  get syncFlags(): number {
    return jobFlags(this.#runner.settings, JobFlag.sync);
  }

  /** Takes note of a `sync` execution that Python has begun and ended by itself. */
  noteRun(registration: Registration, { items, ...outcome }: PostArgs<"done">, options: EventOptions): Execution {
    const execution = this.#create(registration, options);
    this.#runner.noteRun(execution, registration, items, { ...outcome, prefixRule: options.prefixRule ?? false });
    this.#book(registration, execution);
    this.#runner.registry.settle(execution);
    return execution;
  }

  /** Starts an execution that holds the engine itself, as soon as nobody else does. */
  #runHolding(registration: Registration, source: EventSource, options: EventOptions): Execution {
    const owner = options.owner ?? {};
    // before the wait for its turn, so that Python keeps the registration if it is unregistered meanwhile
    const execution = this.#create(registration, options);
    const holder = (): string => this.running ?? nameOf(execution);
    const begin = (): void => {
      const release = (): void => this.#gate.release(owner);
      this.#runInline(registration, source, { ...options, owner }, execution, release);
    };
    if (this.#gate.holdNow(owner, holder)) begin();
    else void this.#gate.hold(owner, holder).then(begin);
    return execution;
  }

  #runInline(
    registration: Registration,
    source: EventSource,
    options: InlineOptions,
    execution: Execution,
    onLeft: () => void,
    begun?: number,
  ): InlineRun {
    let hasLeft = false;
    let leave = (): void => {};
    this.#inline.push(execution);
    const left = (): void => {
      this.#inline.splice(this.#inline.lastIndexOf(execution), 1);
      onLeft();
      hasLeft = true;
      leave();
    };
    const start: Start = { registration, source, options, execution, leave: left };
    if (begun === undefined) this.#begin(start);
    else {
      this.#begun++;
      this.#startFlow(start, () => [], begun);
    }
    if (hasLeft) return { execution, left: undefined };
    const leaving = new Promise<void>((resolve) => {
      leave = resolve;
    });
    return { execution, left: leaving };
  }

  /** Ends everything of a registration that waits for its turn. */
  abortWaiting(registration: Registration): void {
    const turns = this.#turns.get(registration);
    if (!turns) return;
    this.#takeBack(registration, turns);
    const all = turns.events.clear();
    for (const event of all.splice(0, turns.ahead.length)) turns.events.push(event);
    for (const event of all) this.#abort(event);
  }

  /**
   * The registration is gone: its finished executions go as soon as nothing of it is in progress.
   * @param abortPending ends what waits for its turn
   */
  retire(registration: Registration, abortPending: boolean): void {
    if (abortPending) this.abortWaiting(registration);
    this.#dropIfIdle(registration);
  }

  /** @internal for {@link WaitingEvent} */
  makeExecution(event: WaitingEvent): Execution {
    const execution = this.#runner.registry.make(event.number, { registered: true, kept: event.options.kept ?? false });
    execution.declare([]);
    this.#runner.track(execution, { stop: () => this.#abort(event) });
    return execution;
  }

  /** Begins the next one whose turn it is. */
  #next(registration: Registration, turns: Turns): void {
    // what ends within the call would lead here again, deeper and deeper
    if (turns.beginning) return;
    turns.beginning = true;
    this.#beginNext(registration, turns);
    turns.beginning = false;
  }

  #beginNext(registration: Registration, turns: Turns): void {
    while (!turns.busy && turns.bodies === 0) {
      const event = turns.events.shift();
      if (!event) {
        this.#turns.delete(registration);
        return;
      }
      // aborted while it waited
      if (event.execution?.isFinished) continue;
      const ahead = (): readonly EventAhead[] => this.#giveAhead(turns);
      this.#begin({ ...this.#takeTurn(event, turns), ahead });
    }
  }

  #takeTurn(event: WaitingEvent, turns: Turns): Start {
    const { registration, source, options } = event;
    turns.busy = true;
    this.#leaveQueue(event);
    const execution = this.#runner.registry.get(event.number) ?? event.toExecution();
    this.#runner.forget(execution);
    registration.pending.started.add(execution);
    const leave = (goesOn: boolean): void => this.#left(goesOn, registration, turns);
    return { registration, source, options, execution, leave };
  }

  /** The one whose turn it was has ended, or waits for a coroutine. @param goesOn Python has begun the next one */
  #left(goesOn: boolean, registration: Registration, turns: Turns): void {
    turns.busy = false;
    const handle = goesOn ? turns.ahead.shift() : undefined;
    if (handle !== undefined) this.#noteBegun(handle, turns);
    else {
      if (turns.ahead.length > 0) this.#runner.host.takeBack(registration.session);
      turns.ahead = [];
      this.#next(registration, turns);
    }
  }

  /** Python has gone on with the next event. */
  #noteBegun(handle: number, turns: Turns): void {
    const event = turns.events.shift() as WaitingEvent;
    this.#begun++;
    const flow = this.#startFlow(this.#takeTurn(event, turns), () => [], handle);
    if (event.isUnwanted) flow.stop({ kind: "abort" });
  }

  /** The next events in order, as far as Python can go on with them by itself. */
  #giveAhead(turns: Turns): readonly EventAhead[] {
    const ahead: EventAhead[] = [];
    while (turns.bodies === 0 && ahead.length < MOST_AHEAD) {
      const event = turns.events.at(ahead.length);
      const records = event?.execution?.isFinished ? undefined : event?.source.readAhead?.();
      if (records === undefined) break;
      ahead.push({ handle: this.#runner.host.nextHandle(), records });
    }
    turns.ahead = ahead.map(({ handle }) => handle);
    return ahead;
  }

  /** Python begins no more of the events that it has. Of those that it has begun it tells in a moment. */
  #takeBack(registration: Registration, turns: Turns): void {
    if (turns.ahead.length > 0) turns.ahead.length -= this.#runner.host.takeBack(registration.session);
  }

  #leaveQueue({ registration }: WaitingEvent): void {
    registration.pending.waiting--;
    registration.session.executions--;
    this.#waiting--;
    this.onProgress();
  }

  #abort(event: WaitingEvent): void {
    const execution = this.#runner.registry.get(event.number) ?? event.toExecution();
    if (execution.isFinished) return;
    const turns = this.#turns.get(event.registration);
    if (turns) this.#takeBack(event.registration, turns);
    event.isUnwanted = turns?.ahead.some((_, at) => turns.events.at(at) === event) === true;
    if (event.isUnwanted) return;
    this.#leaveQueue(event);
    this.#runner.forget(execution);
    execution.finish("aborted");
    this.#book(event.registration, execution);
    this.#runner.registry.settle(execution);
    event.source.onEnd?.(execution);
    this.#dropIfIdle(event.registration);
  }

  #create(registration: Registration, options: EventOptions): Execution {
    const execution = this.#runner.registry.create({ registered: true, kept: options.kept ?? false });
    execution.declare([]);
    registration.statistics.triggered++;
    registration.pending.started.add(execution);
    return execution;
  }

  #begin(start: Start): void {
    this.#begun++;
    const { source, options } = start;
    this.#gate.whenOpen(options.owner ?? {}, () => {
      if (this.#readsAtOnce && !source.mayBeEmpty) this.#startFlow(start, () => readNow(source));
      else {
        void andThen(source.read(), (records) => {
          if (source.mayBeEmpty && isEmpty(records)) this.#endEmpty(start);
          else this.#startFlow(start, () => records);
        });
      }
    });
  }

  /** An execution without records has no results, and no step has anything to do. */
  #endEmpty({ registration, source, execution, leave }: Start): void {
    this.#begun--;
    execution.finish("done");
    this.#book(registration, execution);
    this.#runner.registry.settle(execution);
    source.onEnd?.(execution);
    queueMicrotask(() => this.#dropIfIdle(registration));
    leave(false);
  }

  /** @param begun the handle by which Python has begun it by itself */
  #startFlow(start: Start, records: () => MarshalValue, begun?: number): Flow {
    const { registration, source, options, execution, ahead } = start;
    const sync = registration.spec.mode === "sync";
    let hasLeft = false;
    const leave = (goesOn: boolean): void => {
      if (!hasLeft) start.leave(goesOn);
      hasLeft = true;
    };
    return this.#runner.startFlow({
      handle: begun ?? this.#runner.host.nextHandle(),
      execution,
      session: registration.session,
      event: { registration: registration.number, records, ahead },
      flags: (sync ? JobFlag.sync : 0) | (options.noAsync ? JobFlag.noAsync : 0),
      prefixRule: options.prefixRule ?? false,
      runNow: sync,
      begun: begun !== undefined,
      owner: options.owner,
      cause: options.cause,
      onWaiting: (_flow, waiting) => {
        if (waiting) leave(false);
      },
      onFinish: ({ goesOn }) => {
        this.#begun--;
        this.#book(registration, execution);
        source.onEnd?.(execution);
        // after the store has taken it in, which happens next
        queueMicrotask(() => this.#dropIfIdle(registration));
        leave(goesOn);
      },
    });
  }

  #book(registration: Registration, execution: Execution): void {
    registration.pending.started.delete(execution);
    registration.statistics.count(execution, Math.round(execution.totalMs));
    if (execution.errors.length > 0) this.#onFailure(registration, execution);
    if (!execution.kept) return;
    const { finished } = registration;
    finished.add(execution);
    execution.onDrop = () => finished.delete(execution);
    const limit = this.#maxPerRegistration();
    const [oldest] = finished;
    if (limit > 0 && finished.size > limit && oldest) this.#runner.registry.drop(oldest);
  }

  #dropIfIdle(registration: Registration): void {
    if (registration.active || registration.pending.size > 0) return;
    for (const execution of registration.finished) this.#runner.registry.drop(execution);
    registration.onIdle();
    registration.onIdle = () => {};
  }
}

const nameOf = ({ id }: Execution): string => `execution ${id}`;

const isEmpty = (records: MarshalValue): boolean => Array.isArray(records) && records.length === 0;

function readNow(source: EventSource): MarshalValue {
  const records = source.read();
  return records instanceof Promise ? [] : records;
}
