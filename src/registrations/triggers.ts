/** CommandReader registrations with a trigger: RG.TRIGGER starts them. */
import type { Caller } from "../commands/caller.ts";
import { ReplyError } from "../errors.ts";
import type { Execution } from "../executions/execution.ts";
import type { Session } from "../executions/session.ts";
import type { Maybe } from "../maybe.ts";
import { commandWords } from "../python/transcode.ts";
import type { Declared } from "./declared.ts";
import type { EventStarter } from "./event-starter.ts";
import type { Registration, RegistrationSpec } from "./registration.ts";
import { TriggerChunks, type TriggerChunksOptions } from "./trigger-chunks.ts";
import type { ReaderSide } from "./registration-registry.ts";

/** The refusal of what must wait, towards those who can not. */
export const NOT_SYNC =
  "ERR can not run a non-sync execution inside a MULTI/LUA (blocking is not allowed) or on loading.";

/** RG.TRIGGER: nothing can be done with that command. */
const OPTIONS = { prefixRule: true, cause: { kind: "trigger" } } as const;

export class Triggers implements ReaderSide {
  readonly #starter: EventStarter;
  readonly #chunks: TriggerChunks;
  /** By name; latin1, so that any bytes are a key. */
  readonly #byName = new Map<string, Registration>();

  constructor({ starter, ...others }: TriggerChunksOptions) {
    this.#starter = starter;
    this.#chunks = new TriggerChunks({ starter, ...others });
  }

  check(spec: RegistrationSpec, declared: Declared, replaced: Session | undefined): void {
    if (!spec.trigger) return;
    const name = spec.trigger.toString("latin1");
    if (declared.hasTrigger(name)) throw new ReplyError("trigger already registered in this session");
    const owner = this.#byName.get(name);
    if (owner && owner.session !== replaced) throw new ReplyError("trigger already registered");
  }

  activate(registration: Registration): void {
    const { trigger } = registration.spec;
    if (trigger) this.#byName.set(trigger.toString("latin1"), registration);
  }

  deactivate(registration: Registration): void {
    const name = registration.spec.trigger?.toString("latin1");
    if (name !== undefined && this.#byName.get(name) === registration) this.#byName.delete(name);
  }

  /** How many calls of a trigger together may be worth while; 0: none now. */
  get most(): number {
    return this.#chunks.most;
  }

  /**
   * Runs a `sync` trigger for several calls of one client, who can wait.
   * @param calls each is the trigger's name and its arguments
   * @param onEnded is told what has become of one after the other
   * @returns for how many; others have to come alone
   */
  fireAll(calls: readonly (readonly Buffer[])[], onEnded: (execution: Execution) => void): Maybe<number> {
    const name = calls[0]?.[0];
    const registration = this.#byName.get(name?.toString("latin1") ?? "");
    if (!name || registration?.spec.mode !== "sync" || registration.session.missing !== undefined) return 0;
    const other = calls.findIndex(([one]) => one?.equals(name) !== true);
    const all = other < 0 ? calls : calls.slice(0, other);
    return all.length < 2 ? 0 : this.#chunks.run(registration, all, OPTIONS, onEnded);
  }

  /**
   * Runs a trigger.
   * @param args the trigger's name and its arguments
   * @throws ReplyError when there is no such trigger, or the caller can not wait for it
   */
  fire(args: readonly Buffer[], { canWait, owner }: Caller): Maybe<Execution> {
    const registration = this.#byName.get(args[0]?.toString("latin1") ?? "");
    if (!registration) throw new ReplyError("ERR subcommand not found");
    if (!canWait && registration.spec.mode !== "sync") throw new ReplyError(NOT_SYNC);
    return this.#starter.run(registration, [commandWords(args)], {
      ...OPTIONS,
      noAsync: !canWait,
      ...(canWait ? {} : { owner }),
    });
  }
}
