/** What Valkey prints: its log, and, when it does not boot, the reason. */
import { BootLog } from "./boot-log.ts";

/** Where the engine's messages go; texts have no line end. */
export interface EngineLog {
  debug(text: string): void;
  warn(text: string): void;
}

/** Warnings of Valkey's although all is well, or about something that the server reports itself. */
const KNOWN_FAILURE =
  /^(?:Failed opening the temp RDB file .*: Read-only file system|Can't save in background: fork: Read-only file system|Failed to load static module|Module \w+ OnUnload failed|Failed to unload module|Valkey is now ready to exit)/;

/** The warnings that count among those with which Valkey boots all the same. */
const LOADED_PARTLY = /^!!! |^AOF .* loaded anyway/;

/** A warning that comes ten times a second while a copy works: Valkey asks the system about a process that does not exist. */
const OF_COPIES = /^waitpid\(\) returned an error/;

/** Only the server is to say this: programs wait for the line, and Valkey says it before the server listens. */
const READY = "Ready to accept connections";

/**
 * A line of Valkey's log: `1:M 02 Jan 2030 03:04:05.678 * text`, where `#` marks a warning. The date is not to be relied on:
 * Valkey reckons it with a time zone from memory that the C library of WebAssembly has not filled.
 */
const MESSAGE = /^\d+:\w \S+ \w+ \S+ \S+ ([.\-*#]) (.*)$/;

export class EngineOutput {
  readonly #log: EngineLog;
  #boot: BootLog | undefined = new BootLog();
  #line = "";

  constructor(log: EngineLog) {
    this.#log = log;
  }

  /** Why Valkey has not booted, if it has said that. @param ofFiles what went wrong when Valkey used its files */
  failure(ofFiles?: unknown): Error | undefined {
    return this.#boot?.failure(ofFiles);
  }

  /** Valkey has booted: its warnings count from now on. */
  booted(): void {
    this.#boot = undefined;
  }

  /** Takes what Valkey has printed. @param text cut anywhere */
  take(text: string): void {
    const lines = (this.#line + text).split("\n");
    this.#line = lines.pop() ?? "";
    for (const line of lines) this.#takeLine(line);
  }

  #takeLine(line: string): void {
    const [, mark, message] = MESSAGE.exec(line) ?? [];
    if (message !== undefined && OF_COPIES.test(message)) return;
    if (message === undefined) {
      this.#boot?.noteLine(line);
      if (line.trim() !== "") this.#log.debug(line);
    } else if (mark !== "#" || KNOWN_FAILURE.test(message)) {
      if (!message.startsWith(READY)) this.#log.debug(message);
    } else if (this.#boot) {
      // a warning during the boot is about Valkey's own command line, unless the boot fails
      this.#boot.noteWarning(message);
      if (LOADED_PARTLY.test(message)) this.#log.warn(message);
      else this.#log.debug(message);
    } else this.#log.warn(message);
  }
}

/** Valkey's own guards against deep recursion count on a native stack, which is larger than the one of Node.js. */
export function explain(error: unknown): string {
  if (!(error instanceof RangeError)) return "";
  return ": a script needed more stack than there is (node --stack-size=6000 gives it as much as Valkey has)";
}
