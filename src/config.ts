/** Configuration: one table of options, its sources, and the values that change at runtime. */
export { helpText, optionTable } from "./config/help.ts";
export { loadStart, type Start } from "./config/load.ts";
export type { Config } from "./config/options.ts";
export { RuntimeConfig, type RuntimeKey, type SetOutcome } from "./config/runtime.ts";
export { ConfigError, completeConfig, engineConfig, parseBytes, readOptionFile } from "./config/values.ts";
