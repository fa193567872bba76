/**
 * Calls of one `sync` trigger that a client has sent one after the other: its interpreter gets them together, and deals with one
 * after the other. Each is an execution as if it had come alone; the engine is held for all of them.
 */
import type { Execution } from "../executions/execution.ts";
import { andAfterwards, andThen, type Maybe } from "../maybe.ts";
import type { ChunkRow } from "../python/chunk-memory.ts";
import { MarshalWriter, mayHoldBytes } from "../python/marshal.ts";
import type { PostArgs } from "../python/messages.ts";
import { JobFlag } from "../python/protocol.ts";
import type { ChunkSink, PythonHost } from "../python/python-host.ts";
import { commandWords } from "../python/transcode.ts";
import { ChunkPace } from "./chunk-pace.ts";
import type { EventOptions, EventStarter, Holdable } from "./event-starter.ts";
import type { Registration } from "./registration.ts";

export interface TriggerChunksOptions {
  readonly host: Pick<PythonHost, "carryOut">;
  readonly starter: EventStarter;
  readonly gate: Pick<Holdable, "holdNow" | "release">;
}

/** Most bytes of events, as Python reads them. */
const MOST_BYTES = 60 * 1024;
/** Nobody is told of events in such a chunk by its worker. */
const NOBODY: readonly ChunkRow[] = [];

export class TriggerChunks {
  readonly #options: TriggerChunksOptions;
  readonly #pace = new ChunkPace();

  constructor(options: TriggerChunksOptions) {
    this.#options = options;
  }

  /** How many calls together may be worth while; 0: none now. */
  get most(): number {
    return this.#pace.isFine ? this.#pace.most : 0;
  }

  /**
   * @param calls the trigger's name and arguments of each
   * @param onEnded is called for one after the other
   * @returns how many were dealt with
   */
  run(
    registration: Registration,
    calls: readonly (readonly Buffer[])[],
    options: EventOptions,
    onEnded: (execution: Execution) => void,
  ): Maybe<number> {
    const { host, starter, gate } = this.#options;
    const events = fitting(calls.map((args) => encoded(registration.number, args)));
    if (events.length < 2) return 0;
    const owner = {};
    if (!gate.holdNow(owner, () => starter.running ?? "calls of a trigger")) return 0;
    const chunk = new TriggerChunk(starter, registration, { ...options, owner }, onEnded);
    const run = (): Maybe<number> => {
      let size = 0;
      const ended = host.carryOut({
        ...{ session: registration.session, owner, events: registration.number, rows: NOBODY, sink: chunk },
        ...{ client: -1, listener: -1, outputLimit: 0, flags: starter.syncFlags },
        commands: Buffer.concat(events),
        ends: events.map(({ length }) => (size += length)),
      });
      return andThen(ended, (end) => andThen(chunk.left, () => end?.done ?? 0));
    };
    const count = andAfterwards(run, () => gate.release(owner));
    return andThen(count, (done) => {
      this.#pace.note(done);
      return andThen(chunk.whenAllEnded(), () => done);
    });
  }
}

/** As many as there is room for, beginning with the first. */
function fitting(events: readonly Buffer[]): readonly Buffer[] {
  let bytes = 0;
  const beyond = events.findIndex(({ length }) => {
    bytes += length;
    return bytes > MOST_BYTES;
  });
  return beyond < 0 ? events : events.slice(0, beyond);
}

/** What Python reads of an event: `(registration, [record], flags)`. */
function encoded(registration: number, args: readonly Buffer[]): Buffer {
  const words = commandWords(args);
  const flags = mayHoldBytes(words) ? JobFlag.bytes : 0;
  return new MarshalWriter(64).tuple(3).int(registration).list(1).value(words).int(flags).finish();
}

/** What is told of one chunk. */
class TriggerChunk implements ChunkSink {
  readonly #starter: EventStarter;
  readonly #registration: Registration;
  readonly #options: EventOptions & { readonly owner: object };
  readonly #onEnded: (execution: Execution) => void;
  /** Those that were not told to have ended, in their order. */
  readonly #open: Execution[] = [];
  /** Until those that go on have ended or wait. */
  readonly #leaving: Promise<void>[] = [];

  constructor(
    starter: EventStarter,
    registration: Registration,
    options: EventOptions & { readonly owner: object },
    onEnded: (execution: Execution) => void,
  ) {
    this.#starter = starter;
    this.#registration = registration;
    this.#options = options;
    this.#onEnded = onEnded;
  }

  /** Nothing is taken in its place that a listener is told. */
  onTold(): void {}
  onOwn(): void {}

  onEnded(_registration: number, done: PostArgs<"done">): void {
    this.#add(this.#starter.noteRun(this.#registration, done, this.#options));
  }

  onBegun(_registration: number, handle: number): void {
    const source = { read: () => [] };
    const { execution, left } = this.#starter.runInline(this.#registration, source, this.#options, () => {}, handle);
    if (left) this.#leaving.push(left);
    this.#add(execution);
  }

  /** Resolves when none of them holds the engine any more. Undefined: none does. */
  get left(): Promise<unknown> | undefined {
    return this.#leaving.length > 0 ? Promise.all(this.#leaving) : undefined;
  }

  /** Resolves when all have ended. Undefined: they have. */
  whenAllEnded(): Promise<void> | undefined {
    this.#tell();
    return this.#open[0]?.finished.then(() => this.whenAllEnded());
  }

  #add(execution: Execution): void {
    this.#open.push(execution);
    this.#tell();
  }

  #tell(): void {
    while (this.#open[0]?.isFinished) this.#onEnded(this.#open.shift() as Execution);
  }
}
