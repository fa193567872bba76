/** The room of executions: what runs scripts and flows, and what is kept of them. */
import type { Base } from "../base.ts";
import type { Packages } from "../packages/packages.ts";
import type { PythonRoom } from "../python/python-room.ts";
import { Ids } from "./ids.ts";
import { ExecutionRegistry } from "./execution-registry.ts";
import { Requirements } from "./requirements.ts";
import { ExecutionRunner, type SlowLog } from "./execution-runner.ts";
import { Script } from "./script.ts";
import { type Session, SessionRegistry } from "./session.ts";

export interface ExecutionRoom {
  readonly ids: Ids;
  readonly sessions: SessionRegistry;
  readonly requirements: Requirements;
  /** The executions themselves, with their results. */
  readonly executions: ExecutionRegistry;
  readonly runner: ExecutionRunner;
}

/** Builds the registry and what fills it. */
export function executionRoom(
  { host, users }: PythonRoom,
  { config, runtime, log, clock }: Base,
  packages: Packages,
  slow: SlowLog,
): ExecutionRoom {
  const ids = new Ids();
  const sessions = new SessionRegistry();
  const executions = new ExecutionRegistry(ids, {
    maxExecutions: () => runtime.get("MaxExecutions"),
    maxResultBytes: () => runtime.get("MaxResultsMemory"),
  });
  runtime.onChange("MaxExecutions", () => executions.limitChanged());
  runtime.onChange("MaxResultsMemory", () => executions.evict());
  const runner = new ExecutionRunner({
    ...{ host, ids, slow },
    registry: executions,
    settings: {
      shares: config.executionsOnTop > 0,
      traceback: () => runtime.get("PythonAttemptTraceback") !== 0,
      profile: () => runtime.get("ProfileExecutions") !== 0,
    },
    timeoutMs: () => runtime.get("ExecutionTimeout"),
    syncTimeoutMs: () => config.scriptTimeLimit,
    maxWaiting: config.maxWaitingExecutions,
    maxResultBytes: config.maxExecutionResults,
    onReleased: (session) => sessions.release(session),
  });
  users.background = (run) => runner.showBackground(run);
  users.bodyCommand = (body) => {
    runner.presentBody = body instanceof Script ? body : undefined;
  };
  const onBack = (session: Session): void => host.adopt(session);
  const requirements = new Requirements({ sessions, packages, clock, onBack, log });
  return { ids, sessions, requirements, executions, runner };
}
