/** What the server shows of itself. */
import type { Listener } from "../gateway/listener.ts";
import { version } from "../version.ts";
import { Visibility } from "../visibility/visibility.ts";
import type { ReactionParts } from "./reactions.ts";

/** Builds what asks the parts when somebody wants to know. */
export function createVisibility(parts: ReactionParts, listener: Listener): Visibility {
  const { config, engine, gate, host, sessions, executions, runner, slow, registrations, events } = parts;
  return new Visibility(
    {
      ...{ engine, sessions, registrations, executions },
      port: config.metricsPort,
      bind: config.metricsBind,
      version: version(),
      clients: () => listener,
      eventGaps: () => events.keys.gaps,
      waitingExecutions: () => runner.waitingCount,
      engineHolder: () => gate.holder,
      interpreters: () => host.figures(),
    },
    slow,
  );
}
