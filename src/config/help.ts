/** The options as text for people: `--help` and docs/options.md. */
import { type OptionSpec, optionEntries } from "./options.ts";
import { formatValue } from "./values.ts";

const SECTIONS: Readonly<Record<OptionSpec["section"], string>> = {
  network: "Network",
  engine: "Engine",
  executions: "Executions",
  python: "Python",
  server: "Server",
  compatibility: "Accepted for compatibility, without effect",
};

/** A command of the program as the help shows it. */
interface ShownCommand {
  readonly name: string;
  readonly summary: string;
}

/** The text of `regears --help`. */
export function helpText(commands: readonly ShownCommand[]): string {
  const lines = [
    "Usage: regears [CONFIG_FILE] [--name value | --name=value | name value] ...    starts the server",
    "       regears COMMAND ...",
    "",
    "Commands; regears COMMAND --help says more of each:",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(11)} ${summary}`),
    "",
    "Instead of starting the server:",
    "  --help         prints this",
    "  --version      prints the version",
    "  --healthcheck  asks the server at bind and port for a PING; exit status 0 when it answers",
    "  --snapshot     prepares the Python image in cache-dir, for fast starts, and exits",
    "",
    "Options come from the command line, then REGEARS_NAME variables of the environment, then the configuration",
    "file (lines of `name value`, as in redis.conf). Amounts of memory may be written as 64mb or 1gb.",
    "",
    "  --config FILE                       configuration file; - reads standard input",
  ];
  for (const [section, title] of Object.entries(SECTIONS)) {
    lines.push("", `${title}:`);
    for (const [name, spec] of optionEntries)
      if (spec.section === section)
        lines.push(`  --${name.padEnd(33)} ${plain(spec.summary)}${choicesNote(spec)}${defaultNote(spec)}`);
  }
  return `${lines.join("\n")}\n`;
}

const plain = (markdown: string): string => markdown.replaceAll("`", "");

function choicesNote(spec: OptionSpec): string {
  if (spec.kind === "switch") return ": yes, no";
  return spec.kind === "choice" ? `: ${spec.choices.join(", ")}` : "";
}

function defaultNote(spec: OptionSpec): string {
  const value = formatValue(spec, spec.default);
  return value === "" ? "" : ` (${value})`;
}

/** The options as a Markdown table. */
export function optionTable(): string {
  const cell = (text: string): string => (text === "" ? "" : `\`${text}\``);
  const rows = optionEntries.map(([name, spec]) => {
    const choices = spec.kind === "choice" ? `: ${spec.choices.map(cell).join(", ")}` : "";
    const gears = spec.gears ? `${cell(spec.gears.name)}${spec.gears.runtime ? " (at runtime)" : ""}` : "";
    const summary = spec.noEffect ? `no effect: ${spec.summary}` : spec.summary;
    return `| \`${name}\` | ${cell(formatValue(spec, spec.default))} | ${gears} | ${summary}${choices} |`;
  });
  return ["| option | default | `RG.CONFIGGET` name | meaning |", "| --- | --- | --- | --- |", ...rows].join("\n");
}
