/** A running server as its owner sees it: started once, stopped once, by whoever comes first. */
import type { Logger } from "./log.ts";
import type { Visibility } from "./visibility/visibility.ts";

export interface RegearsServer extends AsyncDisposable {
  /** The TCP port without TLS that it listens on; 0 when there is none. */
  readonly port: number;
  /** Where clients on this machine reach it: `redis://127.0.0.1:6379`, with the password of `requirepass`. */
  readonly url: string;
  /** Resolves when the server has stopped by itself, e.g. after SHUTDOWN; rejects when a fault of the engine made it stop. */
  readonly stopped: Promise<void>;
  /** Saves the data if {@link close} would. @throws what went wrong: they would be lost by closing */
  save(): Promise<void>;
  /** Stops: no new work, replies that are being made are finished, then connections close. */
  close(): Promise<void>;
}

/** What there is to run. */
interface Runnable {
  readonly log: Logger;
  readonly engine: { readonly description: string };
  readonly listener: { readonly port: number; readonly kinds: readonly string[] };
  /** Gives the URL once its port is known. */
  readonly url: (port: number) => string;
  readonly visibility: Pick<Visibility, "phase">;
  /** Resolves when the engine ended by itself, with the reason if it was a fault. */
  readonly ended: Promise<Error | undefined>;
  start(): Promise<void>;
  save(): Promise<void>;
  /** @param engineAlive can the engine still be asked? */
  stop(engineAlive: () => boolean): Promise<void>;
}

/**
 * Starts a server.
 * @throws what its start throws; what was started is stopped then
 */
export async function run({
  log,
  engine,
  listener,
  url,
  visibility,
  ended,
  start,
  save,
  stop,
}: Runnable): Promise<RegearsServer> {
  let alive = true;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    visibility.phase = "stopping";
    closing ??= stop(() => alive);
    return closing;
  };
  const stopped = ended.then(async (fault) => {
    alive = false;
    await close();
    if (fault) throw fault;
  });
  // Whoever does not wait for it finds the fault in the log.
  stopped.catch(() => {});
  try {
    await start();
    visibility.phase = "ready";
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
  // Line by line as Redis 7 and Valkey write it, the star included: people and programs wait for it.
  for (const kind of listener.kinds)
    log.info({ port: listener.port, engine: engine.description }, `* Ready to accept connections ${kind}`);
  const { port } = listener;
  return { port, url: url(port), stopped, save, close, [Symbol.asyncDispose]: close };
}
