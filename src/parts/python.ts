/** Python: the pool of interpreters, and what Python code can ask of the server. */
import { Script } from "../executions/script.ts";
import { EmbeddedEngine } from "../engine/embedded.ts";
import { PythonCalls } from "../python/calls.ts";
import { DirectAccess } from "../python/direct-access.ts";
import type { CallHandlers, PostHandlers } from "../python/host.ts";
import { Pool } from "../python/pool.ts";
import { loadAssets } from "../python/python-worker.ts";
import { LimitedLog } from "../python/script-log.ts";
import type { DataParts } from "./data.ts";
import type { ExecutionParts } from "./executions.ts";
import type { ReactionParts } from "./reactions.ts";

export interface PythonParts extends DataParts {
  readonly host: Pool;
  readonly calls: PythonCalls;
  /** When interpreters use the engine by themselves; undefined: never. */
  readonly direct: DirectAccess | undefined;
  /** Answer calls from Python and take its posts, by operation; the other parts add theirs. */
  readonly handlers: Partial<CallHandlers>;
  readonly posts: Partial<PostHandlers>;
  /** Where scripts log, and their failures are told: with a limit. */
  readonly scriptLog: LimitedLog;
}

/** What Python needs when its code runs, and that is built on it. */
interface AfterPython {
  readonly executions: ExecutionParts;
  readonly reactions: ReactionParts;
}

const MB = 1024 * 1024;

/** Builds the pool of interpreters; starts none. */
export function pythonParts(parts: DataParts, later: () => AfterPython): PythonParts {
  const { config, runtime, log, path, engine, connections, engineCommands, gate, rights, users } = parts;
  const scriptLog = new LimitedLog(log, config.scriptLogRate);
  const direct =
    engine instanceof EmbeddedEngine
      ? new DirectAccess({
          ...{ engine, engineCommands, connections, gate, path, rights: users },
          wantsEvents: () => later().reactions.events.events.active,
        })
      : undefined;
  rights.onAdvance = () => direct?.close();
  const calls = new PythonCalls({
    ...{ path, connections, engineCommands, gate },
    refusal: parts.scriptRefusal,
    rights: users,
    option: (key) => runtime.forScripts(key),
    onBodyCommand: (body) => {
      later().executions.runner.presentBody = body instanceof Script ? body : undefined;
    },
    epoch: rights,
    settings: parts.settings,
    direct,
    atomics: {
      limitMs: config.scriptTimeLimit,
      stopTask: (task, error) => later().executions.runner.abortTask(task, error),
      stopBackground: (home) => host.stopBackground(home),
      replace: (home, reason) => host.replace(home, reason),
      log,
    },
    maxIdleMs: () => (engine.embedded ? 0 : runtime.get("ExecutionMaxIdleTime")),
    onIdle: (task, error) => later().executions.runner.abortTask(task, error),
    log: scriptLog,
  });
  const handlers: Partial<CallHandlers> = { ...calls.handlers };
  const posts: Partial<PostHandlers> = { ...calls.posts };
  const host = new Pool({
    threads: config.executionThreads,
    ...(config.isolation === "session" && {
      isolation: {
        maxInterpreters: config.maxInterpreters,
        inUse: (session: object) => later().reactions.timers.keeps(session),
      },
    }),
    memoryLimitMb: config.pythonMemoryLimit / MB,
    memfsLimitMb: config.pythonMemfsLimit / MB,
    assets: () => loadAssets({ ...(config.cacheDir === "" ? {} : { cacheDir: config.cacheDir }), log }),
    calls: handlers,
    posts,
    onTaskEnd: (home, task) => calls.onTaskEnd(home, task),
    onGone: (home) => {
      calls.onGone(home);
      later().reactions.timers.onGone(home);
    },
    ...(engine instanceof EmbeddedEngine && {
      onEngineUsed: (owes: boolean) => (owes ? engine.turnNext() : engine.turnSoon()),
      onEngineBroken: () => engine.endBroken(),
    }),
    onBackground: (run) => later().executions.runner.showBackground(run),
    output: scriptLog,
    log,
  });
  return { ...parts, host, calls, direct, handlers, posts, scriptLog };
}
