/** Executions: what runs scripts and flows, and what is kept of them. */
import { Ids } from "../executions/ids.ts";
import { ExecutionRegistry } from "../executions/registry.ts";
import { Requirements } from "../executions/requirements.ts";
import { ExecutionRunner } from "../executions/runner.ts";
import { SessionRegistry } from "../executions/session.ts";
import { SlowExecutions } from "../visibility/visibility.ts";
import type { PythonParts } from "./python.ts";

export interface ExecutionParts extends PythonParts {
  readonly ids: Ids;
  readonly sessions: SessionRegistry;
  readonly requirements: Requirements;
  /** The executions themselves, with their results. */
  readonly executions: ExecutionRegistry;
  readonly runner: ExecutionRunner;
  readonly slow: SlowExecutions;
}

/** Builds the registry and what fills it. */
export function executionParts(parts: PythonParts): ExecutionParts {
  const { config, runtime, log, host } = parts;
  const ids = new Ids();
  const sessions = new SessionRegistry();
  const executions = new ExecutionRegistry(ids, {
    maxExecutions: () => runtime.get("MaxExecutions"),
    maxResultBytes: () => runtime.get("MaxResultsMemory"),
  });
  runtime.onChange("MaxExecutions", () => executions.limitChanged());
  runtime.onChange("MaxResultsMemory", () => executions.evict());
  const slow = new SlowExecutions(() => runtime.get("SlowExecutionMs"), log);
  const runner = new ExecutionRunner({
    ...{ host, ids, slow },
    registry: executions,
    settings: {
      traceback: () => runtime.get("PythonAttemptTraceback") !== 0,
      profile: () => runtime.get("ProfileExecutions") !== 0,
    },
    timeoutMs: () => runtime.get("ExecutionTimeout"),
    syncTimeoutMs: () => config.scriptTimeLimit,
    maxWaiting: config.maxWaitingExecutions,
    maxResultBytes: config.maxExecutionResults,
    onReleased: (session) => sessions.release(session),
  });
  return { ...parts, ids, sessions, requirements: new Requirements(sessions, log), executions, runner, slow };
}
