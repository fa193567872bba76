/** The log: lines for people on a terminal, JSON elsewhere; the four levels of Redis. */
import { type DestinationStream, destination, type Logger as PinoLogger, pino, stdTimeFunctions } from "pino";
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
 * Opens the log. It does not keep the process alive, and what was logged is written before the process exits.
 * @throws when the file can not be opened.
 */
export function createLog(options: LogOptions): PinoLogger {
  return pino(
    {
      level: pinoLevel(options.level),
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: SHOWN_LEVELS[label] ?? label }) },
    },
    openDestination(options.file),
  );
}

function openDestination(file: string): DestinationStream {
  if (file === "" && process.stdout.isTTY)
    return PinoPretty({
      sync: true,
      colorize: true,
      ignore: "pid",
      translateTime: "SYS:HH:MM:ss.l",
      customLevels: "debug:10,verbose:20,notice:30,warning:40,error:50,fatal:60",
      destination: destination({ dest: 1, sync: true }),
    });
  // A slow reader of the output must not hold the server up, so lines are written in the background; a file is opened
  // synchronously so that a bad path fails here and not later.
  if (file === "") {
    standardOutput ??= flushedAtExit(destination({ dest: 1, sync: false }));
    return standardOutput;
  }
  return destination({ dest: file, append: true, mkdir: true, sync: true });
}

/** One for the whole process, so that the lines of several logs keep their order. */
let standardOutput: DestinationStream | undefined;

function flushedAtExit(stream: ReturnType<typeof destination>): DestinationStream {
  process.once("exit", () => {
    try {
      stream.flushSync();
    } catch {
      // The reader of the output has gone: there is nobody left to tell.
    }
  });
  return stream;
}
