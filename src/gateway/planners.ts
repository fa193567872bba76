/**
 * The engine's commands that change the state of a client's connection, or have other replies than one. What is to be done
 * about a command whoever sends it is a translator or a middleware of {@link Path}.
 */
import type { RequestView, Translation } from "../commands/path.ts";
import { hasForm, TRAITS, traitsOf, wordOf } from "../engine/traits.ts";
import { isError, scalarText } from "../resp/frames.ts";
import { encodeWhole, error } from "../resp/reply.ts";
import type { ClientState } from "./client-state.ts";
import { type ReplyHandler, Transaction } from "./transaction.ts";

interface Special {
  readonly kind: "special";
  readonly handle: ReplyHandler;
  readonly instead?: Buffer | undefined;
}

/** How to count the replies of a command, and what to do with them. */
export type Plan =
  | { readonly kind: "plain" }
  /** `instead`: what the engine gets in place of the command. */
  | Special
  | { readonly kind: "confirmations"; readonly verb: string; readonly names: number }
  | { readonly kind: "exec" }
  /** There is no reply. */
  | { readonly kind: "silent" }
  /** The connection is a replica's from now on: what the engine sends is for it, as it comes. */
  | { readonly kind: "stream" };

export interface PlanContext {
  readonly state: ClientState;
  /** The client is another user now, or (false) as it was when it came. */
  identified(authenticated: boolean): void;
  /** The client is done. */
  leaves(): void;
  /** The client monitors from now on. */
  monitors(): void;
  /** The client has asked to monitor, or (false) was refused, or monitors no longer. */
  asksToMonitor(on: boolean): void;
}

/** The engine gets the command as it is, and gives one reply. */
export const PLAIN: Plan = { kind: "plain" };
/** Any reply would do: an error says that the client may not use CLIENT, anything else that it may. */
const CLIENT_REPLY_ON = Buffer.from("*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$2\r\nON\r\n");

/** Plans a command. @param name in lower case */
export type Planner = (request: RequestView, context: PlanContext, name: string) => Plan;

const planConfirmations: Planner = (request, _context, verb) => ({
  kind: "confirmations",
  verb,
  names: request.count - 1,
});

/** The plan of a command that is translated. @param plan how it would be carried out otherwise */
export function translated(plan: Plan, translation: Translation, state: ClientState): Plan {
  if ("refused" in translation) {
    const handle = (frame: Buffer): Buffer => refuse(frame, translation.refused, state);
    return { kind: "special", instead: translation.probe(state.transaction !== undefined), handle };
  }
  const { request, settle } = translation;
  const own = plan.kind === "special" ? plan.handle : undefined;
  return {
    kind: "special",
    instead: request,
    handle(frame) {
      const shown = own ? own(frame) : frame;
      return shown && settle(shown, state.protocol);
    },
  };
}

/** @param frame the engine's reply to a wrong command, which tells whether the client is known and has the right to it */
export const refuse = (frame: Buffer, text: string, { protocol }: ClientState): Buffer =>
  scalarText(frame).startsWith("NO") ? frame : encodeWhole(error(text), protocol);

/** By the commands' names. */
export const PLANNERS: ReadonlyMap<string, Planner> = new Map<string, Planner>([
  ...[...TRAITS].flatMap(([name, { confirms }]) => (confirms ? [[name, planConfirmations] as const] : [])),
  ["hello", planHello],
  ["client", planClient],
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
  ["quit", onSuccess((_args, { leaves }) => leaves())],
  ["monitor", planMonitor],
  ["sync", () => ({ kind: "stream" })],
  ["psync", () => ({ kind: "stream" })],
  ["replconf", planReplicaWord],
]);

function planReplicaWord(request: RequestView, { state }: PlanContext, name: string): Plan {
  const args = request.copy(0);
  for (let at = 1; at < args.length; at += 2)
    state.toldAsReplica.set(wordOf(args[at]), args[at + 1]?.toString("latin1") ?? "");
  return hasForm(traitsOf(name).silent, args) ? { kind: "silent" } : PLAIN;
}

/** @param act is told of the arguments, without the name, when the engine has carried the command out */
function onSuccess(act: (args: readonly Buffer[], context: PlanContext) => void): Planner {
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

function planMonitor(_request: RequestView, context: PlanContext): Plan {
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
function resetBy(frame: Buffer, { state, identified, asksToMonitor }: PlanContext): Buffer | undefined {
  if (isError(frame)) return frame;
  const skipped = state.replies === "skip";
  state.transaction?.staged?.discard();
  if (state.monitoring) asksToMonitor(false);
  state.reset();
  identified(false);
  return skipped ? undefined : frame;
}

function identify(credentials: readonly Buffer[], { state, identified }: PlanContext): void {
  state.credentials = credentials;
  identified(true);
}

function planHello(request: RequestView, context: PlanContext): Plan {
  const { state } = context;
  let credentials: Buffer[] | undefined;
  for (let index = 2; index + 2 < request.count; index++) {
    const word = wordOf(request.view(index));
    if (word === "auth") credentials = request.copy(index + 1).slice(0, 2);
    if (word === "auth") index += 2;
    else if (word === "setname") index++;
  }
  return {
    kind: "special",
    handle: (frame) => {
      if (isError(frame)) return frame;
      state.protocol = frame[0] === 37 ? 3 : 2;
      if (credentials) identify(credentials, context);
      return frame;
    },
  };
}

/**
 * `CLIENT REPLY` is carried out here: the engine goes on answering, so that replies can be counted, and they are
 * suppressed on their way.
 */
function planClient(request: RequestView, { state }: PlanContext): Plan {
  const word = (index: number): string => wordOf(request.view(index));
  if (request.count >= 3 && word(1) === "tracking") return planTracking(word(2) === "on", state);
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

/** `CLIENT TRACKING`: the engine tells the client of changes. */
function planTracking(on: boolean, state: ClientState): Plan {
  return {
    kind: "special",
    handle: (frame) => {
      if (!isError(frame)) state.tracks = on;
      return frame;
    },
  };
}
