/** The room of the gateway: where clients come in, and what it has to do with their commands. */
import type { Base } from "../base.ts";
import type { CommandRoom } from "../commands/command-room.ts";
import type { Middleware } from "../commands/path.ts";
import type { EngineRoom } from "../engine/engine-room.ts";
import { killByAddress } from "./addresses.ts";
import { withFacts } from "./engine-info.ts";
import { Listener } from "./listener.ts";
import { LuaBridge } from "./lua-bridge.ts";
import { Slowlog } from "./slowlog.ts";
import { tlsListening } from "./tls.ts";

interface GatewayRoom {
  /** For the way of clients' commands. */
  readonly killing: Middleware;
  readonly slowlog: Slowlog;
  readonly lua: LuaBridge;
  /**
   * Builds the listener, which does not listen yet; to be called when the way of commands is complete.
   * @param infoSections gives the text of our sections of INFO
   */
  listener(infoSections: (sections: readonly string[]) => string): Listener;
}

/** How long settings of an engine by URL, which others can change, are trusted. */
const SETTINGS_LIFETIME_MS = 1000;

export function gatewayRoom(
  { engine, connections, gate, rights, settings }: EngineRoom,
  { table: commands, path }: CommandRoom,
  { config, log }: Base,
): GatewayRoom {
  const slowlog = new Slowlog({
    connections,
    epoch: rights,
    lifetimeMs: engine.embedded ? Number.POSITIVE_INFINITY : SETTINGS_LIFETIME_MS,
  });
  const lua = new LuaBridge({
    limitMs: config.scriptTimeLimit,
    open: () => connections.open(),
    ...{ path, gate },
  });
  const correctedInfo = (listener: Listener, info: Buffer): Buffer => {
    const { port, clients, accepted, refused } = listener;
    const { maxClients, maxMemory } = settings;
    const { configFile } = config;
    return withFacts(info, { port, clients, accepted, refused, maxClients, maxMemory, configFile });
  };
  return {
    ...{ slowlog, lua, killing: killByAddress(engine) },
    listener(infoSections) {
      const listener: Listener = new Listener(
        {
          port: config.port === 0 && (config.unixsocket !== "" || config.tlsPort !== 0) ? undefined : config.port,
          tls: tlsListening(config),
          bind: [config.bind],
          unixSocket: config.unixsocket === "" ? undefined : config.unixsocket,
        },
        {
          ...{ engine, gate, log, rights, settings, slowlog, commands, path, infoSections },
          limits: {
            maxOutput: config.clientOutputLimit,
            maxBulk: config.protoMaxBulkLen,
            maxBuffer: config.clientQueryBufferLimit,
          },
          ...(engine.embedded && { correctedInfo: (info) => correctedInfo(listener, info) }),
        },
      );
      return listener;
    },
  };
}
