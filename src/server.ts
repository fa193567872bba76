/** The composition root: which parts there are, who knows whom, and in which order they start and stop. */
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { type Config, ConfigError, completeConfig } from "./config.ts";
import { type Logger, openLog } from "./log.ts";
import { baseParts } from "./parts/base.ts";
import { addCommands } from "./parts/commands.ts";
import { dataParts } from "./parts/data.ts";
import { type ExecutionParts, executionParts } from "./parts/executions.ts";
import { createListener } from "./parts/gateway.ts";
import { createPersistence } from "./parts/persistence.ts";
import { type PythonParts, pythonParts } from "./parts/python.ts";
import { type ReactionParts, reactionParts } from "./parts/reactions.ts";
import { createVisibility } from "./parts/visibility.ts";
import { type RegearsServer, run } from "./running.ts";

/**
 * Starts a server. It answers commands, Python ones too, when this resolves.
 * @param options as on the command line, in camel case; what is left out has its default. Amounts of memory are bytes.
 * Relative paths of certificates, keys and `cacheDir` are meant from where the program was started. `dir` is made if there is none.
 * @throws ConfigError for bad options, InternalError when the engine or Python can not be started, or the port is taken
 */
export async function createServer(options: Partial<Config> = {}): Promise<RegearsServer> {
  const config = completeConfig(options);
  const { log } = openLog({ level: config.loglevel, file: config.logfile });
  return startServer({ ...config, dir: config.dir === "" ? "" : madeFolder(config.dir) }, log);
}

/** Absolute, as the program may go to another directory while the server runs. @throws ConfigError when it is no folder */
function madeFolder(dir: string): string {
  const path = resolve(dir);
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw new ConfigError(`option 'dir': '${dir}' can not be used (${(error as NodeJS.ErrnoException).code})`);
  }
  return path;
}

/** The same with a whole configuration, and a log that is the caller's. */
export async function startServer(config: Config, log: Logger): Promise<RegearsServer> {
  // Each group is built on those before it; what it uses of later ones it asks for when it needs it.
  const base = baseParts(config, log);
  const data = dataParts(base);
  const python: PythonParts = pythonParts(data, () => ({ executions, reactions }));
  const executions: ExecutionParts = executionParts(python);
  const reactions: ReactionParts = reactionParts(executions, () => ({ persistence }));
  const persistence = createPersistence(reactions);
  addCommands(reactions, () => visibility);
  const listener = createListener(reactions, persistence, () => visibility);
  const visibility = createVisibility(reactions, listener);

  return run({
    ...{ log: base.log, engine: data.engine, listener, visibility, ended: data.ended },
    async start() {
      await persistence.open();
      await visibility.listen();
      await Promise.all([data.start(() => persistence.loadData()), python.host.start()]);
      await persistence.restore();
      await listener.listen();
    },
    save: () => persistence.saveBeforeEnd(),
    async stop(engineAlive) {
      persistence.pause();
      await listener.close();
      reactions.timers.stop();
      executions.runner.abortAll();
      await python.host.stop();
      reactions.events.close();
      await data.keptUsers?.close();
      await persistence.close(engineAlive());
      await data.engine.stop();
      await visibility.close();
    },
  });
}
