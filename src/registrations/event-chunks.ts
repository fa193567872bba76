/**
 * Commands of a client that cause events of `sync` registrations, carried out by the interpreter in which the registrations
 * live: it deals with the events of each command before it carries out the next one. Everything else is as if each command
 * had come alone: this thread is told what happened in its order, finds by the same rules which executions that are, and
 * goes on by itself where the interpreter has stopped.
 *
 * Meanwhile the engine is held in the client's name, and keeps what it writes to the client and to the connection that is told
 * of events.
 */
import type { Caller } from "../commands/caller.ts";
import type { ChunkRunner } from "../commands/path.ts";
import type { HeldConnection } from "../engine/engine.ts";
import { InternalError } from "../errors.ts";
import { andAfterwards, andThen, type Maybe } from "../maybe.ts";
import { type ChunkRow, MOST_COMMAND_BYTES } from "../python/chunk-memory.ts";
import type { PostArgs } from "../python/messages.ts";
import type { ChunkEnd, ChunkSink, PythonHost } from "../python/python-host.ts";
import { ChunkPace } from "./chunk-pace.ts";
import { type EventStarter, type Holdable, KEPT } from "./event-starter.ts";
import type { HeldListener, KeyEvents } from "./key-events.ts";
import type { KeysRegistrations } from "./keys-registrations.ts";
import type { Registration } from "./registration.ts";
import type { SyncEvent, SyncEvents } from "./sync-events.ts";

interface EventChunksOptions {
  readonly host: Pick<PythonHost, "carryOut">;
  readonly events: KeyEvents;
  readonly keys: KeysRegistrations;
  readonly sync: SyncEvents;
  readonly starter: EventStarter;
  readonly gate: Pick<Holdable, "holdNow" | "release">;
}

/** Most `sync` registrations with which it is tried. */
const MOST_ROWS = 64;

export class EventChunks implements ChunkRunner {
  readonly mostBytes = MOST_COMMAND_BYTES;
  readonly #options: EventChunksOptions;
  readonly #tables = new WeakMap<object, { readonly key: string; readonly rows: readonly ChunkRow[] }>();
  #isRunning = false;
  readonly #pace = new ChunkPace();

  constructor(options: EventChunksOptions) {
    this.#options = options;
  }

  get most(): number {
    return this.#pace.most;
  }

  /** A chunk is under way: whoever holds the engine is a `sync` execution. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  run({ owner }: Caller, client: HeldConnection, commands: Uint8Array, ends: readonly number[]): Maybe<number> {
    const { gate, starter, sync } = this.#options;
    const holder = (): string => starter.running ?? "commands and the events that they cause";
    if (!gate.holdNow(owner, holder)) return 0;
    // To hold it the engine makes its steps, in which keys expire: what is told of then comes before all that a chunk is told of.
    const count = andAfterwards(
      () =>
        andThen(sync.settle(owner, true), () => (sync.isIdle ? this.#runHolding(owner, client, commands, ends) : 0)),
      () => gate.release(owner),
    );
    return andThen(count, (done) => {
      this.#pace.note(done);
      return done;
    });
  }

  #runHolding(
    owner: object,
    { descriptor, outputLimit, noteClosed }: HeldConnection,
    commands: Uint8Array,
    ends: readonly number[],
  ): Maybe<number> {
    const { host, events, keys, sync, starter } = this.#options;
    const first = keys.syncRegistrations.find(mayFire) ?? keys.syncRegistrations[0];
    const listener = first && events.holdBack();
    if (!first || !listener) return 0;
    const { session } = first.registration;
    const chunk = new EventChunk({ keys, sync, starter, listener, owner });
    this.#isRunning = true;
    const run = (): Maybe<number> => {
      const ended = host.carryOut({
        events: 0,
        ...{ session, owner, client: descriptor, listener: listener.descriptor, outputLimit, commands, ends },
        rows: this.#rowsFor(session.home),
        flags: starter.syncFlags,
        sink: chunk,
      });
      return andThen(ended, (end) => {
        if (end?.isClosed) noteClosed();
        return andThen(chunk.end(end), () => end?.done ?? 0);
      });
    };
    return andAfterwards(run, () => {
      chunk.letGo();
      this.#isRunning = false;
    });
  }

  /** Whom the interpreter has to tell of which events; the same object as long as that does not change. */
  #rowsFor(home: object | undefined): readonly ChunkRow[] {
    const all = this.#options.keys.syncRegistrations.filter(mayFire);
    const key = all.map(({ registration }) => `${registration.number}${isHere(registration, home) ? "+" : "-"}`).join();
    const known = home && this.#tables.get(home);
    if (known?.key === key) return known.rows;
    const rows = all.map(({ registration, events, types }) => ({
      registration: registration.number,
      prefix: registration.spec.prefix.toString("latin1"),
      events: events && [...events],
      types: types && [...types],
      readValue: registration.spec.readValue,
      isHere: isHere(registration, home),
    }));
    if (home) this.#tables.set(home, { key, rows });
    return rows;
  }

  /** May it be tried now? */
  get isPossible(): boolean {
    const { keys, events } = this.#options;
    const isSimple = keys.syncCount > 0 && keys.syncCount <= MOST_ROWS && events.misses.isIdle;
    return isSimple && this.#pace.isFine;
  }
}

/** May it be told of events of commands that no registration names? */
const mayFire = ({ commands }: { readonly commands: unknown }): boolean => commands === undefined;

/** Can the interpreter run the registration's executions by itself? */
const isHere = ({ session, active }: Registration, home: object | undefined): boolean =>
  active && session.missing === undefined && session.home === home;

interface EventChunkOptions {
  readonly keys: KeysRegistrations;
  readonly sync: SyncEvents;
  readonly starter: EventStarter;
  readonly listener: HeldListener;
  readonly owner: object;
}

/** What is told of one chunk. */
class EventChunk implements ChunkSink {
  readonly #options: EventChunkOptions;
  /** Executions that go on, until they have ended or wait. */
  readonly #left: Promise<void>[] = [];
  /**
   * What the interpreter has told of and nobody has dealt with. It has a list of its own: what comes by any other way is not
   * in the interpreter's order, and what the code of an execution sends must not be taken for the cause of these.
   */
  readonly #due: SyncEvent[] = [];
  #isHeld = true;

  constructor(options: EventChunkOptions) {
    this.#options = options;
  }

  onTold(bytes: Buffer, types: Uint8Array): void {
    this.#options.keys.withTypes(types, () => this.#take(bytes));
  }

  onOwn(bytes: Buffer): void {
    this.#options.keys.suppressed(() => this.#take(bytes));
  }

  onEnded(number: number, done: PostArgs<"done">): void {
    this.#options.starter.noteRun(this.#next(number).registration, done, KEPT);
  }

  onBegun(number: number, handle: number, isAlone: boolean): void {
    const left = this.#next(number).run(this.#options.owner, handle);
    if (left) this.#left.push(left);
    if (isAlone) this.letGo();
  }

  /** The interpreter has nothing more to do with it: deals with what is left. */
  end(end: ChunkEnd | undefined): Maybe<void> {
    if (end?.isCut) this.#options.keys.suppressed(() => this.letGo());
    else this.letGo();
    const left = this.#left.length > 0 ? Promise.all(this.#left).then(() => {}) : undefined;
    return andThen(left, () => {
      const { sync, owner } = this.#options;
      sync.putFirst(this.#due.splice(0));
      return sync.settle(owner, true);
    });
  }

  /** The engine writes to the listener again. */
  letGo(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#options.listener.letGo();
  }

  #take(bytes: Buffer): void {
    const { sync, listener } = this.#options;
    this.#due.push(...sync.collect(() => listener.take(bytes)));
  }

  /** What comes next has to be what the interpreter says. */
  #next(number: number): SyncEvent {
    const event = this.#due.shift();
    if (event?.registration.number !== number)
      throw new InternalError(`an event of registration ${number} that is not due`);
    return event;
  }
}
