/** One client: its socket, its engine connection, and the order between them. */
import type { Socket } from "node:net";
import type { Asking } from "../commands/path.ts";
import { type ClientAddresses, DOWN, ENGINE_DOWN, FULL_COMMANDS } from "../engine/engine.ts";
import { encode, error, raw, type Reply } from "../resp/reply.ts";
import { RequestDecoder } from "../resp/request-decoder.ts";
import { ClientAccess } from "./client-access.ts";
import { ClientLife } from "./client-life.ts";
import { ClientRequests } from "./client-requests.ts";
import { ClientState } from "./client-state.ts";
import { ClientTransaction } from "./client-transaction.ts";
import { ClientTurn } from "./client-turn.ts";
import { EngineLink } from "./engine-link.ts";
import type { Gateway } from "./gateway.ts";
import { type Watcher, watcherOf } from "./monitors.ts";
import { ClientOutput } from "./client-output.ts";
import type { PlanContext } from "./planners.ts";
import { isLocal } from "./protected.ts";
import { Replies } from "./replies.ts";

/** Undecoded bytes above which a client that has to wait is no longer read. */
const BACKLOG_HIGH_WATER = 1024 * 1024;
const INTERNAL_ERROR: Reply = error("ERR internal error");

export class Client {
  /** Called once, when the client has gone. */
  onClosed: () => void = () => {};

  readonly #id: number;
  readonly #socket: Socket;
  readonly #gateway: Gateway;
  readonly #life = new ClientLife();
  readonly #state = new ClientState();
  readonly #turn: ClientTurn;
  readonly #decoder: RequestDecoder;
  readonly #output: ClientOutput;
  readonly #replies: Replies;
  readonly #engine: EngineLink;
  readonly #requests: ClientRequests;
  readonly #watcher: Watcher;
  /** The client waits in the gate's list until nobody else holds the engine. */
  #gateAwaited = false;
  /** When it last sent something or made room for more. */
  #activeAt = performance.now();
  /** Closes a client that has closed its side, when the time for its last replies is over. */
  #linger: NodeJS.Timeout | undefined;

  constructor(id: number, socket: Socket, gateway: Gateway, addresses: ClientAddresses) {
    this.#id = id;
    this.#socket = socket;
    this.#gateway = gateway;
    this.#decoder = new RequestDecoder(gateway.limits);
    this.#decoder.authenticated = !gateway.authRequired;
    this.#turn = this.#makeTurn();
    this.#output = this.#makeOutput();
    this.#replies = new Replies(this.#state, {
      send: (bytes) => this.#output.write(bytes),
      shownLine: (line) => this.#engine.shownLine(line),
      settled: () => this.#settled(),
    });
    this.#watcher = watcherOf(this.#state, this.#replies);
    this.#engine = this.#makeLink(addresses);
    this.#requests = this.#makeRequests(addresses);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("end", () => this.#ended());
    socket.on("error", () => this.close());
    socket.on("close", () => this.close());
  }

  /** Reads nothing more, sends the replies that are owed, then closes. */
  finish(): void {
    if (!this.#life.advance("finishing")) return;
    this.#socket.pause();
    this.#endWhenSettled();
  }

  /** Has the client done nothing for so long? Redis does not count who waits for a reply, or listens. */
  isIdleFor(ms: number): boolean {
    const waits = (this.#turn.isExclusive || !this.#replies.empty) && !this.#output.full;
    return !this.#state.listens && !waits && performance.now() - this.#activeAt > ms;
  }

  /** Closes at once; what runs for the client goes on without it. */
  close(): void {
    if (!this.#life.advance("closed")) return;
    clearTimeout(this.#linger);
    this.#socket.destroy();
    this.#turn.depart();
    this.#state.transaction?.staged?.discard();
    this.#engine.close();
    this.#gateway.monitors.delete(this.#watcher);
    this.onClosed();
  }

  // ---- its parts ----

  #makeTurn(): ClientTurn {
    return new ClientTurn({
      isSettled: () => this.#replies.empty,
      isFull: () => this.#output.full,
      run: (job) => {
        if (this.#engine.over) throw DOWN;
        return this.#life.serves ? job() : undefined;
      },
      onFailed: (reason) => {
        if (reason !== DOWN) this.#gateway.log.error({ err: reason, client: this.#id }, "a command failed");
        this.#answer(reason === DOWN ? error(ENGINE_DOWN) : INTERNAL_ERROR);
      },
      onEnded: () => {
        this.#pump();
        this.#endWhenSettled();
      },
    });
  }

  #makeOutput(): ClientOutput {
    return new ClientOutput(this.#socket, this.#gateway.limits.maxOutput, {
      expectsMore: () => this.#turn.isExclusive,
      // messages come without being asked for, and the engine does not count long ones that wait for a subscriber
      onFull: () => !this.#state.subscribed && this.#engine.pause(),
      onDrain: () => {
        this.#activeAt = performance.now();
        this.#engine.resume();
        this.#turn.drained();
      },
      onOverflow: () => {
        this.#gateway.log.warn({ client: this.#id }, "a client that does not read its replies was disconnected");
        this.close();
      },
    });
  }

  #makeLink(addresses: ClientAddresses): EngineLink {
    return new EngineLink(this.#gateway.engine, this.#replies, addresses, {
      onDrain: () => this.#pump(),
      onEnd: () => this.#end(),
      onLost: () => {
        // what is under way for the client still answers, if only with an error
        this.finish();
        this.#settled();
      },
      onRefused: (reason) => {
        this.#gateway.log.debug({ err: reason, client: this.#id }, "the engine could not be reached for a client");
        this.#settled();
        this.#pump();
      },
      onBroken: (reason) => {
        this.#gateway.log.error({ err: reason, client: this.#id }, "the engine's reply can not be read");
        this.close();
      },
    });
  }

  #makeRequests(addresses: ClientAddresses): ClientRequests {
    const gateway = this.#gateway;
    const [life, turn, state, decoder] = [this.#life, this.#turn, this.#state, this.#decoder];
    const [replies, engine] = [this.#replies, this.#engine];
    const access = new ClientAccess(gateway, state, (request) => engine.ask(request, 1, true));
    const answerRaw = (chunks: readonly Uint8Array[]): void => this.#answerRaw(chunks);
    const common = { owner: this, id: this.#id, gateway, state, engine };
    const asking: Asking = { kind: "client", links: true, local: isLocal(this.#socket) };
    const planning: PlanContext = {
      state,
      identified: (authenticated) => {
        access.forget();
        decoder.authenticated = authenticated || !gateway.authRequired;
      },
      leaves: () => life.advance("leaving"),
      monitors: () => gateway.monitors.add(this.#watcher),
      asksToMonitor: (on) => engine.monitor(on),
    };
    return new ClientRequests({
      ...common,
      ...{ life, turn, decoder, replies, access, asking, addresses, planning, answerRaw },
      transaction: new ClientTransaction({ ...common, answer: answerRaw }),
      isFull: () => this.#output.full,
      answer: (reply) => this.#answer(reply),
      drop: () => this.close(),
    });
  }

  // ---- from the client ----

  #read(chunk: Buffer): void {
    if (!this.#life.reads) return;
    this.#activeAt = performance.now();
    this.#decoder.feed(chunk);
    this.#pump();
    if (this.#decoder.backlog > BACKLOG_HIGH_WATER && (this.#mustWait || !this.#gateOpen)) this.#socket.pause();
  }

  /** The client sends nothing more; it may still read what it asked for, but nobody waits long for that. */
  #ended(): void {
    if (!this.#life.advance("half-open")) return;
    this.#linger = setTimeout(() => this.close(), this.#gateway.limits.lingerMs);
    this.#linger.unref();
    this.#endWhenSettled();
  }

  /** Can no further request be dealt with now, or ever? */
  get #mustWait(): boolean {
    return this.#turn.isExclusive || this.#engine.full || this.#engine.over || !this.#life.serves;
  }

  get #gateOpen(): boolean {
    return this.#gateway.gate.isOpenFor(this);
  }

  /** Deals with what has come, as far as it may go. */
  #pump(): void {
    if (this.#life.isClosed || this.#turn.isDecoding) return;
    this.#turn.decode(() => this.#decode());
    const run = this.#decoder.takeRun();
    if (run) this.#engine.send(run);
    const { failure } = this.#decoder;
    if (failure) this.#unreadable(failure.text);
    else if (!this.#gateOpen) this.#awaitGate();
    else if (!this.#mustWait && this.#socket.isPaused() && this.#life.reads) this.#socket.resume();
  }

  #decode(): void {
    const decoder = this.#decoder;
    for (let count = 1; !this.#mustWait && decoder.next(); count++) {
      if (!this.#gateOpen && !this.#requests.passesGate) {
        decoder.putBack();
        return;
      }
      this.#requests.take();
      // a stranger's are refused at once, and the engine is to see how many they are
      if (count % FULL_COMMANDS === 0 && decoder.authenticated) this.#sendSome();
    }
  }

  /** So many commands in one piece: the embedded engine can not stop inside one. */
  #sendSome(): void {
    const run = this.#decoder.takeThrough();
    if (run) this.#engine.send(run);
  }

  #awaitGate(): void {
    if (this.#gateAwaited) return;
    this.#gateAwaited = true;
    this.#gateway.gate.whenOpen(this, () => {
      this.#gateAwaited = false;
      this.#pump();
      this.#endWhenSettled();
    });
  }

  #unreadable(text: string | undefined): void {
    if (!this.#life.reads) return;
    if (text === undefined) {
      this.#gateway.log.warn({ client: this.#id }, "a client whose request is too big was disconnected");
      this.close();
      return;
    }
    // the byte that the text complains of is sent as it came, as Redis does
    this.#answer(raw(Buffer.from(`-${text.replace(/[\r\n]/g, " ")}\r\n`, "latin1")));
    this.finish();
  }

  // ---- to the client ----

  #answer(reply: Reply): void {
    this.#answerRaw(encode(reply, this.#state.protocol));
  }

  #answerRaw(chunks: readonly Uint8Array[]): void {
    if (this.#life.serves) this.#replies.answer(chunks);
  }

  #settled(): void {
    this.#turn.settled();
    this.#endWhenSettled();
  }

  // ---- the end ----

  #endWhenSettled(): void {
    // what somebody who holds the engine keeps from being carried out was sent before the client closed its side
    const isHeldUp = this.#life.isHalfOpen && this.#gateAwaited && this.#decoder.backlog > 0;
    if (this.#life.endsWhenSettled && !this.#turn.isExclusive && this.#replies.empty && !isHeldUp) this.#end();
  }

  /** Sends what is left and closes. */
  #end(): void {
    if (!this.#life.advance("ending")) return;
    this.#output.flush();
    this.#socket.destroySoon();
    this.#socket.setTimeout(this.#gateway.limits.stalledMs, () => this.close());
  }
}
