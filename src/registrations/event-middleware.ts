/**
 * What registrations have to do with the commands of clients and scripts: `sync` executions run before the reply, linked
 * clients wait for theirs, writers wait while too many events wait, and nobody sees what the server has added to
 * `notify-keyspace-events`.
 */
import type { Caller } from "../commands/caller.ts";
import {
  after,
  type ChunkRunner,
  type Handling,
  type Middleware,
  type Next,
  type RequestView,
} from "../commands/path.ts";
import type { EngineCommand, EngineCommands } from "../engine/engine-commands.ts";
import { encodeCommand } from "../engine/encode.ts";
import { andAfterwards, andThen, type Maybe } from "../maybe.ts";
import { type Reply, raw } from "../resp/reply.ts";
import type { EventChunks } from "./event-chunks.ts";
import { LinkedCommand } from "./linked-command.ts";
import type { EventStarter, Holdable } from "./event-starter.ts";
import type { KeysRegistrations } from "./keys-registrations.ts";
import type { KeyEvents } from "./key-events.ts";
import type { StreamRegistrations } from "./stream-registrations.ts";
import type { SyncEvents } from "./sync-events.ts";

interface EventMiddlewareOptions {
  readonly keys: KeysRegistrations;
  readonly streams: StreamRegistrations;
  readonly sync: SyncEvents;
  readonly events: KeyEvents;
  readonly starter: EventStarter;
  readonly gate: Pick<Holdable, "hold" | "holdNow" | "release">;
  readonly engineCommands: EngineCommands;
  /** Who has an interpreter carry out commands together with their events; undefined: nobody. */
  readonly chunks?: EventChunks | undefined;
  /** May a command of so many words be carried out by an interpreter? */
  readonly takes?: ((name: string, words: number) => boolean) | undefined;
  /** Events that may wait before writers have to. */
  readonly maxBacklog?: number;
}

const MAX_BACKLOG = 1_000_000;
/** Writers go on when so much of the backlog is left. */
const DRAINED = 0.9;
const PARAMETER = "notify-keyspace-events";

export class EventMiddleware implements Middleware {
  readonly of = ["client", "lua", "python"] as const;
  readonly always = ["config"];
  readonly #options: EventMiddlewareOptions;
  readonly #maxBacklog: number;
  #backlogged = false;
  readonly #onDrained: (() => void)[] = [];

  constructor(options: EventMiddlewareOptions) {
    this.#options = options;
    this.#maxBacklog = options.maxBacklog ?? MAX_BACKLOG;
    options.starter.onProgress = () => this.#checkDrained();
  }

  get active(): boolean {
    const { linkedNames, asksTypes } = this.#options.keys;
    return this.#holds || asksTypes || linkedNames.size > 0 || this.backlogged;
  }

  /** What a `sync` execution of a KeysReader changes fires nothing; streams are told of it. */
  get sparesHolder(): boolean {
    const { keys, streams, chunks } = this.#options;
    return (keys.isSuppressing || chunks?.isRunning === true) && streams.syncCount === 0;
  }

  /** The commands that a Lua script has to bring one by one; it may send all others itself. */
  get ofLua(): readonly string[] {
    const { linkedNames, asksTypes } = this.#options.keys;
    return this.#holds || asksTypes ? ["*"] : [...linkedNames];
  }

  /** Too many events wait: clients that cause more have to wait too. */
  get backlogged(): boolean {
    this.#backlogged ||= this.#options.starter.waiting > this.#maxBacklog;
    return this.#backlogged;
  }

  /** Resolves when writers may go on. */
  whenDrained(): Promise<void> {
    return this.backlogged ? new Promise((resolve) => this.#onDrained.push(resolve)) : Promise.resolve();
  }

  chunkOf(name: string, { count }: RequestView, { links }: Pick<Caller, "links">): ChunkRunner | undefined {
    const { chunks, keys, streams, takes } = this.#options;
    if (!chunks?.isPossible || !takes?.(name, count) || keys.asksTypes || this.backlogged) return undefined;
    if (streams.syncCount > 0) return undefined;
    return links && keys.linkedNames.has(name) ? undefined : chunks;
  }

  handle(name: string, request: RequestView, { kind, links }: Pick<Caller, "kind" | "links">): Handling | undefined {
    if (name === "config") return this.#options.events.active && kind !== "lua" ? this.#config(request) : undefined;
    const row = this.active ? this.#concerned(name, request.count) : undefined;
    if (!row) return undefined;
    // outside of Lua nothing would keep the command from blocking, or refuse it
    if (kind === "lua" && (row.flags.has("blocking") || row.flags.has("noscript"))) return undefined;
    // A command that blocks may wait for commands of other clients, which could not be carried out while the engine is held.
    // So the engine is not held for it, and others' commands can come between it and its events. (Python's do not block.)
    if (kind === "client" && row.flags.has("blocking")) {
      return this.#holds
        ? after((_reply, { owner }) => andThen(this.#options.sync.settle(owner, false), () => undefined))
        : undefined;
    }
    if (this.#comesAlone(row, name, request.count, links)) {
      const args = request.copy(0);
      return { way: "alone", run: (caller, next) => this.#run(row, name, args, caller, next) };
    }
    // scripts do not wait: what they do is what the backlog waits for
    if (kind !== "client" || !this.backlogged || !row.flags.has("write")) return undefined;
    return after((_reply, { canWait }) => (canWait ? this.#slowDown(row)?.then(() => undefined) : undefined));
  }

  /**
   * Runs the `sync` executions that commands of `owner`, who holds the engine, have caused.
   */
  settle(owner: object): Maybe<void> {
    return this.#options.sync.settle(owner, true);
  }

  /** Some registration wants to run before replies are given. */
  get #holds(): boolean {
    return this.#options.keys.syncCount > 0 || this.#options.streams.syncCount > 0;
  }

  /** Must its events be dealt with before another command is carried out? */
  #comesAlone(row: EngineCommand, name: string, words: number, links: boolean): boolean {
    const { linkedNames, asksTypes } = this.#options.keys;
    if (this.#holds || (links && linkedNames.has(name))) return true;
    if (!asksTypes || !row.flags.has("write")) return false;
    const { tellsTypes } = row.traits;
    return tellsTypes !== true && tellsTypes !== words;
  }

  /** The row of a command that can cause events and that the engine will accept. */
  #concerned(name: string, words: number): EngineCommand | undefined {
    const row = this.#options.engineCommands.find(name);
    return row?.causesEvents && row.arityFits(words) ? row : undefined;
  }

  /** All of it happens within the call, where nobody else holds the engine and that and Python answer soon. */
  #run(row: EngineCommand, name: string, args: readonly Buffer[], caller: Caller, next: Next): Maybe<Reply> {
    const { gate, keys, starter } = this.#options;
    const { owner, canWait, links } = caller;
    const isLinked = links && keys.linkedNames.has(name);
    const command = isLinked ? new LinkedCommand(args, row, canWait) : undefined;
    const holder = (): string => starter.running ?? `${String(args[0])} and the events that it causes`;
    const run = (): Maybe<Reply> => this.#runHolding(row, command, caller, next);
    return gate.holdNow(owner, holder) ? run() : gate.hold(owner, holder).then(run);
  }

  #runHolding(row: EngineCommand, command: LinkedCommand | undefined, caller: Caller, next: Next): Maybe<Reply> {
    const { owner, canWait } = caller;
    const run = (): Maybe<Reply> => {
      const own = andAfterwards(
        () => this.#sendAndSettle(command, owner, next),
        () => this.#options.gate.release(owner),
      );
      return andThen(own, (frame) => {
        const free = canWait ? (command?.whenFree() ?? this.#slowDown(row)) : undefined;
        return andThen(free, () => command?.override ?? raw(frame));
      });
    };
    if (!command) return run();
    return andAfterwards(run, () => {
      command.isOver = true;
    });
  }

  /** Events that come while the command is the linked one are its own. */
  #sendAndSettle(command: LinkedCommand | undefined, owner: object, next: Next): Maybe<Buffer> {
    const { keys, sync } = this.#options;
    const outer = keys.command;
    keys.command = command;
    const run = (): Maybe<Buffer> =>
      andThen(next(), (own) =>
        andThen(command && this.#allTried(), () => {
          keys.command = undefined;
          return andThen(sync.settle(owner, true), () => own);
        }),
      );
    return andAfterwards(run, () => {
      keys.command = outer;
    });
  }

  /** Resolves when all events that the engine has told were tried. Undefined: they were. */
  #allTried(): Promise<void> | undefined {
    const { events, keys } = this.#options;
    const barrier = events.barrier();
    return barrier ? barrier.then(() => keys.whenFlowing()) : keys.whenFlowing();
  }

  #slowDown(row: EngineCommand): Promise<void> | undefined {
    return this.backlogged && row.flags.has("write") ? this.whenDrained() : undefined;
  }

  #checkDrained(): void {
    if (!this.#backlogged || this.#options.starter.waiting > this.#maxBacklog * DRAINED) return;
    this.#backlogged = false;
    for (const resolve of this.#onDrained.splice(0)) resolve();
  }

  // ---- CONFIG ----

  #config(request: RequestView): Handling | undefined {
    const { events } = this.#options;
    const args = request.copy(1);
    switch (configKind(args)) {
      case "get":
        return after((reply) => raw(events.maskConfig(reply)));
      case "set":
        if (args.length === 3) return this.#setFlags(args[2] as Buffer);
        return after((reply) => {
          if (accepted(reply)) events.learnUserFlags();
          return undefined;
        });
      default:
        return undefined;
    }
  }

  /** The engine gets what the users want together with what is needed here: there is no moment in which it tells less. */
  #setFlags(wanted: Buffer): Handling {
    const { events } = this.#options;
    return {
      way: "alone",
      run: async (_caller, next) => {
        const flags = wanted.toString("latin1");
        const merged = events.withNeeded(flags);
        const reply = await next(encodeCommand(["CONFIG", "SET", PARAMETER, Buffer.from(merged, "latin1")]));
        if (accepted(reply)) events.noteUserFlags(flags, merged);
        return raw(reply);
      },
    };
  }
}

const accepted = (reply: Buffer): boolean => reply[0] === 0x2b;

/** What a CONFIG has to do with the setting of notifications. @param args without the name */
function configKind(args: readonly Buffer[]): "get" | "set" | undefined {
  const [verb, ...words] = args.map((arg) => arg.toString("latin1").toLowerCase());
  if (verb === "get") return "get";
  return verb === "set" && words.some((word, at) => at % 2 === 0 && word === PARAMETER) ? "set" : undefined;
}
