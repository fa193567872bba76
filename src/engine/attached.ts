/**
 * The engine as a thread of Python's uses it: Valkey's WebAssembly instantiated once more over the memory that the main thread
 * has booted it in. Commands are carried out here, in this thread, over a connection that the main thread has opened for it
 * and logged in. Everything else (other clients, the clock's work, saving) stays with the main thread.
 *
 * Runs in a worker. It knows nothing of rights, hooks, events or transactions: the main thread opens this way only while
 * none of them has a say, see `threads.ts`.
 */
import { DIRECT_FUNCTIONS, type DirectFunctions } from "./direct-entry.ts";
import { Internals, OWN_OUTPUT_LIMIT } from "./internals.ts";
import { EngineLock, Loss, noteBroken, SharedMemoryView, type SharedWords, ThreadWords } from "./shared-memory.ts";
import { wasiImports } from "./wasi.ts";
import { wasm } from "./wasm.ts";

/** What the main thread gives to a thread, once. All of it can be posted. */
export interface EngineShare {
  /** The compiled module. */
  readonly module: object;
  readonly memory: object;
  readonly words: SharedWords;
  /** Of the thread that gets it; from 1 on. */
  readonly thread: number;
  /** The build of Valkey, for {@link Internals.ofBuild}. */
  readonly build: string;
  /** Commands that may go this way, by their names in lower case, with their arity as in Redis' COMMAND table. */
  readonly commands: ReadonlyMap<string, number>;
}

/** What became of a command. */
export type Outcome =
  | { readonly reply: Buffer; readonly othersWait: boolean }
  /** The reply is longer than the limit, and lost. */
  | "too long"
  /** Nothing was done: this way is not open now. */
  | "closed"
  /** It was carried out or will be, and there is no reply: the connection is of no more use. */
  | "lost";

const WOULD_BLOCK = -1;
const NOTHING_WRITTEN = 0;
/** Valkey writes about so much at a time (NET_MAX_WRITES_PER_EVENT), and has to be asked again for more. */
const WRITTEN_AT_ONCE = 64 * 1024;

export class AttachedEngine {
  readonly #words: SharedWords;
  readonly #lock: EngineLock;
  readonly #mine: ThreadWords;
  readonly #memory: SharedMemoryView;
  readonly #internals: Internals;
  readonly #functions: DirectFunctions;
  readonly #maxReply: number;
  #input: Buffer | undefined;
  #output: Buffer[] = [];
  #size = 0;
  #closed = false;

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
      wasi_snapshot_preview1: wasiImports(this.#memory, {}),
      env: { memory: share.memory, __c_longjmp: new wasm.Tag({ parameters: ["i32"] }) },
    });
    for (const name of DIRECT_FUNCTIONS) if (typeof exports[name] !== "function") throw new Error(`no ${name}`);
    this.#functions = exports as unknown as DirectFunctions;
  }

  /** May it be tried? Only {@link execute} knows for certain. */
  get isOpen(): boolean {
    return this.#mine.open;
  }

  /**
   * Carries one command out.
   * @param who a number of the code that wants it, see {@link EngineThread.open}
   * @throws whatever went wrong inside Valkey, which must not be used any more then
   */
  execute(request: Buffer, who = 0): Outcome {
    this.#lock.take();
    try {
      const { open, only, loss } = this.#mine;
      if (!open || loss !== Loss.none || (only !== 0 && only !== who)) return "closed";
      return this.#run(request);
    } catch (error) {
      noteBroken(this.#words);
      throw error;
    } finally {
      this.#lock.give();
    }
  }

  #run(request: Buffer): Outcome {
    const internals = this.#internals;
    const limit = internals.outputLimit;
    this.#input = request;
    this.#size = 0;
    this.#closed = false;
    internals.outputLimit = OWN_OUTPUT_LIMIT;
    const { connection, client } = internals.clientOf(this.#mine.descriptor);
    while (this.#input !== undefined && !this.#closed) this.#functions.readQueryFromClient(connection);
    for (let written = WRITTEN_AT_ONCE; written >= WRITTEN_AT_ONCE && !this.#closed; ) {
      const before = this.#size;
      this.#functions.writeToClient(client);
      written = this.#size - before;
    }
    internals.outputLimit = limit;
    const output = this.#output;
    this.#output = [];
    if (this.#closed || this.#size === 0) {
      this.#mine.loss = this.#closed ? Loss.closed : Loss.other;
      return "lost";
    }
    if (this.#size > this.#maxReply) return "too long";
    const reply = output.length === 1 ? (output[0] as Buffer) : Buffer.concat(output, this.#size);
    // this client itself stays in Valkey's list until the main thread lets its event loop turn
    return { reply, othersWait: internals.pendingWrites > 1 };
  }

  /** What Valkey believes to be the network: one connection, in this thread. */
  #host(): Record<string, unknown> {
    return {
      socket: () => WOULD_BLOCK,
      listen: () => WOULD_BLOCK,
      accept: () => WOULD_BLOCK,
      poll: () => 0,
      read: (descriptor: number, pointer: number, length: number) => {
        const input = this.#input;
        if (input === undefined || descriptor !== this.#mine.descriptor) return WOULD_BLOCK;
        const size = Math.min(length, input.length);
        this.#memory.bytes.set(size === input.length ? input : input.subarray(0, size), pointer);
        this.#input = size === input.length ? undefined : input.subarray(size);
        return size;
      },
      write: (descriptor: number, pointer: number, length: number) => {
        // commands that make Valkey write to others at once do not come this way; it would keep the bytes
        if (descriptor !== this.#mine.descriptor) return NOTHING_WRITTEN;
        this.#size += length;
        if (this.#size > this.#maxReply) this.#output.length = 0;
        else this.#output.push(Buffer.from(this.#memory.bytes.subarray(pointer, pointer + length)));
        return length;
      },
      close: (descriptor: number) => {
        if (descriptor !== this.#mine.descriptor) throw new Error("Valkey has closed the connection of another thread");
        this.#closed = true;
      },
    };
  }
}
