/** The commands of the program besides the server itself: `--help`, `regears COMMAND --help` and completion come from this table. */
import { ConfigError, didYouMean } from "../config.ts";
import { findOption, OPTIONS } from "../config/options.ts";

interface CommandOption {
  readonly name: string;
  /** What stands for its value in the help; undefined: it takes none. */
  readonly value?: string;
  /** The value is a path. */
  readonly file?: true;
  readonly summary: string;
}

export type CommandName = "run" | "exec" | "shell" | "types" | "completion" | "migrate" | "install" | "packages";

export interface ProgramCommand {
  readonly name: CommandName;
  /** What follows the name. */
  readonly usage: string;
  readonly summary: string;
  readonly options: readonly CommandOption[];
  /** What its first argument may be, where that is one of a few words. */
  readonly words?: readonly string[];
  /** Its arguments are paths. */
  readonly files?: true;
  /** It takes the options of the server, too. */
  readonly server?: true;
}

const URL_OPTION: CommandOption = {
  name: "url",
  value: "URL",
  summary: "the server; default: the variable REDIS_URL, or redis://127.0.0.1:6379",
};
const EMBEDDED: CommandOption = {
  name: "embedded",
  summary: "starts a server for this run, which takes the options of a server, and ends it afterwards",
};
const LOAD: CommandOption = {
  name: "load",
  value: "FILE",
  file: true,
  summary:
    "fills the server before: a file of commands, a line each, or with --embedded a dump.rdb; may be given many times",
};

export const COMMANDS: readonly ProgramCommand[] = [
  {
    name: "run",
    usage: "FILE [ARG ...]",
    summary: "runs a script, prints its results, and its errors as tracebacks; FILE - is standard input",
    files: true,
    server: true,
    options: [
      URL_OPTION,
      EMBEDDED,
      LOAD,
      { name: "json", summary: "a line of JSON for each result" },
      { name: "raw", summary: "the bytes of each result as they are, and a line end" },
      { name: "watch", summary: "runs the script again, with UPGRADE, when the file changes" },
      { name: "id", value: "ID", summary: "the session's id; with --watch the name of the file unless given" },
      {
        name: "requirements",
        value: "NAME",
        file: true,
        summary: "a requirement, or a file with one in each line; may be given many times",
      },
      {
        name: "unblocking",
        summary: "shows meanwhile its status, the records read, the results so far, and the seconds",
      },
    ],
  },
  {
    name: "exec",
    usage: "[--name value ...] -- COMMAND [ARG ...]",
    summary:
      "starts a server on a free port, runs a command with its REDIS_URL, stops the server, ends as the command did",
    server: true,
    options: [LOAD],
  },
  {
    name: "shell",
    usage: "",
    summary: "opens a prompt of Python with GB, execute and log, against a server",
    server: true,
    options: [URL_OPTION, EMBEDDED, LOAD],
  },
  {
    name: "types",
    usage: "[FOLDER]",
    summary: "prints gears.pyi, or installs the types of all that scripts see into a folder, for editors and checkers",
    files: true,
    options: [],
  },
  {
    name: "completion",
    usage: "bash|zsh",
    summary: "prints the completion for a shell",
    words: ["bash", "zsh"],
    options: [],
  },
  {
    name: "migrate",
    usage: "DUMP",
    summary: "lists what RedisGears and other modules have left in a dump.rdb",
    files: true,
    options: [],
  },
  {
    name: "install",
    usage: "REQUIREMENT ... --packages-dir FOLDER [--name value ...]",
    summary: "gets packages with all that they need into a folder for scripts' requirements",
    server: true,
    options: [],
  },
  {
    name: "packages",
    usage: "--packages-dir FOLDER [--name value ...]",
    summary: "lists the packages in such a folder",
    server: true,
    options: [],
  },
];

/** The command of a name. */
export const findCommand = (name: string): ProgramCommand | undefined => COMMANDS.find((one) => one.name === name);

/** The text of `regears COMMAND --help`. */
export function commandHelp({ name, usage, summary, options, server }: ProgramCommand): string {
  const lines = [`Usage: regears ${name}${server || options.length > 0 ? " [OPTION ...]" : ""} ${usage}`.trimEnd()];
  lines.push("", `It ${summary}.`);
  if (options.length > 0) lines.push("", "Options:", ...options.map(optionLine));
  if (server) lines.push("", "Options of the server, as regears --help lists them, are for the server that it starts.");
  return `${lines.join("\n")}\n`;
}

const optionLine = ({ name, value, summary }: CommandOption): string =>
  `  --${(value === undefined ? name : `${name} ${value}`).padEnd(22)} ${summary}`;

/** A command's arguments, sorted. */
export interface CommandArguments {
  /** The values of its own options; of one that takes none an empty text. */
  readonly options: ReadonlyMap<string, readonly string[]>;
  /** Those that are no options. */
  readonly words: readonly string[];
  /** Options of the server with their values, as its command line has them. */
  readonly server: readonly string[];
  /** What follows `--`; undefined: there is none. */
  readonly after: readonly string[] | undefined;
}

/** Sorts a command's arguments. @throws ConfigError for an option that is none, or has no value */
export function readCommand(command: ProgramCommand, args: readonly string[]): CommandArguments {
  const options = new Map<string, string[]>();
  const words: string[] = [];
  const server: string[] = [];
  for (let at = 0; at < args.length; ) {
    const word = args[at++] ?? "";
    if (word === "--") return { options, words, server, after: args.slice(at) };
    const [, name, given] = /^--([^=]+)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === undefined) {
      words.push(word);
      continue;
    }
    const own = command.options.find((option) => option.name === name);
    const spec = own ?? (command.server ? findOption(name)?.[1] : undefined);
    if (!spec) throw new ConfigError(`'${command.name}' has no option '--${name}'${hintFor(command, name)}`);
    const next = args[at];
    const takes = "kind" in spec ? spec.kind !== "switch" || isSwitchValue(next) : spec.value !== undefined;
    const value = given ?? (takes ? args[at++] : undefined);
    if (takes && value === undefined) throw new ConfigError(`option '--${name}' needs a value`);
    if (!takes && given !== undefined && own) throw new ConfigError(`option '--${name}' takes no value`);
    if (own) options.set(name, [...(options.get(name) ?? []), value ?? ""]);
    else server.push(`--${name}`, value ?? "yes");
  }
  return { options, words, server, after: undefined };
}

function hintFor({ options, server }: ProgramCommand, name: string): string {
  return didYouMean(name, [...options.map((one) => one.name), ...(server ? Object.keys(OPTIONS) : [])], "--");
}

/** A switch of the server may stand without a value, and a file follow it. */
const isSwitchValue = (word: string | undefined): boolean => /^(yes|no|true|false|on|off)$/.test(word ?? "");
