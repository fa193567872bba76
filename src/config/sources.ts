/** Reads options from the command line, the environment and a configuration file. */
import { isIP } from "node:net";
import { didYouMean } from "./closest.ts";
import { ConfigError } from "./config-error.ts";
import { findOption, type OptionName, type OptionSpec, OPTIONS, optionEntries } from "./options.ts";
import { judgeRedisDirective } from "./redis.ts";
import { sameGearsName, splitGearsOption } from "./values.ts";
import { joinWords, splitWords } from "./config-words.ts";

/** What one source says, as text. */
export interface Layer {
  readonly options: Map<OptionName, string>;
  /** Options for scripts, and Python options as scripts may see them. */
  readonly gears: Map<string, string>;
  readonly engine: Map<string, string>;
  readonly plugins: string[];
  /** Users and their rules, a line each. */
  readonly users: string[];
  /** Things the person should know, to be logged. */
  readonly warnings: string[];
}

const emptyLayer = (): Layer => ({
  options: new Map(),
  gears: new Map(),
  engine: new Map(),
  plugins: [],
  users: [],
  warnings: [],
});

/** What the command line asks for besides options. */
export interface CommandLine {
  readonly layer: Layer;
  readonly action: "serve" | "help" | "version" | "snapshot" | "healthcheck";
  /** Path of the configuration file; `-` is standard input. */
  readonly file?: string;
}

const ACTIONS = new Map<string, CommandLine["action"]>([
  ["--help", "help"],
  ["-h", "help"],
  ["--version", "version"],
  ["-v", "version"],
  ["--snapshot", "snapshot"],
  ["--healthcheck", "healthcheck"],
]);

/** An option's name, and what may be in the same argument: `=value`, or the rest of a line of a configuration file. */
const WORD = /^(--)?([^=\s]+)(?:(=.*)|(\s+)(.*))?$/s;

/**
 * Reads the arguments after the program's name: `--name value`, `--name=value`, `"--name value"` (redis-server takes an
 * argument with dashes for the begin of a line), `name value`, `--name` for `yes`, one configuration file, and the options
 * of `redis-server`.
 * @throws ConfigError for anything else.
 */
export function readArguments(args: readonly string[]): CommandLine {
  const layer = emptyLayer();
  let action: CommandLine["action"] = "serve";
  let file: string | undefined;
  for (let at = 0; at < args.length; ) {
    const word = args[at++] ?? "";
    const known = ACTIONS.get(word);
    if (known) {
      action = known;
      continue;
    }
    const [, dashes = "", name = word, equals, blank, line = ""] = WORD.exec(word) ?? [];
    if (dashes === "" && word.startsWith("-") && word !== "-") throw new ConfigError(unknownText(word));
    if (dashes !== "" && name === "config") {
      file = equals?.slice(1) ?? args[at++];
      if (file === undefined) throw new ConfigError("option '--config' needs a file name");
      continue;
    }
    if (dashes === "" && !findOption(word)) {
      if (at > 1) throw new ConfigError(unknownText(word));
      if (word.endsWith(".py"))
        throw new ConfigError(`${word} is a script, and no configuration: regears run ${word} runs it on a server`);
      file = word;
      continue;
    }
    const rest = args.slice(at);
    const end = rest.findIndex((next) => next.startsWith("--"));
    const following = end < 0 ? rest : rest.slice(0, end);
    if (equals !== undefined) {
      addDirective(layer, name, [equals.slice(1)]);
      continue;
    }
    const own = blank === undefined ? [] : splitWords(line);
    const more = following.slice(0, Math.max(0, wanted(name, [...own, ...following]) - own.length));
    at += more.length;
    const values = [...own, ...more];
    addDirective(layer, name, values.length === 0 && findOption(name)?.[1].kind === "switch" ? ["yes"] : values);
  }
  return file === undefined ? { layer, action } : { layer, action, file };
}

/** How many of the words after an option are its values. */
function wanted(name: string, following: readonly string[]): number {
  const option = findOption(name);
  if (!option || option[0] === "user") return following.length;
  if (option[0] === "save") {
    const more = following.findIndex((word) => !/^[\d\s]+$/.test(word));
    return Math.max(more < 0 ? following.length : more, 1);
  }
  if (option[0] === "bind") {
    const more = following.slice(1).findIndex((word) => !/^(-.+|\*)$/.test(word) && isIP(word) === 0);
    return more < 0 ? following.length : more + 1;
  }
  return 1;
}

/** Reads `REGEARS_MAX_EXECUTIONS` and its like. @throws ConfigError when `REGEARS_GEARS_OPTION` is malformed. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>): Layer {
  const layer = emptyLayer();
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith("REGEARS_") || value === undefined) continue;
    const name = variable.slice("REGEARS_".length).toLowerCase().replaceAll("_", "-");
    // Kubernetes and Docker links describe a service named "regears" by variables like REGEARS_PORT=tcp://10.0.0.1:6379.
    if (name === "port" && value.includes("://")) continue;
    const isOption = optionEntries.some(([own]) => own === name);
    if (!isOption) {
      if (!/^(service-|port-)/.test(name)) layer.warnings.push(`the environment variable ${variable} is not an option`);
    } else if (name === "gears-option") for (const pair of splitWords(value)) addDirective(layer, name, [pair]);
    else if (name === "user") for (const line of value.split("\n")) addDirective(layer, name, splitWords(line));
    else addDirective(layer, name, [value]);
  }
  return layer;
}

/** Reads a configuration file in the form of Redis: `name value` lines and `#` comments. @throws ConfigError with the line. */
export function readFileText(text: string, fileName: string): Layer {
  const layer = emptyLayer();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    try {
      const [name = "", ...values] = splitWords(trimmed);
      addDirective(layer, name, values);
    } catch (error) {
      throw error instanceof ConfigError ? new ConfigError(`${fileName}:${index + 1}: ${error.message}`) : error;
    }
  }
  return layer;
}

/** Adds one option, of ours, of RedisGears or of Redis, to what a source said. A later one wins over an earlier one. */
function addDirective(layer: Layer, name: string, values: readonly string[]): void {
  const option = findOption(name);
  if (option) addOption(layer, option, name, values);
  else {
    const judged = judgeRedisDirective(name.toLowerCase(), values);
    if (!judged) throw new ConfigError(unknownText(name));
    if (judged.action === "refuse") throw new ConfigError(`option '${name}' can not be used: ${judged.reason}`);
    if (judged.action === "engine") addEngineSetting(layer, name.toLowerCase(), judged.value);
    else if (judged.action === "gears") for (const [key, value] of judged.pairs) addGears(layer, key, value);
    else if (judged.warning !== undefined) layer.warnings.push(judged.warning);
  }
}

function addEngineSetting(layer: Layer, name: string, value: string): void {
  // there is a line of client-output-buffer-limit for each class of client, and the lines add up
  const before = name === "client-output-buffer-limit" ? layer.engine.get(name) : undefined;
  layer.engine.set(name, before === undefined ? value : `${before} ${value}`);
}

function addOption(
  layer: Layer,
  [name, spec]: readonly [OptionName, OptionSpec],
  typedName: string,
  given: readonly string[],
): void {
  const values = name === "bind" ? bindAddress(given) : name === "save" ? savePoints(layer, given) : given;
  const [value, ...surplus] = values;
  if (name === "gears-option") {
    const pair = values.length === 2 ? (values as [string, string]) : undefined;
    const [key, text] = pair ?? splitGearsOption(value ?? "");
    addGears(layer, key, text);
    return;
  }
  if (value === undefined) throw new ConfigError(`option '${typedName}' needs a value`);
  if (name === "user") {
    layer.users.push(joinWords(values));
    return;
  }
  if (surplus.length > 0) throw new ConfigError(`option '${typedName}' takes one value, not ${values.length}`);
  if (name === "plugin") layer.plugins.push(value);
  else layer.options.set(name, value);
  if (spec.gears?.owner === "python") layer.gears.set(spec.gears.name, value);
}

/** Takes a pair that RedisGears would take: an option of RedisGears, or, under any other name, an option for scripts. */
function addGears(layer: Layer, name: string, value: string): void {
  const option = optionEntries.find(([, spec]) => spec.gears && sameGearsName(spec.gears, name));
  if (option) addOption(layer, option, name, [value]);
  else layer.gears.set(name, value);
}

/** The address of `bind`. Redis takes several: one with a dash before it need not exist, and `*` means all. */
function bindAddress(given: readonly string[]): readonly string[] {
  const addresses = given.flatMap((word) => word.split(/\s+/)).map((word) => (word === "*" ? "0.0.0.0" : word));
  const needed = addresses.filter((address) => !address.startsWith("-"));
  const chosen = needed.length > 0 ? needed : addresses.slice(0, 1).map((address) => address.slice(1));
  if (chosen.length > 1) throw new ConfigError("option 'bind' takes one address; 0.0.0.0 or :: listens on all");
  return chosen;
}

/**
 * The value of `save`. Redis has a line for each pair of seconds and changes; the lines add up, and an empty one forgets the
 * lines before it.
 */
function savePoints(layer: Layer, given: readonly string[]): readonly string[] {
  if (given.length === 0) return given;
  const points = given.join(" ").trim();
  const before = points === "" ? "" : (layer.options.get("save") ?? "");
  return [`${before} ${points}`.trim()];
}

/** The text for an option that does not exist, with the one that was probably meant. */
function unknownText(typed: string): string {
  const name = typed.replace(/^-+/, "").toLowerCase();
  return `unknown option '${typed}'${didYouMean(name, Object.keys(OPTIONS))}`;
}
