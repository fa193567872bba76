/**
 * Calls of `execute()` that a worker answers itself, by the engine in its own thread. Runs in the worker, outside the realm:
 * the messages come from scripts, so each is decoded as the main thread would. What is not plainly a call that may go this
 * way is left to the main thread, which also knows what to do with a message that is none.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { AttachedEngine, type EngineShare } from "../engine/attached.ts";
import { encodeCommand } from "../engine/encode.ts";
import { arityFits, MAX_REPLY, replyTooLong } from "../engine/engine.ts";
import { ReplyError } from "../errors.ts";
import { type SharedMemoryWords, Word } from "./channel.ts";
import { engineReply, errorReply, replyMessage } from "./call-reply.ts";
import type { CallReply } from "./python-host.ts";
import { BadMessage, type CallMessage, decodeMessage } from "./messages.ts";

/** Longer messages take the other way, on which they cost no more. */
const LONGEST_MESSAGE = 64 * 1024;
/** Longest name of a command. */
const LONGEST_NAME = 32;

export class DirectCalls {
  readonly #words: SharedMemoryWords;
  readonly #port: MessagePort;
  #share: EngineShare | undefined;
  #engine: AttachedEngine | undefined;

  /** @param port brings what is needed for the engine, when {@link Word.engineOffered} says that it does */
  constructor(words: SharedMemoryWords, port: MessagePort) {
    this.#words = words;
    this.#port = port;
  }

  /**
   * Answers a message of Python's.
   * @param message may be changed or freed after the call
   * @returns the message that is the answer; undefined when the main thread is to have the message
   * @throws whatever went wrong inside the engine
   */
  answer(message: Uint8Array): Buffer | undefined {
    if (Atomics.load(this.#words, Word.engineOffered) === 1) this.#attach();
    if (this.#engine?.isOpen !== true || message.length > LONGEST_MESSAGE) return undefined;
    const call = executeCall(message);
    if (call === undefined) return undefined;
    const reply = this.#run(this.#engine, call.args.args, call.args.task);
    return reply && replyMessage(call.seq, reply);
  }

  #attach(): void {
    Atomics.store(this.#words, Word.engineOffered, 0);
    const share = receiveMessageOnPort(this.#port)?.message as EngineShare | undefined;
    if (share === undefined) return;
    this.#share = share;
    this.#engine = new AttachedEngine(share, MAX_REPLY);
  }

  #run(engine: AttachedEngine, args: readonly Buffer[], task: number): CallReply | undefined {
    const name = args[0] as Buffer;
    if (name.length > LONGEST_NAME) return undefined;
    const arity = this.#share?.commands.get(name.toString("latin1").toLowerCase());
    if (arity === undefined || !arityFits(arity, args.length)) return undefined;
    const outcome = engine.execute(encodeCommand(args), task);
    if (outcome === "closed") return undefined;
    Atomics.add(this.#words, Word.directCalls, 1);
    Atomics.store(this.#words, Word.engineUsed, 1);
    if (outcome === "too long") return errorReply(replyTooLong(MAX_REPLY));
    if (outcome === "lost") return errorReply("the engine closed the connection");
    if (outcome.othersWait) Atomics.store(this.#words, Word.engineOwes, 1);
    return converted(outcome.reply);
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

/** A call of `execute()`; undefined for any other message. */
function executeCall(message: Uint8Array): Extract<CallMessage, { op: "execute" }> | undefined {
  if (!isExecute(message)) return undefined;
  try {
    const decoded = decodeMessage(message);
    return decoded.kind === "call" && decoded.op === "execute" ? decoded : undefined;
  } catch (error) {
    if (error instanceof BadMessage) return undefined;
    throw error;
  }
}

/** The operation as it stands in such a message, after the kind and a number, both of which are short. */
const OPERATION = Buffer.from("execute");
const OPERATION_WITHIN = 40;

/** Does it look like such a call? Most other messages are found out here. */
function isExecute(message: Uint8Array): boolean {
  const start = Buffer.from(message.buffer, message.byteOffset, Math.min(message.length, OPERATION_WITHIN));
  return start.includes(OPERATION);
}
