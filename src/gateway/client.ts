/**
 * One client: its socket, its engine connection, and the order between them.
 *
 * The engine's commands pass in runs, as bytes. A command of ours, or one about which something is to be done, is exclusive:
 * it begins when all earlier replies of this client have been given, and nothing later is read until it has its reply.
 */
import type { Socket } from "node:net";
import type { Caller } from "../commands/caller.ts";
import type { CommandContext, CommandRow } from "../commands/command.ts";
import { accessProbe, refusal } from "../commands/command-rights.ts";
import type { Asking, Handling } from "../commands/path.ts";
import { type ClientAddresses, DOWN, ENGINE_DOWN, FULL_COMMANDS } from "../engine/engine.ts";
import { traitsOf, wordOf } from "../engine/traits.ts";
import type { Maybe } from "../maybe.ts";
import { encode, encodeWhole, error, raw, type Reply } from "../resp/reply.ts";
import { RequestDecoder } from "../resp/request.ts";
import { ClientAccess } from "./client-access.ts";
import { ClientState } from "./client-state.ts";
import { ClientContext } from "./client-context.ts";
import { ClientTransaction } from "./client-transaction.ts";
import { EngineLink } from "./engine-link.ts";
import type { Gateway } from "./gateway.ts";
import { type Watcher, watcherOf } from "./monitors.ts";
import { ClientOutput } from "./output.ts";
import { isLocal } from "./protected.ts";
import { Replies } from "./replies.ts";
import type { Route } from "./router.ts";
import { PLAIN, type Plan, type PlanContext, translated } from "./planners.ts";
import type { Stage } from "./transaction.ts";

/** Undecoded bytes above which a client that has to wait is no longer read. */
const BACKLOG_HIGH_WATER = 1024 * 1024;
const INTERNAL_ERROR: Reply = error("ERR internal error");
const NOTHING = Buffer.alloc(0);

export class Client {
  /** Called once, when the client has gone. */
  onClosed: () => void = () => {};

  readonly #id: number;
  readonly #socket: Socket;
  readonly #gateway: Gateway;
  readonly #state = new ClientState();
  readonly #decoder: RequestDecoder;
  readonly #output: ClientOutput;
  readonly #replies: Replies;
  readonly #engine: EngineLink;
  readonly #access: ClientAccess;
  readonly #transaction: ClientTransaction;
  readonly #special: PlanContext;
  readonly #watcher: Watcher;
  readonly #asking: Asking;
  #pumping = false;
  /** An exclusive command is waiting or running. */
  #busy = false;
  #gateAwaited = false;
  /** Nothing more is read from the client; what it is owed is still sent. */
  #finishing = false;
  #closed = false;
  #onSettled: (() => void) | undefined;
  /** When it last sent something or made room for more. */
  #activeAt = performance.now();
  readonly #addresses: ClientAddresses;
  #onDrained: (() => void) | undefined;
  /** Of the command that runs. */
  #context: ClientContext | undefined;
  #linger: NodeJS.Timeout | undefined;

  constructor(id: number, socket: Socket, gateway: Gateway, addresses: ClientAddresses) {
    this.#id = id;
    this.#addresses = addresses;
    this.#socket = socket;
    this.#asking = { kind: "client", links: true, local: isLocal(socket) };
    this.#gateway = gateway;
    this.#decoder = new RequestDecoder(gateway.limits);
    this.#decoder.authenticated = !gateway.authRequired;
    this.#output = this.#makeOutput();
    this.#replies = new Replies(this.#state, {
      send: (bytes) => this.#output.write(bytes),
      shownLine: (line) => this.#engine.shownLine(line),
      settled: () => this.#settled(),
    });
    this.#watcher = watcherOf(this.#state, this.#replies);
    this.#engine = this.#makeLink(addresses);
    this.#access = new ClientAccess(gateway, this.#state, (request) => this.#engine.ask(request, 1, true));
    this.#transaction = new ClientTransaction({
      ...{ owner: this, id, gateway, state: this.#state, engine: this.#engine },
      answer: (chunks) => this.#answerRaw(chunks),
    });
    this.#special = {
      state: this.#state,
      identified: (authenticated) => {
        this.#access.forget();
        this.#decoder.authenticated = authenticated || !gateway.authRequired;
      },
      monitors: () => gateway.monitors.add(this.#watcher),
      asksToMonitor: (on) => this.#engine.monitor(on),
    };
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("end", () => this.#ended());
    socket.on("error", () => this.close());
    socket.on("close", () => this.close());
  }

  /** Reads nothing more, sends the replies that are owed, then closes. */
  finish(): void {
    if (this.#finishing || this.#closed) return;
    this.#finishing = true;
    this.#socket.pause();
    this.#endWhenSettled();
  }

  /** Has the client done nothing for so long? Redis does not count who waits for a reply, or listens. */
  isIdleFor(ms: number): boolean {
    const waits = (this.#busy || !this.#replies.empty) && !this.#output.full;
    return !this.#state.listens && !waits && performance.now() - this.#activeAt > ms;
  }

  /** Closes at once; what runs for the client goes on without it. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#linger);
    this.#socket.destroy();
    this.#context?.depart();
    this.#onDrained?.();
    this.#state.transaction?.staged?.discard();
    this.#engine.close();
    this.#gateway.monitors.delete(this.#watcher);
    this.onClosed();
  }

  #makeOutput(): ClientOutput {
    return new ClientOutput(this.#socket, this.#gateway.limits.maxOutput, {
      expectsMore: () => this.#busy,
      // messages come without being asked for, and the engine does not count long ones that wait for a subscriber
      onFull: () => !this.#state.subscribed && this.#engine.pause(),
      onDrain: () => {
        this.#activeAt = performance.now();
        this.#engine.resume();
        const waiting = this.#onDrained;
        this.#onDrained = undefined;
        waiting?.();
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
      onEnd: () => {
        this.#state.leaving = true;
        this.#end();
      },
      onLost: () => this.#lose(),
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

  // ---- from the client ----

  #read(chunk: Buffer): void {
    if (this.#finishing) return;
    this.#activeAt = performance.now();
    this.#decoder.feed(chunk);
    this.#pump();
    if (this.#decoder.backlog > BACKLOG_HIGH_WATER && (this.#mustWait() || !this.#gateOpen)) this.#socket.pause();
  }

  /** The client sends nothing more; it may still read what it asked for, but nobody waits long for that. */
  #ended(): void {
    this.#linger = setTimeout(() => this.close(), this.#gateway.limits.lingerMs);
    this.#linger.unref();
    this.#endWhenSettled();
  }

  #mustWait(): boolean {
    return this.#busy || this.#engine.full || this.#over;
  }

  /** Nothing more is carried out for this client: it has gone or said QUIT, or the engine knows it no longer. */
  get #over(): boolean {
    return this.#closed || this.#engine.over || this.#state.leaving;
  }

  get #gateOpen(): boolean {
    return this.#gateway.gate.isOpenFor(this);
  }

  /** Commands of control are served while somebody else holds the engine: it may be just what they are to end. */
  #passesGate(): boolean {
    return !this.#state.transaction && this.#gateway.router.passesGate(this.#decoder);
  }

  /** Decodes and routes what has come, as far as it may go. */
  #pump(): void {
    if (this.#pumping || this.#closed) return;
    this.#pumping = true;
    const decoder = this.#decoder;
    for (let count = 1; !this.#mustWait() && decoder.next(); count++) {
      if (!this.#gateOpen && !this.#passesGate()) {
        decoder.putBack();
        break;
      }
      this.#route();
      // a stranger's are refused at once, and the engine is to see how many they are
      if (count % FULL_COMMANDS === 0 && decoder.authenticated) this.#sendSome();
    }
    this.#pumping = false;
    const run = decoder.takeRun();
    if (run) this.#engine.send(run);
    if (decoder.failure) this.#unreadable(decoder.failure.text);
    else if (!this.#gateOpen) {
      if (!this.#gateAwaited) this.#awaitGate();
    } else if (!this.#mustWait() && this.#socket.isPaused() && !this.#finishing) this.#socket.resume();
  }

  /** So many commands in one piece: the embedded engine can not stop inside one. */
  #sendSome(): void {
    const run = this.#decoder.takeThrough();
    if (run) this.#engine.send(run);
  }

  #awaitGate(): void {
    this.#gateAwaited = true;
    this.#gateway.gate.whenOpen(this, () => {
      this.#gateAwaited = false;
      this.#pump();
    });
  }

  #unreadable(text: string | undefined): void {
    if (this.#finishing) return;
    if (text === undefined) {
      this.#gateway.log.warn({ client: this.#id }, "a client whose request is too big was disconnected");
      this.close();
      return;
    }
    // the byte that the text complains of is sent as it came, as Redis does
    this.#answer(raw(Buffer.from(`-${text.replace(/[\r\n]/g, " ")}\r\n`, "latin1")));
    this.finish();
  }

  #route(): void {
    const { path, router } = this.#gateway;
    const route = router.find(this.#decoder);
    const watching = route?.watched === true || path.active;
    if (route === undefined && !watching && this.#state.transaction?.staged === undefined) {
      this.#replies.expect();
      return;
    }
    const name = route?.name ?? wordOf(this.#decoder.view(0));
    const handling = watching && !traitsOf(name).unqueued ? path.find(name, this.#decoder, this.#asking) : undefined;
    if (handling) this.#handled(handling, this.#planFor(name, route));
    else if (route?.row) this.#own(route.row);
    else this.#pass(name, this.#planFor(name, route));
  }

  #planFor(name: string, route: Route | undefined): Plan {
    if (!route) return PLAIN;
    if (traitsOf(name).commits) this.#engine.commit();
    const plan = route.plan?.(this.#decoder, this.#special, name) ?? PLAIN;
    const translation = this.#gateway.path.translate(name, this.#decoder, this.#asking);
    return translation ? translated(plan, translation, this.#state) : plan;
  }

  /** A command of the engine. */
  #pass(name: string, plan: Plan): void {
    const staged = this.#state.transaction?.staged;
    if (staged) {
      const bytes = (plan.kind === "special" && plan.instead) || Buffer.from(this.#decoder.raw());
      this.#beforeExclusive();
      this.#exclusive(() => this.#transaction.pass(staged, name, plan, bytes));
    } else if (plan.kind === "special") {
      if (plan.instead) this.#beforeExclusive();
      this.#replies.expectSpecial(plan.handle);
      if (plan.instead) this.#engine.send(plan.instead);
    } else if (plan.kind === "exec") this.#replies.expectExec();
    else if (plan.kind === "confirmations") this.#replies.expectConfirmations(plan.verb, plan.names);
    else this.#replies.expect();
  }

  // ---- commands of ours ----

  #own(row: CommandRow): void {
    const args = this.#decoder.copy(1);
    const typedName = this.#decoder.view(0).toString();
    this.#beforeExclusive();
    const simple = this.#replies.empty && !this.#state.transaction && !this.#state.restricted && !this.#output.full;
    if (!simple || !this.#access.isKnownToHave(row.access)) {
      this.#exclusive(() => this.#runOwn(row, args, typedName));
      return;
    }
    // The common case without a detour: nothing to wait for, and perhaps an immediate reply.
    const reply = this.#carryOut(row, args, true, typedName);
    if (reply instanceof Promise) this.#exclusive(async () => this.#answer(await reply));
    else this.#answer(reply);
  }

  async #runOwn(row: CommandRow, args: readonly Buffer[], typedName: string): Promise<void> {
    const run = (canWait: boolean): Maybe<Reply> => this.#carryOut(row, args, canWait, typedName);
    if (!this.#state.transaction) {
      const refused = await this.#access.refusal(row);
      this.#answer(refused === undefined ? await run(true) : error(refused));
      return;
    }
    const probe = accessProbe(row.access, false);
    const stage: Stage = async () => encodeWhole(await run(false), this.#state.protocol);
    await this.#transaction.queue(probe.request, undefined, stage, (reply) => refusal(reply, probe, row.name) ?? "");
  }

  #carryOut(row: CommandRow, args: readonly Buffer[], canWait: boolean, typedName: string): Maybe<Reply> {
    this.#showToMonitors(() => [Buffer.from(typedName), ...args]);
    return this.#gateway.commands.run(row, args, this.#contextOf(canWait, typedName, args));
  }

  #showToMonitors(words: () => readonly Buffer[]): void {
    this.#gateway.monitors.show({ database: this.#state.database, peer: this.#addresses.peer }, words);
  }

  /** A command about which something is to be done; see {@link Handling}. */
  #handled(handling: Handling, plan: Plan): void {
    const bytes = (plan.kind === "special" && plan.instead) || Buffer.from(this.#decoder.raw());
    const passes = handling.way === "after";
    const args = passes ? [] : this.#decoder.copy(0);
    this.#beforeExclusive();
    this.#exclusive(async () => {
      const canWait = this.#state.transaction === undefined;
      const refused = passes ? undefined : await this.#access.refusalOf(args);
      if (refused !== undefined) return this.#transaction.refuse(refused);
      const stage: Stage = async (own) => {
        const caller = this.#caller(canWait);
        const shown = plan.kind === "special" && passes ? (plan.handle(own) ?? own) : own;
        // what the engine gets it shows itself
        if (handling.way === "instead") this.#showToMonitors(() => args);
        const reply = passes ? handling.run(caller, async () => shown) : this.#runApart(handling, caller, bytes);
        return encodeWhole(await reply, this.#state.protocol);
      };
      if (canWait) this.#answerRaw([await stage(passes ? await this.#engine.ask(bytes, 1) : NOTHING)]);
      else if (passes) await this.#transaction.queue(bytes, bytes, stage);
      else await this.#transaction.queue(accessProbe("any", false).request, undefined, stage);
    });
  }

  #runApart({ whole, run }: Handling, caller: Caller, bytes: Buffer): Maybe<Reply> {
    const next = (request = bytes): Maybe<Buffer> => this.#engine.askUrgently(request, 1);
    return whole ? this.#engine.toItsEnd(async () => run(caller, next)) : run(caller, next);
  }

  // ---- exclusive commands ----

  /** What was decoded before the present command leaves for the engine; the command itself does not. */
  #beforeExclusive(): void {
    const run = this.#decoder.takeBefore();
    if (run) this.#engine.send(run);
  }

  /** Runs a job when the client has all earlier replies; until it has ended nothing else of this client is done. */
  #exclusive(job: () => Promise<void>): void {
    this.#busy = true;
    const start = (): void => void this.#runExclusive(job);
    if (this.#replies.empty) start();
    else this.#onSettled = start;
  }

  async #runExclusive(job: () => Promise<void>): Promise<void> {
    try {
      if (this.#output.full) await new Promise<void>((resolve) => (this.#onDrained = resolve));
      if (this.#engine.over) throw DOWN;
      if (!this.#over) await job();
    } catch (reason) {
      if (reason !== DOWN) this.#gateway.log.error({ err: reason, client: this.#id }, "a command failed");
      this.#answer(reason === DOWN ? error(ENGINE_DOWN) : INTERNAL_ERROR);
    }
    this.#busy = false;
    this.#context = undefined;
    this.#pump();
    this.#endWhenSettled();
  }

  /** @param canWait false for the commands of a transaction */
  #caller(canWait: boolean): Caller {
    return { ...this.#asking, owner: this, user: this.#state.user, canWait };
  }

  /** What a handler may know of this client. */
  #contextOf(canWait: boolean, typedName: string, args: readonly Buffer[]): CommandContext {
    const ran = (ms: number): void =>
      this.#gateway.slowlog?.note(() => [Buffer.from(typedName), ...args], ms, this.#addresses.peer);
    const of = { caller: this.#caller(canWait), clientId: this.#id, typedName, ran };
    this.#context = new ClientContext(of, this.#closed);
    return this.#context;
  }

  #answer(reply: Reply): void {
    this.#answerRaw(encode(reply, this.#state.protocol));
  }

  #answerRaw(chunks: readonly Uint8Array[]): void {
    if (!this.#closed && !this.#state.leaving) this.#replies.answer(chunks);
  }

  // ---- the end ----

  /**
   * The engine has ended the client's connection, so nothing more is read from the client. Commands that are under way for it
   * still answer, if only with an error.
   */
  #lose(): void {
    this.finish();
    this.#settled();
  }

  #settled(): void {
    const next = this.#onSettled;
    this.#onSettled = undefined;
    next?.();
    this.#endWhenSettled();
  }

  #endWhenSettled(): void {
    const leaving = this.#finishing || this.#linger !== undefined;
    if (leaving && !this.#closed && !this.#busy && this.#replies.empty) this.#end();
  }

  /** Sends what is left and closes. */
  #end(): void {
    if (this.#closed) return;
    this.#finishing = true;
    this.#output.flush();
    this.#socket.destroySoon();
    this.#socket.setTimeout(this.#gateway.limits.stalledMs, () => this.close());
  }
}
