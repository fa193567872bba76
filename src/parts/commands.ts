/** The commands: one table of ours, and how code that can not wait runs what the engine is not to see. */
import { clusterCommands } from "../commands/cluster.ts";
import type { CommandContext, CommandTable } from "../commands/command.ts";
import { configCommands } from "../commands/config.ts";
import { executionCommands } from "../commands/executions.ts";
import { registrationCommands } from "../commands/registrations.ts";
import { requirementCommands } from "../commands/requirements.ts";
import { serverCommands } from "../commands/server.ts";
import { sessionCommands } from "../commands/sessions.ts";
import { createCommandTable } from "../commands/table.ts";
import type { Reply } from "../resp/reply.ts";
import type { Visibility } from "../visibility/visibility.ts";
import type { ReactionParts } from "./reactions.ts";

/** On whose behalf a command is run by a script, be it Python or Lua. */
type From = Pick<CommandContext, "owner" | "caller" | "user">;
/** Runs a command within the call. @returns undefined when it is the engine's */
type Run = (args: readonly Buffer[], from: From) => Reply | Promise<Reply> | undefined;

export interface CommandParts extends ReactionParts {
  readonly table: CommandTable;
  /** Runs our commands. */
  readonly runOwn: Run;
  /** Runs all that the engine is not to see of the commands of scripts: hooked ones and ours. */
  readonly inPlace: Run;
}

const NEVER = new AbortController().signal;

/** Builds the table of our commands. */
export function commandParts(parts: ReactionParts, visibility: () => Visibility): CommandParts {
  const { config, runtime, log, host, sessions, requirements, runner, triggers, hooks, registrations } = parts;
  const compat = config.gearsCompat;
  const table = createCommandTable(
    [
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
    ],
    log,
  );
  const runOwn: Run = (args, from) => {
    const typedName = args[0]?.toString("utf8") ?? "";
    const row = table.find(typedName);
    return row && table.run(row, args.slice(1), { ...from, clientId: 0, signal: NEVER, typedName });
  };
  const inPlace: Run = (args, from) => hooks.run(args, { canWait: false, owner: from.owner }) ?? runOwn(args, from);
  return { ...parts, table, runOwn, inPlace };
}
