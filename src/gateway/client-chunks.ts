/**
 * Commands of one client that lie here one after the other, and that somebody carries out together: see {@link ChunkRunner}. What
 * was not carried out by then is decoded again, and goes its usual way.
 */
import type { Caller } from "../commands/caller.ts";
import type { CallsTogether, CommandRow } from "../commands/command.ts";
import type { Asking, ChunkRunner, Path } from "../commands/path.ts";
import { wordOf } from "../engine/traits.ts";
import { andThen, type Maybe } from "../maybe.ts";
import type { Reply } from "../resp/reply.ts";
import type { RequestDecoder, TakenRow } from "../resp/request-decoder.ts";
import type { ClientState } from "./client-state.ts";
import type { ClientTurn } from "./client-turn.ts";
import type { EngineLink } from "./engine-link.ts";
import type { Replies } from "./replies.ts";
import type { Router } from "./router.ts";

/** Gives a client the reply of a command of ours. @param ms how long the command ran, in milliseconds */
type OwnAnswer = (reply: Reply, args: readonly Buffer[], ms: number) => void;

interface ClientChunksOptions {
  readonly path: Path;
  readonly router: Router;
  readonly asking: Asking;
  readonly decoder: RequestDecoder;
  readonly turn: ClientTurn;
  readonly state: ClientState;
  readonly replies: Replies;
  readonly engine: EngineLink;
  readonly isFull: () => boolean;
  readonly caller: () => Caller;
}

export class ClientChunks {
  readonly #options: ClientChunksOptions;
  /** Nothing was carried out: the next command goes its usual way. */
  #wasFutile = false;

  constructor(options: ClientChunksOptions) {
    this.#options = options;
  }

  /** Takes the decoder's present request together with those after it, if that is possible. @returns whether it is */
  take(): boolean {
    const runner = this.#mayTry() ? this.#runner : undefined;
    const row = runner && this.#options.decoder.takeRow(runner.most, runner.mostBytes, this.#accepting(runner));
    return runner && row ? this.#exclusively(row, () => this.#run(runner, row)) : false;
  }

  /**
   * The same for calls of a command of ours, whose user may run it.
   * @param answer gives a reply of the command with these arguments, which ran for so many milliseconds
   */
  takeOwn(row: CommandRow, together: CallsTogether, answer: OwnAnswer): boolean {
    const { decoder } = this.#options;
    const most = this.#mayTry() ? together.most : 0;
    if (most < 2) return false;
    const all: Buffer[][] = [decoder.copy(1)];
    const name = Buffer.from(decoder.view(0));
    const accepts = (): boolean => {
      const words = decoder.count - 1;
      const isSame = words >= row.minArgs && words <= row.maxArgs && decoder.view(0).equals(name);
      if (!isSame || !this.#isFreeOf(row.name)) return false;
      all.push(decoder.copy(1));
      return true;
    };
    const [first = []] = all;
    const isFine = first.length >= row.minArgs && first.length <= row.maxArgs;
    const taken = isFine ? decoder.takeRow(most, together.mostBytes, accepts) : undefined;
    if (!taken) return false;
    const calls = all.slice(0, taken.ends.length);
    return this.#exclusively(taken, () => {
      let at = 0;
      return together.run(calls, (reply, ms) => answer(reply, calls[at++] as Buffer[], ms));
    });
  }

  /** Is it worth a try with the present request? */
  #mayTry(): boolean {
    const wasFutile = this.#wasFutile;
    this.#wasFutile = false;
    return !wasFutile && this.#options.decoder.hasMore && this.#isSimple;
  }

  /** Carries commands out, and has those decoded again that were not. @param run gives how many were @returns true */
  #exclusively({ bytes, ends }: TakenRow, run: () => Maybe<number>): true {
    const { decoder, turn } = this.#options;
    const carryOut = (): Maybe<void> =>
      andThen(run(), (count) => {
        this.#wasFutile = count === 0;
        decoder.giveBack(bytes.subarray(count === 0 ? 0 : ends[count - 1]));
      });
    let isNow = true;
    // what comes later is looked at again: who has a say in these commands may have changed
    turn.exclusive(() => (isNow ? carryOut() : decoder.giveBack(bytes)));
    isNow = false;
    return true;
  }

  /** Has nobody anything to do with the present request, which is one of ours? */
  #isFreeOf(name: string): boolean {
    const { path, decoder, asking } = this.#options;
    return !path.active || path.find(name, decoder, asking) === undefined;
  }

  /** Says of the decoder's present request whether it comes with the one that is the present one now. */
  #accepting(runner: ChunkRunner): () => boolean {
    const { decoder, path } = this.#options;
    const accepts = (): boolean => this.#runner === runner;
    if (!path.isLeftToChunks) return accepts;
    // then what holds for a command holds for all of its name and with as many arguments: mostly the one before
    let name = Buffer.from(decoder.view(0));
    let { count } = decoder;
    return () => {
      if (decoder.count === count && decoder.view(0).equals(name)) return true;
      if (!accepts()) return false;
      name = Buffer.from(decoder.view(0));
      count = decoder.count;
      return true;
    };
  }

  /**
   * Is the client owed nothing, and are its next replies those of its next commands? One that tracks keys has to hear of those
   * that an event has changed before the reply of the command that caused it.
   */
  get #isSimple(): boolean {
    const { state, replies, isFull } = this.#options;
    const hears = state.listens || state.tracks;
    return replies.empty && !state.transaction && state.replies === "on" && !hears && !isFull();
  }

  /** Who carries out the decoder's present request together with others. */
  get #runner(): ChunkRunner | undefined {
    const { path, router, decoder, asking } = this.#options;
    return router.find(decoder) ? undefined : path.chunkOf(wordOf(decoder.view(0)), decoder, asking);
  }

  /** @returns how many were carried out */
  #run(runner: ChunkRunner, { bytes, ends }: TakenRow): Maybe<number> {
    const { engine, replies, caller } = this.#options;
    let count = 0;
    const lent = engine.lend(
      (connection) => runner.run(caller(), connection, bytes, ends),
      (done) => {
        count = done;
        for (let at = 0; at < done; at++) replies.expect();
      },
    );
    return andThen(lent, () => count);
  }
}
