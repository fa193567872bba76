/** The room of registrations: what starts their executions, be it an event, a trigger, a hooked command or the clock. */
import type { Base } from "../base.ts";
import type { CommandRoom } from "../commands/command-room.ts";
import type { EngineRoom } from "../engine/engine-room.ts";
import type { ExecutionRoom } from "../executions/execution-room.ts";
import { ownReply } from "../python/call-reply.ts";
import type { Handlers } from "../python/python-host.ts";
import type { PythonRoom } from "../python/python-room.ts";
import { registrationCalls } from "./registration-calls.ts";
import { createEventReaders, type EventReaders } from "./event-readers.ts";
import { EventStarter, type EventStarterOptions } from "./event-starter.ts";
import { Hooks } from "./hooks.ts";
import { Idle } from "./idle.ts";
import type { RegistrationSpec } from "./registration.ts";
import { type ReaderSide, RegistrationRegistry } from "./registration-registry.ts";
import { TimeEvents } from "./time-events.ts";
import { Triggers } from "./triggers.ts";

type RegistrationHandlers = Omit<
  Handlers,
  keyof PythonRoom["calls"]["handlers"] | `connection_${string}` | "connections_end"
>;

interface RegistrationRoom {
  /** The readers of keys and streams. */
  readonly events: EventReaders;
  readonly triggers: Triggers;
  readonly hooks: Hooks;
  readonly timers: TimeEvents;
  readonly registrations: RegistrationRegistry;
  readonly idle: Idle;
  /** What they answer Python. */
  readonly handlers: RegistrationHandlers;
}

/** Builds all kinds of registrations; nothing happens before the engine and Python have started. */
export function registrationRoom(
  { engine, connections, engineCommands, gate, users }: EngineRoom,
  { table, path }: CommandRoom,
  python: PythonRoom,
  { ids, sessions, runner }: ExecutionRoom,
  { config, runtime, log, clock }: Base,
): RegistrationRoom {
  const { host, calls, direct } = python;
  const starter = new EventStarter({
    ...{ runner, gate },
    maxPerRegistration: () => runtime.get("MaxExecutionsPerRegistration"),
    readsAtOnce: engine.embedded,
    onFailure: tellFailure(python.scriptLog),
  });
  const events = createEventReaders({
    ...{ connections, gate, starter, engineCommands, log, clock },
    embedded: engine.embedded,
    ...(direct && { host, takes: (name: string, words: number) => direct.takes(name, words) }),
    rights: users,
  });
  const triggers = new Triggers({ starter, host, gate });
  const hooks = new Hooks({
    ...{ starter, engineCommands },
    isOwn: (name) => table.find(name) !== undefined,
    runReal: (caller, job, args) => calls.commands.run({ caller, job }, args, false),
    toPython: ownReply,
  });
  const timers = new TimeEvents({
    ...{ connections, gate, host, log, sessions, clock },
    limitMs: config.scriptTimeLimit,
    watchCall: (options) => runner.watchCall(options),
    max: config.maxRegistrations,
    refusal: (user, args) => path.refusal({ kind: "python", user }, args),
  });
  const registrations = new RegistrationRegistry({
    ...{ ids, host, sessions, log },
    onRegisteredLimitMs: config.scriptTimeLimit,
    watchCall: (options) => runner.watchCall(options),
    readers: new Map([
      ["CommandReader", commandReader(triggers, hooks)],
      ["KeysReader", events.keys],
      ["StreamReader", events.streams],
    ]),
    onStart: () => direct?.close(),
    max: config.maxRegistrations,
  });
  const registering = registrationCalls({
    ...{ registrations, runner, sessions },
    rights: users,
    maxPending: config.maxPendingExecutions,
  });
  const restored: Handlers["restored"] = (_caller, { number, outcome, text }) => {
    if (outcome !== "ok") log.error(`registration ${number} could not be made again: ${text}`);
  };
  const handlers = { ...events.handlers, ...hooks.handlers, ...timers.handlers, ...registering, restored };
  python.users.gone.push((home) => timers.onGone(home));
  python.users.wantsEvents = () => events.events.active;
  python.users.keeps = (session) => timers.keeps(session);
  const idle = new Idle({ runner, host, starter, timers, readers: events });
  return { events, triggers, hooks, timers, registrations, idle, handlers };
}

/**
 * Logs an execution that has failed. Who calls a trigger or a hooked command gets the error, and it is often meant for them;
 * of others nobody would hear.
 */
function tellFailure(
  log: Pick<PythonRoom["scriptLog"], "warn" | "debug">,
): NonNullable<EventStarterOptions["onFailure"]> {
  return ({ id, session, spec }, execution) => {
    const context = {
      session: session.id,
      registration: id,
      ...(spec.description !== undefined && { description: spec.description }),
      ...{ execution: execution.id, error: execution.errors[0] },
    };
    log[spec.reader === "CommandReader" ? "debug" : "warn"](context, `an execution of a ${spec.reader} failed`);
  };
}

/** One reader, two kinds of registrations. */
function commandReader(triggers: Triggers, hooks: Hooks): ReaderSide {
  const side = (spec: RegistrationSpec): ReaderSide => (spec.trigger ? triggers : hooks);
  return {
    check: (spec, declared, replaced) => side(spec).check(spec, declared, replaced),
    activate: (registration) => side(registration.spec).activate(registration),
    deactivate: (registration, abortPending) => side(registration.spec).deactivate(registration, abortPending),
  };
}
