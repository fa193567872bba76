/** What Valkey says while it boots: when it gives up, the reason is in it. */
import { ConfigError } from "../config.ts";
import { InternalError } from "../errors.ts";

/** Of its own command line, which is not the administrator's, or said again in other words before it ends. */
const OF_NO_USE =
  /^(?:WARNING|Configuration loaded|oO0Oo|Valkey version=|Fatal error loading the DB, check server logs)/;
const REFUSED = /^>>> '(.*)'$/;
/** The settings are given to it as lines of a name and a value in quotation marks. */
const SETTING = /^(\S+) "(.*)"$/s;

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

  /** Why it has given up, if it has said that. */
  failure(): Error | undefined {
    if (this.#refused !== undefined) {
      const [, name = this.#refused] = SETTING.exec(this.#refused) ?? [];
      return new ConfigError(`the engine refuses ${name}: ${this.#reason ?? "the setting is wrong"}`);
    }
    return this.#last === undefined ? undefined : new InternalError(`the engine does not start: ${this.#last}`);
  }
}
