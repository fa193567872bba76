/**
 * The way of a command, whoever sends it, between the question whether its caller may and the engine: what takes the place
 * of the command (a hook, a command of ours), and what watches it (key events, saving, users over restarts). Each is a
 * middleware; the rooms that have some add them when the server is built.
 *
 * A client's command may have to take its place in a transaction first, so the question what to do comes apart from doing
 * it: {@link Middleware.handle} looks at the command as it lies in the decoder, {@link Handling.run} runs in its time.
 */
import { wordOf } from "../engine/traits.ts";
import type { Maybe } from "../maybe.ts";
import { encodeWhole, type Reply, raw } from "../resp/reply.ts";
import type { Caller } from "./caller.ts";
import type { CommandTable } from "./command.ts";

/** A command as it came: valid only during the call. */
export interface RequestView {
  /** Number of arguments, the name included. */
  readonly count: number;
  /** Argument `index` without copying; must not be kept. */
  view(index: number): Buffer;
  /** Copies of the arguments from `first` on. */
  copy(first: number): Buffer[];
}

/**
 * Has the engine carry the command out, or `request` in its place: with the caller's rights and in the caller's database.
 * @returns the engine's reply
 */
export type Next = (request?: Buffer) => Promise<Buffer>;

/** What is done about one command. */
export interface Handling {
  /**
   * `instead`: the engine never sees the command. `alone`: it is sent when `next` is called, and nothing else of the client
   * meanwhile. `after`: the engine carries it out as ever, and `next` gives its reply. Inside MULTI all three happen at the
   * command's place in EXEC.
   */
  readonly way: "instead" | "alone" | "after";
  /** Once begun it goes on to its end, also when the client leaves meanwhile: `next` works until then. */
  readonly whole?: true;
  /** @returns what the caller gets */
  run(caller: Caller, next: Next): Maybe<Reply>;
}

/** Who asks, as far as it matters for what is to be done. */
type Asking = Pick<Caller, "kind" | "links">;

export interface Middleware {
  /** Whose commands it sees. */
  readonly of: readonly Caller["kind"][];
  /** False: it sees only the commands of {@link Middleware.always}, and runs of others pass without a question. */
  readonly active: boolean;
  /** Names in lower case. */
  readonly always?: readonly string[];
  /** Names of the commands of Lua scripts that it wants to see; `*` is all. The engine tells of none by itself. */
  readonly ofLua?: readonly string[];
  /** @returns what is to be done about the command, named in lower case; undefined: nothing */
  handle(name: string, request: RequestView, caller: Asking): Handling | undefined;
  /** Deals with what the commands have caused that `owner`'s Lua script has sent by itself. */
  settle?(owner: object): Promise<void> | undefined;
}

/** Looks at the engine's reply. @param settle gives what the caller gets in its place, undefined: nothing else */
export function after(settle: (reply: Buffer, caller: Caller) => Maybe<Reply | undefined>): Handling {
  return {
    way: "after",
    run: async (caller, next) => {
      const reply = await next();
      return (await settle(reply, caller)) ?? raw(reply);
    },
  };
}

const NEVER = new AbortController().signal;

export class Path {
  readonly #commands: CommandTable;
  readonly #all: Middleware[] = [];
  readonly #of: Readonly<Record<Caller["kind"], Middleware[]>> = { client: [], lua: [], python: [] };

  /** @param commands ours */
  constructor(commands: CommandTable) {
    this.#commands = commands;
  }

  /** Adds middlewares; those that were added before come before them. */
  use(...middlewares: readonly Middleware[]): void {
    this.#all.push(...middlewares);
    for (const middleware of middlewares) for (const kind of middleware.of) this.#of[kind].push(middleware);
  }

  /** Is a client's command to be asked about, whatever its name is? */
  get active(): boolean {
    for (const middleware of this.#of.client) if (middleware.active) return true;
    return false;
  }

  /** Is any command of such a caller to be asked about? Those that are always asked about do not count. */
  isActiveFor(kind: Caller["kind"]): boolean {
    return this.#of[kind].some(({ active }) => active);
  }

  /** The names of the clients' commands that are always asked about. */
  get always(): string[] {
    return this.#of.client.flatMap(({ always = [] }) => always);
  }

  /** The names of the commands that Lua scripts are not to send by themselves; `*` is all. */
  get ofLua(): string[] {
    return this.#of.lua.flatMap(({ ofLua = [] }) => ofLua);
  }

  /**
   * What is to be done about a command. The first middleware that does more than to look at the engine's reply decides; those
   * that look at it do so one around the other.
   */
  find(name: string, request: RequestView, caller: Asking): Handling | undefined {
    let outer: Handling | undefined;
    for (const middleware of this.#of[caller.kind]) {
      if (!middleware.active && !middleware.always?.includes(name)) continue;
      const found = middleware.handle(name, request, caller);
      if (!found) continue;
      if (!outer && found.way !== "after") return found;
      if (found.way === "after") outer = outer ? around(outer, found) : found;
    }
    return outer;
  }

  /**
   * Finds what runs in place of a script's command: a hook, or a command of ours.
   * @returns runs it; undefined when the command is the engine's
   */
  own(args: readonly Buffer[], caller: Caller): (() => Maybe<Reply>) | undefined {
    const typedName = args[0]?.toString("utf8") ?? "";
    const found = this.find(typedName.toLowerCase(), viewOf(args), caller);
    if (found?.way === "instead") return () => found.run(caller, nothing);
    const row = this.#commands.find(typedName);
    if (!row) return undefined;
    return () => this.#commands.run(row, args.slice(1), { caller, clientId: 0, signal: NEVER, typedName });
  }

  /**
   * Finds what has to be done around a script's command of the engine.
   * @returns does it, when told how the command is sent, and gives the reply in RESP2; undefined: nothing
   */
  watched(
    args: readonly Buffer[],
    caller: Caller,
  ): ((send: (request?: Buffer) => Maybe<Buffer>) => Promise<Buffer>) | undefined {
    const found = this.find(wordOf(args[0]), viewOf(args), caller);
    if (!found || found.way === "instead") return undefined;
    return async (send) => encodeWhole(await found.run(caller, async (request) => send(request)), 2);
  }

  /** Deals with what the commands have caused that `owner`'s Lua script has sent by itself. */
  async settle(owner: object): Promise<void> {
    for (const middleware of this.#of.lua) await middleware.settle?.(owner);
  }
}

/** Two that look at the engine's reply. A reply that is made here for the outer one is in RESP2. */
const around = (outer: Handling, inner: Handling): Handling => ({
  way: "after",
  run: (caller, next) => outer.run(caller, async () => encodeWhole(await inner.run(caller, next), 2)),
});

/** Words that may be views of a message which does not outlive the call. */
const viewOf = (args: readonly Buffer[]): RequestView => ({
  count: args.length,
  view: (index) => args[index] as Buffer,
  copy: (first) => args.slice(first).map((arg) => Buffer.from(arg)),
});

const nothing: Next = () => Promise.reject(new Error("a script's command that the engine does not see is not sent"));
