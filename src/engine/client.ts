/** The server's own use of the engine: commands in, values out, over one connection that speaks RESP2. */
import RedisParser from "redis-parser";
import { InternalError, ReplyError } from "../errors.ts";
import type { Maybe } from "../maybe.ts";
import { type CommandArgument, encodeCommand, encodeCommands } from "./encode.ts";
import { type EngineConnection, MAX_REPLY, replyTooLong } from "./engine.ts";
import { ReplyEnds } from "./reply-ends.ts";
import type { LentConnection } from "./threads.ts";
import { traitsOf } from "./traits.ts";

export { type CommandArgument, encodeCommand, encodeCommands };

/** An error reply of the engine; `message` is its whole text. */
export class EngineError extends ReplyError {
  override name = "EngineError";
}

/** The connection to the engine ended while replies were waited for, or had ended before. */
export class EngineClosed extends InternalError {
  override name = "EngineClosed";
}

/** A reply was longer than whoever asked can take; the connection has ended with it. */
class ReplyTooLong extends EngineClosed {
  override name = "ReplyTooLong";
  constructor(limit: number) {
    super(replyTooLong(limit));
  }
}

/**
 * A reply. Simple strings are Buffers like bulk strings, both kinds of nil are null, integers above 2^53 lose their last
 * digits (use {@link EngineClient.rawCall} where that matters).
 */
export type EngineValue = Buffer | number | null | EngineError | EngineValue[];

/** An engine connection which may be able to answer within the call, see `EmbeddedConnection.flushNow`. */
export interface DirectConnection extends EngineConnection {
  flushNow?(): void;
  flushShown?(): void;
  /** Hands the connection to another thread. */
  lend?(): LentConnection;
}

/** What waits for replies, in the order of its commands. */
interface Waiting {
  missing: number;
  /** Bytes that have come so far. */
  size: number;
  /** Undefined when the bytes themselves are wanted. */
  readonly values: EngineValue[] | undefined;
  readonly chunks: Buffer[];
  /** Called once, with undefined when all replies are there, or with the reason why they will not come. */
  readonly settle: (waiting: Waiting, error: EngineClosed | undefined) => void;
}

const MESSAGES = new Set(["message", "pmessage", "smessage"]);

export class EngineClient {
  /**
   * A message of a channel or pattern that this client subscribed to, with its kind (`message`, `pmessage`, `smessage`)
   * and the rest of it: channel and payload, or pattern, channel and payload.
   */
  onPush: (kind: string, values: readonly EngineValue[]) => void = () => {};
  /** The connection ended, not by {@link EngineClient.close}; called after everything that waited was rejected. */
  onClose: (reason: EngineClosed) => void = () => {};

  readonly #connection: DirectConnection;
  readonly #ends = new ReplyEnds();
  readonly #parser: RedisParser;
  readonly #queue: Waiting[] = [];
  #head = 0;
  #closed: EngineClosed | undefined;
  #subscribed = false;
  readonly #arrived: Buffer[] = [];
  readonly #maxReply: number;

  /**
   * Takes the connection over: nobody else may use it or set its callbacks.
   * @param maxReply bytes of replies to one request above which it is given up, and the connection with it
   */
  constructor(connection: DirectConnection, maxReply = MAX_REPLY) {
    this.#connection = connection;
    this.#maxReply = maxReply;
    this.#parser = new RedisParser({
      returnBuffers: true,
      returnReply: (reply) => this.#takeValue(toValue(reply)),
      returnError: (error) => this.#takeValue(toValue(error)),
      returnFatalError: (error) => this.#fail(new EngineClosed("the engine's reply is not RESP", { cause: error })),
    });
    connection.onData = (bytes) => this.#take(bytes);
    connection.onClose = (reason) =>
      this.#fail(new EngineClosed(reason?.message ?? "the engine closed the connection"));
  }

  /**
   * Sends one command.
   * @returns its reply; a (un)subscription of several channels gives its last confirmation
   * @throws EngineError for an error reply, EngineClosed when the connection ended first
   */
  async call(...args: readonly CommandArgument[]): Promise<EngineValue> {
    const subscription = traitsOf(String(args[0]).toLowerCase()).confirms === true;
    if (subscription) this.#subscribed = true;
    const replies = subscription ? Math.max(1, args.length - 1) : 1;
    const value = (await this.#request(encodeCommand(args), replies)).at(-1) ?? null;
    if (value instanceof EngineError) throw value;
    return value;
  }

  /**
   * Sends commands at once.
   * @returns their replies in order, error replies as values
   * @throws EngineClosed when the connection ended before the last reply
   */
  pipeline(commands: readonly (readonly CommandArgument[])[]): Promise<EngineValue[]> {
    if (commands.length === 0) return Promise.resolve([]);
    return this.#request(encodeCommands(commands), commands.length);
  }

  /**
   * Sends encoded commands.
   * @param replies how many replies they will have
   * @returns the bytes of those replies
   * @throws EngineClosed when the connection ended first
   */
  rawCall(bytes: Buffer, replies: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#send(bytes, replies, undefined, (waiting, error) =>
        error === undefined ? resolve(joined(waiting.chunks)) : reject(error),
      );
    });
  }

  /**
   * The same, at once where the engine can: then `done` is called before this returns. Otherwise later, exactly once.
   * @param shown MONITOR shows it, though it comes from the server
   */
  rawCallNow(
    bytes: Buffer,
    replies: number,
    done: (error: EngineClosed | undefined, reply: Buffer) => void,
    shown = false,
  ): void {
    this.#send(bytes, replies, undefined, (waiting, error) =>
      error === undefined ? done(undefined, joined(waiting.chunks)) : done(error, EMPTY),
    );
    if (shown) this.#connection.flushShown?.();
    else this.#connection.flushNow?.();
  }

  /**
   * The same with the reply as a value: there at once where the engine can answer within the call.
   * @throws EngineClosed when the connection ended first
   */
  ask(bytes: Buffer, replies: number, shown = false): Maybe<Buffer> {
    let answer: Buffer | EngineClosed | undefined;
    let settle: (() => void) | undefined;
    const done = (error: EngineClosed | undefined, reply: Buffer): void => {
      answer = error ?? reply;
      settle?.();
    };
    this.rawCallNow(bytes, replies, done, shown);
    const present = answer as Buffer | EngineClosed | undefined;
    if (present instanceof EngineClosed) throw present;
    if (present) return present;
    return new Promise((resolve, reject) => {
      settle = () => (answer instanceof EngineClosed ? reject(answer) : resolve(answer as Buffer));
    });
  }

  /** Ends the connection; what waits is rejected. */
  close(): void {
    if (this.#closed !== undefined) return;
    this.#connection.close();
    this.#reject(new EngineClosed("the connection to the engine was closed"));
  }

  #request(bytes: Buffer, replies: number): Promise<EngineValue[]> {
    return new Promise((resolve, reject) => {
      const values: EngineValue[] = [];
      this.#send(bytes, replies, values, (_waiting, error) => (error === undefined ? resolve(values) : reject(error)));
    });
  }

  #send(bytes: Buffer, replies: number, values: EngineValue[] | undefined, settle: Waiting["settle"]): void {
    const waiting: Waiting = { missing: replies, size: 0, values, chunks: [], settle };
    if (this.#closed !== undefined) {
      settle(waiting, this.#closed);
      return;
    }
    if (values === undefined && this.#subscribed) {
      throw new InternalError("a connection that has subscribed can not be used for raw replies");
    }
    this.#queue.push(waiting);
    this.#connection.write(bytes);
  }

  /** Bytes may arrive while earlier ones are being taken, when a receiver makes a call that is answered at once. */
  #take(bytes: Buffer): void {
    this.#arrived.push(bytes);
    if (this.#arrived.length > 1) return;
    for (let next = this.#arrived[0]; next !== undefined; next = this.#arrived[0]) {
      this.#split(next);
      this.#arrived.shift();
    }
  }

  /** Cuts the bytes into replies and gives each to what waits for it, decoded or as it is. */
  #split(bytes: Buffer): void {
    let start = 0;
    while (start < bytes.length && this.#closed === undefined) {
      const waiting = this.#queue[this.#head];
      if (waiting !== undefined && waiting.size + bytes.length - start > this.#maxReply) {
        // what follows it in these bytes counts too, which are few
        this.#fail(new ReplyTooLong(this.#maxReply));
      } else if (waiting !== undefined && waiting.values === undefined) {
        start = this.#takeRaw(waiting, bytes, start);
      } else {
        const end = this.#ends.next(bytes, start);
        const until = end < 0 ? bytes.length : end;
        if (waiting !== undefined) waiting.size += until - start;
        this.#decode(bytes.subarray(start, until));
        start = until;
      }
    }
  }

  #decode(bytes: Buffer): void {
    try {
      this.#parser.execute(bytes);
    } catch (error) {
      // The parser recurses; a script can answer arrays that are nested thousands of times.
      if (!(error instanceof RangeError)) throw error;
      this.#fail(new EngineClosed("the engine's reply is nested too deeply", { cause: error }));
    }
  }

  #takeRaw(waiting: Waiting, bytes: Buffer, start: number): number {
    let at = start;
    while (waiting.missing > 0) {
      const end = this.#ends.next(bytes, at);
      if (end < 0) {
        waiting.size += bytes.length - start;
        waiting.chunks.push(bytes.subarray(start));
        return bytes.length;
      }
      at = end;
      waiting.missing--;
    }
    waiting.chunks.push(bytes.subarray(start, at));
    this.#settled(waiting);
    return at;
  }

  #takeValue(value: EngineValue): void {
    if (this.#subscribed && Array.isArray(value)) {
      const kind = String(value[0]);
      if (MESSAGES.has(kind)) {
        this.onPush(kind, value.slice(1));
        return;
      }
    }
    const waiting = this.#queue[this.#head];
    // Nobody asked: the engine says why it closes the connection, such as `max number of clients reached`.
    if (waiting === undefined) {
      if (value instanceof EngineError) this.#fail(new EngineClosed(value.message));
      return;
    }
    waiting.values?.push(value);
    if (--waiting.missing === 0) this.#settled(waiting);
  }

  #settled(waiting: Waiting): void {
    this.#head++;
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0;
      this.#head = 0;
    } else if (this.#head > 1024) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    waiting.settle(waiting, undefined);
  }

  #fail(reason: EngineClosed): void {
    if (this.#closed !== undefined) return;
    this.#connection.close();
    this.#reject(reason);
    this.onClose(reason);
  }

  #reject(reason: EngineClosed): void {
    this.#closed = reason;
    for (const waiting of this.#queue.splice(this.#head)) waiting.settle(waiting, reason);
  }
}

const EMPTY = Buffer.alloc(0);

function joined(chunks: readonly Buffer[]): Buffer {
  const [first] = chunks;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
}

function toValue(reply: unknown): EngineValue {
  if (Array.isArray(reply)) return reply.map(toValue);
  if (reply instanceof Error) return new EngineError(reply.message);
  if (typeof reply === "number" || Buffer.isBuffer(reply)) return reply;
  return null;
}
