/** A log that keeps its lines. */
import type { Logger } from "../log.ts";

export interface LogLine {
  readonly level: "notice" | "warning" | "error";
  /** Lines that scripts log begin with `GEARS: `. */
  readonly text: string;
  /** What else is known: `session`, `registration`, `execution`, `stream`, `err` and so on. */
  readonly context: Readonly<Record<string, unknown>>;
}

/** @param lines get the lines, but those of the levels below `notice` @param other gets all lines as well */
export function keepingLog(lines: LogLine[], other: Logger | undefined): Logger {
  const keep = (level: LogLine["level"], first: unknown, message: unknown): void => {
    const isText = typeof first === "string";
    lines.push({ level, text: String(isText ? first : message), context: isText ? {} : { ...(first as object) } });
  };
  const pass = (method: keyof Logger, line: readonly unknown[]): void =>
    (other?.[method] as ((...values: readonly unknown[]) => void) | undefined)?.apply(other, [...line]);
  const kept =
    (method: keyof Logger, level: LogLine["level"]) =>
    (...line: readonly unknown[]): void => {
      keep(level, line[0], line[1]);
      pass(method, line);
    };
  return {
    trace: (...line: readonly unknown[]) => pass("trace", line),
    debug: (...line: readonly unknown[]) => pass("debug", line),
    info: kept("info", "notice"),
    warn: kept("warn", "warning"),
    error: kept("error", "error"),
  };
}
