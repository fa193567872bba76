/** Reactions: what makes executions of registrations, be it an event, a trigger, a hooked command or the clock. */
import { ownReply } from "../python/calls.ts";
import type { PostHandlers } from "../python/host.ts";
import type { LimitedLog } from "../python/script-log.ts";
import { registrationCalls } from "../registrations/calls.ts";
import { createEventReaders, type EventReaders } from "../registrations/event-readers.ts";
import { EventStarter, type EventStarterOptions } from "../registrations/events.ts";
import { Hooks } from "../registrations/hooks.ts";
import type { RegistrationSpec } from "../registrations/registration.ts";
import { type ReaderSide, RegistrationRegistry } from "../registrations/registry.ts";
import { TimeEvents } from "../registrations/timers.ts";
import { Triggers } from "../registrations/triggers.ts";
import { AclCommands } from "../store/acl-commands.ts";
import type { Persistence } from "../store/persistence.ts";
import type { ExecutionParts } from "./executions.ts";

export interface ReactionParts extends ExecutionParts {
  /** The readers of keys and streams. */
  readonly events: EventReaders;
  readonly triggers: Triggers;
  readonly hooks: Hooks;
  /** Undefined with an engine by URL, whose users are its own. */
  readonly acl: AclCommands | undefined;
  readonly timers: TimeEvents;
  readonly registrations: RegistrationRegistry;
}

/** What reactions need when they happen, and that is built on them. */
interface AfterReactions {
  readonly persistence: Persistence;
}

/** Builds all kinds of registrations; nothing happens before the engine and Python have started. */
export function reactionParts(parts: ExecutionParts, later: () => AfterReactions): ReactionParts {
  const { config, runtime, log, table, engine, connections, engineCommands, gate, users } = parts;
  const { host, calls, direct, handlers, posts, ids, sessions, runner } = parts;
  const starter = new EventStarter({
    ...{ runner, gate },
    maxPerRegistration: () => runtime.get("MaxExecutionsPerRegistration"),
    readsAtOnce: engine.embedded,
    onFailure: tellFailure(parts.scriptLog),
  });
  const events = createEventReaders({
    ...{ connections, gate, starter, engineCommands, log },
    embedded: engine.embedded,
    rights: users,
  });
  const triggers = new Triggers(starter);
  const hooks = new Hooks({
    ...{ starter, engineCommands },
    isOwn: (name) => table.find(name) !== undefined,
    runReal: (caller, task, args) => calls.run(caller, task.owner, args, task, false),
    toPython: ownReply,
  });
  const timers = new TimeEvents({
    ...{ connections, gate, host, log, sessions },
    limitMs: config.scriptTimeLimit,
    watchCall: (options) => runner.watchCall(options),
    max: config.maxRegistrations,
    refusal: parts.scriptRefusal,
    kept: () => later().persistence.kept(),
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
    kept: () => later().persistence.kept(),
    onStart: () => direct?.close(),
    max: config.maxRegistrations,
  });
  const registering = registrationCalls({
    ...{ registrations, runner, sessions },
    rights: users,
    maxPending: config.maxPendingExecutions,
  });
  Object.assign(handlers, events.handlers, hooks.handlers, timers.handlers, registering);
  const restored: PostHandlers["restored"] = (_home, { number, outcome, text }) => {
    if (outcome !== "ok") log.error(`registration ${number} could not be made again: ${text}`);
  };
  Object.assign(posts, timers.posts, { restored });
  const acl = parts.keptUsers && new AclCommands(parts.keptUsers);
  return { ...parts, events, triggers, hooks, acl, timers, registrations };
}

/**
 * Logs an execution that has failed. Who calls a trigger or a hooked command gets the error, and it is often meant for them;
 * of others nobody would hear.
 */
function tellFailure(log: Pick<LimitedLog, "warn" | "debug">): NonNullable<EventStarterOptions["onFailure"]> {
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
