/**
 * The replies that a client is owed, in order. The engine's bytes pass through: plain replies as they come and without
 * copying, those of special commands whole, to be looked at; what the server itself answers waits for its turn.
 */
import {
  FrameCollector,
  FrameSplitter,
  isError,
  joinAggregate,
  scalarText,
  splitAggregate,
  wasTooLong,
} from "../resp/frames.ts";
import { Fifo } from "../resp/fifo.ts";
import type { ClientState } from "./client-state.ts";
import type { ReplyHandler } from "./transaction.ts";

type Owed =
  /** Replies of the engine that nobody needs to see. */
  | { readonly kind: "plain"; count: number }
  /** What does not fit into EXEC's array, see {@link Transaction.handlers}. */
  | {
      readonly kind: "surplus";
      readonly handlers: readonly (ReplyHandler | undefined)[];
      next: number;
      readonly muted: boolean;
    }
  | { readonly kind: "special"; readonly handle: ReplyHandler }
  | { readonly kind: "exec" }
  /** A reply for the server's own use: the client does not see it. */
  | { readonly kind: "private"; readonly handle: (frame: Buffer) => void; readonly fail: (reason: Error) => void }
  /** Confirmations; -1: as many as there are subscriptions when the first of them comes. */
  | { readonly kind: "subscription"; readonly verb: string; missing: number }
  /** Our own reply. */
  | { readonly kind: "own"; readonly chunks: readonly Uint8Array[] };

const PLUS = 43;
const MINUS = 45;
const STAR = 42;
const PUSH = 62;
const MESSAGES = /^[ps]?message$/;
const CONFIRMATIONS = /^[ps]?(?:un)?subscribe$/;
/** How a line of MONITOR begins; no reply of a command does. */
const MONITOR_LINE = /^\+\d+\.\d+ \[/;
const QUEUED = "+QUEUED";
/** Most bytes of lines that wait for the end of a reply; what comes while there are so many is not shown. */
const MAX_LATE = 1024 * 1024;

/** What happens to the frame that is coming in. */
const FORWARD = 0;
const FORWARD_UNASKED = 1;
const DROP = 2;
const COLLECT = 3;

interface ReplySink {
  /** Bytes for the client. */
  send(bytes: Uint8Array): void;
  /** What the client sees of a line of MONITOR that the engine sends; undefined: nothing. */
  shownLine(line: Buffer): Buffer | undefined;
  /** Every reply that was owed has been given. */
  settled(): void;
}

export class Replies {
  readonly #state: ClientState;
  readonly #sink: ReplySink;
  readonly #splitter = new FrameSplitter();
  readonly #collector = new FrameCollector();
  readonly #owed = new Fifo<Owed>();
  #mode = FORWARD;
  #inside = false;
  /** Lines of MONITOR that came in the middle of a reply. */
  readonly #late: Buffer[] = [];
  #lateBytes = 0;

  constructor(state: ClientState, sink: ReplySink) {
    this.#state = state;
    this.#sink = sink;
  }

  /** True when the client is owed nothing. */
  get empty(): boolean {
    return this.#owed.length === 0;
  }

  /** True when a reply has been passed on in part. */
  get inside(): boolean {
    return this.#inside;
  }

  /** One reply of the engine will come that may pass as it is. */
  expect(): void {
    const { last } = this.#owed;
    if (last?.kind === "plain") last.count++;
    else this.#owed.push({ kind: "plain", count: 1 });
  }

  /** One reply will come that `handle` wants to see, or change. If the engine queues the command, this happens at EXEC. */
  expectSpecial(handle: ReplyHandler): void {
    this.#owed.push({ kind: "special", handle });
  }

  expectExec(): void {
    this.#owed.push({ kind: "exec" });
  }

  /** Confirmations of `names` names will come. */
  expectConfirmations(verb: string, names: number): void {
    this.#owed.push({
      kind: "subscription",
      verb,
      missing: names === 0 && verb.includes("un") ? -1 : Math.max(1, names),
    });
  }

  /** One reply will come that is not for the client. @param fail is called when the engine goes first */
  expectPrivate(handle: (frame: Buffer) => void, fail: (reason: Error) => void): void {
    this.#owed.push({ kind: "private", handle, fail });
  }

  /** A reply of our own, to be sent after all that is owed before it. */
  answer(chunks: readonly Uint8Array[]): void {
    this.#owed.push({ kind: "own", chunks });
    this.#giveOwn();
  }

  /** A line of MONITOR of our own: not into the middle of what the engine sends. */
  showLine(line: Buffer): void {
    if (!this.#inside) this.answer([line]);
    else if (this.#lateBytes < MAX_LATE) {
      this.#late.push(line);
      this.#lateBytes += line.length;
    }
  }

  #showLate(): void {
    const lines = this.#late.splice(0);
    this.#lateBytes = 0;
    this.answer(lines);
  }

  /**
   * Passes on what the engine sent.
   * @throws FrameError when it is no RESP
   */
  receive(chunk: Buffer): void {
    if (this.#state.replicates) {
      this.#sink.send(chunk);
      return;
    }
    const owing = !this.empty;
    let at = 0;
    // What lies between `from` and `at` is for the client and has not left yet.
    let from = 0;
    while (at < chunk.length) {
      if (!this.#inside) {
        this.#mode = this.#modeFor(chunk[at] as number);
        this.#inside = true;
      }
      const mode = this.#mode;
      if (mode >= DROP && at > from) this.#sink.send(chunk.subarray(from, at));
      const end = mode === COLLECT ? this.#collector.read(chunk, at) : this.#splitter.end(chunk, at);
      at = end < 0 ? chunk.length : end;
      if (mode >= DROP) from = at;
      if (end < 0) break;
      this.#inside = false;
      if (mode === COLLECT) {
        this.#collected(this.#collector.take());
      } else if (mode !== FORWARD_UNASKED && this.#passed()) {
        if (at > from) this.#sink.send(chunk.subarray(from, at));
        from = at;
        this.#giveOwn();
      }
    }
    if (at > from) this.#sink.send(chunk.subarray(from, at));
    if (this.#late.length > 0 && !this.#inside) this.#showLate();
    if (owing && this.empty) this.#sink.settled();
  }

  /** The engine is gone: every reply that is owed becomes this error, our own ones stay what they are. */
  fail(reason: Error, errorReply: Buffer): void {
    this.#inside = false;
    for (let owed = this.#owed.shift(); owed; owed = this.#owed.shift()) {
      if (owed.kind === "private") owed.fail(reason);
      else if (owed.kind === "own") for (const chunk of owed.chunks) this.#give(chunk);
      else {
        const count = "count" in owed ? owed.count : 1;
        for (let given = 0; given < count; given++) this.#give(errorReply);
      }
    }
  }

  /** The connection is over: nothing is owed any more, and who waits for a private reply is told. */
  drop(reason: Error): void {
    this.#inside = false;
    for (const entry of this.#owed.clear()) if (entry.kind === "private") entry.fail(reason);
  }

  /** A new frame begins; only its type is known. */
  #modeFor(type: number): number {
    const head = this.#owed.first;
    const state = this.#state;
    if (type === PUSH) return head?.kind === "subscription" || head?.kind === "surplus" ? COLLECT : FORWARD_UNASKED;
    if (state.monitoring && type === PLUS) return COLLECT;
    if (head === undefined) return FORWARD_UNASKED;
    if (head.kind === "exec") return type === MINUS || state.replies !== "on" || this.#execNeeded() ? COLLECT : FORWARD;
    if (head.kind !== "plain") return COLLECT;
    if (type === STAR && state.restricted) return COLLECT;
    if (type === PLUS && state.transaction) state.transaction.queued++;
    return state.replies === "on" ? FORWARD : DROP;
  }

  #execNeeded(): boolean {
    return this.#state.transaction?.handled === true;
  }

  /** A frame that was forwarded or dropped is complete; tells whether our own reply is next. */
  #passed(): boolean {
    const head = this.#owed.first;
    if (head?.kind === "exec") this.#state.transaction = undefined;
    if (head && "count" in head && head.count > 1) head.count--;
    else this.#owed.shift();
    if (this.#mode === DROP && this.#state.replies === "skip") this.#state.replies = "on";
    return this.#owed.first?.kind === "own";
  }

  #giveOwn(): void {
    for (let head = this.#owed.first; head?.kind === "own"; head = this.#owed.first) {
      this.#owed.shift();
      if (!this.#muted()) for (const chunk of head.chunks) this.#sink.send(chunk);
    }
  }

  /** Is the next reply suppressed? To be asked once per reply. */
  #muted(): boolean {
    const { replies } = this.#state;
    if (replies === "skip") this.#state.replies = "on";
    return replies !== "on";
  }

  #give(bytes: Uint8Array | undefined): void {
    if (bytes && !this.#muted()) this.#sink.send(bytes);
  }

  /** A frame that was collected is complete. */
  #collected(frame: Buffer): void {
    const state = this.#state;
    if (state.monitoring && frame[0] === PLUS && MONITOR_LINE.test(frame.toString("latin1", 0, 40))) {
      const line = state.replies === "on" ? this.#sink.shownLine(frame) : undefined;
      if (line) this.#sink.send(line);
      return;
    }
    const head = this.#owed.first;
    if (head?.kind === "surplus") {
      this.#execChild(head.handlers[head.next++], frame, head.muted);
      if (head.next === head.handlers.length) this.#owed.shift();
      this.#giveOwn();
      return;
    }
    if ((frame[0] === PUSH || frame[0] === STAR) && this.#subscriptionFrame(frame)) return;
    switch (head?.kind) {
      case undefined:
      case "own":
        this.#sink.send(frame);
        return;
      case "plain":
        if (frame[0] === PLUS && state.transaction) state.transaction.queued++;
        this.#give(frame);
        if (head.count > 1) head.count--;
        else this.#owed.shift();
        break;
      case "private":
        this.#owed.shift();
        head.handle(frame);
        break;
      case "exec":
        this.#owed.shift();
        this.#exec(frame);
        break;
      case "special":
        this.#owed.shift();
        // The handler comes first: it may end the suppression of replies (`CLIENT REPLY ON`).
        this.#give(this.#queuedFor(frame, head.handle) ? frame : head.handle(frame));
        break;
      case "subscription": {
        const { verb, missing } = head;
        this.#owed.shift();
        const frames = missing < 0 ? state.confirmations(verb) : missing;
        if (this.#queuedFor(frame, (child) => this.#confirm(child), frames) && state.transaction) {
          state.transaction.subscribes = true;
        }
        this.#give(frame);
        break;
      }
    }
    this.#giveOwn();
  }

  /** Messages and confirmations, which are sent even to clients that want no replies. */
  #subscriptionFrame(frame: Buffer): boolean {
    const first = scalarText(splitAggregate(frame)?.children[0]);
    const head = this.#owed.first;
    if (head?.kind === "subscription" && CONFIRMATIONS.test(first)) {
      if (head.missing < 0) head.missing = this.#state.confirmations(head.verb);
      this.#confirm(frame);
      this.#sink.send(frame);
      if (--head.missing === 0) {
        this.#owed.shift();
        // A SKIP is used up although confirmations are sent all the same.
        if (this.#state.replies === "skip") this.#state.replies = "on";
        this.#giveOwn();
      }
      return true;
    }
    if (frame[0] !== PUSH && !(this.#state.restricted && MESSAGES.test(first))) return false;
    this.#sink.send(frame);
    return true;
  }

  #confirm(frame: Buffer): Buffer {
    const [verb, , total] = splitAggregate(frame)?.children ?? [];
    if (verb && total && CONFIRMATIONS.test(scalarText(verb)))
      this.#state.confirmed(scalarText(verb), Number(scalarText(total)));
    return frame;
  }

  /** Inside MULTI the engine queues: then the handler is kept for EXEC. */
  #queuedFor(frame: Buffer, handle: ReplyHandler, frames = 1): boolean {
    const transaction = this.#state.transaction;
    if (!transaction || frame[0] !== PLUS || frame.toString("latin1", 0, QUEUED.length) !== QUEUED) return false;
    transaction.queue(handle, frames);
    return true;
  }

  #exec(frame: Buffer): void {
    const transaction = this.#state.transaction;
    const ended = !isError(frame) || wasTooLong(frame) || scalarText(frame).startsWith("EXECABORT");
    if (ended) this.#state.transaction = undefined;
    const aggregate = transaction && ended ? splitAggregate(frame) : undefined;
    if (!transaction || !aggregate) {
      this.#give(frame);
      return;
    }
    const handlers = transaction.handlers();
    const rest = handlers.slice(aggregate.children.length);
    const muted = this.#muted();
    if (rest.length > 0) this.#owed.unshift({ kind: "surplus", handlers: rest, next: 0, muted });
    if (muted) {
      for (const [place, child] of aggregate.children.entries()) this.#execChild(handlers[place], child, true);
      return;
    }
    const children = aggregate.children.map((child, place) => handlers[place]?.(child) ?? child);
    this.#sink.send(joinAggregate({ type: aggregate.type, children }));
  }

  /** A single reply of EXEC, outside its array; confirmations are sent even to a client that wants no replies. */
  #execChild(handle: ReplyHandler | undefined, child: Buffer, muted: boolean): void {
    const shown = handle?.(child) ?? child;
    const first = scalarText(splitAggregate(child)?.children[0]);
    if (!muted || CONFIRMATIONS.test(first)) this.#sink.send(shown);
  }
}
