/** Errors of executions as Python would print them, with the lines of the script that they speak of. */
import { parseStringList } from "../../python-strings.ts";
import { h } from "./dom.ts";

/** An error is often the list of a traceback's lines as Python writes it: `['Traceback …\n', …]`. */
export function tracebackText(error: string): string {
  const lines = parseStringList(error) ?? [];
  return lines.length === 0 ? error : lines.join("").trimEnd();
}

const PLACE = /^\s*File "<string>", line (\d+)/;

/** The line of the script that a line of a traceback or stack speaks of; undefined when it is none, or not known. */
function sourceOf(line: string, source: readonly string[] | undefined): string | undefined {
  const number = PLACE.exec(line)?.[1];
  return number === undefined ? undefined : source?.[Number(number) - 1]?.trim();
}

/** A stack with the lines of the script. */
export function withSource(stack: string, source: string | undefined): string {
  const lines = source?.split("\n");
  return stack
    .split("\n")
    .map((line) => [line, sourceOf(line, lines)].filter((one) => one !== undefined).join("\n    "))
    .join("\n");
}

/** The error as an element. @param source the script's text, if it is known */
export function traceback(error: string, source: string | undefined): HTMLElement {
  const text = tracebackText(error);
  const lines = source?.split("\n");
  const out = h("pre", { class: "traceback", tabindex: "0" });
  text.split("\n").forEach((line, at, all) => {
    out.append(h("span", { class: at === all.length - 1 ? "last" : "" }, line), "\n");
    const code = sourceOf(line, lines);
    if (code !== undefined && all[at + 1]?.trim() !== code)
      out.append(h("span", { class: "source" }, `    ${code}`), "\n");
  });
  return out;
}
