/** The gateway: where clients come in, and what stands between their commands and the engine. */
import { infoSections } from "../visibility/info.ts";
import { killByAddress } from "../gateway/addresses.ts";
import { withFacts } from "../gateway/engine-info.ts";
import { Listener } from "../gateway/listener.ts";
import { LuaBridge } from "../gateway/lua.ts";
import { Slowlog } from "../gateway/slowlog.ts";
import { tlsListening } from "../gateway/tls.ts";
import type { Persistence } from "../store/persistence.ts";
import type { Visibility } from "../visibility/visibility.ts";
import type { ReactionParts } from "./reactions.ts";

/** How long settings of an engine by URL, which others can change, are trusted. */
const SETTINGS_LIFETIME_MS = 1000;

/** Builds the listener; it does not listen yet. */
export function createListener(parts: ReactionParts, persistence: Persistence, visibility: () => Visibility): Listener {
  const { config, log, path, engine, connections, gate, rights, permissions, settings, table, host } = parts;
  const { events, hooks, acl, executions, registrations, sessions, requirements } = parts;
  const slowlog = new Slowlog({
    connections,
    epoch: rights,
    lifetimeMs: engine.embedded ? Number.POSITIVE_INFINITY : SETTINGS_LIFETIME_MS,
  });
  const lua = new LuaBridge({
    limitMs: config.scriptTimeLimit,
    open: () => connections.open(),
    refusal: (user, args) => permissions.refusal(user, args),
    ...{ path, gate },
  });
  // The order counts: the first that takes a command's place does so.
  path.use(
    ...persistence.middlewares,
    killByAddress(engine),
    slowlog,
    hooks,
    lua,
    ...(acl ? [acl] : []),
    events.interceptor,
  );
  const correctedInfo = (info: Buffer): Buffer => {
    const { port, clients, accepted, refused } = listener;
    const { maxClients, maxMemory } = settings;
    return withFacts(info, { port, clients, accepted, refused, maxClients, maxMemory });
  };
  const listener: Listener = new Listener(
    {
      port: config.port === 0 && (config.unixsocket !== "" || config.tlsPort !== 0) ? undefined : config.port,
      tls: tlsListening(config),
      bind: [config.bind],
      unixSocket: config.unixsocket === "" ? undefined : config.unixsocket,
    },
    {
      ...{ engine, gate, log, rights, permissions, settings, slowlog },
      ...{ commands: table, path },
      limits: {
        maxOutput: config.clientOutputLimit,
        maxBulk: config.protoMaxBulkLen,
        maxBuffer: config.clientQueryBufferLimit,
      },
      infoSections: (sections) =>
        infoSections(sections, {
          ...{ registry: executions, registrations, sessions, requirements },
          memory: () => host.memory(),
          regears: () => visibility().infoLines(),
        }),
      ...(engine.embedded && { correctedInfo }),
    },
  );
  return listener;
}
