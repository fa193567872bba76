/** A command of a client that executions of `KeysReader … commands=[…]` registrations are linked to: docs/spec/events.md, section 5. */
import type { EngineCommand } from "../engine/engine-commands.ts";
import { wordOf } from "../engine/traits.ts";
import { ReplyError } from "../errors.ts";
import { okReply } from "../python/call-reply.ts";
import type { JobCause } from "../python/job.ts";
import { mayHoldBytes } from "../python/marshal.ts";
import type { CallContext, Handlers } from "../python/python-host.ts";
import { commandWords, resultToResp } from "../python/transcode.ts";
import { type Reply, raw } from "../resp/reply.ts";

const NO_CONTEXT = "Can not get command ctx";
const ONCE = "Can only override reply once";

/** One command of a client, from the moment it is sent until its reply is given. */
export class LinkedCommand implements JobCause {
  readonly kind = "linked";
  /** Lower case. */
  readonly name: string;
  /** The command's words as its caller typed them. */
  readonly args: readonly Buffer[];
  /** Its caller can wait for executions in the background. */
  readonly canWait: boolean;
  /** What the command's caller gets instead of the engine's reply. */
  override: Reply | undefined;
  /** Its caller has the reply: there is nothing to be asked or changed any more. */
  isOver = false;
  readonly #keys: ReadonlySet<string>;
  #linked = 0;
  #free: (() => void) | undefined;

  constructor(args: readonly Buffer[], row: EngineCommand, canWait: boolean) {
    this.name = wordOf(args[0]);
    this.args = args;
    this.canWait = canWait;
    const positions = row.keyPositions(args.length);
    this.#keys = new Set(positions.map((at) => args[at]?.toString("latin1") ?? ""));
  }

  /** Can it have caused an event of this key? */
  touches(key: Buffer): boolean {
    return this.#keys.has(key.toString("latin1"));
  }

  /** An execution was started for it. @returns to be called when that has ended */
  link(): () => void {
    this.#linked++;
    return () => {
      if (--this.#linked === 0) this.#free?.();
    };
  }

  /** Resolves when all linked executions have ended. Undefined: they have. */
  whenFree(): Promise<void> | undefined {
    if (this.#linked === 0) return undefined;
    return new Promise((resolve) => {
      this.#free = resolve;
    });
  }
}

/** For Python's `get_command` and `override_reply`. */
export const linkedCommandHandlers: Pick<Handlers, "get_command" | "override_reply"> = {
  get_command: (caller, { job }) => {
    const words = commandWords(commandBehind(caller, job).args);
    return okReply(words, mayHoldBytes(words));
  },
  override_reply: (caller, { value, job }) => {
    const command = commandBehind(caller, job);
    if (command.override) throw new ReplyError(ONCE);
    command.override = raw(...resultToResp(value, true));
    return okReply(null);
  },
};

/** The command that an execution is linked to. */
function commandBehind(caller: CallContext, handle: number): LinkedCommand {
  const command = caller.job(handle)?.cause;
  if (!(command instanceof LinkedCommand) || command.isOver) throw new ReplyError(NO_CONTEXT);
  return command;
}
