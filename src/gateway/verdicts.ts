/** What the engine has answered about a client's rights, remembered until they can have changed. */
import type { Access } from "../commands/command.ts";
import type { AccessEpoch } from "../engine/user-rights.ts";

/** One client's verdicts. */
export class Verdicts {
  readonly #epoch: AccessEpoch;
  readonly #lifetime: number;
  readonly #now: () => number;
  readonly #known = new Map<Access, string | undefined>();
  #at = 0;
  #of = -1;

  /** @param lifetime how long a verdict is trusted, in milliseconds; Infinity when nobody can change rights behind our back */
  constructor(epoch: AccessEpoch, lifetime: number, now: () => number) {
    this.#epoch = epoch;
    this.#lifetime = lifetime;
    this.#now = now;
  }

  forget(): void {
    this.#known.clear();
  }

  /** Is there a verdict that still holds? */
  has(access: Access): boolean {
    if (this.#of !== this.#epoch.value || this.#now() - this.#at > this.#lifetime) {
      this.#known.clear();
      this.#of = this.#epoch.value;
      this.#at = this.#now();
    }
    return this.#known.has(access);
  }

  /** The engine's error, undefined when the client may. */
  get(access: Access): string | undefined {
    return this.#known.get(access);
  }

  /** Keeps the engine's answer, if it is about rights: a busy engine's refusal says nothing about the next time. */
  keep(access: Access, answer: string | undefined, epoch: number): void {
    if (epoch !== this.#epoch.value) return;
    if (answer === undefined || answer.startsWith("NOPERM") || answer.startsWith("NOAUTH"))
      this.#known.set(access, answer);
  }
}
