/** Lines of words, as Redis has them in its configuration files. */
import { ConfigError } from "./config-error.ts";

/**
 * Splits a line into words by the rules of Redis: "double quotes" with escapes, 'single quotes' without.
 * @throws ConfigError when quotes do not match.
 */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  const word = /\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s"']\S*))(?=\s|$)/y;
  while (line.slice(word.lastIndex).trim() !== "") {
    const match = word.exec(line);
    if (!match) throw new ConfigError("unbalanced quotes");
    const [, double, single, plain] = match;
    words.push(plain ?? (double === undefined ? (single ?? "").replaceAll("\\'", "'") : unescaped(double)));
  }
  return words;
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };

const unescaped = (text: string): string =>
  text.replace(/\\(?:x([0-9a-f]{2})|(.))/gi, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(Number.parseInt(hex, 16)),
  );

/** The line from which {@link splitWords} reads these words. */
export const joinWords = (words: readonly string[]): string => words.map(quoted).join(" ");

const quoted = (word: string): string =>
  /^[^\s"']\S*$/.test(word) ? word : `"${word.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`;

/** Options whose value is a list: it stands in a line as several words. */
const LISTS: ReadonlySet<string> = new Set(["save", "client-output-buffer-limit"]);

/** A line of a configuration file. */
export const configLine = (name: string, value: string): string =>
  LISTS.has(name) && value !== "" ? `${name} ${value}` : joinWords([name, value]);
