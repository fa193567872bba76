/** KeysReader registrations: docs/spec/events.md, sections 3 to 5. */
import type { EngineCommands } from "../engine/engine-commands.ts";
import type { UserRights } from "../engine/user-rights.ts";
import { andThen, type Maybe } from "../maybe.ts";
import type { Encoded, MarshalValue } from "../python/marshal.ts";
import { Fifo } from "../resp/fifo.ts";
import { checkCommands } from "./hookable.ts";
import type { LinkedCommand } from "./linked-command.ts";
import { type EventSource, type EventStarter, KEPT } from "./event-starter.ts";
import { KeyIndex } from "../python/key-index.ts";
import { TYPE_NAMES, typeAt } from "../python/key-reading.ts";
import type { KeyRecords } from "./key-records.ts";
import type { KeyEvents, Wanted } from "./key-events.ts";
import type { Registration, RegistrationSpec } from "./registration.ts";
import type { ReaderSide } from "./registration-registry.ts";
import type { SyncEvents } from "./sync-events.ts";
import { Words } from "./words.ts";

interface KeysRegistrationsOptions {
  readonly events: KeyEvents;
  readonly reader: KeyRecords;
  readonly starter: EventStarter;
  readonly sync: SyncEvents;
  readonly engineCommands: EngineCommands;
  /** What the users may do who registered; undefined: everything. */
  readonly rights?: Pick<UserRights, "isFree" | "mayRead">;
}

const NO_TYPES = new Uint8Array(0);

/** A registration with its filters made ready. */
interface Filtered {
  readonly registration: Registration;
  readonly events: ReadonlySet<string> | undefined;
  readonly types: ReadonlySet<string> | undefined;
  readonly commands: ReadonlySet<string> | undefined;
  /** The registration may have to ask for the type that a key has at an event. */
  readonly asksTypes: boolean;
}

interface KeyEvent {
  readonly name: string;
  readonly key: Buffer;
  /** The client's command that caused it, if that is one that somebody listens to. */
  readonly command: LinkedCommand | undefined;
  /** Oldest first: the registrations whose prefix and filters let it through, but for that of types. */
  readonly candidates: readonly Filtered[];
  /** The key's type; undefined until it was asked for, unless the event tells it. */
  type: string | undefined;
}

export class KeysRegistrations implements ReaderSide {
  /** The command that is being carried out now, if `commands` of a registration name it. */
  command: LinkedCommand | undefined;

  readonly #options: KeysRegistrationsOptions;
  readonly #want: (wanted: Wanted) => void;
  readonly #filtered = new Map<Registration, Filtered>();
  readonly #byKey = new KeyIndex<Filtered>();
  readonly #linked = new Words();
  /** Names of events; `all` counts those who want every one. */
  readonly #events = new Words();
  #all = 0;
  #wanted: Wanted = new Set();
  #sync: readonly Filtered[] = [];
  #gaps = 0;
  #askingTypes = 0;
  /** `sync` executions that hold the engine: what changes meanwhile fires nothing here. */
  #suppressing = 0;
  /** Types that others have asked for, of the keys of the events that come now; see {@link withTypes}. */
  #knownTypes: Uint8Array = NO_TYPES;
  /** Events that wait for the type of an earlier one's key; undefined while nothing is asked for. */
  #stalled: Fifo<KeyEvent> | undefined;
  #onFlowing: (() => void)[] = [];

  constructor(options: KeysRegistrationsOptions) {
    this.#options = options;
    this.#want = options.events.listen((name, key) => this.#onEvent(name, key));
  }

  /** How often events may have been missed. */
  get gaps(): number {
    return this.#gaps;
  }

  /** How many registrations are in mode `sync`. */
  get syncCount(): number {
    return this.#sync.length;
  }

  /**
   * Some registration in the background may have to ask for the type that a key has at an event. Those in mode `sync` have
   * each command to themselves anyway.
   */
  get asksTypes(): boolean {
    return this.#askingTypes > 0;
  }

  /** A `sync` execution holds the engine, and what it changes fires nothing. */
  get isSuppressing(): boolean {
    return this.#suppressing > 0;
  }

  /** Does `act` as if such an execution did it. */
  suppressed(act: () => void): void {
    this.#suppressing++;
    try {
      act();
    } finally {
      this.#suppressing--;
    }
  }

  /**
   * Does `act`, in which events come of whose keys somebody has asked for the types already: at the times of the events.
   * @param types by their places in {@link TYPE_NAMES}; if that are fewer than are needed, the engine is asked for the rest
   */
  withTypes(types: Uint8Array, act: () => void): void {
    this.#knownTypes = types;
    try {
      act();
    } finally {
      this.#knownTypes = NO_TYPES;
    }
  }

  /** Those in mode `sync`, oldest first. */
  get syncRegistrations(): readonly Filtered[] {
    return this.#sync;
  }

  /** The commands that some registration names, in lower case. */
  get linkedNames(): ReadonlySet<string> {
    return this.#linked.set;
  }

  /** Events may have been missed. */
  countGap(): void {
    this.#gaps++;
    for (const registration of this.#filtered.keys()) registration.statistics.gaps++;
  }

  check({ commands, prefix }: RegistrationSpec): void {
    checkCommands(commands ?? [], prefix, this.#options.engineCommands);
  }

  activate(registration: Registration): void {
    const { eventTypes, keyTypes, commands, mode, prefix } = registration.spec;
    const lower = (words: readonly string[]): Set<string> => new Set(words.map((word) => word.toLowerCase()));
    const events = eventTypes && lower(eventTypes);
    const types = keyTypes && new Set(keyTypes);
    const filtered: Filtered = {
      registration,
      events,
      types,
      commands: commands && commands.length > 0 ? lower(commands) : undefined,
      asksTypes: mode !== "sync" && types !== undefined && (!events || [...events].some((name) => !typeAt(name))),
    };
    this.#filtered.set(registration, filtered);
    this.#byKey.add(prefix, filtered, registration.number);
    if (mode === "sync") this.#sync = [...this.#sync, filtered];
    this.#count(filtered, 1);
  }

  deactivate(registration: Registration, abortPending: boolean): void {
    const filtered = this.#filtered.get(registration);
    if (filtered) {
      this.#filtered.delete(registration);
      this.#byKey.remove(registration.spec.prefix, filtered);
      if (registration.spec.mode === "sync") this.#sync = this.#sync.filter((one) => one !== filtered);
      this.#count(filtered, -1);
    }
    this.#options.starter.retire(registration, abortPending);
  }

  /** Resolves when all events that came were tried. Undefined: they were. */
  whenFlowing(): Promise<void> | undefined {
    if (!this.#stalled) return undefined;
    return new Promise((resolve) => this.#onFlowing.push(resolve));
  }

  /** There is one more registration, or one less. */
  #count({ events, commands, asksTypes }: Filtered, by: 1 | -1): void {
    if (asksTypes) this.#askingTypes += by;
    if (!events) this.#all += by;
    const verb = by === 1 ? "add" : "remove";
    this.#events[verb](events ?? []);
    this.#linked[verb](commands ?? []);
    const wanted = this.#all > 0 ? "all" : this.#events.set;
    if (wanted !== this.#wanted) this.#want(wanted);
    this.#wanted = wanted;
  }

  #onEvent(name: string, key: Buffer): void {
    // keys expire by the clock: that is no change which the execution makes
    if (this.#suppressing > 0 && name !== "expired") return;
    const found = this.#byKey.find(key);
    if (found.length === 0) return;
    const command = this.command?.touches(key) ? this.command : undefined;
    const candidates = found.filter((candidate) => passes(candidate, name, command));
    if (candidates.length === 0) return;
    const event: KeyEvent = { name, key, command, candidates, type: typeAt(name) };
    if (this.#stalled) this.#stalled.push(event);
    else this.#try(event, 0);
  }

  /** Tries an event's candidates from `first` on. @returns false when it goes on later */
  #try(event: KeyEvent, first: number): boolean {
    const { candidates } = event;
    for (let at = first; at < candidates.length; at++) {
      const candidate = candidates[at] as Filtered;
      if (candidate.types && event.type === undefined) {
        const known = this.#askType(event, () => this.#try(event, at) && this.#flow());
        if (!known) return false;
      }
      if (candidate.types?.has(event.type ?? "") === false) continue;
      this.#fire(candidate, event);
    }
    return true;
  }

  /** @returns false when the answer comes later; then `goOn` is called */
  #askType(event: KeyEvent, goOn: () => void): boolean {
    const [known] = this.#knownTypes;
    if (known !== undefined) {
      event.type = TYPE_NAMES[known];
      this.#knownTypes = this.#knownTypes.subarray(1);
      return true;
    }
    const type = this.#options.reader.type(event.key);
    if (!(type instanceof Promise)) {
      event.type = type;
      return true;
    }
    this.#stalled ??= new Fifo();
    void type.then((told) => {
      event.type = told;
      goOn();
    });
    return false;
  }

  /** An event was tried to its end: the next ones follow. */
  #flow(): void {
    const stalled = this.#stalled;
    for (let event = stalled?.shift(); event; event = stalled?.shift()) {
      if (!this.#try(event, 0)) return;
    }
    this.#stalled = undefined;
    for (const resolve of this.#onFlowing.splice(0)) resolve();
  }

  /** A key that the registration's user may not read fires nothing. */
  #fire(filtered: Filtered, event: KeyEvent): void {
    const { session, spec } = filtered.registration;
    const { rights } = this.#options;
    // for these the user had to have all rights, and the event can not wait for an answer
    const exempt = spec.mode === "sync" || spec.commands !== undefined;
    if (exempt || !rights || rights.isFree(session.user) === true) {
      this.#start(filtered, event);
      return;
    }
    const key = Buffer.from(event.key);
    const allowed = rights.mayRead(session.user, key);
    if (allowed === true) this.#start(filtered, event);
    else if (allowed !== false) void allowed.then((may) => may && this.#start(filtered, { ...event, key }));
  }

  #start({ registration, commands }: Filtered, event: KeyEvent): void {
    if (!registration.active) return;
    const { starter, sync, reader } = this.#options;
    const inline = registration.spec.mode === "sync";
    const command = commands ? event.command : undefined;
    const linked = command && (inline || command.canWait) ? command : undefined;
    const options = { readValue: registration.spec.readValue, atEvent: inline };
    const source = new KeySource(reader, options, event.name, event.key, linked?.link());
    if (!inline) {
      starter.enqueue(registration, source, linked ? { kept: true, cause: linked } : KEPT);
      return;
    }
    const noAsync = linked !== undefined && !linked.canWait;
    const cause = linked && { cause: linked };
    const run = (owner: object, begun?: number): Maybe<void> =>
      this.#runSync(registration, source, { kept: true, owner, noAsync, ...cause }, begun);
    sync.add({ registration, run });
  }

  #runSync(
    registration: Registration,
    source: KeySource,
    options: { kept: true; owner: object; noAsync: boolean; cause?: LinkedCommand },
    begun: number | undefined,
  ): Maybe<void> {
    const { starter, events } = this.#options;
    let told: Promise<void> | undefined;
    this.#suppressing++;
    const left = (): void => {
      // by URL the last changes are told a moment later
      told = events.barrier()?.then(() => this.#suppressNoMore());
      if (!told) this.#suppressNoMore();
    };
    const run = starter.runInline(registration, source, options, left, begun);
    return andThen(run.left, () => told);
  }

  #suppressNoMore(): void {
    this.#suppressing--;
  }
}

/** The filters but those of the key and of its type, which may have to be asked for. */
function passes({ events, commands }: Filtered, name: string, command: LinkedCommand | undefined): boolean {
  if (events && !events.has(name)) return false;
  return !commands || (command !== undefined && commands.has(command.name));
}

/** What an execution of a KeysReader is started on: one record, read when it starts. */
class KeySource implements EventSource {
  readonly #reader: KeyRecords;
  readonly #options: { readonly readValue: boolean; readonly atEvent: boolean };
  readonly #event: string;
  /** Bytes as latin1: many wait, and a string is smaller than a view that keeps a whole chunk alive. */
  readonly #key: string;
  readonly #ended: (() => void) | undefined;

  constructor(
    reader: KeyRecords,
    options: { readonly readValue: boolean; readonly atEvent: boolean },
    event: string,
    key: Buffer,
    ended: (() => void) | undefined,
  ) {
    this.#reader = reader;
    this.#options = options;
    this.#event = event;
    this.#key = key.toString("latin1");
    this.#ended = ended;
  }

  read(): Maybe<[Encoded]> {
    const record = this.#reader.record(this.#event, Buffer.from(this.#key, "latin1"), this.#options);
    return andThen(record, (read) => [read]);
  }

  /** Its value is that of the moment when the execution begins, so only a record without one can be read before. */
  readAhead(): MarshalValue | undefined {
    return this.#options.readValue || this.#ended ? undefined : (this.read() as [Encoded]);
  }

  onEnd(): void {
    this.#ended?.();
  }
}
