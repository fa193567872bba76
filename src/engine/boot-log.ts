/** What Valkey says while it boots: when it gives up, the reason is in it. */
import { ConfigError } from "../config.ts";
import { InternalError } from "../errors.ts";

/** Of its own command line, which is not the administrator's, or said again in other words before it ends. */
const OF_NO_USE =
  /^(?:WARNING|Configuration loaded|oO0Oo|Valkey version=|Fatal error loading the DB, check server logs)/;
const REFUSED = /^>>> '(.*)'$/;
/** The settings are given to it as lines of a name and a value in quotation marks. */
const SETTING = /^(\S+) "(.*)"$/s;

/** It has given up for another reason than its settings: most probably it could not use its data. */
export class BootFailure extends InternalError {
  /** What it said last. */
  readonly reason: string;

  constructor(reason: string) {
    super(`the engine does not start: ${reason}`);
    this.reason = reason;
  }
}

/** Where in Valkey's source it gave up. */
const PLACE = /^Internal error in RDB reading offset \d+, function at \S+ -> /;

export class BootLog {
  #refused: string | undefined;
  #reason: string | undefined;
  #last: string | undefined;

  /** A line that is no message of its log: it is about its settings. */
  noteLine(line: string): void {
    const setting = REFUSED.exec(line)?.[1];
    if (setting !== undefined) this.#refused = setting;
    else if (this.#refused !== undefined) this.#reason ??= line.trim();
  }

  /** A warning. */
  noteWarning(text: string): void {
    if (!OF_NO_USE.test(text)) this.#last = text;
  }

  /** Why it has given up, if it has said that. @param ofFiles what went wrong with its files: then its data are no worse */
  failure(ofFiles?: unknown): Error | undefined {
    if (this.#refused !== undefined) {
      const [, name = this.#refused] = SETTING.exec(this.#refused) ?? [];
      return new ConfigError(`the engine refuses ${name}: ${this.#reason ?? "the setting is wrong"}`);
    }
    if (this.#last === undefined) return undefined;
    const failure = new BootFailure(this.#last.replace(PLACE, ""));
    return ofFiles === undefined ? failure : new InternalError(failure.message, { cause: ofFiles });
  }
}
