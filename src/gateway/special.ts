/** The engine's commands of which the gateway takes note: what they change, and what their replies are to look like. */
import type { RequestView } from "../commands/path.ts";
import { encodeCommand } from "../engine/encode.ts";
import { debugRefusal } from "../engine/debug.ts";
import type { Engine } from "../engine/engine.ts";
import type { OwnSettings } from "../engine/own-settings.ts";
import { makesReplica, REPLICATION_REFUSED } from "../engine/replication.ts";
import { hasForm, TRAITS, traitsOf, wordOf } from "../engine/traits.ts";
import { isError, scalarText } from "../resp/frames.ts";
import { encodeWhole, error } from "../resp/reply.ts";
import { describesClients, withAddresses } from "./addresses.ts";
import type { AccessEpoch } from "../engine/rights.ts";
import type { ClientState } from "./client-state.ts";
import { type SpliceSources, spliceFor } from "./splice.ts";
import { type ReplyHandler, Transaction } from "./transaction.ts";

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
/** Plans a command. @param name in lower case */
export type Planner = (request: RequestView, context: SpecialContext, name: string) => Plan;

const planSplice: Planner = (request, { state, sources }, name) => {
  const splice = spliceFor(name, request.copy(1), sources);
  return splice ? { kind: "special", handle: (frame) => splice(frame, state.protocol) } : PLAIN;
};

const planReplication: Planner = (request, { state, engine }, name) => {
  const asksEngine = name === "replicaof" || name === "slaveof";
  if (asksEngine && !(engine.embedded && makesReplica(name, request.copy(0)))) return PLAIN;
  const instead = asksEngine ? WRONG_REPLICAOF : WRONG_SYNC;
  return { kind: "special", instead, handle: (frame) => refuse(frame, REPLICATION_REFUSED, state) };
};

const planConfirmations: Planner = (request, _context, verb) => ({
  kind: "confirmations",
  verb,
  names: request.count - 1,
});

/** The commands of the engine that the gateway takes note of, by name. */
export const PLANNERS: ReadonlyMap<string, Planner> = new Map<string, Planner>([
  ...[...TRAITS].flatMap(([name, { confirms }]) => (confirms ? [[name, planConfirmations] as const] : [])),
  ...[...TRAITS].flatMap(([name, { replication }]) => (replication ? [[name, planReplication] as const] : [])),
  ["command", planSplice],
  ["module", planSplice],
  ["info", planSplice],
  ["hello", planHello],
  ["client", planClient],
  ["config", planConfig],
  ["debug", planDebug],
  ["acl", (request, context) => (changesRights(request) ? planChange(context) : PLAIN)],
  ["watch", () => PLAIN],
  ["exec", () => ({ kind: "exec" })],
  ["reset", (_request, context) => ({ kind: "special", handle: (frame) => resetBy(frame, context) })],
  [
    "multi",
    onSuccess((_args, { state }) => {
      state.transaction = new Transaction();
    }),
  ],
  [
    "discard",
    onSuccess((_args, { state }) => {
      state.transaction?.staged?.discard();
      state.transaction = undefined;
    }),
  ],
  ["auth", onSuccess(identify)],
  [
    "select",
    onSuccess(([database], { state }) => {
      state.database = Number(String(database));
    }),
  ],
  [
    "quit",
    onSuccess((_args, { state }) => {
      state.leaving = true;
    }),
  ],
  ["monitor", planMonitor],
]);

/** @param act is told of the arguments, without the name, when the engine has carried the command out */
function onSuccess(act: (args: readonly Buffer[], context: SpecialContext) => void): Planner {
  return (request, context) => {
    const args = request.copy(1);
    return {
      kind: "special",
      handle: (frame) => {
        if (!isError(frame)) act(args, context);
        return frame;
      },
    };
  };
}

function planMonitor(_request: RequestView, context: SpecialContext): Plan {
  const { state } = context;
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

/** May a verdict about rights be wrong after this command? */
function changesRights(request: RequestView): boolean {
  const args = request.copy(0);
  return hasForm(traitsOf(wordOf(args[0])).changesRights, args);
}

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
    const word = wordOf(request.view(index));
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
  const word = (index: number): string => wordOf(request.view(index));
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
