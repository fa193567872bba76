/** The room of the console: a page for people who want to see and try. */
import type { Base } from "../base.ts";
import type { CommandRoom } from "../commands/command-room.ts";
import type { EngineRoom } from "../engine/engine-room.ts";
import type { ExecutionRoom } from "../executions/execution-room.ts";
import type { PythonRoom } from "../python/python-room.ts";
import { ConsoleCommands } from "./console-commands.ts";
import { type ConsoleOptions, ConsoleServer } from "./console-server.ts";
import { History } from "./history.ts";
import type { Figures } from "./page/wire.ts";
import { LogStreams } from "./log-streams.ts";
import { Monitoring, type Shown } from "./monitoring.ts";
import { Slowest } from "./slowest.ts";
import { consoleTls } from "./console-tls.ts";

/** What the console has to know of those who serve clients. */
interface Serving {
  readonly clients: number;
  readonly protects: boolean;
  readonly authRequired: boolean;
  isLocal: ConsoleOptions["isLocal"];
}

/** What a request has besides a script: the other options, and JSON's escapes. */
const BESIDES_SCRIPT = 64 * 1024;
const JSON_FACTOR = 2;

/** Builds the console, which does nothing before it listens, and never does without `http-port`. */
export function consoleRoom(
  { engine, gate }: EngineRoom,
  { table, path }: CommandRoom,
  { host, scriptLog }: PythonRoom,
  { executions, runner }: ExecutionRoom,
  serving: Serving,
  shown: Shown,
  { config, log }: Base,
): ConsoleServer {
  const slowest = new Slowest();
  if (config.httpPort > 0) executions.onSettled = (execution) => slowest.note(execution);
  const authRequired = (): boolean => serving.authRequired;
  const figures = (): Figures => {
    const { done, failed, aborted, ms } = executions.ended;
    const { interpreters, queued, oldestWaitMs } = host.figures();
    const { user, system } = process.cpuUsage();
    return {
      ...{ done, failed, aborted, ranMs: ms, running: runner.pendingCount, queued, queueMs: oldestWaitMs },
      interpreters: interpreters.length,
      pythonBytes: interpreters.reduce((sum, { heapBytes }) => sum + heapBytes, 0),
      processBytes: process.memoryUsage.rss(),
      cpuMs: (user + system) / 1000,
      clients: serving.clients,
    };
  };
  return new ConsoleServer({
    port: config.httpPort,
    bind: config.httpBind,
    tls: consoleTls(config),
    names: config.httpHost,
    maxBody: config.maxScriptSize * JSON_FACTOR + BESIDES_SCRIPT,
    commands: new ConsoleCommands({ engine, table, path, gate }),
    history: new History(figures),
    logs: new LogStreams(scriptLog),
    slowest,
    monitoring: new Monitoring(shown, authRequired),
    isLocal: (socket) => serving.isLocal(socket),
    protects: () => serving.protects,
    authRequired,
    log,
  });
}
