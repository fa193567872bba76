/** The gateway: where clients come in, and what stands between their commands and the engine. */
import { infoSections } from "../commands/info.ts";
import { wordOf } from "../engine/traits.ts";
import { killByAddress } from "../gateway/addresses.ts";
import { withFacts } from "../gateway/engine-info.ts";
import { firstOf, type Interceptor } from "../gateway/interceptor.ts";
import { Listener } from "../gateway/listener.ts";
import { LuaBridge } from "../gateway/lua.ts";
import { Slowlog } from "../gateway/slowlog.ts";
import { tlsListening } from "../gateway/tls.ts";
import type { Hooks } from "../registrations/hooks.ts";
import { error, type Reply } from "../resp/reply.ts";
import type { Persistence } from "../store/persistence.ts";
import type { Visibility } from "../visibility/visibility.ts";
import type { CommandParts } from "./commands.ts";

/** How long settings of an engine by URL, which others can change, are trusted. */
const SETTINGS_LIFETIME_MS = 1000;
const HOOK_GONE = "ERR the hook is gone";

/** Builds the listener; it does not listen yet. */
export function createListener(parts: CommandParts, persistence: Persistence, visibility: () => Visibility): Listener {
  const { config, log, engine, connections, gate, rights, permissions, settings, table, host, events, hooks } = parts;
  const { acl, executions, registrations, sessions, requirements } = parts;
  const slowlog = new Slowlog({
    connections,
    epoch: rights,
    lifetimeMs: engine.embedded ? Number.POSITIVE_INFINITY : SETTINGS_LIFETIME_MS,
  });
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
      commands: table,
      limits: {
        maxOutput: config.clientOutputLimit,
        maxBulk: config.protoMaxBulkLen,
        maxBuffer: config.clientQueryBufferLimit,
      },
      interceptor: firstOf([
        ...persistence.interceptors,
        killByAddress(engine),
        slowlog,
        hooksInterceptor(hooks),
        luaBridge(parts),
        ...(acl ? [acl] : []),
        events.interceptor,
      ]),
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

/** Lua scripts of clients may use our commands and hooked ones, if the client may. */
function luaBridge(parts: CommandParts): LuaBridge {
  const { config, connections, gate, permissions, table, hooks, events, inPlace } = parts;
  return new LuaBridge({
    limitMs: config.scriptTimeLimit,
    open: () => connections.open(),
    gate,
    run: (args, owner, user) => {
      const name = wordOf(args[0]);
      if (!table.find(name) && !hooks.applies(name, args.length, (at) => args[at] as Buffer)) return undefined;
      const then = (refused: string | undefined): Reply | Promise<Reply> =>
        (refused === undefined ? inPlace(args, { owner, caller: "lua", user }) : undefined) ??
        error(refused ?? HOOK_GONE);
      const refused = permissions.refusal(user, args);
      return refused instanceof Promise ? refused.then(then) : then(refused);
    },
    hooked: () => [...hooks.commands, ...events.interceptor.commandsOfScripts],
    around: (args, owner, send) =>
      events.interceptor.watchesInScripts(args)
        ? events.interceptor.around(args, { owner, canWait: false, links: true }, send)
        : undefined,
    settle: (owner) => events.settle(owner),
  });
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
        run: ({ caller, owner }) => hooks.run(args, { canWait: caller === "client", owner }) ?? error(HOOK_GONE),
      };
    },
  };
}
