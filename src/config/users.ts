/** Lines that define users of the embedded engine: a name, and rules as ACL SETUSER takes them. */
import { ConfigError } from "./config-error.ts";
import { splitWords } from "./config-words.ts";

export interface UserLine {
  readonly name: string;
  readonly rules: readonly string[];
}

/**
 * Reads the values of the option `user`. The rules are judged by the engine, when it has started.
 * @throws ConfigError for a line without a good name, or a name that comes twice
 */
export function parseUserLines(lines: readonly string[]): UserLine[] {
  const names = new Set<string>();
  return lines.map((line) => {
    const [name, ...rules] = splitWords(line);
    if (name === undefined || name === "") throw new ConfigError("option 'user' needs a name");
    if (/[\s\0]/.test(name)) throw new ConfigError(`user '${name}': names have no spaces`);
    if (names.has(name)) throw new ConfigError(`user '${name}' is defined twice: once must do`);
    names.add(name);
    return { name, rules };
  });
}
