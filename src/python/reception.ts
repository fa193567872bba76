/** What interpreters send: each message is decoded, and handed to whom it concerns. */
import { InternalError, ReplyError, textOf } from "../errors.ts";
import type { Logger } from "../log.ts";
import { errorReply } from "./call-reply.ts";
import type { Home } from "./home.ts";
import type { Job } from "./job.ts";
import { isEntry } from "./chunk-memory.ts";
import {
  BadMessage,
  type CallMessage,
  type CallOp,
  decodeMessage,
  type JobPostOp,
  type PostArgs,
  type PostMessage,
  type ServerPostOp,
} from "./messages.ts";
import type { CallHandlers, CallReply, Handlers, PostHandlers } from "./python-host.ts";
import type { Tally } from "./tally.ts";

/** What a job tells of itself. */
export type JobMessage = PostMessage<JobPostOp>;

interface ReceptionOptions {
  readonly tally: Tally;
  readonly log: Pick<Logger, "error">;
  /** Called before each message is dealt with: what the interpreter's commands have caused comes first. */
  readonly before: () => void;
  /** @throws BadMessage when the job can not tell that now */
  readonly onJob: (home: Home, job: Job, message: JobMessage) => void;
  /** An interpreter waits, and a job may run on top of that. */
  readonly onOpen: () => void;
  /** Its code tells where it is. @throws BadMessage when it was not asked */
  readonly onSample: (home: Home, sample: PostArgs<"sample">) => void;
  /** The interpreter is to be ended. @param kind by which that is counted */
  readonly onFault: (home: Home, kind: "message" | "fatal", fault: string) => void;
}

export class Reception {
  /** Set before the first interpreter boots. */
  handlers: Handlers | undefined;
  readonly #options: ReceptionOptions;

  constructor(options: ReceptionOptions) {
    this.#options = options;
  }

  /** Deals with one message. Whatever it holds, nobody but its interpreter comes to harm. */
  take(home: Home, bytes: Uint8Array): void {
    try {
      if (isEntry(bytes)) {
        home.tellChunk(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
        return;
      }
      const message = decodeMessage(bytes);
      if (home.chunk?.tellsOthers) this.#options.before();
      if (home.chunk?.takes(message)) {
        this.#options.tally.posts++;
        return;
      }
      this.#options.before();
      if (message.kind === "call") this.#call(home, message);
      else this.#post(home, message);
    } catch (error) {
      this.#fault(home, error);
    }
  }

  #fault(home: Home, error: unknown): void {
    const { log, onFault } = this.#options;
    if (error instanceof BadMessage) {
      onFault(home, "message", `it sent what it may not: ${error.message}`);
      return;
    }
    log.error({ err: error }, "a message of a Python interpreter could not be dealt with");
    onFault(home, "fatal", "its message could not be dealt with");
  }

  #call<Op extends CallOp>(home: Home, { seq, op, args }: CallMessage<Op>): void {
    this.#options.tally.countCall(op);
    home.calls++;
    const answer = (reply: CallReply): void => home.reply(seq, reply);
    try {
      const handlers: CallHandlers = this.#handlers;
      const reply = handlers[op](home, args);
      if (reply instanceof Promise) reply.then(answer, (error: unknown) => this.#failed(home, seq, op, error));
      else answer(reply);
    } catch (error) {
      this.#failed(home, seq, op, error);
    }
  }

  #failed(home: Home, seq: number, op: CallOp, error: unknown): void {
    if (error instanceof BadMessage) {
      this.#fault(home, error);
      return;
    }
    if (!(error instanceof ReplyError)) this.#options.log.error({ err: error, op }, "a call from Python failed");
    home.reply(seq, errorReply(textOf(error)));
  }

  #post(home: Home, message: PostMessage): void {
    const { tally, onJob, onOpen } = this.#options;
    tally.posts++;
    switch (message.op) {
      case "script":
      case "results":
      case "done":
      case "waiting":
      case "running":
      case "covers": {
        const job = home.job(message.args.job);
        // undefined: it was given up already
        if (job) onJob(home, job, message);
        return;
      }
      case "open":
        onOpen();
        return;
      case "sample":
        this.#options.onSample(home, message.args);
        return;
      case "answer":
        home.answered(message.args);
        return;
      case "timer":
      case "restored":
      case "timer_restored":
        home.checkDue(message.op, message.args.number);
        break;
      case "compiled":
        throw new BadMessage("compiled: it was not asked to compile anything");
      default:
    }
    this.#take(home, message);
  }

  #take<Op extends ServerPostOp>(home: Home, { op, args }: PostMessage<Op>): void {
    const handlers: PostHandlers = this.#handlers;
    handlers[op](home, args);
  }

  get #handlers(): Handlers {
    if (!this.handlers) throw new InternalError("nobody answers yet");
    return this.handlers;
  }
}
