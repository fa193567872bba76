/** What every group of parts may need: the configuration and the log. */
import { type Config, RuntimeConfig } from "../config.ts";
import { createLog, type Logger } from "../log.ts";

export interface Base {
  readonly config: Config;
  /** The options that can change while the server runs. */
  readonly runtime: RuntimeConfig;
  readonly log: Logger;
}

/** Builds what everything else is given. */
export function baseParts(config: Config): Base {
  return {
    config,
    runtime: new RuntimeConfig(config),
    log: createLog({ level: config.loglevel, file: config.logfile }),
  };
}
