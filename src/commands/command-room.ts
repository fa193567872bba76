/** The room of commands: the table of ours, and the way that all commands take. */
import type { EngineRoom } from "../engine/engine-room.ts";
import type { Logger } from "../log.ts";
import type { CommandTable } from "./command.ts";
import { CommandRights } from "./command-rights.ts";
import { Path } from "./path.ts";
import { createCommandTable } from "./table.ts";
import { engineTranslators } from "./translators.ts";

export interface CommandRoom {
  /** Empty at first: other rooms add their rows. */
  readonly table: CommandTable;
  /** Other rooms add their middlewares and translators. */
  readonly path: Path;
}

export function commandRoom(
  { users, rights, settings, data }: Pick<EngineRoom, "users" | "rights" | "settings" | "data">,
  log: Logger,
): CommandRoom {
  const table = createCommandTable([], log);
  const path = new Path(table, new CommandRights(users, table));
  path.useTranslators(...engineTranslators({ settings, rights, replicates: data !== undefined }));
  return { table, path };
}
