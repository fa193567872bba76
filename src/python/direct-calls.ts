/**
 * Commands of `execute()` that a worker carries out itself, by the engine in its own thread. Runs in the worker, outside the
 * realm: the requests come from scripts, so nothing in them is believed. A request that is not plainly a command that may go
 * this way is not carried out. Python then asks the main thread, which also tells what is wrong with a wrong one.
 *
 * A loop of `execute()` is as fast as this file: a request is read where it lies in Python's memory, the reply is written
 * there, and no object is made on the way.
 */
import { isUtf8 } from "node:buffer";
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { AttachedEngine, type EngineShare } from "../engine/attached-engine.ts";
import { arityFits, MAX_REPLY, replyTooLong } from "../engine/engine.ts";
import { ReplyError } from "../errors.ts";
import { type SharedMemoryWords, Word } from "./channel.ts";
import { engineReply, errorReply } from "./call-reply.ts";
import { CommandNames } from "./command-names.ts";
import type { CallReply } from "./python-host.ts";
import { MARSHAL_TYPE, MarshalWriter } from "./marshal.ts";
import { DIRECT_OUTCOME, ReplyStatus } from "./protocol.ts";

/** The place in Python's memory for answers. */
export interface AnswerPlace {
  readonly start: number;
  readonly size: number;
}

/** Longer requests go to the main thread: for them that costs hardly more. */
const LONGEST_REQUEST = 64 * 1024;
/**
 * Room for the longest command. A word is longest in RESP, compared with the request, when it is a number: about three
 * times.
 */
const LONGEST_COMMAND = LONGEST_REQUEST * 4;
/** Bytes before the words of a request: the head of a tuple of two, the sender, and the head of the list of words. */
const REQUEST_HEAD = 15;
/** Bytes of the type and the length of a value. */
const VALUE_HEAD = 5;
/** Up to so many bytes are copied one by one: the two views that `set` needs cost more than such a copy. */
const FEW_BYTES = 64;
/** Most digits of an integer reply that is told by the outcome itself. */
const MOST_DIGITS = 8;

/**
 * In place of a command's size. REFUSED: it can not go this way. UNSURE: perhaps it can, once its words are texts and bytes.
 */
const REFUSED = 0;
const UNSURE = -1;

const [PLUS, COLON, DOLLAR, STAR, MINUS, ZERO, CR, LF] = [0x2b, 0x3a, 0x24, 0x2a, 0x2d, 0x30, 0x0d, 0x0a] as const;

export class DirectCalls {
  readonly #words: SharedMemoryWords;
  readonly #port: MessagePort;
  readonly #command = Buffer.allocUnsafeSlow(LONGEST_COMMAND);
  #names = new CommandNames(new Map());
  #engine: AttachedEngine | undefined;
  /** Who sends the command, see {@link AttachedEngine.execute}. */
  #sender = 0;
  #long: Buffer | undefined;

  /** @param port brings an {@link EngineShare}, when {@link Word.engineOffered} says so */
  constructor(words: SharedMemoryWords, port: MessagePort) {
    this.#words = words;
    this.#port = port;
  }

  /** Takes the answer that did not fit into its place, if there is one. */
  takeLong(): Buffer | undefined {
    const long = this.#long;
    this.#long = undefined;
    return long;
  }

  /**
   * Carries a command out.
   * @param heap Python's memory
   * @param start where the request begins, `(sender, words)` in marshal's format; words in a list are texts and bytes for certain
   * @param end where it ends; both lie in the memory
   * @param place for the answer; lies in the memory, too
   * @returns one of {@link DIRECT_OUTCOME}
   * @throws whatever went wrong inside the engine
   */
  carryOut(heap: Uint8Array, start: number, end: number, place: AnswerPlace): number {
    const engine = this.attached;
    if (engine?.isOpen !== true || end - start > LONGEST_REQUEST) return DIRECT_OUTCOME.notHere;
    const size = this.#encode(heap, start, end);
    if (size <= 0) return size === UNSURE ? DIRECT_OUTCOME.unsure : DIRECT_OUTCOME.notHere;
    const outcome = engine.execute(this.#command, size, this.#sender);
    if (outcome === "closed") return DIRECT_OUTCOME.notHere;
    Atomics.add(this.#words, Word.directCalls, 1);
    if (outcome === "too long") return this.#answer(errorReply(replyTooLong(MAX_REPLY)), heap, place);
    if (outcome === "lost") return this.#answer(errorReply("the engine closed the connection"), heap, place);
    if (engine.othersWait) Atomics.store(this.#words, Word.engineOwes, 1);
    return this.#convert(engine.reply, engine.replySize, heap, place);
  }

  /** The engine in this thread; undefined until the main thread has let this one use it. */
  get attached(): AttachedEngine | undefined {
    if (Atomics.load(this.#words, Word.engineOffered) === 1) this.#attach();
    return this.#engine;
  }

  #attach(): void {
    Atomics.store(this.#words, Word.engineOffered, 0);
    const share = receiveMessageOnPort(this.#port)?.message as EngineShare | undefined;
    if (share === undefined) return;
    this.#names = new CommandNames(share.commands);
    this.#engine = new AttachedEngine(share, MAX_REPLY);
  }

  /** Makes RESP of a request. @returns its size, or {@link REFUSED}, or {@link UNSURE} */
  #encode(heap: Uint8Array, start: number, end: number): number {
    const list = start + REQUEST_HEAD - VALUE_HEAD;
    if (end - start < REQUEST_HEAD || numberAt(heap, start + 1) !== 2) return REFUSED;
    if (heap[start] !== MARSHAL_TYPE.tuple || heap[start + VALUE_HEAD] !== MARSHAL_TYPE.int) return REFUSED;
    const isChecked = heap[list] === MARSHAL_TYPE.list;
    if (!isChecked && heap[list] !== MARSHAL_TYPE.tuple) return REFUSED;
    this.#sender = numberAt(heap, start + VALUE_HEAD + 1);
    const count = numberAt(heap, list + 1);
    let from = list + VALUE_HEAD;
    let at = this.#head(0, STAR, count);
    for (let i = 0; i < count; i++) {
      if (end - from < VALUE_HEAD) return i === 0 ? REFUSED : UNSURE;
      const type = heap[from];
      const length = numberAt(heap, from + 1);
      from += VALUE_HEAD;
      if (type === MARSHAL_TYPE.int && i > 0 && !isChecked) {
        at = this.#decimal(at, length);
        continue;
      }
      // in a tuple, marshal writes as bytes any object that gives out its memory: only a list is known to hold true bytes
      if (type !== MARSHAL_TYPE.text && (type !== MARSHAL_TYPE.bytes || !isChecked)) return UNSURE;
      if (length < 0 || length > end - from) return REFUSED;
      if (i === 0 && !this.#isKnown(heap, from, length, count)) return REFUSED;
      at = this.#head(at, DOLLAR, length);
      // marshal lets lone surrogates pass
      const isFine = this.#copy(heap, from, length, at) || type === MARSHAL_TYPE.bytes || this.#isText(at, at + length);
      if (!isFine) return UNSURE;
      from += length;
      at = this.#lineEnd(at + length);
    }
    return count > 0 ? at : REFUSED;
  }

  #isKnown(heap: Uint8Array, start: number, length: number, words: number): boolean {
    const arity = this.#names.arityOf(heap, start, length);
    return arity !== 0 && arityFits(arity, words);
  }

  /** Writes the head of a list or string. @returns where it ends */
  #head(start: number, type: number, value: number): number {
    const command = this.#command;
    command[start] = type;
    let end = start + 2;
    for (let limit = 10; value >= limit; limit *= 10) end++;
    for (let at = end - 1, rest = value; at > start; at--) {
      const next = (rest / 10) | 0;
      command[at] = ZERO + rest - next * 10;
      rest = next;
    }
    return this.#lineEnd(end);
  }

  /** Writes a number as a word. @returns where it ends */
  #decimal(start: number, value: number): number {
    const text = String(value);
    let at = this.#head(start, DOLLAR, text.length);
    for (let i = 0; i < text.length; i++) this.#command[at++] = text.charCodeAt(i);
    return this.#lineEnd(at);
  }

  #lineEnd(at: number): number {
    this.#command[at] = CR;
    this.#command[at + 1] = LF;
    return at + 2;
  }

  /** Copies bytes into the command. @returns true when all of them are known to be ASCII */
  #copy(heap: Uint8Array, start: number, length: number, to: number): boolean {
    if (length > FEW_BYTES) {
      this.#command.set(heap.subarray(start, start + length), to);
      return false;
    }
    let bits = 0;
    for (let i = 0; i < length; i++) {
      const byte = heap[start + i] as number;
      this.#command[to + i] = byte;
      bits |= byte;
    }
    return bits < 128;
  }

  #isText(start: number, end: number): boolean {
    return isUtf8(this.#command.subarray(start, end));
  }

  /** Gives Python the engine's reply, the usual ones without a value in between. */
  #convert(reply: Buffer, size: number, heap: Uint8Array, place: AnswerPlace): number {
    const type = reply[0];
    if (type === COLON && size <= MOST_DIGITS + 3 && reply[1] !== MINUS) {
      let value = 0;
      for (let at = 1; at < size - 2; at++) value = value * 10 + (reply[at] as number) - ZERO;
      return DIRECT_OUTCOME.whole + value;
    }
    if (type === PLUS) {
      if (size === 5 && reply[1] === 0x4f && reply[2] === 0x4b) return DIRECT_OUTCOME.ok;
      return this.#text(reply, 1, size - 2, heap, place);
    }
    if (type === DOLLAR) {
      if (reply[1] === MINUS) return DIRECT_OUTCOME.none;
      let start = 1;
      while (reply[start] !== CR) start++;
      return this.#text(reply, start + 2, size - 2, heap, place);
    }
    return this.#answer(converted(reply.subarray(0, size)), heap, place);
  }

  #text(reply: Buffer, start: number, end: number, heap: Uint8Array, { start: to, size }: AnswerPlace): number {
    const length = end - start;
    // an answer that fills its place would look to Python as if more followed
    if (length + VALUE_HEAD >= size) return this.#keep(converted(reply.subarray(0, end + 2)));
    let isText = true;
    if (length > FEW_BYTES) {
      const bytes = reply.subarray(start, end);
      isText = isUtf8(bytes);
      heap.set(bytes, to + VALUE_HEAD);
    } else {
      let bits = 0;
      for (let i = 0; i < length; i++) {
        const byte = reply[start + i] as number;
        heap[to + VALUE_HEAD + i] = byte;
        bits |= byte;
      }
      if (bits > 127) isText = isUtf8(reply.subarray(start, end));
    }
    heap[to] = isText ? MARSHAL_TYPE.text : MARSHAL_TYPE.bytes;
    for (let i = 0; i < 4; i++) heap[to + 1 + i] = length >>> (i * 8);
    return isText ? DIRECT_OUTCOME.value : DIRECT_OUTCOME.withBytes;
  }

  #answer(answer: CallReply, heap: Uint8Array, { start, size }: AnswerPlace): number {
    const { status, value } = answer;
    if (value.length >= size) return this.#keep(answer);
    heap.set(value, start);
    if (status === ReplyStatus.error) return DIRECT_OUTCOME.error;
    return status === ReplyStatus.withBytes ? DIRECT_OUTCOME.withBytes : DIRECT_OUTCOME.value;
  }

  #keep({ status, value }: CallReply): number {
    this.#long = new MarshalWriter(value.length + 32).list(2).int(status).encoded(value).finish();
    return DIRECT_OUTCOME.long;
  }
}

function converted(reply: Buffer): CallReply {
  try {
    return engineReply(reply);
  } catch (error) {
    if (!(error instanceof ReplyError)) throw error;
    return errorReply(error.message);
  }
}

/** A number of 32 bits, signed. */
const numberAt = (bytes: Uint8Array, at: number): number =>
  (bytes[at] as number) |
  ((bytes[at + 1] as number) << 8) |
  ((bytes[at + 2] as number) << 16) |
  ((bytes[at + 3] as number) << 24);
