/** Time events: functions that scripts want called again and again. events.md, section 12. */
import type { InternalConnections } from "../engine/internal.ts";
import { Session } from "../executions/session.ts";
import type { Logger } from "../log.ts";
import type { CallContext, CallHandler, CallReply, PythonHost } from "../python/host.ts";
import { encodeMarshal, type MarshalReader } from "../python/marshal.ts";
import { ReplyStatus } from "../python/protocol.ts";
import type { Holdable } from "./events.ts";

export interface TimeEventsOptions {
  readonly connections: InternalConnections;
  readonly gate: Holdable;
  readonly host: PythonHost;
  /** The live session of an id. */
  readonly session: (id: string) => Session | undefined;
  readonly log: Pick<Logger, "warn">;
}

interface TimeEvent {
  readonly number: number;
  readonly session: Session;
  readonly seconds: number;
  /** Deleting this key ends the time event. */
  readonly key: string | undefined;
  timer: NodeJS.Timeout | undefined;
  /** In whose name the engine is held while the function runs. */
  holder: object | undefined;
}

/** What stands in a time event's key, for people who look at it: an engine has no type for it. */
const keyText = (seconds: number): string => `time event of Regears, every ${seconds} s; delete this key to stop it`;

export class TimeEvents {
  readonly #options: TimeEventsOptions;
  readonly #events = new Map<number, TimeEvent>();
  #last = 0;
  readonly handlers: ReadonlyMap<string, CallHandler> = new Map<string, CallHandler>([
    ["time_event", (caller, args) => this.#create(caller, args)],
  ]);
  readonly posts: ReadonlyMap<string, (home: object, args: MarshalReader) => void> = new Map([
    ["timer", (_home: object, args: MarshalReader) => this.#ended(args.int(), args.text(), args.text())],
  ]);

  constructor(options: TimeEventsOptions) {
    this.#options = options;
  }

  /** Ends all. */
  stop(): void {
    for (const { timer } of this.#events.values()) clearTimeout(timer);
    this.#events.clear();
  }

  /** `registerTE()`: answers the time event's number, or False when its key exists. */
  async #create(caller: CallContext, args: MarshalReader): Promise<CallReply> {
    const seconds = args.int();
    const key = args.value() as string | null;
    args.value(); // the function as bytes
    const id = args.text();
    const task = caller.task(args.int());
    const session = (task?.session as Session | undefined) ?? this.#options.session(id) ?? new Session(id);
    session.home ??= caller.home;
    if (key !== null && !(await this.#ask("SET", key, keyText(seconds), "NX"))) return ok(false);
    const event: TimeEvent = {
      number: ++this.#last,
      session,
      seconds,
      key: key ?? undefined,
      timer: undefined,
      holder: undefined,
    };
    this.#events.set(event.number, event);
    this.#schedule(event);
    return ok(event.number);
  }

  #schedule(event: TimeEvent): void {
    event.timer = setTimeout(() => void this.#fire(event), Math.max(event.seconds * 1000, 1));
    event.timer.unref();
  }

  async #fire(event: TimeEvent): Promise<void> {
    const { host, gate, log } = this.#options;
    try {
      if (event.key !== undefined && (await this.#ask("EXISTS", event.key)) !== 1) {
        this.#drop(event);
        return;
      }
    } catch (error) {
      log.warn({ err: error }, "a time event could not look for its key; it tries again");
      this.#schedule(event);
      return;
    }
    const holder = event.session.home;
    if (!holder) {
      log.warn(`a time event of session ${event.session.id} ended: its interpreter is gone`);
      this.#events.delete(event.number);
      return;
    }
    await gate.hold(holder);
    event.holder = holder;
    host.tell(event.session, ["nested", ["timer", event.number]]);
  }

  #ended(number: number, outcome: string, text: string): void {
    const event = this.#events.get(number);
    if (!event?.holder) return;
    this.#letGo(event);
    if (outcome === "ok") {
      this.#schedule(event);
      return;
    }
    this.#options.log.warn(`GEARS: a time event of session ${event.session.id} failed and was stopped: ${text}`);
    this.#events.delete(number);
  }

  /** An interpreter died: what it held is free again. */
  onGone(home: object): void {
    for (const event of this.#events.values()) {
      if (event.holder !== home) continue;
      this.#letGo(event);
      this.#schedule(event);
    }
  }

  #letGo(event: TimeEvent): void {
    if (event.holder) this.#options.gate.release(event.holder);
    event.holder = undefined;
  }

  #drop(event: TimeEvent): void {
    this.#events.delete(event.number);
    this.#options.host.tell(event.session, ["timer_drop", event.number]);
  }

  async #ask(...command: string[]): Promise<unknown> {
    const client = this.#options.connections.open();
    try {
      return await client.call(...command);
    } finally {
      client.close();
    }
  }
}

const ok = (value: number | false): CallReply => ({ status: ReplyStatus.ok, value: encodeMarshal(value) });
