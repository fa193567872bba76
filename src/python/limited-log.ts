/**
 * Where scripts log: so many lines a second, a long one counting as several; what is more is dropped, and one line tells how
 * many were.
 */
import type { Logger } from "../log.ts";

type Level = "trace" | "debug" | "info" | "warn";

const SECOND = 1_000;
/** Characters that count as a line. */
const LINE = 1_024;

export class LimitedLog implements Pick<Logger, Level> {
  readonly #log: Pick<Logger, Level>;
  readonly #perSecond: number;
  #written = 0;
  #dropped = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param perSecond lines of 1 024 characters that are let through in a second; 0: all */
  constructor(log: Pick<Logger, Level>, perSecond: number) {
    this.#log = log;
    this.#perSecond = perSecond;
  }

  readonly trace = (...line: readonly unknown[]): void => this.#write("trace", line);
  readonly debug = (...line: readonly unknown[]): void => this.#write("debug", line);
  readonly info = (...line: readonly unknown[]): void => this.#write("info", line);
  readonly warn = (...line: readonly unknown[]): void => this.#write("warn", line);

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
  }

  #endSecond(): void {
    this.#timer = undefined;
    this.#written = 0;
    if (this.#dropped === 0) return;
    this.#log.warn(`scripts logged more than ${this.#perSecond} lines in a second: ${this.#dropped} were dropped`);
    this.#dropped = 0;
  }
}

/** The lines that a part of a line stands for besides the first. */
const weight = (part: unknown): number => (typeof part === "string" ? Math.floor(part.length / LINE) : 0);
