/** The room of the engine: the engine, the way to it, and who may do what in it. */
import { resolve } from "node:path";
import { type Config, engineConfig, parseBytes, readOptionFile } from "../config.ts";
import { BootFailure } from "./boot-log.ts";
import { EngineCommands } from "./engine-commands.ts";
import { EmbeddedEngine } from "./embedded-engine.ts";
import type { Engine } from "./engine.ts";
import { EngineGate } from "./engine-gate.ts";
import { InternalConnections, withConnection } from "./internal-connections.ts";
import { AccessEpoch, DEFAULT_USER, UserRights } from "./user-rights.ts";
import { type DebugMode, OwnSettings, type OwnValues } from "./own-settings.ts";
import { UpstreamEngine } from "./upstream-engine.ts";
import { parseEngineUrl } from "./url.ts";
import type { Logger } from "../log.ts";

/** An engine that keeps its data in files of its own, as far as somebody has to do with them. */
export type DataEngine = Pick<
  EmbeddedEngine,
  "background" | "takeFileFailure" | "noteSave" | "withDebug" | "hasLog" | "syncLog"
>;

export interface EngineRoom {
  readonly engine: Engine;
  /** The engine once more, when it has a folder. */
  readonly data: DataEngine | undefined;
  /** The server's own connections to the engine. */
  readonly connections: InternalConnections;
  /** Who may send commands to the engine now. */
  readonly gate: EngineGate;
  /** What the engine tells of its commands. */
  readonly engineCommands: EngineCommands;
  /** Counts changes of rights. */
  readonly rights: AccessEpoch;
  readonly users: UserRights;
  readonly settings: OwnSettings;
  /** Resolves when the engine ended by itself: by SHUTDOWN, or for the reason given. */
  readonly ended: Promise<Error | undefined>;
  /**
   * @param loadData is called when the engine answers and before anybody asks it anything else
   * @param mend is called when the engine does not boot because of its data, with what the engine says; tells whether to try again
   */
  start(loadData: () => Promise<void>, mend: (reason: string) => Promise<boolean>): Promise<void>;
}

/** How long we trust what an engine by URL told of rights, in milliseconds: others can change them there. */
const RIGHTS_LIFETIME_MS = 1_000;

/** Builds the engine and what stands before it; starts nothing. */
export function engineRoom(config: Config, log: Logger): EngineRoom {
  let end!: (reason?: Error) => void;
  const ended = new Promise<Error | undefined>((resolve) => {
    end = resolve;
  });
  const engine = createEngine(config, log, end);
  const connections = new InternalConnections(engine);
  const engineCommands = new EngineCommands();
  const gate =
    engine instanceof EmbeddedEngine
      ? new EngineGate(
          () => engine.settle(),
          () => engine.release(),
        )
      : new EngineGate();
  const rights = new AccessEpoch();
  const users = new UserRights({
    open: () => connections.open(),
    epoch: rights,
    ownUser: engine.embedded ? undefined : (parseEngineUrl(config.engine).user ?? DEFAULT_USER),
    lifetimeMs: engine.embedded ? Number.POSITIVE_INFINITY : RIGHTS_LIFETIME_MS,
  });
  const settings = new OwnSettings(ownValues(config), engine.embedded);
  return {
    ...{ engine, connections, gate, engineCommands, rights, users, settings, ended },
    data: engine instanceof EmbeddedEngine && config.dir !== "" ? engine : undefined,
    async start(loadData, mend) {
      for (;;) {
        try {
          await engine.start();
          break;
        } catch (error) {
          if (!(error instanceof BootFailure) || !(await mend(error.reason))) throw error;
        }
      }
      await connections.start(config.requirepass);
      await loadData();
      await withConnection(connections, (client) => engineCommands.load(client));
    },
  };
}

function ownValues(config: Config): OwnValues {
  const { protectedMode, maxclients: maxClients, timeout, bind, unixsocket } = config;
  const fixed = {
    ...{ bind, unixsocket, aclfile: config.aclfile, port: String(config.port), "tls-port": String(config.tlsPort) },
    dir: resolve(config.dir),
  };
  const maxMemory = { bytes: config.maxmemory, parse: (text: string) => parseBytes(text) };
  const disklessSync = engineConfig(config)["repl-diskless-sync"] !== "no";
  const debug = config.enableDebugCommand as DebugMode;
  return { protectedMode, maxClients, timeout, maxMemory, fixed, debug, disklessSync };
}

function createEngine(config: Config, log: Logger, onEnd: (reason?: Error) => void): Engine {
  const engineLog = { debug: (text: string) => log.debug(text), warn: (text: string) => log.warn(text) };
  if (config.engine !== "embedded") {
    const file = (option: string, path: string): Buffer | undefined =>
      path === "" ? undefined : readOptionFile(option, path);
    const ca = file("engine-tls-ca", config.engineTlsCa);
    const cert = file("engine-tls-cert", config.engineTlsCert);
    const key = file("engine-tls-key", config.engineTlsKey);
    return new UpstreamEngine({
      url: config.engine,
      log: engineLog,
      tls: {
        ...(ca && { ca }),
        ...(cert && { cert }),
        ...(key && { key }),
        insecure: config.engineTlsInsecure,
      },
    });
  }
  const engine = new EmbeddedEngine({
    config: engineConfig(config),
    ...(config.dir === "" ? {} : { files: { directory: resolve(config.dir) } }),
    scriptTimeLimitMs: config.scriptTimeLimit,
    clientOutputLimit: config.clientOutputLimit,
    debugCommand: config.enableDebugCommand !== "no",
    log: engineLog,
  });
  engine.onExit = (_code, reason) => onEnd(reason);
  return engine;
}
