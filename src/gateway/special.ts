/** The engine's commands of which the gateway takes note: what they change, and what their replies are to look like. */
import { encodeCommand } from "../engine/encode.ts";
import { debugRefusal } from "../engine/debug.ts";
import type { Engine } from "../engine/engine.ts";
import type { OwnSettings } from "../engine/own-settings.ts";
import { makesReplica, REPLICATION_REFUSED } from "../engine/replication.ts";
import { isError, scalarText } from "../resp/frames.ts";
import { encodeWhole, error } from "../resp/reply.ts";
import { describesClients, withAddresses } from "./addresses.ts";
import type { AccessEpoch } from "./access.ts";
import { type ClientState, type ReplyHandler, Transaction } from "./client-state.ts";
import type { RequestView } from "./interceptor.ts";
import { type SpliceSources, spliceFor } from "./splice.ts";

interface Special {
  readonly kind: "special";
  readonly handle: ReplyHandler;
  readonly instead?: Buffer;
}

/** How to count the replies of a command, and what to do with them. */
export type Plan =
  | { readonly kind: "plain" }
  /** `instead`: what the engine gets in place of the command. */
  | Special
  | { readonly kind: "confirmations"; readonly verb: string; readonly names: number }
  | { readonly kind: "exec" };

export interface SpecialContext {
  readonly state: ClientState;
  readonly engine: Pick<Engine, "addressesOf" | "embedded">;
  readonly rights: AccessEpoch;
  readonly sources: SpliceSources;
  /** The client is another user now, or (false) as it was when it came. */
  identified(authenticated: boolean): void;
  readonly settings: OwnSettings;
  /** The client comes from this machine. */
  readonly local: boolean;
  /** The client monitors from now on. */
  monitors(): void;
  /** It has asked for that, or (false) was refused or has ended it. */
  asksToMonitor(on: boolean): void;
}

/** Commands that give later ones another meaning: a client that could not be given them must begin anew. */
export const COMMITTING: ReadonlySet<string> = new Set(["auth", "hello", "select", "multi", "watch"]);
/** The engine gets the command as it is, and gives one reply. */
export const PLAIN: Plan = { kind: "plain" };
/** Any reply would do: an error says that the client may not use CLIENT, anything else that it may. */
const CLIENT_REPLY_ON = Buffer.from("*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n");
/** Refused for their arity, so that a transaction knows of it. */
const WRONG_SYNC = encodeCommand(["SYNC", "x"]);
const WRONG_REPLICAOF = encodeCommand(["REPLICAOF", "x"]);
const WRONG_DEBUG = encodeCommand(["DEBUG"]);
/** Refused for what it names, after the question whether the client has the right to DEBUG. */
const UNKNOWN_DEBUG = encodeCommand(["DEBUG", "REGEARS"]);
/** The subcommands of ACL and CONFIG after which a verdict about rights may be wrong. */
const CHANGES_RIGHTS = /^(?:set|setuser|deluser|load)$/i;

/** Plans a special command by its name in lower case. */
export function planSpecial(name: string, request: RequestView, context: SpecialContext): Plan {
  const { state } = context;
  const onSuccess = (act: (frame: Buffer) => void): Plan => ({
    kind: "special",
    handle: (frame) => {
      if (!isError(frame)) act(frame);
      return frame;
    },
  });
  switch (name) {
    case "multi":
      return onSuccess(() => {
        state.transaction = new Transaction();
      });
    case "exec":
      return { kind: "exec" };
    case "discard":
      return onSuccess(() => {
        state.transaction?.staged?.discard();
        state.transaction = undefined;
      });
    case "reset":
      return { kind: "special", handle: (frame) => resetBy(frame, context) };
    case "auth": {
      const credentials = request.copy(1);
      return onSuccess(() => identify(credentials, context));
    }
    case "hello":
      return planHello(request, context);
    case "select": {
      const database = Number(request.view(1).toString("latin1"));
      return onSuccess(() => {
        state.database = database;
      });
    }
    case "monitor":
      if (!state.monitoring) context.asksToMonitor(true);
      return {
        kind: "special",
        handle: (frame) => {
          if (isError(frame)) context.asksToMonitor(state.monitoring);
          else {
            state.monitoring = true;
            context.monitors();
          }
          return frame;
        },
      };
    case "client":
      return planClient(request, context);
    case "acl":
      return changesRights(request) ? planChange(context) : PLAIN;
    case "config":
      return planConfig(request, context);
    case "command":
    case "module":
    case "info": {
      const splice = spliceFor(name, request.copy(1), context.sources);
      return splice ? { kind: "special", handle: (frame) => splice(frame, state.protocol) } : PLAIN;
    }
    case "sync":
    case "psync":
    case "replconf":
      return { kind: "special", instead: WRONG_SYNC, handle: (frame) => refuseReplication(frame, state) };
    case "replicaof":
    case "slaveof": {
      const refused = context.engine.embedded && makesReplica(name, request.copy(0));
      return refused
        ? { kind: "special", instead: WRONG_REPLICAOF, handle: (frame) => refuseReplication(frame, state) }
        : PLAIN;
    }
    case "debug":
      return planDebug(request, context);
    case "quit":
      return onSuccess(() => {
        state.leaving = true;
      });
    case "watch":
      return PLAIN;
    default:
      return { kind: "confirmations", verb: name, names: request.count - 1 };
  }
}

/** RESET ends `CLIENT REPLY OFF` before it answers, but a SKIP is for its own reply. */
function resetBy(frame: Buffer, { state, identified, asksToMonitor }: SpecialContext): Buffer | undefined {
  if (isError(frame)) return frame;
  const skipped = state.replies === "skip";
  state.transaction?.staged?.discard();
  if (state.monitoring) asksToMonitor(false);
  state.reset();
  identified(false);
  return skipped ? undefined : frame;
}

function identify(credentials: readonly Buffer[], { state, identified }: SpecialContext): void {
  state.credentials = credentials;
  identified(true);
}

const changesRights = (request: RequestView): boolean => CHANGES_RIGHTS.test(request.view(1).toString("latin1"));

/** @param settle is told of the reply before anybody finds out what has changed */
function planChange({ rights }: SpecialContext, settle = (frame: Buffer): Buffer => frame): Special {
  rights.advance();
  return {
    kind: "special",
    handle: (frame) => {
      const shown = settle(frame);
      rights.changed();
      return shown;
    },
  };
}

function planConfig(request: RequestView, context: SpecialContext): Plan {
  const own = context.settings.translate(request.copy(0));
  if (!own) return changesRights(request) ? planChange(context) : PLAIN;
  const instead = encodeCommand(own.args);
  return {
    ...(changesRights(request) ? planChange(context, own.settle) : { kind: "special", handle: own.settle }),
    instead,
  };
}

const refuseReplication = (frame: Buffer, state: ClientState): Buffer => refuse(frame, REPLICATION_REFUSED, state);

/** @param frame the engine's reply to a wrong command, which tells whether the client is known and has the right to it */
const refuse = (frame: Buffer, text: string, { protocol }: ClientState): Buffer =>
  scalarText(frame).startsWith("NO") ? frame : encodeWhole(error(text), protocol);

function planDebug(request: RequestView, { engine, settings, local, state }: SpecialContext): Plan {
  if (!engine.embedded) return PLAIN;
  const refused = debugRefusal(request.copy(0), settings.debug === "yes" || (settings.debug === "local" && local));
  if (refused === undefined) return PLAIN;
  const instead = state.transaction ? WRONG_DEBUG : UNKNOWN_DEBUG;
  return { kind: "special", instead, handle: (frame) => refuse(frame, refused, state) };
}

function planHello(request: RequestView, context: SpecialContext): Plan {
  const { state } = context;
  let credentials: Buffer[] | undefined;
  for (let index = 2; index + 2 < request.count; index++) {
    const word = request.view(index).toString("latin1").toLowerCase();
    if (word === "auth") credentials = request.copy(index + 1).slice(0, 2);
    if (word === "auth") index += 2;
    else if (word === "setname") index++;
  }
  const splice = spliceFor("hello", [], context.sources);
  return {
    kind: "special",
    handle: (frame) => {
      if (isError(frame)) return frame;
      state.protocol = frame[0] === 37 ? 3 : 2;
      if (credentials) identify(credentials, context);
      return splice ? splice(frame, state.protocol) : frame;
    },
  };
}

/**
 * `CLIENT REPLY` is carried out here: the engine goes on answering, so that replies can be counted, and they are
 * suppressed on their way.
 */
function planClient(request: RequestView, { state, engine }: SpecialContext): Plan {
  if (engine.addressesOf && describesClients(request)) {
    return { kind: "special", handle: (frame) => withAddresses(frame, engine) };
  }
  const word = (index: number): string => request.view(index).toString("latin1").toLowerCase();
  if (request.count !== 3 || word(1) !== "reply") return PLAIN;
  const wanted = word(2);
  if (wanted !== "on" && wanted !== "off" && wanted !== "skip") return PLAIN;
  return {
    kind: "special",
    instead: CLIENT_REPLY_ON,
    handle: (frame) => {
      if (isError(frame)) return frame;
      if (wanted === "skip" && state.replies === "off") return undefined;
      state.replies = wanted;
      return wanted === "on" ? frame : undefined;
    },
  };
}
