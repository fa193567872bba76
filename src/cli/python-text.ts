/** Errors of scripts as people read them: docs/spec/python.md, section 14, has the texts that they come as. */
import { parseStringList } from "../python-strings.ts";

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
