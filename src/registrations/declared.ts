/** The registrations that a script has declared so far. A script can declare thousands, and each is checked against all. */
import type { Registration } from "./registration.ts";

export class Declared {
  readonly list: Registration[] = [];
  /** Bytes of all their serialised forms. */
  bytes = 0;
  readonly #triggers = new Set<string>();
  readonly #asyncHooks = new Set<string>();

  add(registration: Registration): void {
    const { spec, blob } = registration;
    this.list.push(registration);
    this.bytes += blob.length;
    if (spec.trigger) this.#triggers.add(spec.trigger.toString("latin1"));
    if (spec.hook && spec.mode !== "sync") this.#asyncHooks.add(spec.hook.toLowerCase());
  }

  /** Is there one of this trigger? @param name bytes as latin1 */
  hasTrigger(name: string): boolean {
    return this.#triggers.has(name);
  }

  /** Is there one that hooks this command and runs in the background? @param name in lower case */
  hasAsyncHook(name: string): boolean {
    return this.#asyncHooks.has(name);
  }
}
