/**
 * Connections of scripts to other servers. Each belongs to the interpreter and the session whose code has opened it. Nothing
 * here waits on behalf of Python: what takes its time is told by a message `connection`. A text `CODE words` in the place of a
 * value is an error, of which Python makes an exception.
 */
import { ReplyError } from "../errors.ts";
import type { SessionRegistry } from "../executions/session.ts";
import type { Logger } from "../log.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { okReply } from "../python/call-reply.ts";
import type { MarshalValue } from "../python/marshal.ts";
import { BadMessage, type CallArgs, type PostArgs } from "../python/messages.ts";
import type { ConnectionAnswer } from "../python/protocol.ts";
import type { CallContext, CallReply, Handlers } from "../python/python-host.ts";
import { certificateFields } from "./certificate.ts";
import { Connection, Readiness } from "./connection.ts";
import type { ConnectionFigures } from "./figures.ts";
import { Held, InterpreterConnections } from "./interpreter-connections.ts";
import type { Found, Judge } from "./judge.ts";
import { shownTarget } from "./targets.ts";
import type { TlsContexts } from "./tls-contexts.ts";

export interface ConnectionsOptions {
  readonly judge: Judge;
  readonly contexts: TlsContexts;
  readonly maxPerInterpreter: number;
  /** Most bytes that a connection holds unread, and most that it holds unsent. */
  readonly bufferBytes: number;
  readonly sessions: Pick<SessionRegistry, "isOthers">;
  readonly log: Pick<Logger, "info">;
}

/** What is asked here. */
type Own = Extract<keyof Handlers, `connection_${string}` | "connections_end">;

/** A connection for people. */
export interface ListedConnection {
  readonly interpreter: number;
  readonly session: string;
  readonly user: string;
  readonly connection: Connection;
}

interface Interpreter {
  readonly caller: CallContext;
  readonly own: InterpreterConnections;
}

const CLOSED = "EBADF the connection was closed";

export class Connections {
  readonly handlers: Pick<Handlers, Own> = {
    connection_open: (caller, args) => this.#allowed(caller, () => this.#open(caller, args)),
    connection_receive: (caller, { connection, max, peek }) =>
      this.#allowed(caller, () => okReply(taken(this.#find(caller.home, connection), max, peek))),
    connection_send: (caller, { connection, data }) =>
      this.#allowed(caller, () => okReply(sent(this.#find(caller.home, connection), data))),
    connection_poll: ({ home }, { wanted }) => okReply(this.#poll(home, wanted)),
    connection_state: ({ home }, { connection }) => okReply(state(this.#find(home, connection)?.connection)),
    connection_certificate: ({ home }, { connection }) =>
      okReply(certificateFields(this.#find(home, connection)?.connection.certificate)),
    connection_resolve: (caller, args) => this.#resolve(caller, args),
    connection_secure: (caller, args) => this.#secure(caller, args),
    connection_take: (caller, { connection, max }) =>
      this.#await(caller, connection, "take", Readiness.read, () => this.#take(caller, connection, max)),
    connection_watch: (caller, { connection, events }) =>
      this.#await(caller, connection, "ready", events, (found) => tell(caller, connection, "ready", found)),
    connection_shut: ({ home }, { connection }) => this.#find(home, connection)?.connection.shut(),
    connection_close: ({ home }, { connection }) => this.#close(home, (held) => held.number === connection, connection),
    connections_end: ({ home }, { session }) => this.#close(home, (held) => held.session === session),
  };
  readonly #options: ConnectionsOptions;
  readonly #interpreters = new Map<object, Interpreter>();
  /** Of those that were closed. */
  readonly #past = { opened: 0, received: 0, sent: 0 };

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** An interpreter is gone. */
  onGone(home: object): void {
    this.#close(home, () => true);
    this.#interpreters.delete(home);
  }

  /** Closes all. */
  stop(): void {
    for (const home of [...this.#interpreters.keys()]) this.onGone(home);
  }

  get figures(): ConnectionFigures {
    const open = this.list().map(({ connection }) => connection.figures);
    const { opened, received, sent: out } = this.#past;
    return {
      ...{ open: open.length, opened, refused: this.#options.judge.refused },
      received: open.reduce((sum, one) => sum + one.received, received),
      sent: open.reduce((sum, one) => sum + one.sent, out),
    };
  }

  /** Those that there are. */
  list(): ListedConnection[] {
    return [...this.#interpreters.values()].flatMap(({ caller, own }) =>
      [...own.held.values()].map(({ connection, session }) => ({
        ...{ interpreter: caller.number ?? 0, user: caller.user ?? "", connection },
        session: idOf(session) ?? "",
      })),
    );
  }

  #of(caller: CallContext): InterpreterConnections {
    const known = this.#interpreters.get(caller.home);
    if (known) return known.own;
    const own = new InterpreterConnections();
    this.#interpreters.set(caller.home, { caller, own });
    return own;
  }

  #find(home: object, number: number): Held | undefined {
    return this.#interpreters.get(home)?.own.held.get(number);
  }

  /** Does something if the user of the code may connect at all. */
  #allowed(caller: CallContext, act: () => Maybe<CallReply>): Maybe<CallReply> {
    const refusal = this.#options.judge.refusal(caller.user ?? "");
    return andThen(refusal, (refused) => (refused === undefined ? act() : okReply(refused)));
  }

  /** Does something when a connection is ready. What is not there any more says so. */
  #await(
    caller: CallContext,
    number: number,
    what: ConnectionAnswer,
    events: number,
    act: (found: number) => void,
  ): void {
    const held = this.#find(caller.home, number);
    if (held) held.await(what, events, act);
    else tell(caller, number, what, what === "ready" ? events : CLOSED);
  }

  #take(caller: CallContext, number: number, max: number): void {
    // what a user might read who has lost the right meanwhile stays where it is
    const refusal = this.#options.judge.refusal(caller.user ?? "");
    void andThen(refusal, (refused) => {
      tell(caller, number, "take", refused ?? taken(this.#find(caller.home, number), max, false));
    });
  }

  #open(caller: CallContext, { connection: number, ...args }: CallArgs<"connection_open">): Maybe<CallReply> {
    const { maxPerInterpreter, sessions, judge } = this.#options;
    const own = this.#of(caller);
    if (own.held.has(number) || own.opening.has(number)) throw new BadMessage(`connection ${number} is there already`);
    if (args.session !== null && sessions.isOthers(args.session, caller.user ?? ""))
      throw new BadMessage("the session is another user's");
    if (own.count >= maxPerInterpreter)
      return okReply(`EMFILE too many connections (max-connections-per-interpreter is ${maxPerInterpreter})`);
    const found = judge.addresses(own, args.host, args.port);
    if (!(found instanceof Promise)) return okReply(this.#connect(caller, number, args, found));
    own.opening.add(number);
    void found.then((addresses) => {
      // it may have been closed meanwhile
      if (!own.opening.delete(number) || caller.isGone) return;
      const outcome = this.#connect(caller, number, args, addresses);
      if (outcome !== PENDING) tell(caller, number, "open", outcome);
    });
    return okReply(PENDING);
  }

  /** @returns what is told at once: that it is being opened, or why it is not */
  #connect(
    caller: CallContext,
    number: number,
    { port, family, session }: Omit<CallArgs<"connection_open">, "connection" | "host">,
    found: Found<readonly string[]>,
  ): MarshalValue {
    if ("failure" in found) return found.failure;
    const own = this.#of(caller);
    const address = found.value.find((one) => family === 0 || familyOf(one) === family);
    if (address === undefined) return "EAI it has no address of that family";
    const target = shownTarget(own.nameOf(address) ?? address, port);
    if (own.isFirst(session, target)) {
      const shown = target.includes(address) ? target : `${target} (${address})`;
      this.#options.log.info({ user: caller.user, session: idOf(session) }, `a script connects to ${shown}`);
    }
    const connection = new Connection({ address, port, target, bufferBytes: this.#options.bufferBytes });
    this.#past.opened++;
    const held = new Held(number, connection, session);
    own.held.set(number, held);
    held.await("open", Readiness.write, () => tell(caller, number, "open", connection.error ?? connection.ends));
    return PENDING;
  }

  #resolve(caller: CallContext, { connection, host, port }: PostArgs<"connection_resolve">): void {
    const { judge } = this.#options;
    const found = andThen(judge.refusal(caller.user ?? ""), (refused): Maybe<Found<readonly string[]>> => {
      return refused === undefined ? judge.addresses(this.#of(caller), host, port ?? undefined) : { failure: refused };
    });
    void Promise.resolve(found).then((addresses) => {
      const shown = "failure" in addresses ? addresses.failure : addresses.value.map((one) => [familyOf(one), one]);
      tell(caller, connection, "resolve", shown);
    });
  }

  #secure(caller: CallContext, { connection: number, settings }: PostArgs<"connection_secure">): void {
    const held = this.#find(caller.home, number);
    const failure = held ? this.#beginTls(held.connection, settings) : CLOSED;
    if (!held || failure !== undefined) {
      tell(caller, number, "secure", failure ?? CLOSED);
      return;
    }
    const { connection } = held;
    held.await("secure", Readiness.write, () => {
      tell(caller, number, "secure", connection.error ?? connection.agreed ?? CLOSED);
    });
  }

  /** @returns why it can not */
  #beginTls(connection: Connection, settings: PostArgs<"connection_secure">["settings"]): string | undefined {
    if (connection.error !== undefined) return connection.error;
    if (connection.stage !== "open" || connection.isSecure || connection.isShut)
      return "TLS it can not begin with TLS now";
    try {
      const context = this.#options.contexts.get(settings);
      const { server, verify, identity, protocols } = settings;
      connection.secure({ context, serverName: server, verify, identity: identity ?? undefined, protocols });
      return undefined;
    } catch (error) {
      return error instanceof ReplyError ? error.message : `TLS ${(error as Error).message}`;
    }
  }

  /** What is not there is ready to say so. */
  #poll(home: object, wanted: CallArgs<"connection_poll">["wanted"]): [number, number][] {
    return wanted.flatMap(([number, events]): [number, number][] => {
      const found = this.#find(home, number)?.connection.ready(events) ?? events;
      return found === 0 ? [] : [[number, found]];
    });
  }

  #close(home: object, isMeant: (held: Held) => boolean, opening?: number): void {
    const own = this.#interpreters.get(home)?.own;
    if (!own) return;
    if (opening !== undefined) own.opening.delete(opening);
    for (const held of [...own.held.values()].filter(isMeant)) {
      own.held.delete(held.number);
      const { received, sent: out } = held.connection.figures;
      this.#past.received += received;
      this.#past.sent += out;
      held.close();
    }
  }
}

const PENDING = "EINPROGRESS it is not connected yet";
const AGAIN = "EAGAIN it is not ready";

const idOf = (session: string | null): string | undefined => session?.slice(session.indexOf(":") + 1);
const familyOf = (address: string): number => (address.includes(":") ? 6 : 4);

function tell(caller: CallContext, number: number, what: ConnectionAnswer, answer: MarshalValue): void {
  if (!caller.isGone) caller.tell?.(["connection", number, what, answer]);
}

/** Bytes that have come; none at the end. */
function taken(held: Held | undefined, max: number, peek: boolean): MarshalValue {
  if (!held) return CLOSED;
  const { connection } = held;
  if (connection.error !== undefined) return connection.error;
  return connection.ready(Readiness.read) === 0 ? AGAIN : connection.take(max, peek);
}

/** How many bytes it has taken to send. */
function sent(held: Held | undefined, data: Buffer): MarshalValue {
  if (!held) return CLOSED;
  const { connection } = held;
  if (connection.error !== undefined) return connection.error;
  if (connection.isShut) return "EPIPE it was shut down";
  if (connection.ready(Readiness.write) === 0) return AGAIN;
  connection.send(data);
  return data.length;
}

function state(connection: Connection | undefined): MarshalValue {
  if (!connection) return CLOSED;
  return connection.error ?? (connection.stage === "open" ? connection.ends : PENDING);
}
