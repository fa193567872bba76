/** The log: lines for people on a terminal, JSON elsewhere; the four levels of Redis. */
import { mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { type DestinationStream, destination, type Logger as PinoLogger, levels, pino, stdTimeFunctions } from "pino";
import { PinoPretty } from "pino-pretty";

/**
 * What the other parts need of a log. Redis' `debug`, `verbose`, `notice` and `warning` are `trace`, `debug`, `info` and
 * `warn` here; `error` is for faults of our own.
 */
export type Logger = Pick<PinoLogger, "trace" | "debug" | "info" | "warn" | "error">;

export type LogLevel = "debug" | "verbose" | "notice" | "warning";

const PINO_LEVELS = { debug: "trace", verbose: "debug", notice: "info", warning: "warn" } as const;
const SHOWN_LEVELS: Readonly<Record<string, string>> = {
  trace: "debug",
  debug: "verbose",
  info: "notice",
  warn: "warning",
};

export interface LogOptions {
  readonly level: LogLevel;
  /** File to append to; empty is standard output. */
  readonly file: string;
}

/** The pino level for a level of Redis: `notice` is `info`. */
export const pinoLevel = (level: LogLevel): "trace" | "debug" | "info" | "warn" => PINO_LEVELS[level];

/**
 * Opens the log. Lines are written at once: nothing is lost when the process ends, and nothing keeps it alive.
 * @throws when the file can not be opened.
 */
export function createLog(options: LogOptions): PinoLogger {
  const forPeople = options.file === "" && process.stdout.isTTY;
  return pino(
    {
      level: pinoLevel(options.level),
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      // The pretty printer names the numbers itself.
      formatters: forPeople ? {} : { level: (label) => ({ level: SHOWN_LEVELS[label] ?? label }) },
    },
    forPeople ? prettyOutput() : destination({ dest: options.file === "" ? 1 : openFile(options.file), sync: true }),
  );
}

const prettyOutput = (): DestinationStream =>
  PinoPretty({
    colorize: true,
    ignore: "pid",
    translateTime: "SYS:HH:MM:ss.l",
    customPrettifiers: { level: (number) => SHOWN_LEVELS[levels.labels[Number(number)] ?? ""] ?? "error" },
    destination: destination({ dest: 1, sync: true }),
  });

function openFile(path: string): number {
  mkdirSync(dirname(path), { recursive: true });
  return openSync(path, "a");
}
