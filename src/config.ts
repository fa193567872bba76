/** Configuration: one table of options, its sources, and the values that change at runtime. */
export { didYouMean } from "./config/closest.ts";
export { ConfigError } from "./config/config-error.ts";
export { helpText, optionTable } from "./config/help.ts";
export { loadStart, type Start } from "./config/load.ts";
export type { Config } from "./config/options.ts";
export { RuntimeConfig, type RuntimeKey, type SetOutcome } from "./config/runtime-config.ts";
export { readFileText } from "./config/sources.ts";
export { configLine } from "./config/config-words.ts";
export { parseUserLines, type UserLine } from "./config/users.ts";
export { completeConfig, engineConfig, parseBytes, readOptionFile, separateWords } from "./config/values.ts";
