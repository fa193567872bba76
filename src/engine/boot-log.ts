/** What Valkey says while it boots: when Valkey gives up, its messages tell the reason. */
import { ConfigError } from "../config.ts";
import { InternalError } from "../errors.ts";

/** Messages about the command line, which is not the administrator's, and those that only repeat the reason of the end. */
const OF_NO_USE =
  /^(?:WARNING|Configuration loaded|oO0Oo|Valkey version=|Fatal error loading the DB, check server logs)/;
const REFUSED = /^>>> '(.*)'$/;
/** Valkey gets its settings as lines of a name and a value in quotation marks. */
const SETTING = /^(\S+) "(.*)"$/s;

/** Valkey has given up for another reason than its settings: most probably it could not use its data. */
export class BootFailure extends InternalError {
  /** What Valkey said last. */
  readonly reason: string;

  constructor(reason: string) {
    super(`the engine does not start: ${reason}`);
    this.reason = reason;
  }
}

/** The place in Valkey's source that stands before a reason. */
const PLACE = /^Internal error in RDB reading offset \d+, function at \S+ -> /;

export class BootLog {
  #refused: string | undefined;
  #reason: string | undefined;
  #last: string | undefined;

  /** Takes a line that is no message of Valkey's log: such lines are about its settings. */
  noteLine(line: string): void {
    const setting = REFUSED.exec(line)?.[1];
    if (setting !== undefined) this.#refused = setting;
    else if (this.#refused !== undefined) this.#reason ??= line.trim();
  }

  /** Takes a warning of Valkey's log. */
  noteWarning(text: string): void {
    if (!OF_NO_USE.test(text)) this.#last = text;
  }

  /**
   * Why Valkey has given up, if it has said that.
   * @param ofFiles what went wrong when Valkey used its files; then the data themselves need not be damaged
   */
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
