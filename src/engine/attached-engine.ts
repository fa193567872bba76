/**
 * The engine as a thread of Python's uses it: Valkey's WebAssembly instantiated once more over the memory that the main thread
 * has booted it in. Commands are carried out here, in this thread, over a connection that the main thread has opened for it
 * and logged in. Everything else (other clients, the clock's work, saving) stays with the main thread.
 *
 * Runs in a worker. It knows nothing of rights, hooks, events or transactions: the main thread opens this way only while
 * none of them has a say, see `engine-threads.ts`.
 */
import { DIRECT_FUNCTIONS, type DirectFunctions } from "./direct-entry.ts";
import { Internals, OWN_OUTPUT_LIMIT } from "./internals.ts";
import {
  EngineLock,
  isOwed,
  Loss,
  noteBroken,
  noteOwed,
  SharedMemoryView,
  type SharedWords,
  ThreadWords,
} from "./shared-memory.ts";
import { type ClockShift, wasiImports } from "./wasi.ts";
import { wasm } from "./wasm.ts";

/** What the main thread gives to a thread, once. All of it can be posted. */
export interface EngineShare {
  /** The compiled module. */
  readonly module: object;
  readonly memory: object;
  readonly words: SharedWords;
  /** The number of the thread that gets this share; from 1 on. */
  readonly thread: number;
  /** The build of Valkey, for {@link Internals.ofBuild}. */
  readonly build: string;
  readonly clockShift: ClockShift;
  /** Commands that may go this way, by their names in lower case, with their arity as in Redis' COMMAND table. */
  readonly commands: ReadonlyMap<string, number>;
}

/** What became of a command. */
export type Outcome =
  /** {@link AttachedEngine.reply} is its reply. */
  | "replied"
  /** The reply is longer than the limit, and lost. */
  | "too long"
  /** Nothing was done: this way is not open now. */
  | "closed"
  /** It was carried out or will be, and there is no reply: the connection is of no more use. */
  | "lost";

/** What became of a command that another connection has sent. */
export type ChunkOutcome =
  /** It was carried out. */
  | "done"
  /** The same, but no further one should follow: much waits for the connection, or the listener was not told everything. */
  | "full"
  /** Nothing was done. */
  | "closed";

/** Whose commands a thread carries out besides those of its own code. */
export interface ChunkConnections {
  /** The descriptor of the connection that has sent them. */
  readonly client: number;
  /** The descriptor of the one that is told what they cause. */
  readonly listener: number;
  /** Most bytes of replies that Valkey may hold for the client; 0: no limit. */
  readonly outputLimit: number;
}

/** What a listener is told is taken as it comes. */
export interface Told {
  readonly bytes: Buffer;
  /** Where the next bytes go. */
  size: number;
  /** There was more than there is room for: the rest is still in Valkey. */
  isCut: boolean;
}

const WOULD_BLOCK = -1;
const NOTHING_WRITTEN = 0;
/** When Valkey holds so many bytes of replies for a client, somebody has to hand them over first. */
const MUCH_OUTPUT = 48 * 1024;
/** Valkey writes about so much at a time (NET_MAX_WRITES_PER_EVENT), and has to be asked again for more. */
const WRITTEN_AT_ONCE = 64 * 1024;
/** Replies of up to this size, and what they are made of, lie in a buffer that is used again and again. */
const USUAL_REPLY = 64 * 1024;
/** Up to so many bytes are copied one by one: the two views that `set` needs cost more than such a copy. */
const FEW_BYTES = 64;

/**
 * So many commands may follow one another in this thread while Valkey keeps what they have brought other clients; then the
 * main thread has to hand that out.
 */
const MOST_OWING = 64;
const NOTHING = new Uint8Array(0);

export class AttachedEngine {
  readonly #words: SharedWords;
  readonly #lock: EngineLock;
  readonly #mine: ThreadWords;
  readonly #memory: SharedMemoryView;
  readonly #internals: Internals;
  readonly #functions: DirectFunctions;
  readonly #maxReply: number;
  /** The command that is being carried out: the bytes of {@link #input} from {@link #inputAt} to {@link #inputEnd}. */
  #input: Uint8Array = NOTHING;
  #inputAt = 0;
  #inputEnd = 0;
  /** The descriptor of the connection that it comes from. */
  #reading = -1;
  /** Who listens to what it causes, while that is taken. */
  #listener = -1;
  #told: Told | undefined;
  readonly #usual = Buffer.allocUnsafeSlow(USUAL_REPLY);
  /** The pieces of a reply that does not fit into {@link #usual}. */
  #pieces: Buffer[] = [];
  #size = 0;
  #closed = false;
  #hasClosed = false;
  #othersWait = false;
  #owing = 0;

  /**
   * @param maxReply longest reply in bytes
   * @throws Error when the build is not known
   */
  constructor(share: EngineShare, maxReply: number) {
    this.#maxReply = maxReply;
    this.#words = share.words;
    this.#lock = new EngineLock(share.words, share.thread);
    this.#mine = new ThreadWords(share.words, share.thread);
    this.#mine.noteSystemThread();
    this.#memory = new SharedMemoryView(share.memory);
    const internals = Internals.ofBuild(share.build, this.#memory);
    if (internals === undefined) throw new Error("an unknown build of Valkey");
    this.#internals = internals;
    const { exports } = new wasm.Instance(share.module, {
      host: this.#host(),
      // files are the main thread's alone: what Valkey does with them it does in its event loop, or in commands of clients
      wasi_snapshot_preview1: wasiImports(this.#memory, { clockShift: share.clockShift }),
      env: { memory: share.memory, __c_longjmp: new wasm.Tag({ parameters: ["i32"] }) },
    });
    for (const name of DIRECT_FUNCTIONS) if (typeof exports[name] !== "function") throw new Error(`no ${name}`);
    this.#functions = exports as unknown as DirectFunctions;
  }

  /** May a command be tried this way? Only {@link execute} knows for certain. */
  get isOpen(): boolean {
    return this.#mine.open;
  }

  /** The size of the last command's reply, in bytes. */
  get replySize(): number {
    return this.#size;
  }

  /** The last command's reply begins this; valid until the next command. */
  get reply(): Buffer {
    return this.#pieces.length === 0 ? this.#usual : Buffer.concat(this.#pieces, this.#size);
  }

  /** Has the last command brought other clients something, which the main thread has to hand out? */
  get othersWait(): boolean {
    return this.#othersWait;
  }

  /**
   * Carries one command out.
   * @param request begins with the command
   * @param size of the command, in bytes
   * @param who the number of the code that sends the command, see {@link EngineThread.open}; below zero: the body of a script
   * @throws whatever went wrong inside Valkey, which must not be used any more then
   */
  execute(request: Uint8Array, size: number, who: number): Outcome {
    return this.#inside<Outcome>("closed", () => {
      const mine = this.#mine;
      if (mine.loss !== Loss.none) return "closed";
      const { only } = mine;
      if (only !== 0 && only !== Math.abs(who)) return "closed";
      if (mine.withoutBodies && (who < 0 || this.#owesMuch())) return "closed";
      const outcome = this.#run(request, size);
      // this client itself stays in Valkey's list until the main thread lets its event loop turn
      this.#othersWait = outcome !== "lost" && this.#internals.pendingWrites > 1;
      if (this.#othersWait) noteOwed(this.#words, true);
      return outcome;
    });
  }

  /**
   * Carries out a command of a client, over the client's own connection: with its rights and in its database. The reply stays
   * in Valkey.
   * @param request has the command from `start` to `end`
   * @param told gets what the listener is told
   * @param mayRun is asked inside the lock, as the last thing before
   * @param onRun is called inside the lock when the command was carried out: whatever becomes of this thread then, that is known
   * @throws whatever went wrong inside Valkey
   */
  executeFor(
    { client: descriptor, listener, outputLimit }: ChunkConnections,
    request: Uint8Array,
    [start, end]: readonly [number, number],
    told: Told,
    [mayRun, onRun]: readonly [() => boolean, () => void],
  ): ChunkOutcome {
    return this.#inside<ChunkOutcome>("closed", () => {
      if (!mayRun()) return "closed";
      const client = this.#carryOut(descriptor, request, start, end, outputLimit);
      this.#hasClosed = this.#closed;
      this.#tell(listener, told);
      onRun();
      if (this.#hasClosed || told.isCut) return "full";
      return this.#functions.getClientOutputBufferMemoryUsage(client) > MUCH_OUTPUT ? "full" : "done";
    });
  }

  /**
   * Takes what commands of this thread's own code have told a listener.
   * @param mayTell is asked inside the lock, as the last thing before
   * @param onTold is called inside the lock
   */
  tell(listener: number, told: Told, [mayTell, onTold]: readonly [() => boolean, () => void]): void {
    this.#inside(undefined, () => {
      if (!mayTell()) return;
      this.#tell(listener, told);
      onTold();
    });
  }

  /** The same, to be called inside the lock: in `onRun` or {@link inside}. */
  tellInside(listener: number, told: Told): void {
    this.#tell(listener, told);
  }

  /**
   * Calls `act` inside the lock, where {@link ask} may be used.
   * @returns what `act` gives; false when this way is not open
   */
  inside(act: () => boolean): boolean {
    return this.#inside(false, act);
  }

  /**
   * Carries commands of the server's own out. To be called inside the lock: in `onRun` or {@link inside}.
   * @returns whether the replies are {@link reply}
   */
  ask(requests: Uint8Array): boolean {
    return this.#mine.loss === Loss.none && this.#run(requests, requests.length) === "replied";
  }

  /** Says which job of this thread may use the engine from now on; see {@link EngineThread.open}. */
  set only(job: number) {
    this.#mine.only = job;
  }

  /** Has Valkey closed the connection whose command {@link executeFor} has carried out? */
  get hasClosed(): boolean {
    return this.#hasClosed;
  }

  #tell(listener: number, told: Told): void {
    this.#told = told;
    this.#listener = listener;
    this.#functions.writeToClient(this.#internals.clientOf(listener).client);
    this.#listener = -1;
    this.#told = undefined;
  }

  /** @param otherwise what is given when the way is not open */
  #inside<T>(otherwise: T, act: () => T): T {
    this.#lock.take();
    try {
      return this.#mine.open ? act() : otherwise;
    } catch (error) {
      noteBroken(this.#words);
      throw error;
    } finally {
      this.#lock.give();
    }
  }

  /**
   * Has Valkey read a command from a connection, and carry it out.
   * @param outputLimit most bytes of replies that it may hold for the connection meanwhile; 0: no limit
   * @returns where Valkey has the connection's client
   */
  #carryOut(descriptor: number, request: Uint8Array, start: number, end: number, outputLimit: number): number {
    const internals = this.#internals;
    const limit = internals.outputLimit;
    this.#reading = descriptor;
    this.#input = request;
    this.#inputAt = start;
    this.#inputEnd = end;
    this.#size = 0;
    if (this.#pieces.length > 0) this.#pieces = [];
    this.#closed = false;
    internals.outputLimit = outputLimit;
    const { connection, client } = internals.clientOf(descriptor);
    while (this.#inputAt < end && !this.#closed) this.#functions.readQueryFromClient(connection);
    internals.outputLimit = limit;
    return client;
  }

  #run(request: Uint8Array, size: number): Outcome {
    const client = this.#carryOut(this.#mine.descriptor, request, 0, size, OWN_OUTPUT_LIMIT);
    for (let written = WRITTEN_AT_ONCE; written >= WRITTEN_AT_ONCE && !this.#closed; ) {
      const before = this.#size;
      this.#functions.writeToClient(client);
      written = this.#size - before;
    }
    if (this.#closed || this.#size === 0) {
      this.#mine.loss = this.#closed ? Loss.closed : Loss.other;
      return "lost";
    }
    return this.#size > this.#maxReply ? "too long" : "replied";
  }

  /** Has Valkey kept what is for other clients during many commands in a row? Then the main thread has to come in between. */
  #owesMuch(): boolean {
    this.#owing = isOwed(this.#words) ? this.#owing + 1 : 0;
    return this.#owing > MOST_OWING;
  }

  /** Gives Valkey, which reads, the next bytes of the command. @returns how many bytes */
  #give(pointer: number, length: number): number {
    const at = this.#inputAt;
    const size = Math.min(length, this.#inputEnd - at);
    const { bytes } = this.#memory;
    if (size > FEW_BYTES) bytes.set(this.#input.subarray(at, at + size), pointer);
    else for (let i = 0; i < size; i++) bytes[pointer + i] = this.#input[at + i] as number;
    this.#inputAt = at + size;
    return size;
  }

  /** Takes what Valkey writes: a part of the reply. */
  #take(pointer: number, length: number): void {
    const before = this.#size;
    this.#size += length;
    const { bytes } = this.#memory;
    if (this.#size <= USUAL_REPLY) {
      if (length > FEW_BYTES) this.#usual.set(bytes.subarray(pointer, pointer + length), before);
      else for (let i = 0; i < length; i++) this.#usual[before + i] = bytes[pointer + i] as number;
      return;
    }
    if (this.#size > this.#maxReply) {
      this.#pieces = [];
      return;
    }
    if (this.#pieces.length === 0) this.#pieces.push(Buffer.from(this.#usual.subarray(0, before)));
    this.#pieces.push(Buffer.from(bytes.subarray(pointer, pointer + length)));
  }

  /** Takes what Valkey writes to the listener, if there is room for it. @returns how many bytes */
  #takeTold(told: Told, pointer: number, length: number): number {
    if (told.isCut || told.size + length > told.bytes.length) {
      told.isCut = true;
      return NOTHING_WRITTEN;
    }
    told.bytes.set(this.#memory.bytes.subarray(pointer, pointer + length), told.size);
    told.size += length;
    return length;
  }

  /** What Valkey believes to be the network: one connection, in this thread. */
  #host(): Record<string, unknown> {
    return {
      socket: () => WOULD_BLOCK,
      listen: () => WOULD_BLOCK,
      accept: () => WOULD_BLOCK,
      poll: () => 0,
      read: (descriptor: number, pointer: number, length: number) =>
        this.#inputAt < this.#inputEnd && descriptor === this.#reading ? this.#give(pointer, length) : WOULD_BLOCK,
      write: (descriptor: number, pointer: number, length: number) => {
        if (descriptor === this.#listener && this.#told) return this.#takeTold(this.#told, pointer, length);
        // no command that goes this way makes Valkey write to another client at once; if one did, Valkey would keep the bytes
        if (descriptor !== this.#mine.descriptor) return NOTHING_WRITTEN;
        this.#take(pointer, length);
        return length;
      },
      close: (descriptor: number) => {
        if (descriptor !== this.#reading) throw new Error("Valkey has closed the connection of another thread");
        this.#closed = true;
      },
    };
  }
}
