/**
 * What registrations have to do with the commands of clients and scripts: `sync` executions run before the reply, linked
 * clients wait for theirs, writers wait while too many events wait, and nobody sees what the server has added to
 * `notify-keyspace-events`.
 */
import type { EngineCommand, EngineCommands } from "../engine/commands.ts";
import { encodeCommand } from "../engine/encode.ts";
import { wordOf } from "../engine/traits.ts";
import type { EngineCall, Interception, Interceptor, RequestView } from "../gateway/interceptor.ts";
import { encodeWhole, type Reply, raw } from "../resp/reply.ts";
import type { ClientCommand, ClientCommands } from "./client-commands.ts";
import type { EventStarter, Holdable } from "./events.ts";
import type { KeysRegistrations } from "./keys.ts";
import type { KeyEvents } from "./notifications.ts";
import type { StreamRegistrations } from "./streams.ts";
import type { SyncEvents } from "./sync-events.ts";

interface EventInterceptorOptions {
  readonly keys: KeysRegistrations;
  readonly streams: StreamRegistrations;
  readonly sync: SyncEvents;
  readonly events: KeyEvents;
  readonly starter: EventStarter;
  readonly clientCommands: ClientCommands;
  readonly gate: Pick<Holdable, "hold" | "release">;
  readonly engineCommands: EngineCommands;
  /** Events that may wait before writers have to. */
  readonly maxBacklog?: number;
}

/** Who sends a command. */
export interface Sender {
  /** In whose name the engine is held. */
  readonly owner: object;
  /** It can wait for executions in the background. */
  readonly canWait: boolean;
  /** The registrations that name the command in `commands` are tried. */
  readonly links: boolean;
}

const MAX_BACKLOG = 1_000_000;
/** Writers go on when so much of the backlog is left. */
const DRAINED = 0.9;
const PARAMETER = "notify-keyspace-events";

export class EventInterceptor implements Interceptor {
  readonly always = ["config"];
  readonly #options: EventInterceptorOptions;
  readonly #maxBacklog: number;
  #backlogged = false;
  readonly #onDrained: (() => void)[] = [];

  constructor(options: EventInterceptorOptions) {
    this.#options = options;
    this.#maxBacklog = options.maxBacklog ?? MAX_BACKLOG;
    options.starter.onProgress = () => this.#checkDrained();
  }

  get active(): boolean {
    const { linkedNames, asksTypes } = this.#options.keys;
    return this.#holds || asksTypes || linkedNames.size > 0 || this.backlogged;
  }

  /** Names of the commands of Lua scripts that have to come one by one through {@link around}; `*` is all. */
  get commandsOfScripts(): readonly string[] {
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

  intercept(name: string, request: RequestView): Interception | undefined {
    if (name === "config") return this.#options.events.active ? this.#config(request) : undefined;
    if (!this.active) return undefined;
    const row = this.#concerned(name, request.count);
    if (!row) return undefined;
    // A command that blocks may wait for commands of other clients, which could not be carried out while the engine is held.
    // So the engine is not held for it, and others' commands can come between it and its events.
    if (row.flags.has("blocking")) {
      if (!this.#holds) return undefined;
      return { kind: "hold", settle: (_reply, { owner }) => this.#options.sync.settle(owner)?.then(() => undefined) };
    }
    if (this.#comesAlone(row, name, request.count, true)) {
      const args = request.copy(0);
      return {
        kind: "replace",
        run: ({ owner, caller }, ask) =>
          this.#run(row, args, { owner, canWait: caller === "client", links: true }, ask),
      };
    }
    if (!this.backlogged || !row.flags.has("write")) return undefined;
    // scripts do not wait: what they do is what the backlog waits for
    return {
      kind: "hold",
      settle: (_reply, { caller }) => (caller === "client" ? this.#slowDown(row)?.then(() => undefined) : undefined),
    };
  }

  /**
   * Sends a command and deals with everything that it causes before its caller sees the reply: for callers that are no
   * clients of the gateway. None of their commands blocks.
   * @param send sends it, in the name of the sender's owner
   * @returns what the caller gets, as RESP2
   */
  around(args: readonly Buffer[], sender: Sender, send: () => Buffer | Promise<Buffer>): Buffer | Promise<Buffer> {
    const name = wordOf(args[0]);
    if (name === "config" && this.#options.events.active) return this.#aroundConfig(args, send);
    const row = this.active ? this.#concerned(name, args.length) : undefined;
    if (!row || !this.#comesAlone(row, name, args.length, sender.links)) return send();
    // the arguments may be views of a message that does not outlive this call
    const own = args.map((arg) => Buffer.from(arg));
    const run = this.#run(row, own, sender, async () => send());
    return run.then((reply) => encodeWhole(reply, 2));
  }

  /** Is {@link around} needed for a command of a Lua script? What it is not needed for the script can send itself. */
  watchesInScripts(args: readonly Buffer[]): boolean {
    const name = wordOf(args[0]);
    const row = this.active ? this.#concerned(name, args.length) : undefined;
    if (!row || !this.#comesAlone(row, name, args.length, true)) return false;
    // outside the script nothing would keep it from blocking, or refuse it
    return !row.flags.has("blocking") && !row.flags.has("noscript");
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

  async #run(row: EngineCommand, args: readonly Buffer[], sender: Sender, ask: EngineCall): Promise<Reply> {
    const { gate, keys, clientCommands } = this.#options;
    const { owner, canWait, links } = sender;
    const linked = links && keys.linkedNames.has(wordOf(args[0]));
    await gate.hold(owner, () => `${String(args[0])} and the events that it causes`);
    const command = linked ? clientCommands.open(args, row, canWait) : undefined;
    let own: Buffer;
    try {
      own = await this.#askAndSettle(encodeCommand(args), command, owner, ask);
    } catch (error) {
      if (command) clientCommands.close(command);
      throw error;
    } finally {
      gate.release(owner);
    }
    if (canWait) await (command?.whenFree() ?? this.#slowDown(row));
    if (command) clientCommands.close(command);
    return command?.override ?? raw(own);
  }

  /** Events that come while the command is the linked one are its own. */
  async #askAndSettle(
    request: Buffer,
    command: ClientCommand | undefined,
    owner: object,
    ask: EngineCall,
  ): Promise<Buffer> {
    const { keys, sync } = this.#options;
    const outer = keys.command;
    keys.command = command;
    try {
      const own = await ask(request);
      if (command) await this.#options.events.barrier();
      if (command) await keys.whenFlowing();
      keys.command = undefined;
      await sync.settle(owner);
      return own;
    } finally {
      keys.command = outer;
    }
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

  #config(request: RequestView): Interception | undefined {
    const { events } = this.#options;
    const kind = configKind(request.copy(1));
    if (kind === "get") {
      return {
        kind: "hold",
        settle: (reply) => {
          const masked = events.maskConfig(reply);
          return masked === reply ? undefined : raw(masked);
        },
      };
    }
    if (kind !== "set") return undefined;
    return {
      kind: "hold",
      settle: (reply) => {
        if (accepted(reply)) events.learnUserFlags();
        return undefined;
      },
    };
  }

  async #aroundConfig(args: readonly Buffer[], send: () => Buffer | Promise<Buffer>): Promise<Buffer> {
    const { events } = this.#options;
    const kind = configKind(args.slice(1));
    const reply = await send();
    if (kind === "set" && accepted(reply)) events.learnUserFlags();
    return kind === "get" ? events.maskConfig(reply) : reply;
  }
}

const accepted = (reply: Buffer): boolean => reply[0] === 0x2b;

/** What a CONFIG has to do with the setting of notifications. @param args without the name */
function configKind(args: readonly Buffer[]): "get" | "set" | undefined {
  const [verb, ...words] = args.map((arg) => arg.toString("latin1").toLowerCase());
  if (verb === "get") return "get";
  return verb === "set" && words.some((word, at) => at % 2 === 0 && word === PARAMETER) ? "set" : undefined;
}
