/** The server's own use of the engine: commands in, values out, over one connection that speaks RESP2. */
import RedisParser from "redis-parser";
import { InternalError, ReplyError } from "../errors.ts";
import type { Maybe } from "../maybe.ts";
import { Fifo } from "../resp/fifo.ts";
import { FrameError, FrameSplitter } from "../resp/frames.ts";
import { type CommandArgument, encodeCommand, encodeCommands } from "./encode.ts";
import { type EngineConnection, MAX_REPLY, replyTooLong } from "./engine.ts";
import type { LentConnection } from "./engine-threads.ts";
import { PatternMessages } from "./pattern-messages.ts";
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

/** A reply was longer than the caller can take, and the connection has been ended because of that. */
class ReplyTooLong extends EngineClosed {
  override name = "ReplyTooLong";
  constructor(limit: number) {
    super(replyTooLong(limit));
  }
}

/**
 * A reply. Simple strings are Buffers like bulk strings, both kinds of nil are null, integers that are no safe numbers
 * (from 2^53 on) are bigints.
 */
export type EngineValue = Buffer | number | bigint | null | EngineError | EngineValue[];

/** A connection of the server's own. */
export interface DirectConnection extends EngineConnection {
  flushShown?(): void;
  /** Hands the connection to another thread. */
  lend?(): LentConnection;
}

/** A request that waits for the replies to its commands. */
class Waiting {
  missing: number;
  /** Bytes that have come so far. */
  size = 0;
  readonly chunks: Buffer[] = [];
  /** Undefined when the bytes themselves are wanted. */
  readonly values: EngineValue[] | undefined;
  isSettled = false;
  /** Why the replies will not come. */
  error: EngineClosed | undefined;
  #onSettled: () => void = () => {};

  constructor(replies: number, values: EngineValue[] | undefined) {
    this.missing = replies;
    this.values = values;
  }

  /** Notes that all replies are there or, with an error, that they will not come. */
  settle(error?: EngineClosed): void {
    this.error = error;
    this.isSettled = true;
    this.#onSettled();
  }

  /** The bytes of the replies. @throws EngineClosed */
  get bytes(): Buffer {
    if (this.error) throw this.error;
    const [first] = this.chunks;
    return this.chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.chunks);
  }

  /** Resolves, or rejects, with what `read` gives or throws when this is settled. */
  later<T>(read: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const give = (): void => {
        try {
          resolve(read());
        } catch (reason) {
          reject(reason);
        }
      };
      if (this.isSettled) give();
      else this.#onSettled = give;
    });
  }
}

/** A long reply comes in parts, one with each flush: enough for the longest value. */
const MAX_FLUSHES = 16_384;

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
  readonly #ends = new FrameSplitter();
  readonly #parser: RedisParser;
  readonly #queue = new Fifo<Waiting>();
  #closed: EngineClosed | undefined;
  #subscribed = false;
  readonly #arrived = new Fifo<Buffer>();
  readonly #patterns = new PatternMessages();
  readonly #maxReply: number;
  readonly #peer: string;

  /**
   * Takes the connection over: nobody else may use it or set its callbacks.
   * @param maxReply bytes of replies to one request above which it is given up, and the connection with it
   * @param peer what people call the other end
   */
  constructor(connection: DirectConnection, maxReply = MAX_REPLY, peer = "the engine") {
    this.#connection = connection;
    this.#peer = peer;
    this.#maxReply = maxReply;
    this.#parser = new RedisParser({
      returnBuffers: true,
      stringNumbers: true,
      returnReply: (reply) => this.#takeValue(toValue(reply)),
      returnError: (error) => this.#takeValue(toValue(error)),
      returnFatalError: (error) => this.#failUnreadable(error),
    });
    connection.onData = (bytes) => this.#take(bytes);
    connection.onClose = (reason) => this.#fail(new EngineClosed(reason?.message ?? `${peer} closed the connection`));
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
  async rawCall(bytes: Buffer, replies: number): Promise<Buffer> {
    const waiting = this.#send(bytes, replies, undefined);
    return waiting.later(() => waiting.bytes);
  }

  /**
   * Sends encoded commands, and gives their replies at once where the engine can answer within the call.
   * @param way `shown`: MONITOR shows the commands, though the server sends them; `whole`: long replies come at once, too
   * @throws EngineClosed when the connection ended first
   */
  ask(bytes: Buffer, replies = 1, way?: "shown" | "whole"): Maybe<Buffer> {
    const waiting = this.#send(bytes, replies, undefined);
    if (way === "shown") this.#connection.flushShown?.();
    else this.flush();
    if (way === "whole" && this.#connection.flushNow)
      for (let flushes = 1; !waiting.isSettled && flushes < MAX_FLUSHES; flushes++) this.flush();
    return waiting.isSettled ? waiting.bytes : waiting.later(() => waiting.bytes);
  }

  /** Has the engine carry out within this call what was sent, where the engine can do that. */
  flush(): void {
    this.#connection.flushNow?.();
  }

  /**
   * What the engine writes to this client stays there until {@link letGo}, so that others can take it.
   * @returns its descriptor; undefined where that is not possible now
   */
  holdBack(): number | undefined {
    return this.#queue.length > 0 || this.#arrived.length > 0 ? undefined : this.#connection.holdBack?.()?.descriptor;
  }

  /** Takes what the engine has written meanwhile and somebody else has taken. */
  takeHeld(bytes: Buffer): void {
    this.#take(bytes);
  }

  letGo(): void {
    this.#connection.resume();
    this.flush();
  }

  /** Ends the connection; requests that wait are rejected. */
  close(): void {
    if (this.#closed !== undefined) return;
    this.#connection.close();
    this.#reject(new EngineClosed(`the connection to ${this.#peer} was closed`));
  }

  async #request(bytes: Buffer, replies: number): Promise<EngineValue[]> {
    const values: EngineValue[] = [];
    const waiting = this.#send(bytes, replies, values);
    return waiting.later(() => {
      if (waiting.error) throw waiting.error;
      return values;
    });
  }

  #send(bytes: Buffer, replies: number, values: EngineValue[] | undefined): Waiting {
    const waiting = new Waiting(replies, values);
    if (this.#closed !== undefined) {
      waiting.settle(this.#closed);
      return waiting;
    }
    if (values === undefined && this.#subscribed) {
      throw new InternalError("a connection that has subscribed can not be used for raw replies");
    }
    this.#queue.push(waiting);
    this.#connection.write(bytes);
    return waiting;
  }

  /** Bytes may arrive while earlier ones are being taken, when a receiver makes a call that is answered at once. */
  #take(bytes: Buffer): void {
    this.#arrived.push(bytes);
    if (this.#arrived.length > 1) return;
    for (let next = this.#arrived.first; next !== undefined; next = this.#arrived.first) {
      try {
        this.#split(next);
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
        this.#failUnreadable(error);
      }
      this.#arrived.shift();
    }
  }

  /** Cuts the bytes into replies and gives each to the request that waits for it, decoded or as it is. */
  #split(bytes: Buffer): void {
    let start = 0;
    while (start < bytes.length && this.#closed === undefined) {
      const pushed = this.#subscribed && !this.#ends.inside ? this.#patterns.take(bytes, start) : -1;
      if (pushed >= 0) {
        start = pushed;
        const { pattern, channel, payload } = this.#patterns;
        this.onPush("pmessage", [pattern, channel, payload]);
        continue;
      }
      const waiting = this.#queue.first;
      if (waiting !== undefined && waiting.size + bytes.length - start > this.#maxReply) {
        // the bytes of later replies in this piece are counted, too; they are few
        this.#fail(new ReplyTooLong(this.#maxReply));
      } else if (waiting !== undefined && waiting.values === undefined) {
        start = this.#takeRaw(waiting, bytes, start);
      } else {
        const end = this.#ends.end(bytes, start);
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
      this.#fail(new EngineClosed(`${this.#peer}'s reply is nested too deeply`, { cause: error }));
    }
  }

  #takeRaw(waiting: Waiting, bytes: Buffer, start: number): number {
    let at = start;
    while (waiting.missing > 0) {
      const end = this.#ends.end(bytes, at);
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
        const [, pattern, channel] = value;
        if (kind === "pmessage" && Buffer.isBuffer(pattern) && Buffer.isBuffer(channel))
          this.#patterns.learn(pattern, channel);
        this.onPush(kind, value.slice(1));
        return;
      }
    }
    const waiting = this.#queue.first;
    // No request waits: the engine says why it closes the connection, such as `max number of clients reached`.
    if (waiting === undefined) {
      if (value instanceof EngineError) this.#fail(new EngineClosed(value.message));
      return;
    }
    waiting.values?.push(value);
    if (--waiting.missing === 0) this.#settled(waiting);
  }

  #settled(waiting: Waiting): void {
    this.#queue.shift();
    waiting.settle();
  }

  #failUnreadable(cause: Error): void {
    this.#fail(new EngineClosed(`${this.#peer}'s reply is not RESP`, { cause }));
  }

  #fail(reason: EngineClosed): void {
    if (this.#closed !== undefined) return;
    this.#connection.close();
    this.#reject(reason);
    this.onClose(reason);
  }

  #reject(reason: EngineClosed): void {
    this.#closed = reason;
    for (const waiting of this.#queue.clear()) waiting.settle(reason);
  }
}

function toValue(reply: unknown): EngineValue {
  if (Array.isArray(reply)) return reply.map(toValue);
  if (reply instanceof Error) return new EngineError(reply.message);
  if (typeof reply === "string") return integerOf(reply);
  return Buffer.isBuffer(reply) ? reply : null;
}

/** All bits of an integer: a number would lose the last ones of a large one. */
function integerOf(digits: string): number | bigint {
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : BigInt(digits);
}
