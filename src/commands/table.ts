/** The one list of commands: finds a row, checks what every command checks, and turns failures into replies. */
import { arityError, ReplyError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { error as errorReply, type Reply } from "../resp/reply.ts";
import type { Caller } from "./caller.ts";
import type { CommandContext, CommandRow, CommandTable } from "./command.ts";

/** The whole text that a caller gets for a fault of ours; the log has the reason. */
const INTERNAL_ERROR = "ERR internal error";

/** Makes the table. @param log is told of failures that are not the caller's fault */
export function createCommandTable(rows: readonly CommandRow[], log: Pick<Logger, "error">): CommandTable {
  const all: CommandRow[] = [];
  const byName = new Map<string, CommandRow>();
  const add = (more: readonly CommandRow[]): void => {
    for (const row of more) {
      if (byName.has(row.name) || row.name !== row.name.toLowerCase()) throw new Error(`bad command name ${row.name}`);
      byName.set(row.name, row);
      all.push(row);
    }
  };
  add(rows);

  const failed = (row: CommandRow, error: unknown): Reply => {
    if (error instanceof ReplyError) return errorReply(error.message);
    log.error({ err: error, command: row.name }, "a command failed");
    return errorReply(INTERNAL_ERROR);
  };

  return {
    rows: all,
    add,
    find: (name) => byName.get(name.toLowerCase()),
    run(row, args, context) {
      try {
        check(row, args, context);
        const reply = row.run(args, context);
        return reply instanceof Promise ? reply.catch((error: unknown) => failed(row, error)) : reply;
      } catch (error) {
        return failed(row, error);
      }
    },
  };
}

/** A command of RedisGears looks at its arguments before it asks to block its client, and is refused that. */
function check(row: CommandRow, args: readonly Buffer[], { caller }: CommandContext): void {
  const refusal = caller.canWait ? undefined : row.refusedWhenNotBlocking?.(caller);
  if (refusal !== undefined && row.refusesFirst) throw new ReplyError(refusal);
  if (args.length < row.minArgs || args.length > row.maxArgs) throw arityError(row.name);
  if (refusal !== undefined) throw new ReplyError(refusal);
}

/** The engine's own words for a blocking module command whose caller can not wait. */
export const blockingRefusal = ({ kind }: Caller): string =>
  kind === "lua"
    ? "ERR Blocking module command called from Lua script"
    : "ERR Blocking module command called from transaction";
