/** The composition root: which parts there are, who knows whom, and in which order they start and stop. */
import { type Config, completeConfig } from "./config.ts";
import { buildParts } from "./parts.ts";

export interface RegearsServer extends AsyncDisposable {
  /** The TCP port it listens on; undefined when it listens on a Unix socket only. */
  readonly port: number | undefined;
  /** Resolves when the server has stopped by itself, e.g. after SHUTDOWN; rejects when a fault of the engine made it stop. */
  readonly stopped: Promise<void>;
  /** Stops: no new work, replies that are being made are finished, then connections close. */
  close(): Promise<void>;
}

/**
 * Starts a server. It answers commands, Python ones too, when this resolves.
 * @param options as on the command line, in camel case; what is left out has its default
 * @throws ConfigError for bad options, InternalError when the engine or Python can not be started, or the port is taken
 */
export async function createServer(options: Partial<Config> = {}): Promise<RegearsServer> {
  const config = completeConfig(options);
  const {
    engine,
    engineCommands,
    connections,
    host,
    runner,
    listener,
    events,
    timers,
    persistence,
    visibility,
    log,
    ended,
  } = buildParts(config);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      visibility.phase = "stopping";
      persistence.pause();
      await listener.close();
      timers.stop();
      runner.abortAll();
      await host.stop();
      events.close();
      await persistence.close(alive);
      await engine.stop();
      await visibility.close();
    })();
    return closing;
  };
  let alive = true;
  const stopped = ended.then(async (fault) => {
    alive = false;
    await close();
    if (fault) throw fault;
  });
  // Whoever does not wait for it finds the fault in the log.
  stopped.catch(() => {});
  const startEngine = async (): Promise<void> => {
    await engine.start();
    await connections.start(config.requirepass);
    await persistence.loadData();
    const client = connections.open();
    await engineCommands.load(client);
    client.close();
  };
  try {
    await visibility.listen();
    await Promise.all([startEngine(), host.start()]);
    await persistence.restore();
    await listener.listen();
    visibility.phase = "ready";
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
  log.info({ port: listener.port, engine: engine.description }, "Ready to accept connections");
  return { port: listener.port, stopped, close, [Symbol.asyncDispose]: close };
}
