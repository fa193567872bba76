/** What every room may need. */
import type { Config, RuntimeConfig } from "./config.ts";
import type { Logger } from "./log.ts";
import type { Clock } from "./timer.ts";

export interface Base {
  readonly config: Config;
  /** The options that can change while the server runs. */
  readonly runtime: RuntimeConfig;
  readonly log: Logger;
  /** Of time events, and of how long streams are collected. */
  readonly clock: Clock;
}
