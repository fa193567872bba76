/** The composition root: which parts there are, who knows whom, and in which order they start and stop. */
import { resolve } from "node:path";
import { type Config, completeConfig } from "./config.ts";
import { type Logger, openLog } from "./log.ts";
import { baseParts } from "./parts/base.ts";
import { type CommandParts, commandParts } from "./parts/commands.ts";
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
 * Relative paths of certificates, keys and `cacheDir` are meant from where the program was started.
 * @throws ConfigError for bad options, InternalError when the engine or Python can not be started, or the port is taken
 */
export async function createServer(options: Partial<Config> = {}): Promise<RegearsServer> {
  const config = completeConfig(options);
  const { log } = openLog({ level: config.loglevel, file: config.logfile });
  // The program may go to another directory while the server runs.
  return startServer({ ...config, dir: config.dir === "" ? "" : resolve(config.dir) }, log);
}

/** The same with a whole configuration, and a log that is the caller's. */
export async function startServer(config: Config, log: Logger): Promise<RegearsServer> {
  // Each group is built on those before it; what it uses of later ones it asks for when it needs it.
  const base = baseParts(config, log);
  const data = dataParts(base, () => commands.table);
  const python: PythonParts = pythonParts(data, () => ({ executions, reactions, commands }));
  const executions: ExecutionParts = executionParts(python);
  const reactions: ReactionParts = reactionParts(executions, () => ({ persistence, commands }));
  const persistence = createPersistence(reactions);
  const commands: CommandParts = commandParts(reactions, () => visibility);
  const listener = createListener(commands, persistence, () => visibility);
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
