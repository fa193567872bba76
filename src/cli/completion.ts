/** `regears completion bash|zsh`: made from the tables of options and commands. */
import { ConfigError } from "../config.ts";
import { type OptionSpec, optionEntries } from "../config/options.ts";
import { type CommandArguments, COMMANDS, type ProgramCommand } from "./program-commands.ts";

/** Prints the completion for a shell. @throws ConfigError for another one */
export function completion({ words: [shell, ...more] }: CommandArguments): number {
  if ((shell !== "bash" && shell !== "zsh") || more.length > 0)
    throw new ConfigError("'completion' is for bash or zsh");
  process.stdout.write(shell === "bash" ? bash() : zsh());
  return 0;
}

/** What may follow an option. */
function values(spec: OptionSpec): readonly string[] {
  if (spec.kind === "choice") return spec.choices;
  return spec.kind === "switch" ? ["yes", "no"] : [];
}

const isPath = (name: string, spec: OptionSpec): boolean =>
  spec.path === true || ["dir", "logfile", "unixsocket"].includes(name);

const SERVER_OPTIONS = optionEntries.map(([name]) => `--${name}`).join(" ");
const ACTIONS = "--help --version --healthcheck --snapshot --config";

const ownOptions = ({ options }: ProgramCommand): string =>
  [...options.map(({ name }) => `--${name}`), "--help"].join(" ");
const commandNames = COMMANDS.map(({ name }) => name).join(" ");

/** The options after which a path comes, as a pattern of a shell. */
const pathOptions = (): string =>
  [
    "--config",
    ...optionEntries.filter(([name, spec]) => isPath(name, spec)).map(([name]) => `--${name}`),
    ...COMMANDS.flatMap(({ options }) => options.filter(({ file }) => file).map(({ name }) => `--${name}`)),
  ]
    .filter((name, at, all) => all.indexOf(name) === at)
    .join("|");

const chosen = (): (readonly [string, string])[] =>
  optionEntries.filter(([, spec]) => values(spec).length > 0).map(([name, spec]) => [name, values(spec).join(" ")]);

function bash(): string {
  return `# bash completion of regears; to use it: source <(regears completion bash)
_regears() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command="" at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case \${COMP_WORDS[at]} in ${commandNames.replaceAll(" ", "|")}) command=\${COMP_WORDS[at]}; break ;; esac
    [[ \${COMP_WORDS[at]} == -* ]] && break
  done
  if [[ $command == exec ]]; then
    for ((at++; at < COMP_CWORD; at++)); do
      [[ \${COMP_WORDS[at]} == -- ]] && { _regears_command $((at + 1)); return; }
    done
  fi
  case $before in
    ${pathOptions()}) COMPREPLY=($(compgen -f -- "$word")); return ;;
${chosen()
  .map(([name, words]) => `    --${name}) COMPREPLY=($(compgen -W "${words}" -- "$word")); return ;;`)
  .join("\n")}
  esac
  case $command in
${COMMANDS.map(bashCommand).join("\n")}
    *) COMPREPLY=($(compgen -W "$([[ $COMP_CWORD == 1 ]] && echo "${commandNames}") ${ACTIONS} ${SERVER_OPTIONS}" -- "$word")) ;;
  esac
  [[ $COMP_CWORD == 1 && $word != -* ]] && COMPREPLY+=($(compgen -f -- "$word"))
}
# another command, which begins at a word: by its own completion where bash-completion is there
_regears_command() {
  if declare -F _command_offset > /dev/null; then _command_offset "$1"
  elif ((COMP_CWORD == $1)); then COMPREPLY=($(compgen -c -- "$word"))
  else COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -o filenames -F _regears regears
`;
}

function bashCommand(command: ProgramCommand): string {
  const words = [ownOptions(command), ...(command.server ? [SERVER_OPTIONS] : []), ...(command.words ?? [])].join(" ");
  const files = command.files ? ` $([[ $word != -* ]] && compgen -f -- "$word")` : "";
  return `    ${command.name}) COMPREPLY=($(compgen -W "${words}" -- "$word")${files}) ;;`;
}

/** A text in single quotes of zsh, in which the characters that its specifications give a meaning have none. */
const zshText = (text: string): string =>
  text
    .replaceAll("`", "")
    .replace(/[[\]:\\]/g, "\\$&")
    .replaceAll("'", "'\\''");

function zsh(): string {
  return `#compdef regears
# zsh completion of regears; to use it: regears completion zsh > "\${fpath[1]}/_regears"
_regears() {
  local -a commands server
  commands=(
${COMMANDS.map(({ name, summary }) => `    '${name}:${zshText(summary)}'`).join("\n")}
  )
  server=(
${optionEntries.map(zshOption).join("\n")}
  )
  if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then
    _describe command commands
    _files
    return
  fi
  # another command, which begins after the dashes
  local -i dashes=\${words[(i)--]}
  if [[ $words[2] == exec ]] && (( dashes < CURRENT )); then
    shift $dashes words
    (( CURRENT -= dashes ))
    _normal
    return
  fi
  case $words[2] in
${COMMANDS.map(zshCommand).join("\n")}
    *) _arguments '--help' '--version' '--healthcheck' '--snapshot' '--config[configuration file]:file:_files' $server '*:file:_files' ;;
  esac
}
if [[ $funcstack[1] == _regears ]]; then _regears "$@"; else compdef _regears regears; fi
`;
}

function zshOption([name, spec]: readonly [string, OptionSpec]): string {
  const words = values(spec);
  const value = words.length > 0 ? `(${words.join(" ")})` : isPath(name, spec) ? "_files" : " ";
  return `    '*--${name}[${zshText(spec.summary)}]:${name}:${value}'`;
}

function zshCommand(command: ProgramCommand): string {
  const own = command.options.map(({ name, value, file, summary }) => {
    const rest = value === undefined ? "" : `:${value}:${file ? "_files" : " "}`;
    return `'*--${name}[${zshText(summary)}]${rest}'`;
  });
  const last = command.words ? `'1:word:(${command.words.join(" ")})'` : command.files ? "'*:file:_files'" : "'*: : '";
  return `    ${command.name}) shift words; (( CURRENT-- )); _arguments '--help' ${[...own, ...(command.server ? ["$server"] : []), last].join(" ")} ;;`;
}
