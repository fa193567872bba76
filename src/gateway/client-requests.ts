/** What is done about each request of one client, once it was decoded: it passes, or has the client to itself. */
import type { Caller } from "../commands/caller.ts";
import type { CallsTogether, CommandContext, CommandRow } from "../commands/command.ts";
import { accessProbe, refusal } from "../commands/command-rights.ts";
import type { Asking, Handling, Path } from "../commands/path.ts";
import type { ClientAddresses } from "../engine/engine.ts";
import { encodeCommand } from "../engine/encode.ts";
import { traitsOf, wordOf } from "../engine/traits.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { encodeWhole, error, type Reply } from "../resp/reply.ts";
import type { RequestDecoder } from "../resp/request-decoder.ts";
import type { ClientAccess } from "./client-access.ts";
import { ClientChunks } from "./client-chunks.ts";
import type { ClientLife } from "./client-life.ts";
import type { ClientState } from "./client-state.ts";
import type { ClientTransaction } from "./client-transaction.ts";
import type { ClientTurn } from "./client-turn.ts";
import type { EngineLink } from "./engine-link.ts";
import type { Gateway } from "./gateway.ts";
import { PLAIN, type Plan, type PlanContext, refuse, translated } from "./planners.ts";
import type { Replies } from "./replies.ts";
import type { Route, Router } from "./router.ts";
import type { Stage } from "./transaction.ts";

const NOTHING = Buffer.alloc(0);

/** Any version that reads the engine's dumps. */
const REPLICA_VERSION = "9.1.0";
const TOO_OLD = "ERR a replica of this server has to be Valkey 9 or newer: others can not read its dumps";
/** Refused for its form, so that a transaction knows of it. */
const WRONG_SYNC = encodeCommand(["SYNC", "x"]);

interface RequestsOptions {
  readonly id: number;
  /** In whose name the engine is held. */
  readonly owner: object;
  readonly asking: Asking;
  readonly addresses: ClientAddresses;
  readonly gateway: Gateway;
  readonly life: ClientLife;
  readonly turn: ClientTurn;
  readonly state: ClientState;
  readonly decoder: RequestDecoder;
  readonly replies: Replies;
  readonly engine: EngineLink;
  readonly access: ClientAccess;
  readonly transaction: ClientTransaction;
  readonly planning: PlanContext;
  /** Does the client read too slowly? */
  readonly isFull: () => boolean;
  /** Gives the client a reply, or (already encoded) its bytes. */
  readonly answer: (reply: Reply) => void;
  readonly answerRaw: (chunks: readonly Uint8Array[]) => void;
  /** The client is to go, at once. */
  readonly drop: () => void;
}

export class ClientRequests {
  readonly #options: RequestsOptions;
  // What each request needs has a field of its own, for a client may send a million requests a second.
  readonly #path: Path;
  readonly #router: Router;
  readonly #decoder: RequestDecoder;
  readonly #replies: Replies;
  readonly #state: ClientState;
  readonly #chunks: ClientChunks;

  constructor(options: RequestsOptions) {
    this.#options = options;
    this.#path = options.gateway.path;
    this.#router = options.gateway.router;
    this.#decoder = options.decoder;
    this.#replies = options.replies;
    this.#state = options.state;
    const { asking, decoder, turn, state, replies, engine, isFull } = options;
    this.#chunks = new ClientChunks({
      ...{ path: this.#path, router: this.#router, asking, decoder, turn, state, replies, engine, isFull },
      caller: () => this.#caller(true),
    });
  }

  /** Is the present request served while somebody else holds the engine? It may be the holder that it is to end. */
  get passesGate(): boolean {
    return !this.#state.transaction && this.#router.passesGate(this.#decoder);
  }

  /** Deals with the decoder's present request. */
  take(): void {
    const route = this.#router.find(this.#decoder);
    if (this.#state.replicates) {
      // Whatever else it might send would get past what is to be known and done of commands.
      if (route?.name !== "replconf") this.#options.drop();
      return;
    }
    const watching = route?.watched === true || this.#path.active;
    if (route === undefined && !watching && this.#state.transaction?.staged === undefined) {
      this.#replies.expect();
      return;
    }
    if (route === undefined && watching && this.#chunks.take()) return;
    const name = route?.name ?? wordOf(this.#decoder.view(0));
    const { asking } = this.#options;
    const handling = watching && !traitsOf(name).unqueued ? this.#path.find(name, this.#decoder, asking) : undefined;
    if (handling) this.#handled(handling, this.#planFor(name, route));
    else if (route?.row) this.#own(route.row);
    else this.#pass(name, this.#planFor(name, route));
  }

  #planFor(name: string, route: Route | undefined): Plan {
    const { gateway, decoder, engine, state, asking, planning } = this.#options;
    if (!route) return PLAIN;
    if (traitsOf(name).commits) engine.commit();
    const plan = route.plan?.(decoder, planning, name) ?? PLAIN;
    const translation = gateway.path.translate(name, decoder, asking);
    return translation ? translated(plan, translation, state) : plan;
  }

  /** A command of the engine. */
  #pass(name: string, plan: Plan): void {
    const { state, turn, transaction, replies, engine } = this.#options;
    const staged = state.transaction?.staged;
    if (staged) {
      const bytes = this.#bytesOf(plan);
      this.#sendEarlier();
      turn.exclusive(() => transaction.pass(staged, name, plan, bytes));
    } else if (plan.kind === "special") {
      if (plan.instead) this.#sendEarlier();
      replies.expectSpecial(plan.handle);
      if (plan.instead) engine.send(plan.instead);
    } else if (plan.kind === "stream") this.#stream();
    else if (plan.kind === "silent") this.#silent();
    else if (plan.kind === "exec") replies.expectExec();
    else if (plan.kind === "confirmations") replies.expectConfirmations(plan.verb, plan.names);
    else if (plan.kind === "plain") replies.expect();
  }

  /** The present request is sent when all is answered that came before, for only then it is known whether this is a transaction. */
  #afterAll(send: (bytes: Buffer, inTransaction: boolean) => Promise<void> | void): void {
    const { decoder, state, turn } = this.#options;
    const bytes = Buffer.from(decoder.raw());
    this.#sendEarlier();
    turn.exclusive(async () => send(bytes, state.transaction !== undefined));
  }

  /** From now on what the engine sends is for the client, as it comes. In a transaction the engine refuses that. */
  #stream(): void {
    const { state, engine, replies, gateway, addresses, answer } = this.#options;
    this.#afterAll(async (bytes, inTransaction) => {
      if (!inTransaction && state.isOldReplica) {
        gateway.log.warn(
          `a server at ${addresses.peer} can not be a replica of this one: it has to be Valkey 9 or newer`,
        );
        return answer(error(TOO_OLD));
      }
      if (inTransaction) replies.expect();
      else {
        await this.#introduceReplica();
        state.replicates = true;
      }
      engine.send(bytes);
    });
  }

  /**
   * The engine does not know where it is, and takes who does not say what it can read for an older server: it can give no dump but
   * one of its own version, and programs that only fetch one do not read it.
   */
  async #introduceReplica(): Promise<void> {
    const { state, engine, addresses } = this.#options;
    const about = { version: REPLICA_VERSION, "ip-address": addresses.peer.replace(/:\d+$/, "") };
    for (const [word, value] of Object.entries(about))
      if (!state.toldAsReplica.has(word)) await engine.ask(encodeCommand(["REPLCONF", word, value]), 1, true);
  }

  /** There is no reply, which EXEC could not give either. */
  #silent(): void {
    const { engine, replies, state } = this.#options;
    this.#afterAll((bytes, inTransaction) => {
      if (inTransaction)
        replies.expectSpecial((frame) => refuse(frame, "ERR Command not allowed inside a transaction", state));
      engine.send(inTransaction ? WRONG_SYNC : bytes);
    });
  }

  /** What the engine gets for the present request. */
  #bytesOf(plan: Plan): Buffer {
    return (plan.kind === "special" && plan.instead) || Buffer.from(this.#options.decoder.raw());
  }

  /** What was decoded before the present request leaves for the engine; the request itself does not. */
  #sendEarlier(): void {
    const run = this.#options.decoder.takeBefore();
    if (run) this.#options.engine.send(run);
  }

  // ---- commands of ours ----

  #own(row: CommandRow): void {
    const { decoder, replies, state, access, turn, isFull, answer } = this.#options;
    if (row.together && this.#takesTogether(row, row.together)) return;
    const args = decoder.copy(1);
    const typedName = decoder.view(0).toString();
    this.#sendEarlier();
    const simple = replies.empty && !state.transaction && !state.restricted && !isFull();
    if (!simple || !access.isKnownToHave(row.access)) {
      turn.exclusive(() => this.#runOwn(row, args, typedName));
      return;
    }
    // the common case without a detour: nothing to wait for, and perhaps an immediate reply
    const reply = this.#carryOut(row, args, true, typedName);
    if (reply instanceof Promise) turn.exclusive(async () => answer(await reply));
    else {
      turn.endedAtOnce();
      answer(reply);
    }
  }

  /** Together with calls of the same command that follow: what else there is to do for each of them is done here. */
  #takesTogether(row: CommandRow, together: CallsTogether): boolean {
    const { access, gateway, addresses, answer } = this.#options;
    if (!access.isKnownToHave(row.access) || gateway.monitors.areWatched) return false;
    const typedName = Buffer.from(this.#decoder.view(0));
    return this.#chunks.takeOwn(row, together, (reply, args, ms) => {
      gateway.slowlog?.note(() => [typedName, ...args], ms, addresses.peer);
      answer(reply);
    });
  }

  async #runOwn(row: CommandRow, args: readonly Buffer[], typedName: string): Promise<void> {
    const { state, access, transaction, answer } = this.#options;
    const run = (canWait: boolean): Maybe<Reply> => this.#carryOut(row, args, canWait, typedName);
    if (!state.transaction) {
      const refused = await access.refusal(row);
      answer(refused === undefined ? await run(true) : error(refused));
      return;
    }
    const probe = accessProbe(row.access, false);
    const stage: Stage = async () => encodeWhole(await run(false), state.protocol);
    await transaction.queue(probe.request, undefined, stage, (reply) => refusal(reply, probe, row.name) ?? "");
  }

  #carryOut(row: CommandRow, args: readonly Buffer[], canWait: boolean, typedName: string): Maybe<Reply> {
    this.#showToMonitors(() => [Buffer.from(typedName), ...args]);
    return this.#options.gateway.commands.run(row, args, this.#contextOf(canWait, typedName, args));
  }

  #showToMonitors(words: () => readonly Buffer[]): void {
    const { gateway, state, addresses } = this.#options;
    gateway.monitors.show({ database: state.database, peer: addresses.peer }, words);
  }

  /** @param canWait false for the commands of a transaction */
  #caller(canWait: boolean): Caller {
    const { asking, owner } = this.#options;
    const { kind, links, local } = asking;
    return { kind, links, local, owner, user: this.#state.user, canWait };
  }

  /** What a handler may know of this client. */
  #contextOf(canWait: boolean, typedName: string, args: readonly Buffer[]): CommandContext {
    const { id, gateway, addresses, turn, life } = this.#options;
    const ran = (ms: number): void =>
      gateway.slowlog?.note(() => [Buffer.from(typedName), ...args], ms, addresses.peer);
    return turn.contextOf({ caller: this.#caller(canWait), clientId: id, typedName, ran }, life.isClosed);
  }

  // ---- commands about which something is to be done ----

  /** See {@link Handling}. */
  #handled(handling: Handling, plan: Plan): void {
    const { decoder, engine, state, turn, transaction, access, answerRaw } = this.#options;
    const bytes = this.#bytesOf(plan);
    const passes = handling.way === "after";
    const args = passes ? [] : decoder.copy(0);
    this.#sendEarlier();
    const run = (refused: string | undefined): Maybe<void> => {
      if (refused !== undefined) return transaction.refuse(refused);
      const canWait = state.transaction === undefined;
      const stage: Stage = (own) => {
        const caller = this.#caller(canWait);
        const shown = plan.kind === "special" && passes ? (plan.handle(own) ?? own) : own;
        // what the engine gets it shows itself
        if (handling.way === "instead") this.#showToMonitors(() => args);
        const reply = passes ? handling.run(caller, () => shown) : this.#runApart(handling, caller, bytes);
        return andThen(reply, (given) => encodeWhole(given, state.protocol));
      };
      if (!canWait) {
        const queued = passes ? bytes : accessProbe("any", false).request;
        return transaction.queue(queued, passes ? bytes : undefined, stage);
      }
      const reply = passes ? engine.ask(bytes, 1).then(stage) : stage(NOTHING);
      return andThen(reply, (frame) => answerRaw([frame]));
    };
    turn.exclusive(() => andThen(passes ? undefined : access.refusalOf(args), run));
  }

  #runApart({ whole, run }: Handling, caller: Caller, bytes: Buffer): Maybe<Reply> {
    const { engine } = this.#options;
    const next = (request = bytes): Maybe<Buffer> => engine.askAtOnce(request);
    return whole ? engine.toItsEnd(async () => run(caller, next)) : run(caller, next);
  }
}
