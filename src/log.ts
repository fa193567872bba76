/** The log: lines for people on a terminal, JSON elsewhere; the four levels of Redis. */
import { dirname, resolve } from "node:path";
import { type DestinationStream, destination, type Logger as PinoLogger, levels, pino, stdTimeFunctions } from "pino";
import { PinoPretty } from "pino-pretty";
import { ConfigError } from "./config.ts";
import { makeFolder } from "./folder.ts";
import { textOf } from "./errors.ts";

/**
 * What the other parts need of a log. Redis' `debug`, `verbose`, `notice` and `warning` are `trace`, `debug`, `info` and
 * `warn` here; `error` is for faults of our own.
 */
export type Logger = Pick<PinoLogger, "trace" | "debug" | "info" | "warn" | "error">;

const METHODS = ["trace", "debug", "info", "warn", "error"] as const;

/** Has it all the methods of a log? */
export const isLogger = (value: unknown): value is Logger =>
  typeof value === "object" &&
  value !== null &&
  METHODS.every((name) => typeof Reflect.get(value, name) === "function");

/** Where everything is lost. */
export const NO_LOG: Logger = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

type LogLevel = "debug" | "verbose" | "notice" | "warning";

const PINO_LEVELS = { debug: "trace", verbose: "debug", notice: "info", warning: "warn" } as const;
const SHOWN_LEVELS: Readonly<Record<string, string>> = {
  trace: "debug",
  debug: "verbose",
  info: "notice",
  warn: "warning",
};

interface LogOptions {
  readonly level: LogLevel;
  /** File to append to; empty is standard output. */
  readonly file: string;
}

/** The pino level for a level of Redis: `notice` is `info`. */
const pinoLevel = (level: LogLevel): "trace" | "debug" | "info" | "warn" => PINO_LEVELS[level];

interface OpenLog {
  readonly log: PinoLogger;
  /** Goes on in a file of the same name: the old one was moved away. @throws when it can not be opened; the old one is used on */
  reopen(): void;
}

type Output = ReturnType<typeof destination>;

/** Lines that wait for a full disk, or for who reads them; more are lost. */
const MOST_WAITING_BYTES = 1024 * 1024;
/** Milliseconds after which what waits is tried again, if nothing else is logged before. */
const RETRY_MS = 50;
/** The end of the process waits so long for who reads the log. */
const END_PATIENCE_MS = 1_000;

/**
 * Opens the log. Lines are written at once: nothing is lost when the process ends, and nothing keeps it alive. Where they
 * can not be written (nobody reads them any more, the disk is full) the server goes on without.
 * @throws ConfigError when the file can not be opened.
 */
export function openLog(options: LogOptions): OpenLog {
  const forPeople = options.file === "" && process.stdout.isTTY;
  const output = openOutput(options.file);
  neverWait(output);
  const log = pino(
    {
      level: pinoLevel(options.level),
      base: { pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      // The pretty printer names the numbers itself.
      formatters: forPeople ? {} : { level: (label) => ({ level: SHOWN_LEVELS[label] ?? label }) },
    },
    forPeople ? prettyOutput(output) : output,
  );
  return {
    log,
    reopen: () => {
      if (options.file !== "") output.reopen();
    },
  };
}

function openOutput(file: string): Output {
  const common = { sync: true, maxLength: MOST_WAITING_BYTES, retryEAGAIN: () => false };
  if (file === "") return destination({ ...common, dest: 1 });
  try {
    makeFolder(dirname(resolve(file)));
    // the name has to mean the same file when it is opened again
    return destination({ ...common, dest: resolve(file) });
  } catch (error) {
    throw new ConfigError(`option 'logfile': ${textOf(error)}`);
  }
}

/** Nobody waits for who does not read the log: the stream would let the whole process sleep until there is room. */
function neverWait(output: Output): void {
  let blocked = false;
  let planned = false;
  const retry = (): void => {
    blocked = false;
    planned = false;
    // goes on with what waits, and tells of an error within the call
    output.write("");
  };
  const insist = (): void => {
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (const end = performance.now() + END_PATIENCE_MS; blocked && performance.now() < end; retry())
      Atomics.wait(pause, 0, 0, RETRY_MS);
  };
  output.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EAGAIN" && error.code !== "EBUSY") return;
    blocked = true;
    process.off("exit", insist).once("exit", insist);
    if (planned) return;
    planned = true;
    setTimeout(retry, RETRY_MS).unref();
  });
}

const prettyOutput = (output: Output): DestinationStream =>
  PinoPretty({
    colorize: true,
    ignore: "pid",
    translateTime: "SYS:HH:MM:ss.l",
    customPrettifiers: { level: (number) => SHOWN_LEVELS[levels.labels[Number(number)] ?? ""] ?? "error" },
    destination: output,
  });
