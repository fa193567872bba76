/** The composition root: which parts there are, who knows whom, and in which order they start and stop. */
import { type Config, completeConfig } from "./config.ts";
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
 * @param options as on the command line, in camel case; what is left out has its default
 * @throws ConfigError for bad options, InternalError when the engine or Python can not be started, or the port is taken
 */
export async function createServer(options: Partial<Config> = {}): Promise<RegearsServer> {
  // Each group is built on those before it; what it uses of later ones it asks for when it needs it.
  const base = baseParts(completeConfig(options));
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
    async stop(engineAlive) {
      persistence.pause();
      await listener.close();
      reactions.timers.stop();
      executions.runner.abortAll();
      await python.host.stop();
      reactions.events.close();
      await persistence.close(engineAlive());
      await data.engine.stop();
      await visibility.close();
    },
  });
}
