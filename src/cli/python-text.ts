/** Errors of scripts as people read them: docs/spec/python.md, section 14, has the texts that they come as. */

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "\\": "\\", "'": "'", '"': '"' };
const ESCAPE = /\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))/gs;
const STRING = /\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*(,|$)/sy;

/** A list of texts as Python writes it. @returns undefined for anything else */
export function parseStringList(text: string): string[] | undefined {
  const inner = /^\[(.*)\]$/s.exec(text)?.[1];
  if (inner === undefined) return undefined;
  const found: string[] = [];
  STRING.lastIndex = 0;
  while (STRING.lastIndex < inner.length) {
    const match = STRING.exec(inner);
    if (!match) return undefined;
    found.push(unescaped(match[1] ?? match[2] ?? ""));
  }
  return found;
}

const unescaped = (text: string): string =>
  text.replace(ESCAPE, (_, x?: string, u?: string, wide?: string, letter = "") => {
    const code = x ?? u ?? wide;
    return code === undefined ? (ESCAPES[letter] ?? `\\${letter}`) : String.fromCodePoint(Number.parseInt(code, 16));
  });

/** The script that an error is about. */
export interface ScriptText {
  /** As it is to be shown. */
  readonly path: string;
  readonly lines: readonly string[];
}

const FRAME = /^ {2}File "<string>", line (\d+)(?:, in ([^\n]*))?\n*$/;
const BARE = /^Error type: <class '(?:[\w.]*\.)?(\w+)'>, Value: (.*)$/s;
const COMPILE_PLACE = / \(<string>, line (\d+)\)$/;

/** An error as a traceback with the script's lines. Ends without a line end. */
export function readableError(text: string, script: ScriptText): string {
  const parts = parseStringList(text);
  if (parts)
    return parts
      .map((part) => shownPart(part, script))
      .join("")
      .trimEnd();
  const [, kind, value = ""] = BARE.exec(text) ?? [];
  if (kind === undefined) return text.trimEnd();
  const line = Number(COMPILE_PLACE.exec(value)?.[1]);
  if (Number.isNaN(line)) return `${kind}: ${value}`;
  return `${frame(script, line)}${kind}: ${value.replace(COMPILE_PLACE, "")}`;
}

/** Frames of the server's own builder have the same file name as those of the script: they are left out. */
function shownPart(part: string, script: ScriptText): string {
  const [, number, name] = FRAME.exec(part) ?? [];
  if (number === undefined) return part;
  const line = Number(number);
  return isOfScript(script, line, name ?? "") ? frame(script, line, name) : "";
}

const frame = ({ path, lines }: ScriptText, line: number, name?: string): string => {
  const source = (lines[line - 1] ?? "").trim();
  const place = `  File "${path}", line ${line}${name === undefined ? "" : `, in ${name}`}\n`;
  return source === "" ? place : `${place}    ${source}\n`;
};

function isOfScript({ lines }: ScriptText, line: number, name: string): boolean {
  if (line > lines.length) return false;
  const before = lines.slice(0, line);
  if (name === "<lambda>")
    return before.some((text) => /\blambda\b/.test(text)) && !/^\s*(#|$)/.test(lines[line - 1] ?? "");
  if (!/^\w+$/.test(name)) return true;
  const definition = new RegExp(`\\b(def|class)\\s+${name}\\b`);
  return before.some((text) => definition.test(text));
}
