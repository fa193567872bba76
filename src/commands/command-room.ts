/** The room of commands: the table of ours, the way that all commands take, and who may run which. */
import type { UserRights } from "../engine/rights.ts";
import type { Logger } from "../log.ts";
import type { Maybe } from "../maybe.ts";
import type { CommandTable } from "./command.ts";
import { CommandRights } from "./command-rights.ts";
import { Path } from "./path.ts";
import { createCommandTable } from "./table.ts";

export interface CommandRoom {
  /** Empty at first: other rooms add their rows. */
  readonly table: CommandTable;
  /** Other rooms add their middlewares. */
  readonly path: Path;
  readonly permissions: CommandRights;
  /** May this user's code run this command, on a connection of the server's? */
  readonly scriptRefusal: (user: string, args: readonly Buffer[]) => Maybe<string | undefined>;
}

export function commandRoom(users: UserRights, log: Logger): CommandRoom {
  const table = createCommandTable([], log);
  const permissions = new CommandRights(users, table);
  return {
    ...{ table, permissions, path: new Path(table) },
    scriptRefusal: (user, args) =>
      permissions.refusal(user, args, (name, command) => users.refusalInStead(name, command)),
  };
}
