/** What every group of parts may need: the configuration and the log. */
import { type Config, RuntimeConfig } from "../config.ts";
import type { Logger } from "../log.ts";

export interface Base {
  readonly config: Config;
  /** The options that can change while the server runs. */
  readonly runtime: RuntimeConfig;
  readonly log: Logger;
}

/** Builds what everything else is given. */
export const baseParts = (config: Config, log: Logger): Base => ({ config, runtime: new RuntimeConfig(config), log });
