/** The room of Python: the pool of interpreters, and what Python code can ask of the server. */
import type { Base } from "../base.ts";
import type { CommandRoom } from "../commands/command-room.ts";
import { EmbeddedEngine } from "../engine/embedded-engine.ts";
import type { EngineRoom } from "../engine/engine-room.ts";
import { InternalError } from "../errors.ts";
import { bytecodeCompiler } from "./bytecode.ts";
import { PythonCalls } from "./python-calls.ts";
import { DirectAccess } from "./direct-access.ts";
import type { ScriptJob } from "./job.ts";
import type { BackgroundRun, CompileModules } from "./python-host.ts";
import { Pool } from "./pool.ts";
import { assetsFor, type BegunPython, limitsOf } from "./early.ts";
import type { Preload } from "./python-session.ts";
import type { PythonAssets } from "./python-worker.ts";
import { LimitedLog } from "./limited-log.ts";

export interface PythonRoom {
  readonly host: Pool;
  readonly calls: PythonCalls;
  /** When interpreters use the engine by themselves; undefined: never. */
  readonly direct: DirectAccess | undefined;
  /** What else they do about Python; each sets what is its own. */
  readonly users: PythonUsers;
  /** Makes bytecode of packages; to be used when the pool has started. */
  readonly compile: CompileModules;
  /** Where scripts log, and their failures are told: with a limit. */
  readonly scriptLog: LimitedLog;
}

interface PythonUsers {
  /** Is told which script's body the next command comes from, and (undefined) that it was sent. */
  bodyCommand: (body: ScriptJob | undefined) => void;
  /** An interpreter has run for long what is no job's. */
  background: (run: BackgroundRun) => void;
  /** They are told of an interpreter that is gone. */
  readonly gone: ((home: object) => void)[];
  /** Is there anything that will call a session's code again, besides its jobs and registrations? */
  keeps: (session: object) => boolean;
  /** Does somebody want to know of key events? */
  wantsEvents: () => boolean;
  /** The packages that every interpreter has; undefined: none. Called when modules can be compiled. */
  preload: () => Promise<Preload | undefined>;
}

/** Builds the pool of interpreters; starts none. */
export function pythonRoom(
  { engine, connections, engineCommands, gate, rights, users: userRights }: EngineRoom,
  { path }: CommandRoom,
  { config, runtime, log }: Base,
  begun: BegunPython = () => assetsFor(config, log),
): PythonRoom {
  const users: PythonUsers = {
    bodyCommand: () => {},
    background: () => {},
    gone: [],
    keeps: () => false,
    wantsEvents: () => false,
    preload: () => Promise.resolve(undefined),
  };
  const embedded = engine instanceof EmbeddedEngine ? engine : undefined;
  const direct =
    embedded &&
    new DirectAccess({
      ...{ engine: embedded, engineCommands, connections, gate, path, rights: userRights },
      wantsEvents: () => users.wantsEvents(),
    });
  rights.onAdvance = () => direct?.close();
  const scriptLog = new LimitedLog(log, config.scriptLogRate);
  const calls = new PythonCalls({
    ...{ path, connections, engineCommands, gate },
    rights: userRights,
    option: (key) => runtime.forScripts(key),
    onBodyCommand: (body) => users.bodyCommand(body),
    direct,
    atomics: {
      limitMs: config.scriptTimeLimit,
      stopBackground: (home) => host.stopBackground(home),
      replace: (home, reason) => host.replace(home, reason),
      log,
    },
    maxIdleMs: () => (engine.embedded ? 0 : runtime.get("ExecutionMaxIdleTime")),
    log: scriptLog,
  });
  let assets: PythonAssets | undefined;
  const compile = bytecodeCompiler(() => {
    if (!assets) throw new InternalError("Python has not been started");
    return assets;
  }, log);
  const host = new Pool({
    threads: config.executionThreads,
    mostOnTop: config.executionsOnTop,
    ...(config.isolation === "session" && {
      isolation: {
        maxInterpreters: config.maxInterpreters,
        inUse: (session: object) => users.keeps(session),
      },
    }),
    ...limitsOf(config),
    assets: async () => {
      assets = await begun();
      const preload = await users.preload();
      return preload ? assets.withPackages(preload, limitsOf(config).memoryLimitMb) : assets;
    },
    beforeNested: (home, job) => direct?.consider(home, job.owner, job.handle),
    beforeChunk: (home, owner) => direct?.considerChunk(home, owner) ?? false,
    onJobEnd: (home, job) => calls.onJobEnd(home, job),
    onGone: (home) => {
      calls.onGone(home);
      for (const gone of users.gone) gone(home);
    },
    ...(embedded && {
      beforeMessage: () => embedded.giveOwed(),
      onEngineUsed: (owes: boolean) => (owes ? embedded.turnNext() : embedded.turnSoon()),
      onEngineBroken: () => embedded.endBroken(),
    }),
    onBackground: (run) => users.background(run),
    output: scriptLog,
    log,
  });
  return { host, calls, direct, users, compile, scriptLog };
}
