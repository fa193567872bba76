/** Puts the sources together: command line before environment before file before default. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { ConfigError } from "./config-error.ts";
import { type Config, camelCase, OPTIONS, type OptionSpec, type OptionValue } from "./options.ts";
import { type CommandLine, type Layer, readArguments, readEnvironment, readFileText } from "./sources.ts";
import { completeConfig, formatValue, parseValue } from "./values.ts";
import { textOf } from "../errors.ts";

/** What a command line, with the environment and the file it names, asks for. */
export interface Start {
  readonly action: CommandLine["action"];
  readonly config: Config;
  /** Texts to be logged, about settings without effect. */
  readonly warnings: readonly string[];
}

/**
 * Reads all sources.
 * @param args the arguments after the program's name.
 * @throws ConfigError with a message for the person who typed it.
 */
export function loadStart(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Start {
  const line = readArguments(args);
  const { REGEARS_CONFIG: configured, ...variables } = env;
  const fileName = line.file ?? configured;
  const sources: (readonly [string, Layer])[] = [
    ["", fileName === undefined ? readFileText("", "") : readFileText(readConfigFile(fileName), fileName)],
    ["environment: ", readEnvironment(variables)],
    ["", line.layer],
  ];

  const values: Partial<Record<keyof Config, OptionValue>> = {};
  const gears = new Map<string, string>();
  const engine = new Map<string, string>();
  const users: string[] = [];
  const warnings: string[] = [];
  for (const [source, layer] of sources) {
    for (const [name, text] of layer.options) {
      try {
        values[camelCase(name)] = parseValue(OPTIONS[name] as OptionSpec, text);
      } catch (error) {
        throw error instanceof ConfigError ? new ConfigError(`${source}option '${name}': ${error.message}`) : error;
      }
    }
    for (const [name, value] of layer.gears) gears.set(name, value);
    for (const [name, value] of layer.engine) engine.set(name, value);
    if (layer.plugins.length > 0) values.plugin = layer.plugins;
    users.push(...layer.users);
    warnings.push(...layer.warnings);
  }
  const given = {
    ...values,
    user: users,
    gearsOption: [...gears].map(([name, value]) => `${name}=${value}`),
    engineSettings: Object.fromEntries(engine),
    configFile: fileName === undefined || fileName === "-" ? "" : resolve(fileName),
  } as Partial<Config>;
  const config = completeConfig(given);
  if (values.save !== undefined && values.save !== "" && config.dir === "" && config.engine === "embedded")
    warnings.push("save has no effect: data are kept in memory only, there is no `dir`");
  if (config.appendonly && config.dir === "" && config.engine === "embedded")
    warnings.push("appendonly has no effect: data are kept in memory only, there is no `dir`");
  if (config.engine !== "embedded") warnings.push(...embeddedOnly(config));
  return { action: line.action, config, warnings };
}

/** Warnings about settings of the embedded engine that were given although the engine is one by URL. */
function embeddedOnly(config: Config): string[] {
  const options = Object.entries(OPTIONS as Record<string, OptionSpec>)
    .filter(
      ([name, spec]) =>
        (spec.engine || spec.embedded || spec.stored) && isChanged(spec, config[camelCase(name)] as OptionValue),
    )
    .map(([name]) => name);
  return [...options, ...Object.keys(config.engineSettings)].map(
    (name) => `${name} has no effect on an engine by URL: configure it there`,
  );
}

const isChanged = (spec: OptionSpec, value: OptionValue): boolean =>
  formatValue(spec, value) !== formatValue(spec, spec.default);

function readConfigFile(path: string): string {
  try {
    return readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (error) {
    throw new ConfigError(`can not read the configuration file: ${textOf(error)}`);
  }
}
