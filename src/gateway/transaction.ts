/**
 * A transaction; and one with commands that the engine does not know (`RG.*`, hooked ones), which is carried out in stages.
 *
 * The engine's queue can not be cut, so from the first such command on, what follows is kept here. The client must still
 * be told at once when a command is wrong or not allowed, which only the engine can say: the later commands are queued in
 * a second connection (the twin: same user, same database) whose transaction is never executed. In place of an `RG.*`
 * command the probe for its right is queued.
 *
 * At EXEC the gate is held, so that nobody else gets in between through this server. The client's own connection executes
 * the part before the first such command: there WATCH decides, as ever. Then each stage in turn: our command, then the
 * next part in a transaction of its own. All replies become one.
 *
 * Limits: no subscriptions, whose replies can not be counted in such a transaction; clients of an engine by URL that do
 * not come through this server can get in between the stages; a command that the engine refuses only now (out of memory,
 * rights lost since) fails its stage and not what is before it.
 */
import { EngineClient, EngineClosed } from "../engine/engine-client.ts";
import { encodeCommand } from "../engine/encode.ts";
import { DOWN, type Engine } from "../engine/engine.ts";
import type { Maybe } from "../maybe.ts";
import { ArrayCollector, FrameCollector, isError, scalarText, splitAggregate } from "../resp/frames.ts";

/** What to do with the reply of a special command; gives the bytes for the client, or undefined for none. */
export type ReplyHandler = (frame: Buffer) => Buffer | undefined;

/** A transaction that the client is typing. */
export class Transaction {
  /** Commands that the engine has queued on the client's connection. */
  queued = 0;
  /** A SUBSCRIBE or the like is among the commands. */
  subscribes = false;
  /** Set as soon as a command was queued that the engine can not carry out. */
  staged: StagedTransaction | undefined;
  readonly #handlers = new Map<number, { readonly handle: ReplyHandler; readonly frames: number }>();

  /** The engine has queued a command; `handle` is to see its reply, or its replies if it will have several `frames`. */
  queue(handle: ReplyHandler, frames: number): void {
    this.#handlers.set(this.queued++, { handle, frames });
  }

  /** True when replies of EXEC have to be looked at. */
  get handled(): boolean {
    return this.#handlers.size > 0;
  }

  /**
   * The handler of each frame that EXEC brings. There can be more than EXEC's array is said to have: a SUBSCRIBE of
   * several channels has a frame for each.
   */
  handlers(): (ReplyHandler | undefined)[] {
    const list: (ReplyHandler | undefined)[] = [];
    for (let place = 0; place < this.queued; place++) {
      const entry = this.#handlers.get(place);
      for (let frame = 0; frame < (entry?.frames ?? 1); frame++) list.push(entry?.handle);
    }
    return list;
  }
}

/** The error of what would subscribe in such a transaction. */
export const NO_SUBSCRIPTIONS = "ERR a transaction with RG commands can not subscribe or monitor";

/** Gives the reply of our own command, encoded; `own` is the engine's reply when the engine carries the command out. */
export type Stage = (own: Buffer) => Maybe<Buffer>;

/** Who the client is, as far as its engine connection tells that. */
interface Identity {
  /** The arguments of its AUTH. */
  readonly credentials: readonly Buffer[] | undefined;
  readonly database: number;
}

interface Kept {
  /** What the engine is to carry out; undefined when the command is ours alone. */
  readonly bytes: Buffer | undefined;
  readonly handle: ReplyHandler | undefined;
  readonly stage: Stage | undefined;
}

/** A second connection that is who the client is; with the engine's reason when it could not become that. */
interface Twin {
  readonly client: EngineClient;
  readonly refusal: Promise<Buffer | undefined>;
}

const MULTI = encodeCommand(["MULTI"]);
const EXEC = encodeCommand(["EXEC"]);
const DISCARD = encodeCommand(["DISCARD"]);
const ABORTED = Buffer.from("-EXECABORT Transaction discarded because of previous errors.\r\n");
const NOTHING = Buffer.alloc(0);
/** Milliseconds of work after which others have their turn. */
const TURN_MS = 10;

export class StagedTransaction {
  readonly #engine: Engine;
  readonly #client: Identity;
  /** What becomes of the replies of the client's own connection, by their place in EXEC. */
  readonly #stages = new Map<number, Stage>();
  readonly #kept: Kept[] = [];
  #twin: Twin | undefined;
  #turnBegan = 0;
  /** `broken`: EXEC will carry nothing out; `over`: nothing more is queued. */
  #fate: "open" | "broken" | "over" = "open";

  constructor(engine: Engine, client: Identity) {
    this.#engine = engine;
    this.#client = client;
  }

  /**
   * Queues something of ours, and makes this the transaction's way of being carried out.
   * @param queued what the engine queues in its place
   * @param ours its stage, and what the engine is to carry out, if anything
   * @param ask sends `queued` on the client's own connection
   * @returns the engine's reply: `+QUEUED`, or an error
   * @throws DOWN
   */
  async queue(
    transaction: Transaction,
    queued: Buffer,
    ours: { readonly bytes: Buffer | undefined; readonly stage: Stage },
    ask: () => Promise<Buffer>,
  ): Promise<Buffer> {
    // what the engine is to carry out must not overtake an earlier stage
    const keeps = this.#kept.length > 0 || (ours.bytes !== undefined && this.#stages.size > 0);
    const reply = await (keeps ? this.keep(queued, { ...ours, handle: undefined }) : ask());
    if (isQueued(reply)) {
      if (!keeps) this.#stages.set(transaction.queued++, ours.stage);
      transaction.staged = this;
    }
    return reply;
  }

  /**
   * Queues a command in the twin.
   * @param queued what the twin gets: the command, or a probe in its place
   * @returns the engine's reply: `+QUEUED`, or an error which will abort the transaction
   * @throws DOWN
   */
  async keep(queued: Buffer, kept: Kept): Promise<Buffer> {
    const reply = await this.#ask(queued);
    if (isError(reply)) this.abort();
    else this.#kept.push(kept);
    return reply;
  }

  /** The client was told that a command is wrong: EXEC will carry nothing out. */
  abort(): void {
    if (this.#fate === "open") this.#fate = "broken";
  }

  /** Forgets everything; the client's own connection is the caller's business. */
  discard(): void {
    this.#fate = "over";
    this.#twin?.client.close();
  }

  /**
   * Carries the transaction out; the gate is held by the caller.
   * @param ask sends bytes on the client's own connection and gives one reply; the others of `replies` come before it
   * @returns the reply for the client, and whether the transaction is over
   */
  async execute(transaction: Transaction, ask: (bytes: Buffer, replies: number) => Promise<Buffer>): Promise<Buffer> {
    const isBroken = this.#fate === "broken";
    this.discard();
    if (isBroken) {
      await ask(DISCARD, 1);
      return ABORTED;
    }
    const first = await ask(EXEC, 1);
    const aggregate = splitAggregate(first);
    if (!aggregate) return first;
    const replies = new ArrayCollector();
    const handlers = transaction.handlers();
    for (const [place, child] of aggregate.children.entries()) {
      const stage = this.#stages.get(place);
      replies.add(stage ? await this.#run(stage, child) : (handlers[place]?.(child) ?? child));
    }
    await this.#executeKept(replies, ask);
    return replies.joined();
  }

  /** Stages that wait for nothing must not keep everybody else waiting together. */
  async #run(stage: Stage, own: Buffer): Promise<Buffer> {
    if (performance.now() - this.#turnBegan > TURN_MS) {
      await new Promise(setImmediate);
      this.#turnBegan = performance.now();
    }
    return stage(own);
  }

  async #executeKept(replies: ArrayCollector, ask: (bytes: Buffer, replies: number) => Promise<Buffer>): Promise<void> {
    for (let next = 0; next < this.#kept.length; ) {
      // A part ends with the first command that has a stage of its own: that has to run before the next part.
      const part: Kept[] = [];
      let kept = this.#kept[next];
      for (; kept?.bytes; kept = this.#kept[++next]) {
        part.push(kept);
        if (!kept.stage) continue;
        next++;
        break;
      }
      if (part.length > 0) for (const reply of await this.#executePart(part, ask)) replies.add(reply);
      else if (kept?.stage) {
        replies.add(await this.#run(kept.stage, NOTHING));
        next++;
      }
    }
  }

  async #executePart(
    part: readonly Kept[],
    ask: (bytes: Buffer, replies: number) => Promise<Buffer>,
  ): Promise<Buffer[]> {
    const bytes = Buffer.concat([MULTI, ...part.flatMap((kept) => kept.bytes ?? []), EXEC]);
    const last = await ask(bytes, part.length + 2);
    const children = splitAggregate(last)?.children;
    const replies: Buffer[] = [];
    for (const [index, { handle, stage }] of part.entries()) {
      const child = children?.[index] ?? last;
      replies.push(stage ? await this.#run(stage, child) : (handle?.(child) ?? child));
    }
    return replies;
  }

  async #ask(bytes: Buffer): Promise<Buffer> {
    // nobody would close a twin that is opened now
    if (this.#fate === "over") throw DOWN;
    try {
      this.#twin ??= this.#openTwin();
      // a twin that is not what the client is must not be used, for it may not be in a transaction
      return (await this.#twin.refusal) ?? (await this.#twin.client.rawCall(bytes, 1));
    } catch (reason) {
      if (!(reason instanceof EngineClosed)) throw reason;
      this.abort();
      throw DOWN;
    }
  }

  /** Makes the twin who the client is, and begins its transaction. */
  #openTwin(): Twin {
    const client = new EngineClient(this.#engine.connect());
    const { credentials, database } = this.#client;
    const opening = [encodeCommand(["SELECT", String(database)]), MULTI];
    if (credentials) opening.unshift(encodeCommand(["AUTH", ...credentials]));
    const replies = client.rawCall(Buffer.concat(opening), opening.length);
    return { client, refusal: replies.then((all) => new FrameCollector().push(all).find(isError)) };
  }
}

/** Is this the engine's word that a command was queued? */
export const isQueued = (frame: Buffer): boolean => scalarText(frame) === "QUEUED";
