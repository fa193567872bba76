/**
 * Where scripts log: so many lines a second, a long one counting as several; what is more is dropped, and one line tells how
 * many were.
 */
import type { Logger } from "../log.ts";

type Level = "trace" | "debug" | "info" | "warn";

/** A line for those who watch: what it tells besides its text is about the script that it comes from. */
export interface LogLine {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly level: Level;
  readonly text: string;
  readonly about?: Readonly<Record<string, unknown>>;
}

/** Where lines can be watched. */
export interface LogFeed {
  /** @param listener is told of each line, of whatever level, as soon as it was logged */
  watch(listener: (line: LogLine) => void): void;
}

const SECOND = 1_000;
/** Characters that count as a line. */
const LINE = 1_024;

export class LimitedLog implements Pick<Logger, Level>, LogFeed {
  readonly #log: Pick<Logger, Level>;
  readonly #perSecond: number;
  #written = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;
  #listener: ((line: LogLine) => void) | undefined;

  /** @param perSecond lines of 1 024 characters that are let through in a second; 0: all */
  constructor(log: Pick<Logger, Level>, perSecond: number) {
    this.#log = log;
    this.#perSecond = perSecond;
  }

  readonly trace = (...line: readonly unknown[]): void => this.#write("trace", line);
  readonly debug = (...line: readonly unknown[]): void => this.#write("debug", line);
  readonly info = (...line: readonly unknown[]): void => this.#write("info", line);
  readonly warn = (...line: readonly unknown[]): void => this.#write("warn", line);

  watch(listener: (line: LogLine) => void): void {
    this.#listener = listener;
  }

  #write(level: Level, line: readonly unknown[]): void {
    if (this.#perSecond > 0) {
      this.#timer ??= setTimeout(() => this.#endSecond(), SECOND).unref();
      if (this.#written >= this.#perSecond) {
        this.#dropped++;
        return;
      }
      this.#written += line.reduce<number>((sum, part) => sum + weight(part), 1);
    }
    (this.#log[level] as (...values: readonly unknown[]) => void)(...line);
    this.#listener?.(lineOf(level, line));
  }

  #endSecond(): void {
    this.#timer = undefined;
    this.#written = 0;
    if (this.#dropped === 0) return;
    const text = `scripts logged more than ${this.#perSecond} lines in a second: ${this.#dropped} were dropped`;
    this.#dropped = 0;
    this.#log.warn(text);
    this.#listener?.(lineOf("warn", [text]));
  }
}

/** @param line as pino takes it: an object about it, if there is one, before the text */
function lineOf(level: Level, line: readonly unknown[]): LogLine {
  const [first] = line;
  const common = { at: Date.now(), level, text: String(line.at(-1)) };
  return typeof first === "object" && first !== null ? { ...common, about: { ...first } } : common;
}

/** The lines that a part of a line stands for besides the first. */
const weight = (part: unknown): number => (typeof part === "string" ? Math.floor(part.length / LINE) : 0);
