/** Our commands. */
import { clusterCommands } from "../commands/cluster.ts";
import { configCommands } from "../commands/config.ts";
import { executionCommands } from "../commands/executions.ts";
import { registrationCommands } from "../commands/registrations.ts";
import { requirementCommands } from "../commands/requirements.ts";
import { serverCommands } from "../commands/server.ts";
import { sessionCommands } from "../commands/sessions.ts";
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
