/** The parts of a server and who knows whom. */
import { readFileSync } from "node:fs";
import { clusterCommands } from "./commands/cluster.ts";
import type { CommandContext, CommandTable } from "./commands/command.ts";
import { configCommands } from "./commands/config.ts";
import { executionCommands } from "./commands/executions.ts";
import { infoSections } from "./commands/info.ts";
import { registrationCommands } from "./commands/registrations.ts";
import { requirementCommands } from "./commands/requirements.ts";
import { serverCommands } from "./commands/server.ts";
import { sessionCommands } from "./commands/sessions.ts";
import { createCommandTable } from "./commands/table.ts";
import { type Config, engineConfig, RuntimeConfig } from "./config.ts";
import { EngineCommands } from "./engine/commands.ts";
import { EmbeddedEngine } from "./engine/embedded.ts";
import type { Engine } from "./engine/engine.ts";
import { InternalConnections } from "./engine/internal.ts";
import { DEFAULT_USER, type Maybe, UserRights } from "./engine/rights.ts";
import { UpstreamEngine } from "./engine/upstream.ts";
import { Ids } from "./executions/ids.ts";
import { ExecutionRegistry } from "./executions/registry.ts";
import { Requirements } from "./executions/requirements.ts";
import { ExecutionRunner } from "./executions/runner.ts";
import { type Session, SessionRegistry } from "./executions/session.ts";
import { EngineGate } from "./engine/gate.ts";
import { AccessEpoch, CommandRights } from "./gateway/access.ts";
import { firstOf, type Interceptor } from "./gateway/interceptor.ts";
import { Listener } from "./gateway/listener.ts";
import { LuaBridge } from "./gateway/lua.ts";
import { tlsListening } from "./gateway/tls.ts";
import { createLog, type Logger } from "./log.ts";
import { LimitedLog } from "./python/script-log.ts";
import { ownReply, PythonCalls } from "./python/calls.ts";
import type { CallHandler } from "./python/host.ts";
import { Pool } from "./python/pool.ts";
import { loadAssets } from "./python/python-worker.ts";
import { registrationCalls } from "./registrations/calls.ts";
import { createEventReaders, type EventReaders } from "./registrations/event-readers.ts";
import { EventStarter } from "./registrations/events.ts";
import { Hooks } from "./registrations/hooks.ts";
import type { RegistrationSpec } from "./registrations/registration.ts";
import { type ReaderSide, RegistrationRegistry } from "./registrations/registry.ts";
import { TimeEvents } from "./registrations/timers.ts";
import { Triggers } from "./registrations/triggers.ts";
import { Persistence } from "./store/persistence.ts";
import { version } from "./version.ts";
import { error as errorReply, type Reply } from "./resp/reply.ts";
import { SlowExecutions, Visibility } from "./visibility/visibility.ts";

export interface Parts {
  readonly engine: Engine;
  readonly engineCommands: EngineCommands;
  readonly connections: InternalConnections;
  readonly calls: PythonCalls;
  readonly host: Pool;
  readonly runner: ExecutionRunner;
  readonly listener: Listener;
  readonly events: EventReaders;
  readonly timers: TimeEvents;
  readonly persistence: Persistence;
  readonly visibility: Visibility;
  readonly log: Logger;
  /** Resolves when the engine ended by itself: by SHUTDOWN, or for the reason given. */
  readonly ended: Promise<Error | undefined>;
}

const MB = 1024 * 1024;
/** How long we trust what an engine by URL told of rights, in milliseconds: others can change them there. */
const RIGHTS_LIFETIME_MS = 1_000;
/** Serialised functions load in this minor version only. */
const PYTHON_VERSION = "3.14";

/** Builds everything; starts nothing. */
export function buildParts(config: Config): Parts {
  const log = createLog({ level: config.loglevel, file: config.logfile });
  const runtime = new RuntimeConfig(config);
  let end!: (reason?: Error) => void;
  const ended = new Promise<Error | undefined>((resolve) => {
    end = resolve;
  });
  const engine = createEngine(config, log, end);
  const connections = new InternalConnections(engine);
  const gate = new EngineGate(() => {
    if (engine instanceof EmbeddedEngine) engine.settle();
  });

  const rights = new AccessEpoch();
  const users = new UserRights({
    open: () => connections.open(),
    epoch: rights,
    ownUser: engine.embedded ? undefined : engineUser(config.engine),
    lifetimeMs: engine.embedded ? Number.POSITIVE_INFINITY : RIGHTS_LIFETIME_MS,
  });
  const permissions = new CommandRights(users, () => table);
  /** May this user's code run this command, on a connection of the server's? */
  const scriptRefusal = (user: string, args: readonly Buffer[]): Maybe<string | undefined> =>
    permissions.refusal(user, args, (name, command) => users.refusalInStead(name, command));
  const engineCommands = new EngineCommands();
  /** What the engine is not to see of the commands of scripts: hooked ones and ours. */
  const runInPlace = (
    args: readonly Buffer[],
    owner: object,
    caller: "script" | "lua",
    user: string,
  ): Reply | Promise<Reply> | undefined =>
    hooks.run(args, { canWait: false, owner }) ?? runOwn(table, args, { owner, caller, user });
  /** The same for a client's Lua script, whose client may not be allowed to do that. */
  const runForLua = (args: readonly Buffer[], owner: object, user: string): Reply | Promise<Reply> | undefined => {
    const name = args[0]?.toString("latin1").toLowerCase() ?? "";
    if (!table.find(name) && !hooks.applies(name, args.length, (at) => args[at] as Buffer)) return undefined;
    const then = (refused: string | undefined): Reply | Promise<Reply> =>
      (refused === undefined ? runInPlace(args, owner, "lua", user) : undefined) ??
      errorReply(refused ?? "ERR the hook is gone");
    const refused = permissions.refusal(user, args);
    return refused instanceof Promise ? refused.then(then) : then(refused);
  };

  const scriptLog = new LimitedLog(log, config.scriptLogRate);
  const handlers = new Map<string, CallHandler>();
  const calls: PythonCalls = new PythonCalls({
    connections,
    engineCommands,
    gate,
    runOwn: (args, owner, user) => runInPlace(args, owner, "script", user),
    refusal: scriptRefusal,
    rights: users,
    option: (key) => runtime.forScripts(key),
    around: (args, sender, send) => events.interceptor.around(args, sender, send),
    onRightsChanged: () => rights.advance(),
    maxIdleMs: () => (engine.embedded ? 0 : runtime.get("ExecutionMaxIdleTime")),
    onIdle: (task, error) => runner.abortTask(task, error),
    log: scriptLog,
  });
  for (const [op, handler] of calls.handlers) handlers.set(op, handler);
  const host: Pool = new Pool({
    threads: config.executionThreads,
    ...(config.isolation === "session" && {
      isolation: {
        maxInterpreters: config.maxInterpreters,
        inUse: (session: object) => timers.keeps(session),
      },
    }),
    memoryLimitMb: config.pythonMemoryLimit / MB,
    memfsLimitMb: config.pythonMemfsLimit / MB,
    assets: () => loadAssets({ ...(config.cacheDir === "" ? {} : { cacheDir: config.cacheDir }), log }),
    calls: handlers,
    posts: calls.posts,
    onTaskEnd: (home, task) => calls.onTaskEnd(home, task),
    onGone: (home) => {
      calls.onGone(home);
      timers.onGone(home);
    },
    output: scriptLog,
    log,
  });

  const ids = new Ids();
  const sessions = new SessionRegistry();
  const sessionOf = (id: string, user: string): Session | undefined => {
    const session = sessions.find(id);
    return session?.user === user ? session : undefined;
  };
  const requirements = new Requirements(sessions, log);
  const registry = new ExecutionRegistry(ids, {
    maxExecutions: () => runtime.get("MaxExecutions"),
    maxResultBytes: () => runtime.get("MaxResultsMemory"),
  });
  runtime.onChange("MaxExecutions", () => registry.limitChanged());
  runtime.onChange("MaxResultsMemory", () => registry.evict());
  const slow = new SlowExecutions(() => runtime.get("SlowExecutionMs"), log);
  const runner: ExecutionRunner = new ExecutionRunner({
    host,
    registry,
    ids,
    settings: {
      traceback: () => runtime.get("PythonAttemptTraceback") !== 0,
      profile: () => runtime.get("ProfileExecutions") !== 0,
    },
    timeoutMs: () => runtime.get("ExecutionTimeout"),
    syncTimeoutMs: () => config.scriptTimeLimit,
    slow,
  });
  const starter = new EventStarter({
    runner,
    gate,
    maxPerRegistration: () => runtime.get("MaxExecutionsPerRegistration"),
    readsAtOnce: engine.embedded,
  });
  const events: EventReaders = createEventReaders({
    connections,
    gate,
    starter,
    engineCommands,
    embedded: engine.embedded,
    rights: users,
    log,
  });
  for (const [op, handler] of events.handlers) handlers.set(op, handler);
  const triggers = new Triggers(starter);
  const hooks: Hooks = new Hooks({
    starter,
    engineCommands,
    isOwn: (name) => table.find(name) !== undefined,
    runReal: (caller, task, wanted) => {
      const { owner } = task;
      const user = caller.user ?? "";
      return calls.ifAllowed(user, wanted, (args) => {
        const reply = runOwn(table, args, { owner, caller: "script", user });
        if (reply === undefined) return calls.engine(caller.home, owner, args, task, false);
        return reply instanceof Promise ? reply.then(ownReply) : ownReply(reply);
      });
    },
    toPython: ownReply,
  });
  for (const [op, handler] of hooks.handlers) handlers.set(op, handler);
  const registrations = new RegistrationRegistry({
    ids,
    host,
    sessions,
    readers: new Map([
      ["CommandReader", commandReader(triggers, hooks)],
      ["KeysReader", events.keys],
      ["StreamReader", events.streams],
    ]),
    kept: () => persistence.kept(),
    max: config.maxRegistrations,
  });
  const timers: TimeEvents = new TimeEvents({
    ...{ connections, gate, host, log },
    session: sessionOf,
    refusal: scriptRefusal,
  });
  for (const [op, handler] of timers.handlers) handlers.set(op, handler);
  for (const [op, take] of timers.posts) calls.posts.set(op, take);
  const persistence: Persistence = new Persistence({
    directory: config.dir,
    save: config.save,
    embedded: engine.embedded,
    versions: { regears: version(), python: PYTHON_VERSION },
    ...{ connections, gate, registrations, sessions, ids, host, runner, timers, log },
  });
  calls.posts.set("restored", (_home, args) => noteRestored(args.int(), args.text(), args.text(), log));
  const isTaken = (id: string): boolean => sessions.find(id) !== undefined;
  for (const [op, handler] of registrationCalls({
    registrations,
    runner,
    session: sessionOf,
    isTaken,
    rights: users,
  })) {
    handlers.set(op, handler);
  }

  const table: CommandTable = createCommandTable(
    [
      ...executionCommands({
        ...{ runner, sessions, registrations, requirements },
        limits: { scriptBytes: config.maxScriptSize, pending: config.maxPendingExecutions },
      }),
      ...registrationCommands({ runner, registrations, triggers, compat: config.gearsCompat }),
      ...sessionCommands({ runner, sessions, registrations, requirements, compat: config.gearsCompat }),
      ...requirementCommands({ requirements }),
      ...configCommands({ config: runtime }),
      ...clusterCommands(),
      ...serverCommands({
        pythonMemory: () => {
          const { total, peak, current } = host.memory();
          return { totalAllocated: total, peakAllocated: peak, currentAllocated: current };
        },
        info: () => visibility.infoLines(),
      }),
    ],
    log,
  );

  const lua = new LuaBridge({
    open: () => connections.open(),
    gate,
    run: runForLua,
    hooked: () => [...hooks.commands, ...events.interceptor.commandsOfScripts],
    around: (args, owner, send) => events.interceptor.around(args, { owner, canWait: false, links: true }, send),
  });
  const listener = new Listener(
    {
      port: config.port === 0 && (config.unixsocket !== "" || config.tlsPort !== 0) ? undefined : config.port,
      tls: tlsListening(config),
      bind: [config.bind],
      unixSocket: config.unixsocket === "" ? undefined : config.unixsocket,
    },
    {
      engine,
      commands: table,
      gate,
      limits: {
        maxClients: config.maxclients,
        maxOutput: config.clientOutputLimit,
        maxBulk: config.protoMaxBulkLen,
        maxBuffer: config.clientQueryBufferLimit,
      },
      log,
      rights,
      permissions,
      protectedMode: config.protectedMode,
      interceptor: firstOf([...persistence.interceptors, hooksInterceptor(hooks), lua, events.interceptor]),
      infoSections: (sections) =>
        infoSections(sections, {
          registry,
          registrations,
          sessions,
          requirements,
          memory: () => host.memory(),
          regears: () => visibility.infoLines(),
        }),
    },
  );
  const visibility = new Visibility(
    {
      ...{ engine, sessions, registrations },
      port: config.metricsPort,
      bind: config.metricsBind,
      version: version(),
      clients: () => listener,
      executions: registry,
      interpreters: () => host.figures(),
    },
    slow,
  );
  return {
    engine,
    engineCommands,
    connections,
    calls,
    host,
    runner,
    listener,
    events,
    timers,
    persistence,
    visibility,
    log,
    ended,
  };
}

/** Python has made a registration of an earlier run again, or could not. */
function noteRestored(number: number, outcome: string, text: string, log: Logger): void {
  if (outcome !== "ok") log.error(`registration ${number} could not be made again: ${text}`);
}

/** Who we are in an engine by URL. */
function engineUser(url: string): string {
  const name = URL.canParse(url) ? decodeURIComponent(new URL(url).username) : "";
  return name === "" ? DEFAULT_USER : name;
}

function createEngine(config: Config, log: Logger, onEnd: (reason?: Error) => void): Engine {
  const engineLog = { debug: (text: string) => log.debug(text), warn: (text: string) => log.warn(text) };
  if (config.engine !== "embedded") {
    const file = (path: string): { value: Buffer } | undefined =>
      path === "" ? undefined : { value: readFileSync(path) };
    const [ca, cert, key] = [file(config.engineTlsCa), file(config.engineTlsCert), file(config.engineTlsKey)];
    return new UpstreamEngine({
      url: config.engine,
      log: engineLog,
      tls: {
        ...(ca && { ca: ca.value }),
        ...(cert && { cert: cert.value }),
        ...(key && { key: key.value }),
        insecure: config.engineTlsInsecure,
      },
    });
  }
  const engine = new EmbeddedEngine({
    config: engineConfig(config),
    scriptTimeLimitMs: config.scriptTimeLimit,
    log: engineLog,
  });
  engine.onExit = (_code, reason) => onEnd(reason);
  return engine;
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

function hooksInterceptor(hooks: Hooks): Interceptor {
  return {
    get active() {
      return hooks.active;
    },
    intercept: (name, request) => {
      if (!hooks.applies(name, request.count, (index) => request.view(index))) return undefined;
      const args = request.copy(0);
      return {
        kind: "replace",
        run: ({ caller, owner }) =>
          hooks.run(args, { canWait: caller === "client", owner }) ?? { type: "error", text: "ERR the hook is gone" },
      };
    },
  };
}

const NEVER = new AbortController().signal;

/** Runs one of our commands for code that can not wait. */
function runOwn(
  table: CommandTable,
  args: readonly Buffer[],
  from: Pick<CommandContext, "owner" | "caller" | "user">,
): Reply | Promise<Reply> | undefined {
  const typedName = args[0]?.toString("utf8") ?? "";
  const row = table.find(typedName);
  return row && table.run(row, args.slice(1), { ...from, clientId: 0, signal: NEVER, typedName });
}
