/**
 * What is being done for a client just now. A command of the engine passes while the client's requests are decoded; one of
 * ours, or one about which something is to be done, is exclusive: it begins when all earlier replies of this client have been
 * given, and nothing later is decoded until it has its reply.
 */
import type { Caller } from "../commands/caller.ts";
import type { CommandContext } from "../commands/command.ts";
import type { Maybe } from "../maybe.ts";

type Turn =
  /** What comes is decoded at once. */
  | { readonly at: "idle" }
  | { readonly at: "decoding" }
  /** An exclusive command waits for the earlier replies. */
  | { readonly at: "settling"; readonly job: Job }
  /** An exclusive command waits for the client to read what it has been sent. */
  | { readonly at: "draining"; readonly goOn: () => void }
  /** @param context what its handler knows of the client, if it has one */
  | { readonly at: "running"; readonly context: ClientContext | undefined };

/** What has the client to itself until it has ended. */
type Job = () => Maybe<void>;

/** Milliseconds that one client's exclusive commands may take in a row, while all others wait. */
const SLICE_MS = 5;

const IDLE: Turn = { at: "idle" };
const DECODING: Turn = { at: "decoding" };
const RUNNING: Turn = { at: "running", context: undefined };

interface TurnEvents {
  /** Has the client all replies that it is owed? */
  isSettled(): boolean;
  /** Does the client read too slowly? */
  isFull(): boolean;
  /** Begins a command. @throws what its job throws */
  run(job: Job): Maybe<void>;
  /** The command's job has thrown. */
  onFailed(reason: unknown): void;
  /** The command's job has ended, also when it has failed. Not called for one that has begun and ended while requests are decoded. */
  onEnded(): void;
}

/** What is known of a client when a command of it begins. */
type ClientFacts = Omit<Required<CommandContext>, "signal" | "observed" | "looked">;

export class ClientTurn {
  readonly #events: TurnEvents;
  #turn: Turn = IDLE;
  #decodingSince = 0;

  constructor(events: TurnEvents) {
    this.#events = events;
  }

  /** Does an exclusive command wait, or run? */
  get isExclusive(): boolean {
    return this.#turn !== IDLE && this.#turn !== DECODING;
  }

  get isDecoding(): boolean {
    return this.#turn === DECODING;
  }

  /** Decodes, unless that is being done, or something exclusive. @param decode may begin something exclusive */
  decode(decode: () => void): void {
    if (this.#turn !== IDLE) return;
    this.#turn = DECODING;
    this.#decodingSince = performance.now();
    decode();
    if (this.#turn === DECODING) this.#turn = IDLE;
  }

  /** Runs a job that has the client to itself. One that ends within the call does not end the decoding of requests. */
  exclusive(job: Job): void {
    if (this.#events.isSettled()) this.#begin(job);
    else this.#turn = { at: "settling", job };
  }

  /** What the handler of the command that is about to run may know of the client. */
  contextOf(of: ClientFacts, gone: boolean): CommandContext {
    const context = new ClientContext(of, gone);
    this.#turn = { at: "running", context };
    return context;
  }

  /** The command that was given a context has ended within the call. */
  endedAtOnce(): void {
    this.#turn = DECODING;
  }

  /** The client has all replies that it was owed. */
  settled(): void {
    if (this.#turn.at === "settling") this.#begin(this.#turn.job);
  }

  /** The client reads again. */
  drained(): void {
    if (this.#turn.at === "draining") this.#turn.goOn();
  }

  /** The client has gone: what runs for it may know. */
  depart(): void {
    this.drained();
    if (this.#turn.at === "running") this.#turn.context?.depart();
  }

  #begin(job: Job): void {
    const isDecoding = this.isDecoding;
    if (this.#turn.at !== "running") this.#turn = RUNNING;
    if (this.#events.isFull()) {
      const goOn = (): void => {
        this.#turn = RUNNING;
        this.#run(job, false);
      };
      this.#turn = { at: "draining", goOn };
    } else if (isDecoding && performance.now() - this.#decodingSince > SLICE_MS) {
      setImmediate(() => this.#run(job, false));
    } else this.#run(job, isDecoding);
  }

  #run(job: Job, isDecoding: boolean): void {
    const events = this.#events;
    const failed = (reason: unknown): void => events.onFailed(reason);
    try {
      const running = events.run(job);
      if (running) {
        void running.catch(failed).then(() => this.#end());
        return;
      }
    } catch (reason) {
      failed(reason);
    }
    if (isDecoding) this.#turn = DECODING;
    else this.#end();
  }

  #end(): void {
    this.#turn = IDLE;
    this.#events.onEnded();
  }
}

/** What the handler of a client's command may know of that client. Its signal is made only for those who ask. */
class ClientContext implements CommandContext {
  readonly caller: Caller;
  readonly clientId: number;
  readonly typedName: string;
  readonly ran: (ms: number) => void;
  #controller: AbortController | undefined;
  #gone: boolean;

  /** @param gone the client has gone already */
  constructor(of: ClientFacts, gone: boolean) {
    this.caller = of.caller;
    this.clientId = of.clientId;
    this.typedName = of.typedName;
    this.ran = of.ran;
    this.#gone = gone;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#gone) this.#controller.abort();
    return this.#controller.signal;
  }

  /** The client has gone. */
  depart(): void {
    this.#gone = true;
    this.#controller?.abort();
  }
}
