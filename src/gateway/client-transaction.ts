/** What one client puts into its transaction besides what the engine queues by itself. */
import { traitsOf } from "../engine/traits.ts";
import { scalarText } from "../resp/frames.ts";
import { encode, error, type Reply } from "../resp/reply.ts";
import type { ClientState } from "./client-state.ts";
import type { EngineLink } from "./engine-link.ts";
import type { Gateway } from "./gateway.ts";
import type { Plan } from "./planners.ts";
import { isQueued, NO_SUBSCRIPTIONS, type Stage, StagedTransaction } from "./transaction.ts";

interface TransactionOptions {
  /** In whose name the engine is held at EXEC. */
  readonly owner: object;
  readonly id: number;
  readonly gateway: Gateway;
  readonly state: ClientState;
  readonly engine: EngineLink;
  /** Gives the client a reply. */
  readonly answer: (reply: readonly Uint8Array[]) => void;
}

export class ClientTransaction {
  readonly #options: TransactionOptions;

  constructor(options: TransactionOptions) {
    this.#options = options;
  }

  /** Answers a command that is not carried out; a transaction is spoiled by it. */
  refuse(text: string): void {
    const { gateway, state } = this.#options;
    const { transaction } = state;
    if (transaction) {
      transaction.staged ??= new StagedTransaction(gateway.engine, state);
      transaction.staged.abort();
    }
    this.#answer(error(text));
  }

  /**
   * Queues something of ours in a transaction.
   * @param queued what the engine queues in its place
   * @param bytes what the engine is to carry out at EXEC, if anything
   * @param translate makes the engine's refusal fit the command
   */
  async queue(
    queued: Buffer,
    bytes: Buffer | undefined,
    stage: Stage,
    translate: (reply: string) => string = (reply) => reply,
  ): Promise<void> {
    const { gateway, state, engine, answer } = this.#options;
    const { transaction } = state;
    if (!transaction) return;
    if (transaction.subscribes) {
      this.refuse(NO_SUBSCRIPTIONS);
      return;
    }
    const staged = transaction.staged ?? new StagedTransaction(gateway.engine, state);
    const reply = await staged.queue(transaction, queued, { bytes, stage }, () => engine.ask(queued, 1));
    if (isQueued(reply)) answer([reply]);
    else this.#answer(error(translate(scalarText(reply))));
  }

  /** A command of the engine after one of ours in the same transaction. @param bytes what the engine gets */
  async pass(staged: StagedTransaction, name: string, plan: Plan, bytes: Buffer): Promise<void> {
    const { engine, answer } = this.#options;
    const handle = plan.kind === "special" ? plan.handle : undefined;
    if (name === "exec") {
      await this.#execute(staged);
    } else if (traitsOf(name).unqueued) {
      const reply = await engine.ask(bytes, 1);
      answer([handle?.(reply) ?? reply]);
    } else if (plan.kind !== "confirmations" && name !== "monitor") {
      answer([await staged.keep(bytes, { bytes, handle, stage: undefined })]);
    } else {
      staged.abort();
      this.#answer(error(NO_SUBSCRIPTIONS));
    }
  }

  async #execute(staged: StagedTransaction): Promise<void> {
    const { owner, id, gateway, state, engine, answer } = this.#options;
    const { transaction } = state;
    if (!transaction) return;
    await engine.toItsEnd(async () => {
      await gateway.gate.hold(owner, () => `EXEC of client ${id}`);
      try {
        answer([await staged.execute(transaction, (bytes, replies) => engine.askUrgently(bytes, replies))]);
      } finally {
        gateway.gate.release(owner);
        state.transaction = undefined;
      }
    });
  }

  #answer(reply: Reply): void {
    this.#options.answer(encode(reply, this.#options.state.protocol));
  }
}
