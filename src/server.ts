/** The composition root: which rooms there are, who knows whom, and in which order they start and stop. */
import { resolve } from "node:path";
import { clusterCommands } from "./commands/cluster-rows.ts";
import { commandRoom } from "./commands/command-room.ts";
import { consoleRoom } from "./console/console-room.ts";
import { configCommands } from "./commands/config-rows.ts";
import { type Config, ConfigError, completeConfig, parseUserLines, RuntimeConfig } from "./config.ts";
import { connectionCommands } from "./connections/connection-rows.ts";
import { connectionsRoom } from "./connections/connections-room.ts";
import { engineRoom } from "./engine/engine-room.ts";
import { executionCommands } from "./executions/execution-rows.ts";
import { executionRoom } from "./executions/execution-room.ts";
import { requirementCommands } from "./executions/requirement-rows.ts";
import { topCommands } from "./executions/top-rows.ts";
import { makeFolder } from "./folder.ts";
import { gatewayRoom } from "./gateway/gateway-room.ts";
import { isLogger, type Logger, NO_LOG, openLog } from "./log.ts";
import { packagesRoom } from "./packages/packages-room.ts";
import type { BegunPython } from "./python/early.ts";
import { pythonRoom } from "./python/python-room.ts";
import { idleCommands } from "./registrations/idle-rows.ts";
import { registrationCommands } from "./registrations/registration-rows.ts";
import { registrationRoom } from "./registrations/registration-room.ts";
import { sessionCommands } from "./registrations/session-rows.ts";
import { type RegearsServer, run } from "./running.ts";
import { serverUrl } from "./server-url.ts";
import { AclCommands } from "./store/acl-commands.ts";
import { ConfigFile } from "./store/config-file.ts";
import { KeptUsers } from "./store/kept-users.ts";
import { Persistence } from "./store/persistence.ts";
import { TestClock } from "./test-clock.ts";
import { SYSTEM_CLOCK } from "./timer.ts";
import { version } from "./version.ts";
import { infoSections } from "./visibility/info.ts";
import { serverCommands } from "./visibility/server-rows.ts";
import { SlowExecutions, Visibility } from "./visibility/visibility.ts";

/** What a program says of its server: the options of the command line in camel case, and where to log. */
export type ServerOptions = Partial<Config> & {
  /** `false`: nothing is logged; or a logger of the caller's, whose level decides. Otherwise `loglevel` and `logfile` do. */
  readonly log?: Logger | false;
};

/**
 * Starts a server. It answers commands, Python ones too, when this resolves.
 * @param options what is left out has its default. Amounts of memory are bytes.
 * Relative paths of certificates, keys and `cacheDir` are meant from where the program was started. `dir` is made if there is none.
 * @throws ConfigError for bad options, InternalError when the engine or Python can not be started, or the port is taken
 */
export async function createServer(options: ServerOptions = {}): Promise<RegearsServer> {
  const config = completeConfig(options, ["log"]);
  return startServer({ ...config, dir: madeFolder("dir", config.dir) }, chosenLog(options.log, config));
}

function chosenLog(log: unknown, config: Config): Logger {
  if (log === undefined) return openLog({ level: config.loglevel, file: config.logfile }).log;
  if (log === false) return NO_LOG;
  if (isLogger(log)) return log;
  throw new ConfigError("option 'log' is false, or a logger such as pino's, with trace, debug, info, warn and error");
}

/** Absolute, as the program may go to another directory while the server runs. @throws ConfigError when it is no folder */
function madeFolder(option: string, folder: string): string {
  if (folder === "") return "";
  try {
    makeFolder(folder);
  } catch (error) {
    throw new ConfigError(`option '${option}': '${folder}' can not be used (${(error as NodeJS.ErrnoException).code})`);
  }
  return resolve(folder);
}

/** Serialised functions load in this minor version of Python only. */
const PYTHON_VERSION = "3.14";

/** Longest script that the console shows beside its errors. */
const KEPT_SOURCE_BYTES = 64 * 1024;

/** The same with a whole configuration, and a log that is the caller's. @param begun what was begun of Python before */
export async function startServer(config: Config, log: Logger, begun?: BegunPython): Promise<RegearsServer> {
  madeFolder("cache-dir", config.cacheDir);
  // Each room is built on those before it, and adds to them what it has to do with their work.
  const runtime = new RuntimeConfig(config);
  const testClock = config.testClock ? new TestClock() : undefined;
  const base = { config, runtime, log, clock: testClock ?? SYSTEM_CLOCK };
  const data = engineRoom(config, log);
  const { engine, connections, gate } = data;
  const commands = commandRoom(data, log);
  const python = pythonRoom(data, commands, base, begun);
  const { host } = python;
  const slow = new SlowExecutions(() => runtime.get("SlowExecutionMs"), log);
  const packages = packagesRoom(python, base);
  const executions = executionRoom(python, base, packages, slow);
  const { ids, sessions, requirements, runner } = executions;
  const outgoing = connectionsRoom(data, python, executions, base);
  const reactions = registrationRoom(data, commands, python, executions, base);
  const { registrations, timers, triggers, events } = reactions;

  const persistence = new Persistence({
    directory: config.dir,
    embedded: engine.embedded,
    versions: { regears: version(), python: PYTHON_VERSION },
    ...{ repair: config.repair, data: data.data, dbfilename: config.dbfilename, appendonly: config.appendonly },
    skipModuleData: config.skipModuleData,
    ...{ appenddirname: config.appenddirname, appendfilename: config.appendfilename },
    ...{ connections, gate, registrations, sessions, ids, host, runner, timers, requirements, log },
  });
  const keptUsers = engine.embedded
    ? new KeptUsers({
        directory: config.dir,
        configured: parseUserLines(config.user),
        onChange: () => data.rights.changed(),
        ...{ aclfile: config.aclfile, requirepass: config.requirepass, repair: config.repair, connections, log },
      })
    : undefined;

  const configFile = new ConfigFile({ path: engine.embedded ? config.configFile : "", room: data, log });

  const visibility = new Visibility(
    {
      ...{ engine, sessions, registrations, executions: executions.executions },
      port: config.metricsPort,
      bind: config.metricsBind,
      version: version(),
      clients: () => listener,
      eventGaps: () => events.keys.gaps,
      timeEvents: () => timers.figures,
      waitingExecutions: () => runner.waitingCount,
      engineHolder: () => gate.holder,
      interpreters: () => host.figures(),
      connections: () => outgoing.figures,
    },
    slow,
  );
  const showing = { memory: () => host.memory(), regears: () => visibility.infoLines() };

  const compat = config.gearsCompat;
  commands.table.add([
    ...executionCommands({
      ...{ runner, sessions, registrations, requirements },
      limits: {
        scriptBytes: config.maxScriptSize,
        pending: config.maxPendingExecutions,
        keptSourceBytes: config.httpPort === 0 ? 0 : KEPT_SOURCE_BYTES,
      },
    }),
    ...topCommands({ runner }),
    ...requirementCommands({ requirements, rights: data.users }),
    ...registrationCommands({ runner, registrations, triggers, compat }),
    ...sessionCommands({ runner, sessions, registrations, requirements, compat }),
    ...configCommands({ config: runtime }),
    ...clusterCommands(),
    ...idleCommands({
      ...{ idle: reactions.idle, connections, clock: testClock },
      moveEngine: (ms) => engine.moveClock?.(ms),
    }),
    ...connectionCommands(outgoing),
    ...serverCommands(showing),
  ]);
  const gateway = gatewayRoom(data, commands, base);
  // The order counts: the first that takes a command's place does so.
  commands.path.use(
    ...(python.direct ? [python.direct.middleware] : []),
    ...persistence.middlewares,
    configFile.middleware,
    gateway.killing,
    gateway.slowlog,
    reactions.hooks,
    gateway.lua,
    ...(keptUsers ? [new AclCommands(keptUsers)] : []),
    events.middleware,
  );
  const listener = gateway.listener((sections) =>
    infoSections(sections, { registry: executions.executions, registrations, sessions, requirements, ...showing }),
  );

  const page = consoleRoom(data, commands, python, executions, listener, visibility, base);

  const loadData = async (): Promise<void> => {
    await keptUsers?.load();
    await persistence.loadData();
    await configFile.start();
  };
  return run({
    ...{ log, engine, listener, visibility, ended: data.ended },
    url: (port) => serverUrl(config, port),
    async start() {
      await persistence.open();
      await visibility.listen();
      const handlers = { ...python.calls.handlers, ...reactions.handlers, ...outgoing.handlers };
      await Promise.all([data.start(loadData, (reason) => persistence.mend(reason)), host.start(handlers)]);
      await persistence.restore();
      await listener.listen();
      await page.listen();
    },
    save: () => persistence.saveBeforeEnd(),
    async stop(engineAlive) {
      persistence.pause();
      await page.close();
      await listener.close();
      timers.stop();
      requirements.close();
      await packages.close();
      runner.abortAll();
      await host.stop();
      outgoing.stop();
      events.close();
      await keptUsers?.close();
      await persistence.close(engineAlive());
      await engine.stop();
      await visibility.close();
    },
  });
}
