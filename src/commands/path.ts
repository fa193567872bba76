/**
 * The way of a command, whoever sends it:
 *
 * 1. May its user run it? {@link Path.refusal}. What a client sends on its own connection, the engine checks itself.
 * 2. What takes the place of the command (a hook, a command of ours), and what watches it (key events, saving, users over
 *    restarts)? Each is a {@link Middleware}.
 * 3. Does the engine get something else, or has its reply to be changed? Each such rule is a {@link Translator}.
 * 4. The engine carries it out, and the reply goes back through 3 and 2.
 *
 * The rooms that have middlewares and translators add them when the server is built.
 *
 * A client's command may have to take its place in a transaction first, so the question what to do comes apart from doing
 * it: {@link Middleware.handle} looks at the command as it lies in the decoder, {@link Handling.run} runs in its time. A
 * script's command takes the whole way at once: {@link Path.decide}.
 */
import { encodeCommand } from "../engine/encode.ts";
import type { HeldConnection } from "../engine/engine.ts";
import { wordOf } from "../engine/traits.ts";
import { andThen, type Maybe } from "../maybe.ts";
import { encodeWhole, error, type Protocol, type Reply, raw } from "../resp/reply.ts";
import type { Caller } from "./caller.ts";
import type { CommandTable } from "./command.ts";
import type { CommandRights } from "./command-rights.ts";

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
export type Next = (request?: Buffer) => Maybe<Buffer>;

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
export type Asking = Pick<Caller, "kind" | "links" | "local">;

/** Carries out commands of one client that follow one another, together with what they cause. */
export interface ChunkRunner {
  /** So many commands together can be carried out and may be worth while, of so many bytes at most. */
  readonly most: number;
  readonly mostBytes: number;
  /**
   * @param ends where each of the commands ends
   * @returns how many of them were carried out. Their replies are in the engine then
   */
  run(caller: Caller, connection: HeldConnection, commands: Uint8Array, ends: readonly number[]): Maybe<number>;
}

export interface Middleware {
  /** Whose commands it sees. */
  readonly of: readonly Caller["kind"][];
  /** False: it sees only the commands of {@link Middleware.always}, and runs of others pass without a question. */
  readonly active: boolean;
  /** What Python sends that holds the engine just now is none of its business, though it is active. */
  readonly sparesHolder?: boolean;
  /** Names in lower case. */
  readonly always?: readonly string[];
  /** Names of the commands of Lua scripts that it wants to see; `*` is all. The engine tells of none by itself. */
  readonly ofLua?: readonly string[];
  /**
   * Who carries out this command of a client together with others, if nobody else has anything to do with it; undefined: it has
   * to come by itself.
   */
  chunkOf?(name: string, request: RequestView, caller: Asking): ChunkRunner | undefined;
  /** @returns what is to be done about the command, named in lower case; undefined: nothing */
  handle(name: string, request: RequestView, caller: Asking): Handling | undefined;
  /** Deals with what the commands have caused that `owner`'s Lua script has sent by itself. */
  settle?(owner: object): Maybe<void>;
}

/** What the engine gets in place of a command, and what its caller gets in place of the reply. */
export type Translation =
  | {
      /** Undefined: the command as it is. */
      readonly request?: Buffer;
      /** Takes note of the engine's reply, and gives the one to be seen. */
      readonly settle: (frame: Buffer, protocol: Protocol) => Buffer;
    }
  | Refusal;

/** The command is refused, whoever sends it. */
interface Refusal {
  /** The text of the error. */
  readonly refused: string;
  /**
   * For a sender whose rights only the engine knows: a command that the engine refuses as well, after the question whether
   * its sender has the right to the real one. @param queued in a transaction, which such a command is to spoil
   */
  probe(queued: boolean): Buffer;
}

export interface Translator {
  /** Whose commands it sees. Lua scripts send theirs by themselves. */
  readonly of: readonly ("client" | "python")[];
  /** Of the commands that it sees, in lower case. Each has one translator at most. */
  readonly names: readonly string[];
  /** @returns undefined: the engine gets the command, and the caller its reply */
  translate(name: string, request: RequestView, caller: Asking): Translation | undefined;
}

/** What is to be done about a script's command. */
interface Decision {
  /** The engine does not see the command, and so does not say either whether its sender may run it. */
  readonly instead: boolean;
  /** @param send has the engine carry a request out. @returns what the script gets, in RESP2 where it is encoded */
  run(send: (request: Buffer) => Maybe<Buffer>): Maybe<Reply>;
}

/** Looks at the engine's reply. @param settle gives what the caller gets in its place, undefined: nothing else */
export function after(settle: (reply: Buffer, caller: Caller) => Maybe<Reply | undefined>): Handling {
  return {
    way: "after",
    run: (caller, next) => andThen(next(), (reply) => andThen(settle(reply, caller), (shown) => shown ?? raw(reply))),
  };
}

const isAsked = ({ active, always }: Middleware, name: string): boolean => active || always?.includes(name) === true;

const NEVER = new AbortController().signal;

export class Path {
  readonly #commands: CommandTable;
  readonly #rights: Pick<CommandRights, "refusal"> | undefined;
  readonly #all: Middleware[] = [];
  readonly #of: Readonly<Record<Caller["kind"], Middleware[]>> = { client: [], lua: [], python: [] };
  readonly #translators = new Map<string, Translator>();

  /** @param commands ours @param rights says who may run what; undefined: everybody everything */
  constructor(commands: CommandTable, rights?: Pick<CommandRights, "refusal">) {
    this.#commands = commands;
    this.#rights = rights;
  }

  /** Adds middlewares; those that were added before come before them. */
  use(...middlewares: readonly Middleware[]): void {
    this.#all.push(...middlewares);
    for (const middleware of middlewares) for (const kind of middleware.of) this.#of[kind].push(middleware);
  }

  /** Adds translators. @throws Error when a command has one already: a mistake of ours */
  useTranslators(...translators: readonly Translator[]): void {
    for (const translator of translators) {
      for (const name of translator.names) {
        if (this.#translators.has(name)) throw new Error(`two translators of ${name}`);
        this.#translators.set(name, translator);
      }
    }
  }

  /** Is a client's command to be asked about, whatever its name is? */
  get active(): boolean {
    for (const middleware of this.#of.client) if (middleware.active) return true;
    return false;
  }

  /** Is any command of Python's to be asked about? Those that are always asked about do not count. @param holds the engine */
  isActiveForPython(holds: boolean): boolean {
    for (const { active, sparesHolder } of this.#of.python) if (active && !(holds && sparesHolder)) return true;
    return false;
  }

  /** The names of the clients' commands that are always asked about. */
  get always(): string[] {
    return this.#of.client.flatMap(({ always = [] }) => always);
  }

  /** The names of the commands that may have to be translated. */
  get translated(): string[] {
    return [...this.#translators.keys()];
  }

  /** The names of the commands that Lua scripts are not to send by themselves; `*` is all. */
  get ofLua(): string[] {
    return this.#of.lua.flatMap(({ ofLua = [] }) => ofLua);
  }

  /**
   * May this caller's user run this command, be it the engine's or ours?
   * @param args must not change before an answer that comes later
   * @returns the text of the error reply, or undefined when the user may
   */
  refusal(caller: Pick<Caller, "kind" | "user">, args: readonly Buffer[]): Maybe<string | undefined> {
    return this.#rights?.refusal(caller, args);
  }

  /**
   * What is to be done about a command. The first middleware that does more than to look at the engine's reply decides; those
   * that look at it do so one around the other.
   */
  find(name: string, request: RequestView, caller: Asking): Handling | undefined {
    let outer: Handling | undefined;
    for (const middleware of this.#of[caller.kind]) {
      if (!isAsked(middleware, name)) continue;
      const found = middleware.handle(name, request, caller);
      if (!found) continue;
      if (!outer && found.way !== "after") return found;
      if (found.way === "after") outer = outer ? around(outer, found) : found;
    }
    return outer;
  }

  /** Who carries out this command of a client together with others; undefined: nobody, or others have to do with it. */
  chunkOf(name: string, request: RequestView, caller: Asking): ChunkRunner | undefined {
    let runner: ChunkRunner | undefined;
    // mostly there is none, and the others need not be asked here
    const by = this.#of.client.find((one) => {
      runner = isAsked(one, name) ? one.chunkOf?.(name, request, caller) : undefined;
      return runner !== undefined;
    });
    if (!by) return undefined;
    const isOthers = this.#of.client.some(
      (one) => one !== by && isAsked(one, name) && one.handle(name, request, caller) !== undefined,
    );
    return isOthers ? undefined : runner;
  }

  /** Have only those to do with clients' commands now that carry them out together? */
  get isLeftToChunks(): boolean {
    for (const middleware of this.#of.client) if (middleware.active && !middleware.chunkOf) return false;
    return true;
  }

  /** What the engine gets in place of a command, and what is made of its reply; undefined: nothing else. */
  translate(name: string, request: RequestView, caller: Asking): Translation | undefined {
    const translator = this.#translators.get(name);
    return translator?.of.some((kind) => kind === caller.kind)
      ? translator.translate(name, request, caller)
      : undefined;
  }

  /**
   * What is to be done about a script's command, whose user may run it.
   * @returns undefined when it is the engine's and nothing is to be done about it
   */
  decide(args: readonly Buffer[], caller: Caller): Decision | undefined {
    const name = wordOf(args[0]);
    const view = viewOf(args);
    const found = this.find(name, view, caller);
    if (found?.way === "instead") return { instead: true, run: () => found.run(caller, nothing) };
    const row = this.#commands.find(name);
    if (row) {
      const context = { caller, clientId: 0, signal: NEVER, typedName: args[0]?.toString("utf8") ?? "" };
      return { instead: true, run: () => this.#commands.run(row, args.slice(1), context) };
    }
    const translation = this.translate(name, view, caller);
    if (translation && "refused" in translation) return { instead: true, run: () => error(translation.refused) };
    if (!found && !translation) return undefined;
    return {
      instead: false,
      run(send) {
        const next: Next = (request) => {
          if (request) return send(request);
          const reply = send(translation?.request ?? encodeCommand(args));
          return translation ? andThen(reply, (frame) => translation.settle(frame, 2)) : reply;
        };
        return found ? found.run(caller, next) : andThen(next(), raw);
      },
    };
  }

  /** Deals with what the commands have caused that `owner`'s Lua script has sent by itself. */
  async settle(owner: object): Promise<void> {
    for (const middleware of this.#of.lua) await middleware.settle?.(owner);
  }
}

/** Two that look at the engine's reply. A reply that is made here for the outer one is in RESP2. */
const around = (outer: Handling, inner: Handling): Handling => ({
  way: "after",
  run: (caller, next) => outer.run(caller, () => andThen(inner.run(caller, next), (reply) => encodeWhole(reply, 2))),
});

/** Words that may be views of a message which does not outlive the call. */
const viewOf = (args: readonly Buffer[]): RequestView => ({
  count: args.length,
  view: (index) => args[index] as Buffer,
  copy: (first) => args.slice(first).map((arg) => Buffer.from(arg)),
});

const nothing: Next = () => Promise.reject(new Error("a script's command that the engine does not see is not sent"));
