/**
 * What documents tell their readers to type: the fenced blocks of Markdown, and the lines of an example's header.
 *
 * A block of the language sh, js or python is run, literally and in the order of the document. Comment lines right below
 * a command of a shell are what it prints; `…` in them stands for any text, a line of its own for any lines. A block that
 * needs something more says so in a comment above its fence:
 *
 *     <!-- run: after data-server.sh -->      a file of test/documents/set-ups, run first in the same shell
 *     <!-- run: not, it needs Docker -->      is not run, for this reason
 */
import { spawnSync } from "node:child_process";

export interface Block {
  /** The line in its file where its text begins, from 1. */
  readonly line: number;
  readonly language: string;
  readonly text: string;
  /** The set-up to run first. */
  readonly after?: string;
  /** Why it is not run. */
  readonly not?: string;
}

export interface Command {
  readonly line: number;
  readonly text: string;
  /** What it shall print; undefined when the document does not show it. */
  readonly output: string | undefined;
}

const FENCE = /^(\s*)```(\w*)\s*$/;
const MARKER = /^\s*<!-- run: (?:after (?<after>\S+)|not, (?<not>.+)) -->\s*$/;

/** The fenced blocks of a Markdown text. @throws Error for a marker that says neither `after` nor `not`. */
export function blocksOfMarkdown(text: string): Block[] {
  const lines = text.split("\n");
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    const fence = FENCE.exec(lines[at] ?? "");
    if (!fence) continue;
    const [, indent = "", language = ""] = fence;
    const end = lines.indexOf(`${indent}\`\`\``, at + 1);
    if (end < 0) throw new Error(`line ${at + 1}: this block has no end`);
    const body = lines.slice(at + 1, end).map((line) => line.slice(indent.length));
    blocks.push({ line: at + 2, language, text: body.join("\n"), ...marker(lines[at - 1] ?? "", at) });
    at = end;
  }
  return blocks;
}

function marker(line: string, number: number): Pick<Block, "after" | "not"> {
  if (!line.includes("<!-- run")) return {};
  const found = MARKER.exec(line)?.groups;
  if (!found) throw new Error(`line ${number}: a marker is "<!-- run: after FILE -->" or "<!-- run: not, REASON -->"`);
  return { ...(found.after && { after: found.after }), ...(found.not && { not: found.not }) };
}

/** The lines of an example's header that are indented, as one block for the shell. */
export function blockOfHeader(text: string): Block {
  const lines = text.split("\n");
  const end = lines.findIndex((line) => !line.startsWith("#"));
  const code = lines.slice(0, end).map((line) => /^# {3}(.*)$/.exec(line)?.[1] ?? "");
  return { line: 1, language: "sh", text: code.join("\n") };
}

/** The commands of a block for the shell, each with the output that stands below it. */
export function commandsOf({ text, line }: Block): Command[] {
  const commands: Command[] = [];
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; ) {
    if (/^\s*(#|$)/.test(lines[at] ?? "")) {
      at++;
      continue;
    }
    let end = at + 1;
    while (end < lines.length && !isWhole(lines.slice(at, end).join("\n"))) end++;
    let last = end;
    while (/^#/.test(lines[last] ?? "")) last++;
    const output = lines.slice(end, last).map((comment) => comment.replace(/^# ?/, ""));
    commands.push({
      line: line + at,
      text: lines.slice(at, end).join("\n"),
      output: output.length > 0 ? output.join("\n") : undefined,
    });
    at = last;
  }
  return commands;
}

/** Whether the shell would wait for no further line: bash complains about an open quote, and warns of an open here-document. */
function isWhole(command: string): boolean {
  if (/(^|[^\\])(\\\\)*\\$/.test(command)) return false;
  const { status, stderr } = spawnSync("bash", ["-n"], { input: command, encoding: "utf8" });
  return status === 0 && stderr === "";
}

/** Whether a text is what a document shows, with its `…`. */
export function isShown(text: string, shown: string): boolean {
  const literally = (part: string): string => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  const pattern = shown
    .split("\n")
    .map((line) => (line === "…" ? "(?:.*\\n)*?" : `${line.split("…").map(literally).join(".*")}\\n`))
    .join("");
  return new RegExp(`^${pattern}$`).test(text.endsWith("\n") || text === "" ? text : `${text}\n`);
}
