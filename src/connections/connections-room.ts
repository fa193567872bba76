/** The room of connections: what scripts may reach besides the engine. */
import type { Base } from "../base.ts";
import { readOptionFile, separateWords } from "../config.ts";
import type { EngineRoom } from "../engine/engine-room.ts";
import type { ExecutionRoom } from "../executions/execution-room.ts";
import type { PythonRoom } from "../python/python-room.ts";
import { Connections } from "./connections.ts";
import { Judge } from "./judge.ts";
import { HostResolver } from "./host-resolver.ts";
import { Targets } from "./targets.ts";
import { TlsContexts } from "./tls-contexts.ts";

/** Builds it; nothing is opened before a script wants that. @throws ConfigError when its options can not be used */
export function connectionsRoom(
  { users }: EngineRoom,
  { scriptLog, users: interpreters }: PythonRoom,
  { sessions }: ExecutionRoom,
  { config }: Base,
): Connections {
  const authorities =
    config.connectionCaFile === "" ? "" : readOptionFile("connection-ca-file", config.connectionCaFile);
  const connections = new Connections({
    judge: new Judge({
      targets: new Targets(config.allowConnect),
      resolver: new HostResolver(),
      users: separateWords(config.allowConnectUsers),
      rights: users,
    }),
    contexts: new TlsContexts(authorities.toString()),
    maxPerInterpreter: config.maxConnectionsPerInterpreter,
    bufferBytes: config.connectionBuffer,
    sessions,
    log: scriptLog,
  });
  interpreters.gone.push((home) => connections.onGone(home));
  return connections;
}
