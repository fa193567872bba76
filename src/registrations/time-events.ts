/** Time events: functions that scripts want called again and again. docs/spec/events.md, section 12. */
import { type InternalConnections, withConnection } from "../engine/internal-connections.ts";
import { ReplyError } from "../errors.ts";
import type { CallOptions } from "../executions/watched-call.ts";
import { Session, type SessionRegistry } from "../executions/session.ts";
import type { Logger } from "../log.ts";
import type { Maybe } from "../maybe.ts";
import { okReply } from "../python/call-reply.ts";
import type { Interruptible } from "../python/job.ts";
import type { CallContext, CallReply, Handlers, PythonHost } from "../python/python-host.ts";
import { BadMessage, type CallArgs, type PostArgs } from "../python/messages.ts";
import { type Clock, SYSTEM_CLOCK, type Timer } from "../timer.ts";
import { CallOrder } from "./call-order.ts";
import type { Holdable } from "./event-starter.ts";

interface TimeEventsOptions {
  readonly connections: InternalConnections;
  readonly gate: Holdable;
  readonly host: PythonHost;
  readonly sessions: Pick<SessionRegistry, "named" | "isOthers">;
  /** May this user's code run this command? @returns the error reply's text if it may not */
  readonly refusal: (user: string, args: readonly Buffer[]) => Maybe<string | undefined>;
  /** Milliseconds that a time event may hold the engine (`script-time-limit`, as for Lua); 0: no limit. */
  readonly limitMs: number;
  /** Watches a call: it is shown when it takes long. */
  readonly watchCall: (options: CallOptions) => { end(): void };
  /** Most time events of one user at a time (`max-registrations`). */
  readonly max: number;
  readonly log: Pick<Logger, "warn">;
  readonly clock?: Clock;
}

export interface TimeEventFigures {
  /** `due`: its time has come, and its function is not called yet. */
  readonly states: { readonly waiting: number; readonly due: number; readonly running: number };
  readonly calls: number;
}

/** What is needed to make a time event again. Time events without a key end with their interpreter. */
export interface TimeEventSpec {
  readonly number: number;
  readonly seconds: number;
  /** Deleting this key ends the time event. */
  readonly key: string;
  /** The function as Python serialised it. */
  readonly blob: Buffer;
}

/** A time event that can be made again. */
export interface KeptTimer {
  readonly number: number;
  readonly session: Session;
  readonly spec: TimeEventSpec;
}

/** A call of its function, from when its interpreter was told of it. */
interface TimerCall extends Interruptible {
  /** The interpreter. */
  readonly home: object;
  begun: boolean;
  /** Why it was told to stop. */
  stopReason: string | undefined;
}

interface TimeEvent {
  readonly number: number;
  readonly session: Session;
  readonly seconds: number;
  /** Undefined: it can not be stopped, and ends with its interpreter. */
  readonly kept: TimeEventSpec | undefined;
  timer: Timer | undefined;
  /** In whose name the engine is held while the function runs. */
  holder: object | undefined;
  /** The call that runs or is to run, and who watches it. */
  call: TimerCall | undefined;
  watch: { end(): void } | undefined;
}

/** What stands in a time event's key: whose it is, for people who look at it, and after a restart for us. */
const keyText = ({ number, seconds }: TimeEventSpec): string =>
  `time event ${number} of Regears, every ${seconds} s; delete this key to stop it`;

/** Keys that are asked for by one command: others may have put long strings there. */
const KEYS_AT_ONCE = 100;

/** Bytes of the functions of time events that are kept, all together. */
const MAX_BYTES = 512 * 1024 * 1024;

/** Milliseconds until a time event looks again for the interpreter that is to be made for it. */
const INTERPRETER_SOON_MS = 100;

/** Time events that are named in the log when they end together. */
const SHOWN_LOST = 10;

const IDLE = { timer: undefined, holder: undefined, call: undefined, watch: undefined } as const;

export class TimeEvents {
  /** Called after each time event with a key that came or went. */
  onChange: (timer: KeptTimer, isThere: boolean) => void = () => {};
  /** Resolves when all changes so far survive a restart; rejects with a ReplyError when they can not be kept. */
  kept: () => Promise<void> = async () => {};
  /** Has all changes so far stand before whatever is done to the data from now on, where that is possible. */
  entered: () => Maybe<void> = () => {};

  readonly #options: TimeEventsOptions;
  readonly #clock: Clock;
  readonly #events = new Map<number, TimeEvent>();
  /** Bytes of the functions that are kept. */
  #bytes = 0;
  /** How many each user has. */
  readonly #perUser = new Map<string, number>();
  readonly #order = new CallOrder<TimeEvent>((event, home) => this.#tell(event, home));
  #last = 0;
  #calls = 0;
  #stopped = false;
  readonly handlers: Pick<Handlers, "time_event" | "timer_begin" | "timer" | "timer_restored"> = {
    time_event: (caller, args) => this.#create(caller, args),
    timer_begin: (caller, { number }) => this.#begun(caller, number),
    timer: (_caller, answer) => this.#ended(answer),
    timer_restored: (_caller, answer) => this.#restored(answer),
  };

  constructor(options: TimeEventsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
  }

  /** Will it call this session's code again? */
  keeps(session: object): boolean {
    for (const event of this.#events.values()) if (event.session === session) return true;
    return false;
  }

  /** How many there are, by how far they are, and how often functions were called. */
  get figures(): TimeEventFigures {
    const states = { waiting: 0, due: 0, running: 0 };
    for (const { timer, call } of this.#events.values())
      states[call?.begun ? "running" : timer === undefined ? "due" : "waiting"]++;
    return { states, calls: this.#calls };
  }

  /** Is one being called, or due? */
  get isFiring(): boolean {
    if (this.#order.isCalling) return true;
    for (const { call } of this.#events.values()) if (call) return true;
    return false;
  }

  /** Calls none any more. They are still kept. */
  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#events.values()) timer?.cancel();
  }

  /** Ends all, as the end of the server would. Those that outlive it can be made again. */
  forgetAll(): void {
    this.#order.clear();
    for (const event of this.#events.values()) {
      event.timer?.cancel();
      this.#letGo(event);
      this.#options.host.tell(event.session, ["timer_drop", event.number]);
    }
    this.#events.clear();
    this.#perUser.clear();
    this.#bytes = 0;
  }

  /** The time events that outlive a restart. */
  list(): KeptTimer[] {
    return [...this.#events.values()].flatMap(({ number, session, kept }) =>
      kept ? [{ number, session, spec: kept }] : [],
    );
  }

  /** Makes one of an earlier run again; Python is told when its session gets an interpreter. */
  restore(session: Session, spec: TimeEventSpec): void {
    this.#last = Math.max(this.#last, spec.number);
    this.#schedule(this.#add(session, spec.number, spec.seconds, spec));
  }

  /** Makes the keys of time events again, if they are missing: those were lost with the data. */
  async putKeysBack(specs: readonly TimeEventSpec[]): Promise<void> {
    await this.#askAll(specs.map((spec) => ["SET", spec.key, keyText(spec), "NX"]));
  }

  /** Removes the keys of time events that have ended. */
  async removeKeys(specs: readonly TimeEventSpec[]): Promise<void> {
    const there = await this.withKeys(specs);
    await this.#askAll([...there].map(({ key }) => ["DEL", key]));
  }

  /** Those of the time events whose keys are there, and no other ones of their names. */
  async withKeys(specs: readonly TimeEventSpec[]): Promise<ReadonlySet<TimeEventSpec>> {
    const questions: string[][] = [];
    for (let at = 0; at < specs.length; at += KEYS_AT_ONCE)
      questions.push(["MGET", ...specs.slice(at, at + KEYS_AT_ONCE).map(({ key }) => key)]);
    const texts = ((await this.#askAll(questions)) as unknown[][]).flat();
    return new Set(specs.filter((spec, at) => String(texts[at]) === keyText(spec)));
  }

  /** Ends one that can not be kept, before it was answered. */
  takeBack({ number }: KeptTimer): void {
    const event = this.#events.get(number);
    if (event) this.#end(event);
  }

  /** An interpreter died: what it held is free again, and what can not be made again has ended. */
  onGone(home: object): void {
    let lost = 0;
    for (const event of this.#order.gone(home)) this.#schedule(event, INTERPRETER_SOON_MS);
    for (const event of [...this.#events.values()]) {
      if (event.session.home !== home && event.holder !== home) continue;
      const { call } = event;
      this.#letGo(event);
      if (call?.stopReason !== undefined) this.#end(event, call.stopReason);
      else if (event.kept === undefined) {
        this.#end(event, lost < SHOWN_LOST ? "its interpreter died" : undefined);
        lost++;
      } else if (call) this.#schedule(event);
    }
    const more = lost - SHOWN_LOST;
    if (more > 0) this.#options.log.warn(`GEARS: ${more} more time events were stopped: their interpreter died`);
  }

  /** `registerTE()`: answers the time event's number, or False when its key exists. */
  async #create(caller: CallContext, request: CallArgs<"time_event">): Promise<CallReply> {
    const { seconds, key, session: sessionKey } = request;
    // it is kept: a view would keep the whole message
    const blob = Buffer.from(request.blob);
    const user = caller.user ?? "";
    if (this.#options.sessions.isOthers(sessionKey, user)) throw new BadMessage("the session is another user's");
    const job = caller.job(request.job);
    this.#checkRoom(user, key === null ? 0 : blob.length);
    const session = (job?.session as Session | undefined) ?? this.#sessionOf(sessionKey, user);
    session.home ??= caller.home;
    const refused =
      key === null
        ? undefined
        : await this.#options.refusal(
            user,
            ["SET", key, "", "NX"].map((word) => Buffer.from(word)),
          );
    if (refused !== undefined) throw new ReplyError(refused);
    const number = ++this.#last;
    const event = this.#add(session, number, seconds, key === null ? undefined : { number, seconds, key, blob });
    if (event.kept && !(await this.#claim(event, event.kept))) return okReply(false);
    // Python does not know the number before: it could not be called.
    this.#schedule(event);
    return okReply(number);
  }

  /**
   * Makes the key of a time event, which is kept already: if the server is killed in between there is no key without its
   * time event, and one without its key is none.
   * @returns false when there is a key of that name; then it has ended
   * @throws ReplyError when it can not be kept; then it has ended, too
   */
  async #claim(event: TimeEvent, spec: TimeEventSpec): Promise<boolean> {
    let isOurs = false;
    try {
      await this.entered();
      isOurs = (await this.#ask("SET", spec.key, keyText(spec), "NX")) !== null;
      if (isOurs) await this.kept();
      else this.#end(event);
      return isOurs;
    } catch (error) {
      this.#end(event);
      if (isOurs) await this.#ask("DEL", spec.key);
      throw error;
    }
  }

  #checkRoom(user: string, bytes: number): void {
    const { max } = this.#options;
    if (bytes + this.#bytes > MAX_BYTES)
      throw new ReplyError(`ERR all time events together have more than ${MAX_BYTES} bytes`);
    if ((this.#perUser.get(user) ?? 0) < max) return;
    throw new ReplyError(`ERR there are as many time events of a user as may be (max-registrations is ${max})`);
  }

  /** The session of code that belongs to no execution: with registrations, with time events, or unknown so far. */
  #sessionOf(key: string, user: string): Session {
    const own = [...this.#events.values()].find(({ session }) => session.key === key && session.user === user)?.session;
    return this.#options.sessions.named(key, user) ?? own ?? Session.ofKey(key, user);
  }

  #add(session: Session, number: number, seconds: number, kept: TimeEventSpec | undefined): TimeEvent {
    const event: TimeEvent = { number, session, seconds, kept, ...IDLE };
    this.#events.set(number, event);
    this.#count(session.user, 1);
    this.#bytes += kept?.blob.length ?? 0;
    if (kept) {
      session.timers.set(number, kept.blob);
      this.#options.host.retain(session);
      this.onChange({ number, session, spec: kept }, true);
    }
    return event;
  }

  #schedule(event: TimeEvent, ms = event.seconds * 1000): void {
    if (this.#stopped || !this.#isThere(event)) return;
    event.timer?.cancel();
    event.timer = this.#clock.after(Math.max(ms, 1), () => this.#fire(event));
  }

  /** Has it not ended? */
  #isThere(event: TimeEvent): boolean {
    return this.#events.get(event.number) === event;
  }

  #fire(event: TimeEvent): void {
    event.timer = undefined;
    this.#order.add(event, event.session.home);
  }

  /** Has its function called when nobody holds the engine. @returns whether it will be */
  async #tell(event: TimeEvent, home: object | undefined): Promise<boolean> {
    const { host, gate, log } = this.#options;
    if (!this.#isThere(event)) return false;
    try {
      if (event.kept && (await this.#ask("EXISTS", event.kept.key)) !== 1) {
        host.tell(event.session, ["timer_drop", event.number]);
        this.#end(event);
        return false;
      }
    } catch (error) {
      if (!this.#stopped) log.warn({ err: error }, "a time event could not look for its key; it tries again");
      this.#schedule(event);
      return false;
    }
    if (home) await new Promise<void>((resolve) => gate.whenOpen(home, resolve));
    if (!home || this.#stopped || event.session.home !== home || !this.#isThere(event)) {
      this.#schedule(event, event.session.missing === undefined ? INTERPRETER_SOON_MS : undefined);
      return false;
    }
    const name = `a time event of session ${event.session.id}`;
    const call = { handle: host.nextHandle(), session: event.session, name, home, begun: false, stopReason: undefined };
    event.call = call;
    host.runCallback(call, ["timer", event.number, call.handle]);
    return true;
  }

  /**
   * Its interpreter has come to it. Only now the engine is held: until then it may have been busy with something else.
   * @returns whether the function is to be called
   */
  async #begun(caller: CallContext, number: number): Promise<CallReply> {
    const event = this.#events.get(number);
    const call = event?.call;
    if (!event || !call) return okReply(false);
    const holder = caller.home;
    if (event.session.home !== holder) throw new BadMessage(`time event ${number} is another interpreter's`);
    if (call.begun) throw new BadMessage(`time event ${number} has begun`);
    const { gate } = this.#options;
    // the engine's holder may be the very code that this call has interrupted, which would never let go
    const own = caller.owners?.() ?? [];
    if (!gate.isOpenFor(holder) && own.some((owner) => gate.isOpenFor(owner))) {
      this.#letGo(event);
      this.#fire(event);
      return okReply(false);
    }
    call.begun = true;
    await gate.hold(holder, () => call.name);
    if (event.call !== call) {
      gate.release(holder);
      return okReply(false);
    }
    this.#calls++;
    event.holder = holder;
    event.watch = this.#watch(call);
    return okReply(true);
  }

  #count(user: string, more: number): void {
    const count = (this.#perUser.get(user) ?? 0) + more;
    if (count > 0) this.#perUser.set(user, count);
    else this.#perUser.delete(user);
  }

  #ended({ number, outcome, text }: PostArgs<"timer">): void {
    const event = this.#events.get(number);
    const call = event?.call;
    if (!event || !call) return;
    this.#letGo(event);
    if (outcome === "ok" || (outcome === "again" && call.stopReason === undefined)) this.#schedule(event);
    else this.#end(event, call.stopReason ?? `it failed: ${text}`);
  }

  #restored({ number, outcome, text }: PostArgs<"timer_restored">): void {
    const event = this.#events.get(number);
    if (outcome === "ok" || !event) return;
    this.#letGo(event);
    this.#end(event, `it could not be made again: ${text}`);
  }

  #letGo(event: TimeEvent): void {
    const { gate, host } = this.#options;
    const { call, holder } = event;
    event.watch?.end();
    event.watch = event.call = event.holder = undefined;
    if (call) host.callbackEnded(call);
    if (holder) gate.release(holder);
    if (call) this.#order.ended(call.home);
  }

  /** All clients wait for it. */
  #watch(call: TimerCall): { end(): void } {
    const { limitMs, watchCall, host } = this.#options;
    const stop = (reason: string): void => {
      call.stopReason ??= reason;
      host.stopCallback(call);
    };
    return watchCall({
      limitMs,
      onLimit: () => stop(`it ran longer than script-time-limit (${limitMs} ms)`),
      stop: () => stop("it was aborted"),
    });
  }

  #end(event: TimeEvent, why?: string): void {
    const { host, log } = this.#options;
    const { session, number, kept } = event;
    event.timer?.cancel();
    if (!this.#events.delete(number)) return;
    this.#count(session.user, -1);
    this.#bytes -= kept?.blob.length ?? 0;
    if (why !== undefined) log.warn(`GEARS: a time event of session ${session.id} was stopped: ${why}`);
    if (!kept) return;
    session.timers.delete(number);
    if (!session.isKept) host.release(session);
    this.onChange({ number, session, spec: kept }, false);
  }

  #ask(...command: string[]): Promise<unknown> {
    return withConnection(this.#options.connections, (client) => client.call(...command));
  }

  /** @throws EngineError of the first command that failed */
  #askAll(commands: readonly string[][]): Promise<unknown[]> {
    return withConnection(this.#options.connections, (client) =>
      Promise.all(commands.map((command) => client.call(...command))),
    );
  }
}
