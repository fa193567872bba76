/** Texts to option values and back. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { inspect } from "node:util";
import { ConfigError } from "./config-error.ts";
import { type Config, camelCase, findOption, type OptionSpec, type OptionValue, optionEntries } from "./options.ts";
import { judgeRedisDirective } from "./redis.ts";
import { parseUserLines } from "./users.ts";
import { textOf } from "../errors.ts";

/** The directory in which the program was started: the server changes to `dir` afterwards. */
const START_DIRECTORY = process.cwd();

/** Reads the file that an option names. @throws ConfigError when it can not be read */
export function readOptionFile(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new ConfigError(`${option} can not be read: ${textOf(error)}`);
  }
}

/** The words of a list in whose texts commas and blanks separate them, too. */
export const separateWords = (texts: readonly string[]): string[] =>
  texts.flatMap((text) => text.split(/[\s,]+/)).filter((word) => word !== "");

const UNITS = new Map([
  ["", 1],
  ["b", 1],
  ["k", 1000],
  ["kb", 1024],
  ["m", 1000 ** 2],
  ["mb", 1024 ** 2],
  ["g", 1000 ** 3],
  ["gb", 1024 ** 3],
]);

/** Reads an amount of memory as Redis does: `64mb`, `1g`, `1048576`. @returns bytes, or undefined when it is none. */
export function parseBytes(text: string, bareUnit = 1): number | undefined {
  const parts = /^(\d+)([a-z]*)$/i.exec(text);
  if (!parts) return undefined;
  const [, digits = "", suffix = ""] = parts;
  const unit = suffix === "" ? bareUnit : UNITS.get(suffix.toLowerCase());
  const value = unit === undefined ? undefined : Number(digits) * unit;
  return value !== undefined && Number.isSafeInteger(value) ? value : undefined;
}

/**
 * Reads a whole number exactly as Redis does for command arguments: no blanks, no plus sign, no leading zeros, 64 bits.
 * @returns undefined for anything else.
 */
export function parseInteger(text: string): bigint | undefined {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return undefined;
  const value = BigInt(text);
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

const SWITCH = new Map([
  ["yes", true],
  ["true", true],
  ["on", true],
  ["no", false],
  ["false", false],
  ["off", false],
]);

/** Reads yes/no, or a number of which any but 0 means yes. */
export function parseSwitch(text: string): boolean | undefined {
  const named = SWITCH.get(text.toLowerCase());
  if (named !== undefined) return named;
  const number = parseInteger(text);
  return number === undefined ? undefined : number !== 0n;
}

/**
 * Reads the value of an option given as text.
 * @throws ConfigError without the option's name when the text is no good value; the caller knows where it stood.
 */
export function parseValue(spec: OptionSpec, text: string): OptionValue {
  switch (spec.kind) {
    case "text":
      return text;
    case "list":
      return [text];
    case "choice":
      return checkValue(spec, text.toLowerCase(), text);
    case "switch": {
      const value = parseSwitch(text);
      if (value === undefined) throw new ConfigError(`'${text}' is neither yes nor no`);
      return value;
    }
    case "integer": {
      const value = parseInteger(text);
      if (value === undefined) throw new ConfigError(`'${text}' is not a whole number`);
      return checkValue(spec, Number(value), text);
    }
    case "bytes":
    case "megabytes": {
      const value = parseBytes(text, spec.kind === "bytes" ? 1 : 1024 ** 2);
      if (value === undefined) throw new ConfigError(`'${text}' is not an amount of memory such as 64mb`);
      return checkValue(spec, value, text);
    }
  }
}

/**
 * Checks a value of an option, wherever it comes from.
 * @param text the value as it was written
 * @returns the value
 * @throws ConfigError without the option's name
 */
function checkValue(spec: OptionSpec, value: OptionValue, text = String(value)): OptionValue {
  if (spec.kind === "choice" && !spec.choices.includes(String(value)))
    throw new ConfigError(`'${text}' is none of ${spec.choices.join(", ")}`);
  if (typeof value === "number") checkNumber(spec, value, text);
  if (Array.isArray(value) && value.some((item) => typeof item !== "string"))
    throw new ConfigError(`${shownValue(value)} is no list of texts`);
  return value;
}

function checkNumber(spec: OptionSpec & { min?: number; max?: number }, value: number, text: string): void {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = spec;
  if (value < min) throw new ConfigError(`'${text}' is too small, the least is ${formatValue(spec, min)}`);
  if (value > max) throw new ConfigError(`'${text}' is too large, the most is ${formatValue(spec, max)}`);
  if (!Number.isSafeInteger(value)) throw new ConfigError(`'${text}' is not a whole number`);
}

/** An option's value as a person would write it; no value is an empty text. */
export function formatValue(spec: OptionSpec, value: OptionValue): string {
  if (spec.kind === "switch") return value ? "yes" : "no";
  if ((spec.kind === "bytes" || spec.kind === "megabytes") && typeof value === "number") {
    for (const [unit, size] of [["gb", 1024 ** 3] as const, ["mb", 1024 ** 2] as const, ["kb", 1024] as const])
      if (value >= size && value % size === 0) return `${value / size}${unit}`;
  }
  return Array.isArray(value) ? value.join(" ") : String(value);
}

/** `name=value`, split at the first equals sign. @throws ConfigError when there is none or no name. */
export function splitGearsOption(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new ConfigError(`'${text}' is not of the form name=value`);
  return [text.slice(0, at), text.slice(at + 1)];
}

/**
 * A whole configuration: the defaults, changed by `given`, and every value checked. A gears option that names an option of
 * RedisGears sets that option, unless `given` has it too.
 * @param others names in `given` that are no options, and the caller's business
 * @throws ConfigError for an unknown option or a value that its option does not take
 */
export function completeConfig(given: Partial<Config> = {}, others: readonly string[] = []): Config {
  checkObject(given);
  const config: Record<string, OptionValue | Readonly<Record<string, string>>> = {
    engineSettings: {},
    configFile: "",
  };
  for (const [name, spec] of optionEntries) config[camelCase(name)] = spec.default;
  const entries = Object.entries(given).filter(([name, value]) => value !== undefined && !others.includes(name));
  for (const [name, value] of entries) checkGiven(name, value, Object.hasOwn(config, name) ? config[name] : undefined);
  for (const [name, value] of (given.gearsOption ?? []).map(splitGearsOption)) {
    const option = optionEntries.find(([, spec]) => spec.gears && sameGearsName(spec.gears, name));
    if (!option) continue;
    try {
      config[camelCase(option[0])] = parseValue(option[1], value);
    } catch (error) {
      throw error instanceof ConfigError ? new ConfigError(`gears option ${name}: ${error.message}`) : error;
    }
  }
  for (const [name, value] of entries) config[name] = value;
  for (const [option, spec] of optionEntries) {
    const name = camelCase(option);
    if (spec.path && config[name] !== "") config[name] = resolve(START_DIRECTORY, config[name] as string);
  }
  return checkTogether(config as unknown as Config);
}

/** A name of a file in `dir`: it leads nowhere else, and does not begin like the names of the server's own files. */
const FILE_NAME = /^(?!\.|regears|temp-)[^/\\:\0]{1,200}$/;

/** Pairs of seconds and changes, such as `3600 1 300 100`; empty text and `""` are none. @throws ConfigError */
function checkSavePoints(text: string): void {
  const words = text.trim().split(/\s+/);
  if (words.length === 1 && (words[0] === "" || words[0] === '""')) return;
  const isPair = words.length % 2 === 0 && words.every((word) => /^\d{1,9}$/.test(word));
  if (!isPair || words.some((word, at) => at % 2 === 0 && Number(word) < 1))
    throw new ConfigError(`option 'save': '${text}' is not pairs of seconds and changes, such as '3600 1 300 100'`);
}

/** Checks options whose values have to fit together, and those with a form of their own. @throws ConfigError */
function checkTogether(config: Config): Config {
  parseUserLines(config.user);
  for (const [option, name] of [
    ["dbfilename", config.dbfilename],
    ["appenddirname", config.appenddirname],
    ["appendfilename", config.appendfilename],
  ] as const)
    if (!FILE_NAME.test(name)) throw new ConfigError(`option '${option}': '${name}' is no name of a file in 'dir'`);
  checkSavePoints(config.save);
  if (config.aclfile !== "" && config.user.length > 0)
    throw new ConfigError("users are given by `user` and by `aclfile`: that invites errors, give them in one place");
  return config;
}

/** Refuses a list, a map or a promise, of which no option would be read. @throws ConfigError for anything but a plain object */
function checkObject(given: unknown): void {
  if (Object.prototype.toString.call(given) !== "[object Object]")
    throw new ConfigError(`the options must be an object such as { port: 0 }, not ${inspect(given, { depth: 0 })}`);
}

/**
 * Checks what types do not check in a program written in JavaScript.
 * @throws ConfigError for an unknown option or a wrong type
 */
function checkGiven(name: string, value: unknown, standard: unknown): void {
  if (standard === undefined) throw new ConfigError(`unknown option '${name}'${hintFor(name)}`);
  if (typeof value !== typeof standard || value === null || Array.isArray(value) !== Array.isArray(standard)) {
    const wanted = Array.isArray(standard) ? "list" : typeof standard;
    throw new ConfigError(`option '${name}': ${shownValue(value)} is no ${wanted}`);
  }
  if (name === "engineSettings") checkEngineSettings(value as object);
  const spec = optionEntries.find(([option]) => camelCase(option) === name)?.[1];
  try {
    if (spec) checkValue(spec, value as OptionValue);
  } catch (error) {
    throw error instanceof ConfigError ? new ConfigError(`option '${name}': ${error.message}`) : error;
  }
}

/** Names as they are on the command line are most often meant in camel case. */
function hintFor(name: string): string {
  const [option] = findOption(name.replace(/^-+/, "").replaceAll("_", "-")) ?? [];
  return option === undefined ? "" : `; did you mean '${camelCase(option)}'?`;
}

function checkEngineSettings(settings: object): void {
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value !== "string") throw new ConfigError(`engine setting '${name}': ${shownValue(value)} is no text`);
    if (judgeRedisDirective(name, [value])?.action !== "engine")
      throw new ConfigError(`unknown engine setting '${name}'`);
  }
}

/** Whether `name` means this key, by the rule of `RG.CONFIGSET`: core keys in any case, Python keys exactly. */
export const sameGearsName = (gears: NonNullable<OptionSpec["gears"]>, name: string): boolean =>
  gears.owner === "core" ? gears.name.toLowerCase() === name.toLowerCase() : gears.name === name;

/** The settings that the embedded engine boots with: those that differ from the default, and with `dir` all about its files. */
export function engineConfig(config: Config): Record<string, string> {
  const keeps = config.dir !== "";
  const settings: Record<string, string> = { ...config.engineSettings, ...(keeps ? {} : { save: "" }) };
  for (const [name, spec] of optionEntries) {
    const value = config[camelCase(name)] as OptionValue;
    if (spec.stored ? keeps : spec.engine && value !== spec.default) settings[name] = engineValue(value);
  }
  return settings;
}

/** A value as the engine reads it. `""` is how redis.conf writes an empty one. */
const engineValue = (value: OptionValue): string =>
  typeof value === "boolean" ? (value ? "yes" : "no") : value === '""' ? "" : String(value);

/** A value of any type for an error's text; what JSON has no form for (functions, 1n) as JavaScript shows it. */
function shownValue(value: unknown): string {
  return typeof value === "bigint" || typeof value === "function" ? String(value) : String(JSON.stringify(value));
}
