/** What every group of parts may need: the configuration and the log. */
import type { CommandTable } from "../commands/command.ts";
import { Path } from "../commands/path.ts";
import { createCommandTable } from "../commands/table.ts";
import { type Config, RuntimeConfig } from "../config.ts";
import type { Logger } from "../log.ts";

export interface Base {
  readonly config: Config;
  /** The options that can change while the server runs. */
  readonly runtime: RuntimeConfig;
  readonly log: Logger;
  /** Our commands; whoever has some adds them. */
  readonly table: CommandTable;
  /** What stands between commands and the engine; whoever has something to do with them adds it. */
  readonly path: Path;
}

/** Builds what everything else is given. */
export function baseParts(config: Config, log: Logger): Base {
  const table = createCommandTable([], log);
  return { config, runtime: new RuntimeConfig(config), log, table, path: new Path(table) };
}
