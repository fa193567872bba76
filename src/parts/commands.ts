/** Our commands. */
import { clusterCommands } from "../commands/cluster-rows.ts";
import { configCommands } from "../commands/config-rows.ts";
import { executionCommands } from "../executions/execution-rows.ts";
import { registrationCommands } from "../registrations/registration-rows.ts";
import { requirementCommands } from "../executions/requirement-rows.ts";
import { serverCommands } from "../visibility/server-rows.ts";
import { sessionCommands } from "../registrations/session-rows.ts";
import type { Visibility } from "../visibility/visibility.ts";
import type { ReactionParts } from "./reactions.ts";

/** Adds our commands to the table. */
export function addCommands(parts: ReactionParts, visibility: () => Visibility): void {
  const { table, config, runtime, host, sessions, requirements, runner, triggers, registrations } = parts;
  const compat = config.gearsCompat;
  table.add([
    ...executionCommands({
      ...{ runner, sessions, registrations, requirements },
      limits: { scriptBytes: config.maxScriptSize, pending: config.maxPendingExecutions },
    }),
    ...registrationCommands({ runner, registrations, triggers, compat }),
    ...sessionCommands({ runner, sessions, registrations, requirements, compat }),
    ...requirementCommands({ requirements }),
    ...configCommands({ config: runtime }),
    ...clusterCommands(),
    ...serverCommands({
      pythonMemory: () => {
        const { total, peak, current } = host.memory();
        return { totalAllocated: total, peakAllocated: peak, currentAllocated: current };
      },
      info: () => visibility().infoLines(),
    }),
  ]);
}
