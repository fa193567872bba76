/** StreamReader registrations: docs/spec/events.md, section 6. */
import { encodeCommand } from "../engine/engine-client.ts";
import type { UserRights } from "../engine/user-rights.ts";
import { ReplyError } from "../errors.ts";
import { andThen, type Maybe } from "../maybe.ts";
import type { Execution } from "../executions/execution.ts";
import type { EngineCalls } from "./engine-calls.ts";
import { type EventSource, type EventStarter, KEPT } from "./event-starter.ts";
import { KeyIndex } from "../python/key-index.ts";
import type { KeyEvents, Wanted } from "./key-events.ts";
import type { Registration, RegistrationSpec } from "./registration.ts";
import type { Pausing, ReaderSide } from "./registration-registry.ts";
import { type Batch, StreamGroup } from "./stream-group.ts";
import { findStreams } from "./stream-search.ts";
import { type Clock, SYSTEM_CLOCK, type Timer } from "../timer.ts";
import { StreamState } from "./stream-state.ts";
import type { SyncEvents } from "./sync-events.ts";

interface StreamRegistrationsOptions {
  readonly events: KeyEvents;
  readonly calls: EngineCalls;
  readonly starter: EventStarter;
  readonly sync: SyncEvents;
  readonly clock?: Clock;
  /** What the users may do who registered; undefined: everything. */
  readonly rights?: Pick<UserRights, "isFree" | "refusal">;
}

/** A registration with the streams that it has met, by their keys as latin1. */
interface Reading {
  readonly registration: Registration;
  readonly streams: Map<string, StreamState>;
  retry: Timer | undefined;
  /** Raised to end a scan. */
  scan: number;
}

/** What to read next: everything unacknowledged, or so many new messages. */
type Work = "unacknowledged" | number;

const ADDED: Wanted = new Set(["xadd"]);
/** Streams that a registration remembers; of more, the idle ones are forgotten, oldest first. */
const MAX_STREAMS = 100_000;
/** A batch whose interpreter dies again and again is given up. */
const MAX_LOSSES = 3;
/** How often an engine that went away in the middle of a batch is asked whether it is back. */
const REACHABLE_AGAIN_MS = 250;

export class StreamRegistrations implements ReaderSide {
  readonly pausing: Pausing;
  readonly #options: StreamRegistrationsOptions;
  readonly #clock: Clock;
  readonly #want: (wanted: Wanted) => void;
  /** In the order of activation. */
  readonly #readings = new Map<Registration, Reading>();
  readonly #byKey = new KeyIndex<Reading>();
  #activations = 0;
  readonly #groups = new Map<string, StreamGroup>();
  #syncCount = 0;

  constructor(options: StreamRegistrationsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#want = options.events.listen((_event, key, database) => this.#onAdded(key, database));
    this.pausing = {
      pause: (registration) => this.#pause(registration),
      unpause: (registration) => this.#unpause(registration),
    };
  }

  /** How many registrations are in mode `sync`. */
  get syncCount(): number {
    return this.#syncCount;
  }

  /** Is a batch being read, or processed? */
  get isReading(): boolean {
    return this.#someState(({ active }) => active);
  }

  /** Does a batch that is not full wait for its `duration`? */
  get isCollecting(): boolean {
    return this.#someState(({ timer }) => timer !== undefined);
  }

  #someState(matches: (state: StreamState) => boolean): boolean {
    for (const { streams } of this.#readings.values())
      for (const state of streams.values()) if (matches(state)) return true;
    return false;
  }

  check(spec: RegistrationSpec): void {
    if (spec.batch < 1) throw new ReplyError("batch argument must be a positive number");
  }

  activate(registration: Registration): void {
    const { prefix } = registration.spec;
    const reading: Reading = {
      registration,
      streams: new Map(),
      retry: undefined,
      scan: 0,
    };
    this.#readings.set(registration, reading);
    // the one made last comes first
    this.#byKey.add(prefix, reading, -this.#activations++);
    if (registration.spec.mode === "sync") this.#syncCount++;
    this.#want(ADDED);
    this.#scan(reading);
  }

  deactivate(registration: Registration): void {
    const reading = this.#readings.get(registration);
    if (!reading) return;
    this.#readings.delete(registration);
    this.#byKey.remove(registration.spec.prefix, reading);
    if (registration.spec.mode === "sync") this.#syncCount--;
    if (this.#readings.size === 0) this.#want(new Set());
    this.#halt(reading);
    this.#options.starter.retire(registration, true);
  }

  /** Looks for messages that were added unnoticed. */
  rescan(): void {
    for (const reading of this.#readings.values()) if (isReading(reading)) this.#scan(reading);
  }

  /** Ends all timers. */
  close(): void {
    for (const reading of this.#readings.values()) this.#halt(reading);
  }

  // ---- events ----

  /** The registration made last comes first; with `sync` ones that means that it gets everything. */
  #onAdded(key: Buffer, database: number): void {
    // records are read from database 0
    if (database !== 0) return;
    for (const reading of this.#byKey.find(key)) {
      if (!isReading(reading)) continue;
      this.#ifAllowed(reading, key, (own) => {
        const state = this.#stateOf(reading, own);
        state.arrived(this.#clock.now());
        this.#pump(reading, state);
      });
    }
  }

  /** Goes on with a stream if the registration's user may read it, and trim it where that is to be done. */
  #ifAllowed({ registration: { session, spec } }: Reading, key: Buffer, goOn: (key: Buffer) => void): void {
    const { rights } = this.#options;
    // for mode sync the user had to have all rights, and the command that caused the event can not wait for an answer
    if (!rights || spec.mode === "sync" || rights.isFree(session.user) === true) {
      goOn(key);
      return;
    }
    const own = Buffer.from(key);
    const refusals = neededFor(own, spec.trimStream).map((command) => rights.refusal(session.user, command));
    if (refusals.every((refused) => refused === undefined)) goOn(own);
    else if (refusals.some((refused) => refused instanceof Promise)) {
      void Promise.all(refusals).then((all) => all.every((refused) => refused === undefined) && goOn(own));
    }
  }

  #stateOf(reading: Reading, key: Buffer): StreamState {
    const name = key.toString("latin1");
    const known = reading.streams.get(name);
    if (known) return known;
    if (reading.streams.size >= MAX_STREAMS) this.#forgetOne(reading);
    // the key is a view of a larger chunk
    const group =
      this.#groups.get(name) ?? new StreamGroup(Buffer.from(key), this.#options.calls, this.#options.events.misses);
    this.#groups.set(name, group);
    const state = new StreamState(group);
    reading.streams.set(name, state);
    return state;
  }

  // ---- what there is to do ----

  /** Goes on with a stream: at once, or inside the command that caused it. */
  #pump(reading: Reading, state: StreamState): void {
    if (state.active || !isReading(reading)) return;
    if (reading.registration.spec.mode === "sync") {
      state.active = true;
      const run = (owner: object): Promise<void> => this.#runInline(reading, state, owner);
      this.#options.sync.add({ registration: reading.registration, run });
      return;
    }
    state.active = true;
    void andThen(this.#decide(reading, state), (work) => {
      if (work === undefined) {
        state.active = false;
        return;
      }
      const source = this.#source(reading, state, work, () => {
        state.active = false;
        this.#pump(reading, state);
      });
      this.#options.starter.enqueue(reading.registration, source, KEPT);
    });
  }

  async #runInline(reading: Reading, state: StreamState, owner: object): Promise<void> {
    const { starter } = this.#options;
    for (;;) {
      const work = await this.#decide(reading, state);
      if (work === undefined) break;
      let dealtWith!: () => void;
      const done = new Promise<void>((resolve) => {
        dealtWith = resolve;
      });
      const source = this.#source(reading, state, work, dealtWith);
      const { execution, left } = starter.runInline(reading.registration, source, { kept: true, owner });
      await left;
      if (!execution.isFinished) {
        // it waits for a coroutine: nobody waits for that, and the stream goes on afterwards
        void done.then(() => {
          state.active = false;
          this.#pump(reading, state);
        });
        return;
      }
      await done;
    }
    state.active = false;
  }

  /** Finds out what to read next. Undefined: nothing, until more comes. */
  #decide(reading: Reading, state: StreamState): Maybe<Work | undefined> {
    const { batch } = reading.registration.spec;
    if (!isReading(reading)) return undefined;
    if (!state.contacted) {
      state.contacted = true;
      return "unacknowledged";
    }
    if (state.waiting >= batch) return batch;
    if (state.flush) {
      // what comes while this is asked counts from zero
      const counted = state.waiting;
      return andThen(state.group.hasMoreThan(0), (more) => {
        // RedisGears takes all that it has found for waiting, until it has read once and got nothing
        if (more || state.found > 0) {
          if (!more) state.found = 0;
          return batch;
        }
        state.flush = false;
        state.take(counted);
        return this.#decide(reading, state);
      });
    }
    if (state.due && state.waiting > 0) return batch;
    state.due = false;
    this.#startTimer(reading, state);
    return undefined;
  }

  /** An incomplete batch does not wait longer than `duration`. */
  #startTimer(reading: Reading, state: StreamState): void {
    const { duration } = reading.registration.spec;
    const { oldest } = state;
    if (duration <= 0 || oldest === undefined || state.timer !== undefined) return;
    const left = Math.max(0, oldest + duration - this.#clock.now());
    state.timer = this.#clock.after(left, () => {
      state.timer = undefined;
      state.due = true;
      this.#pump(reading, state);
    });
  }

  // ---- executions ----

  /** @param dealtWith called when the execution has ended and all that follows from it was done */
  #source(reading: Reading, state: StreamState, work: Work, dealtWith: () => void): EventSource {
    let batch: Batch | undefined;
    let since: number | undefined;
    if (work !== "unacknowledged") {
      since = state.take(work);
      state.due = false;
      state.timer?.cancel();
      state.timer = undefined;
    }
    return {
      mayBeEmpty: work === "unacknowledged",
      read: () =>
        andThen(work === "unacknowledged" ? state.group.readUnacknowledged() : state.group.readNew(work), (read) => {
          batch = read;
          if (work !== "unacknowledged" && read.ids.length < work) state.drained();
          return read.records;
        }),
      onEnd: (execution) => {
        if (since !== undefined && execution.status === "done") {
          reading.registration.statistics.lag(Math.round(this.#clock.now() - since));
        }
        if (batch?.lost) {
          // what was delivered may be any number of messages: they must be known before anything is trimmed
          state.contacted = false;
          state.flush = true;
          this.#whenReachable(dealtWith);
        } else this.#ended(reading, state, batch?.ids ?? [], execution, dealtWith);
      },
    };
  }

  /** Goes on as soon as the engine answers again. */
  #whenReachable(goOn: () => void): void {
    // PING fails as writes do, while the engine can not save
    void andThen(this.#options.calls.ask(encodeCommand(["ECHO", ""])), (reply) => {
      if (reply && !reply.isError) goOn();
      else this.#clock.after(REACHABLE_AGAIN_MS, () => this.#whenReachable(goOn));
    });
  }

  #ended(
    reading: Reading,
    state: StreamState,
    ids: readonly string[],
    execution: Execution,
    dealtWith: () => void,
  ): void {
    const { spec } = reading.registration;
    const [error] = execution.errors;
    const acknowledge = (): void => {
      state.losses = 0;
      state.found = Math.max(0, state.found - ids.length);
      void andThen(state.group.acknowledge(ids, spec.trimStream), dealtWith);
    };
    if (execution.status === "done" && error === undefined) {
      acknowledge();
      return;
    }
    const leave = (): void => {
      state.group.giveBack(ids);
      dealtWith();
    };
    if (execution.status === "aborted") leave();
    else if (error?.startsWith("PAUSE")) {
      this.#stop(reading, "PAUSED");
      leave();
    } else if (spec.onFailedPolicy === "abort") {
      this.#stop(reading, "ABORTED");
      leave();
    } else if (spec.onFailedPolicy === "retry") {
      this.#retryLater(reading);
      leave();
    } else if (execution.lost && ++state.losses < MAX_LOSSES) {
      // whatever it did or did not do: the same messages again, but not at once
      state.group.giveBack(ids);
      state.contacted = false;
      state.flush = true;
      this.#clock.after(spec.retryInterval * 1_000, dealtWith);
    } else acknowledge();
  }

  // ---- status ----

  #pause(registration: Registration): void {
    const reading = this.#readings.get(registration);
    if (reading && registration.status !== "ABORTED") this.#stop(reading, "PAUSED");
  }

  #unpause(registration: Registration): void {
    const reading = this.#readings.get(registration);
    if (!reading || registration.status === "OK") return;
    reading.retry?.cancel();
    registration.status = "OK";
    this.#scan(reading);
  }

  /** No more events until somebody says so. Batches that have not begun are discarded. */
  #stop(reading: Reading, status: Registration["status"]): void {
    const { registration } = reading;
    if (registration.status === status || !registration.active) return;
    registration.status = status;
    this.#halt(reading);
    this.#options.starter.abortWaiting(registration);
  }

  #retryLater(reading: Reading): void {
    const { registration } = reading;
    if (registration.status !== "OK" || !registration.active) return;
    this.#stop(reading, "WAITING_FOR_RETRY_ON_FAILURE");
    reading.retry = this.#clock.after(registration.spec.retryInterval * 1_000, () => {
      if (registration.status !== "WAITING_FOR_RETRY_ON_FAILURE" || !registration.active) return;
      registration.status = "OK";
      this.#scan(reading);
    });
  }

  /** Ends timers and scans, and forgets what is known of the streams. */
  #halt(reading: Reading): void {
    reading.scan++;
    reading.retry?.cancel();
    for (const [name, state] of reading.streams) {
      state.timer?.cancel();
      state.timer = undefined;
      state.reset();
      if (state.active) continue;
      reading.streams.delete(name);
      this.#forgetGroup(name, state.group);
    }
  }

  #forgetOne({ streams }: Reading): void {
    for (const [name, state] of streams) {
      if (state.active || state.waiting > 0) continue;
      streams.delete(name);
      this.#forgetGroup(name, state.group);
      return;
    }
  }

  #forgetGroup(name: string, group: StreamGroup): void {
    if (!group.idle || [...this.#readings.values()].some(({ streams }) => streams.has(name))) return;
    this.#groups.delete(name);
  }

  // ---- streams that are there already ----

  #scan(reading: Reading): void {
    const { prefix } = reading.registration.spec;
    const number = ++reading.scan;
    const goesOn = (): boolean => reading.scan === number;
    findStreams(this.#options.calls, prefix, goesOn, (key) => this.#found(reading, key));
  }

  #found(reading: Reading, key: Buffer): void {
    this.#ifAllowed(reading, key, (own) => this.#catchUp(reading, own));
  }

  #catchUp(reading: Reading, key: Buffer): void {
    if (!isReading(reading)) return;
    const known = reading.streams.get(key.toString("latin1"));
    const state = known ?? this.#stateOf(reading, key);
    const flush = (): void => {
      state.flush = true;
      this.#pump(reading, state);
    };
    // it has been met already: only if more waits than was noticed there is something to catch up with
    if (known?.contacted) void andThen(state.group.hasMoreThan(state.waiting), (more) => more && flush());
    else
      void andThen(state.group.length(), (count) => {
        state.found = count;
        flush();
      });
  }
}

/** The commands that reading a stream takes. */
const neededFor = (key: Buffer, trim: boolean): Buffer[][] => {
  const read = [
    ...["XREADGROUP", "GROUP", "g", "c", "STREAMS"].map((text) => Buffer.from(text)),
    key,
    Buffer.from(">"),
  ];
  return trim ? [read, [Buffer.from("XTRIM"), key, Buffer.from("MAXLEN"), Buffer.from("0")]] : [read];
};

const isReading = ({ registration }: Reading): boolean => registration.active && registration.status === "OK";
