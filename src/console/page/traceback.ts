/** Errors of executions as Python would print them, with the lines of the script that they speak of. */
import { h } from "./dom.ts";

/** An error is often the list of a traceback's lines as Python writes it: `['Traceback …\n', …]`. */
export function tracebackText(error: string): string {
  if (!error.startsWith("[")) return error;
  const lines = [...error.matchAll(/'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/gs)].map(([, single, double]) =>
    unescaped(single ?? double ?? ""),
  );
  return lines.length === 0 ? error : lines.join("").trimEnd();
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };

const unescaped = (text: string): string =>
  text.replace(/\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)/gs, (_whole, code: string) =>
    code.length > 1 ? String.fromCodePoint(Number.parseInt(code.slice(1), 16)) : (ESCAPES[code] ?? code),
  );

/** The error as an element. @param source the script's text, if it is known */
export function traceback(error: string, source: string | undefined): HTMLElement {
  const text = tracebackText(error);
  const lines = source?.split("\n");
  const out = h("pre", { class: "traceback", tabindex: "0" });
  text.split("\n").forEach((line, at, all) => {
    const number = /^\s*File "<string>", line (\d+)/.exec(line)?.[1];
    out.append(h("span", { class: at === all.length - 1 ? "last" : "" }, line), "\n");
    const code = number === undefined ? undefined : lines?.[Number(number) - 1];
    if (code !== undefined && all[at + 1]?.trim() !== code.trim())
      out.append(h("span", { class: "source" }, `    ${code.trim()}`), "\n");
  });
  return out;
}
