/**
 * What Valkey's WebAssembly believes to be the network: virtual sockets, and the poll of its event loop. Nothing here
 * calls anybody outside while Valkey runs; what it produced is fetched by the engine after each step.
 */
import type { ClientAddresses } from "./engine.ts";
import { MemoryView } from "./wasm.ts";

/** Smaller descriptors never reach the host: Valkey's build takes them for files. */
const FIRST_DESCRIPTOR = 4096;
const READABLE = 1;
const WRITABLE = 2;
/** Room for Valkey's own answer to "not now"; any negative result means "broken pipe" for a write. */
const NOTHING_WRITTEN = 0;
const WOULD_BLOCK = -1;
const BROKEN_PIPE = -1;

/** Bytes that Valkey reads of one connection in one step, unless its commands turned out to be slow. */
const FULL_READ = 16 * 1024;
const MIN_READ = 64;
/** The same of a client that has just come: nobody knows how long its replies will be. */
const FIRST_READ = 512;
/** A client has long replies when they have so many times the bytes of its commands. */
const LONG_REPLIES = 64;
/** After so many bytes of commands, what was known of their replies counts half. */
const FORGET_AFTER = 64 * 1024;
/**
 * Most bytes taken of Valkey in one write, for a client: a string of 100 MB leaves it in many steps, between which others
 * have theirs. Buffers of this size are cheap to get; those above 128 KiB are mapped anew by the system each time.
 */
const CLIENT_WRITE = 64 * 1024;
/** Most bytes that wait for delivery to a client. */
const CLIENT_WINDOW = 4 * CLIENT_WRITE;
/** The same for the server's own connections, which want their replies whole: larger pieces, and as many as there are. */
const OWN_WRITE = 1024 * 1024;
/** Most bytes of a reply to the server itself that Valkey may hold, so that its memory lasts. */
const OWN_OUTPUT_LIMIT = 1024 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);
const WORD = 2 ** 32;
const GROWTH = 4 * 1024 * 1024;
/** Valkey counts what it has sent of the replies that wait in 32 bits, and would send other bytes beyond that. */
const MAX_UNBROKEN = WORD - 16 * 1024 * 1024;

/**
 * Addresses inside one exact build of Valkey. With them a poll looks only at the sockets that have something to do;
 * without, it walks over all descriptors from 0 to the highest, like `select`. They also let an endless script be stopped.
 */
export interface EngineLayout {
  /** Of the pointer `server.el`. */
  readonly eventLoop: number;
  /** Of the pointer `curr_run_ctx`, the running script. */
  readonly runningScript: number;
  /** Of the 64-bit number `server.client_obuf_limits[normal].hard_limit_bytes`. */
  readonly outputLimit: number;
  /** Of the number of bytes by which the memory grows at least (`mparams.granularity` of its allocator). */
  readonly growth: number;
  /**
   * Of function pointers whose functions are called with another signature than they have. Native machines let that pass,
   * WebAssembly ends the engine. Each with the address of a pointer to take instead.
   */
  readonly replaced: readonly (readonly [pointer: number, by: number])[];
}

// struct aeEventLoop: { int maxfd; ...; aeFileEvent *events (at 16) }, aeFileEvent: 16 bytes, its mask first.
const EVENTS_WORD = 4;
const EVENT_WORDS = 4;
// struct scriptRunCtx: flags at 16
const SCRIPT_FLAGS_WORD = 4;
const SCRIPT_WROTE = 1;
const SCRIPT_TIMED_OUT = 8;
const SCRIPT_KILLED = 16;

/** The engine's end of one connection. */
export class VirtualSocket {
  /** Set once by Valkey's accept. */
  descriptor = -1;
  /** Delivered before the others; see `EmbeddedEngine`. */
  readonly priority: boolean;
  /** Undefined for the server's own connections. */
  readonly addresses: ClientAddresses | undefined;
  /** Takes nothing of Valkey. */
  paused = false;
  /** Valkey reads nothing of it until somebody who holds the engine has let go. */
  frozen = false;
  /** Our side closed it: Valkey reads the end of the stream. */
  ended = false;
  /** Valkey closed it. */
  closed = false;
  /** What Valkey wrote and nobody fetched. */
  readonly #output: Buffer[] = [];
  #outputBytes = 0;
  /** Member of the engine's list of sockets whose output waits for delivery. */
  undelivered = false;
  /** Bytes that Valkey has not read. */
  unread = 0;
  /** Bytes read in the present step, and how many may be. */
  readInStep = 0;
  readLimit: number;
  /** Bytes of commands and of replies lately. */
  #commandBytes = 0;
  #replyBytes = 0;
  /** Bytes of replies since Valkey had no more to write. */
  unbroken = 0;
  /** Members of the host's lists of sockets that have something to do. */
  inReadable = false;
  inWriting = false;
  readonly #input: Uint8Array[] = [];
  #head = 0;
  #offset = 0;

  constructor(priority: boolean, addresses?: ClientAddresses) {
    this.priority = priority;
    this.addresses = addresses;
    this.readLimit = this.isOwn ? FULL_READ : FIRST_READ;
  }

  /** Is it a connection of the server itself, and no client's? */
  get isOwn(): boolean {
    return this.addresses === undefined;
  }

  /** Were its replies much longer than its commands lately? */
  get hasLongReplies(): boolean {
    return !this.isOwn && this.#replyBytes > CLIENT_WRITE && this.#replyBytes > LONG_REPLIES * this.#commandBytes;
  }

  /** Is there output to deliver? */
  get hasOutput(): boolean {
    return this.#output.length > 0;
  }

  /** Copies what Valkey writes, or a part of it. @returns how many bytes; 0 when there is no room */
  accept(memory: Uint8Array, start: number, length: number): number {
    const size = Math.min(length, this.isOwn ? OWN_WRITE : CLIENT_WRITE);
    if (!this.isOwn && this.#outputBytes >= CLIENT_WINDOW) return NOTHING_WRITTEN;
    const copy = Buffer.allocUnsafe(size);
    copy.set(memory.subarray(start, start + size));
    this.#output.push(copy);
    this.#outputBytes += size;
    this.#replyBytes += size;
    return size;
  }

  /** Takes the first of the output, or all of it when that is little; makes room for more. */
  takeOutput(): Buffer {
    const output = this.#output;
    const whole = output.length > 1 && this.#outputBytes <= CLIENT_WRITE;
    const bytes = whole ? Buffer.concat(output, this.#outputBytes) : (output.shift() ?? NOTHING);
    if (whole) output.length = 0;
    this.#outputBytes -= bytes.length;
    return bytes;
  }

  /** Forgets the output. */
  dropOutput(): void {
    this.#output.length = 0;
    this.#outputBytes = 0;
  }

  /** What Valkey has yet to take of this socket; 0 when it has everything. */
  get todo(): number {
    return this.descriptor < 0 ? this.unread + 1 : this.unread;
  }

  /**
   * Is there something that Valkey should read now? While it waits to write replies no more commands are carried out. But
   * of a client that does not read them they are, as long as they have short replies: many a client first sends all its
   * commands. Valkey has a limit for what these replies may be together.
   */
  get isReadable(): boolean {
    if (this.ended) return true;
    if (this.unread === 0 || this.frozen) return false;
    if (this.paused) return !this.hasLongReplies;
    return !this.inWriting || this.isOwn;
  }

  /** Queues bytes for Valkey. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#input.push(bytes);
    this.unread += bytes.length;
  }

  /** Forgets what Valkey has not read. */
  drop(): void {
    this.#input.length = 0;
    this.#head = 0;
    this.#offset = 0;
    this.unread = 0;
  }

  /** Moves up to `length` bytes of the queue to `target`. @returns how many */
  take(target: Uint8Array, start: number, length: number): number {
    let done = 0;
    while (done < length) {
      const chunk = this.#input[this.#head];
      if (chunk === undefined) break;
      const left = chunk.length - this.#offset;
      const room = length - done;
      if (left <= room) {
        target.set(this.#offset === 0 ? chunk : chunk.subarray(this.#offset), start + done);
        done += left;
        this.#offset = 0;
        this.#head++;
      } else {
        target.set(chunk.subarray(this.#offset, this.#offset + room), start + done);
        done += room;
        this.#offset += room;
      }
    }
    if (this.#head === this.#input.length) {
      this.#input.length = 0;
      this.#head = 0;
    } else if (this.#head >= 1024) {
      this.#input.splice(0, this.#head);
      this.#head = 0;
    }
    this.unread -= done;
    this.#noteCommands(done);
    return done;
  }

  #noteCommands(bytes: number): void {
    this.#commandBytes += bytes;
    if (this.#commandBytes < FORGET_AFTER) return;
    this.#commandBytes >>= 1;
    this.#replyBytes = Math.floor(this.#replyBytes / 2);
  }
}

/** What the engine wants to be told; called while Valkey runs, so it must not call back. */
export interface HostEvents {
  /** A socket has its first undelivered output, or was closed by Valkey. */
  onOutput(socket: VirtualSocket): void;
  /** A connection is given up, because its replies are longer than Valkey can count. */
  onEndlessOutput(): void;
  /** A script was stopped because it ran for too long. */
  onScriptStopped(hadWritten: boolean): void;
}

export class VirtualHost {
  readonly memory = new MemoryView();
  readonly #layout: EngineLayout | undefined;
  readonly #events: HostEvents;
  readonly #sockets = new Map<number, VirtualSocket>();
  readonly #freeDescriptors: number[] = [];
  #nextDescriptor = FIRST_DESCRIPTOR;
  #listener = -1;
  #arrivals: VirtualSocket[] = [];
  /** Sockets with unread input or an end to read; swept in each poll. */
  #readable: VirtualSocket[] = [];
  /** Sockets that Valkey wrote to since the last poll, and those for which it waits to be able to write. */
  #writing: VirtualSocket[] = [];
  readonly #readers: VirtualSocket[] = [];
  #only: VirtualSocket | undefined;
  #highest = -1;
  #polls = 0;
  #fired = 0;
  #wrote = false;
  #stepStart = 0;

  /** How long one step may last before a script in it is stopped, in milliseconds; 0 for ever. */
  scriptTimeLimitMs = 0;
  /** Most bytes of replies that Valkey may hold for one client, unless CONFIG SET says something else. */
  readonly #defaultLimit: number;
  #clientLimit: number;
  /** What Valkey was told last about that. */
  #outputLimit = 0;

  /**
   * @param outputLimit most bytes of replies that Valkey may hold for a client; beyond them it closes the connection.
   * CONFIG SET client-output-buffer-limit changes it
   */
  constructor(layout: EngineLayout | undefined, events: HostEvents, outputLimit: number) {
    this.#layout = layout;
    this.#events = events;
    this.#defaultLimit = outputLimit;
    this.#clientLimit = outputLimit;
  }

  /** The functions of the module `host`. */
  imports(): Record<string, unknown> {
    return {
      socket: () => this.#allocate(),
      listen: (descriptor: number) => {
        this.#listener = descriptor;
        return 0;
      },
      accept: () => this.#accept(),
      read: (descriptor: number, pointer: number, length: number) => this.#read(descriptor, pointer, length),
      write: (descriptor: number, pointer: number, length: number) => this.#write(descriptor, pointer, length),
      close: (descriptor: number) => this.#close(descriptor),
      poll: (interest: number, count: number, fired: number, max: number) => this.#poll(interest, count, fired, max),
    };
  }

  /** Must be called once, when Valkey has booted. */
  booted(): void {
    const words = this.memory.words;
    if (this.#layout === undefined) return;
    for (const [pointer, by] of this.#layout.replaced) words[pointer >> 2] = words[by >> 2] ?? 0;
    // Each growth can cost a millisecond, and a long reply is made of thousands of pages.
    words[this.#layout.growth >> 2] = GROWTH;
  }

  /** Lets a socket wait for Valkey's accept. */
  connect(socket: VirtualSocket): void {
    this.#arrivals.push(socket);
  }

  /** Tells that the socket has input or has ended. */
  wake(socket: VirtualSocket): void {
    if (socket.inReadable || socket.closed) return;
    socket.inReadable = true;
    this.#readable.push(socket);
  }

  /** All sockets that Valkey has, and those that it has yet to accept. */
  all(): VirtualSocket[] {
    return [...this.#sockets.values(), ...this.#arrivals];
  }

  /** The socket that Valkey has under a descriptor. */
  socketOf(descriptor: number): VirtualSocket | undefined {
    return this.#sockets.get(descriptor);
  }

  /**
   * Must be called before each step.
   * @param only the one socket whose input is read in this step; undefined for all
   */
  beginStep(only: VirtualSocket | undefined): void {
    this.#only = only;
    this.#polls = 0;
    this.#fired = 0;
    this.#wrote = false;
    this.#stepStart = performance.now();
    if (this.#layout !== undefined) this.#hideDescriptors(this.#layout.eventLoop);
  }

  /**
   * Must be called after each step.
   * @returns true when another step may have something to do: what was read has no reply yet, not all was read or
   * written, or a client that got its reply after waiting for another has sent more
   */
  endStep(): boolean {
    this.#showDescriptors();
    this.#liftOutputLimit();
    const canWrite = this.#sweepWriting();
    this.#adaptReads(performance.now() - this.#stepStart);
    return canWrite || this.#wrote || this.#fired > 0 || (this.#only === undefined && this.#hasArrivals());
  }

  /** Does each connection have a limit of its own for its replies? */
  get limitsOutput(): boolean {
    return this.#layout !== undefined;
  }

  lowerOutputLimit(bytes: number): void {
    this.#clientLimit = Math.min(this.#clientLimit, bytes);
  }

  /** Clients whose commands have not been carried out wait with them until {@link VirtualHost.thaw}. */
  freeze(): void {
    for (const socket of this.all()) if (!socket.isOwn && socket.unread > 0) socket.frozen = true;
  }

  thaw(): void {
    for (const socket of this.all()) {
      if (!socket.frozen) continue;
      socket.frozen = false;
      this.wake(socket);
    }
  }

  /** True while output for a priority socket is still inside Valkey and can be fetched. */
  holdsPriorityOutput(): boolean {
    return this.#writing.some((socket) => socket.priority && !socket.paused);
  }

  /**
   * Valkey builds the list of what it waits for by walking over all descriptors up to the highest, which costs more than
   * a small command. It is told that the highest is 0, and that 0 is waited for, and so asks at once.
   */
  #hideDescriptors(eventLoop: number): void {
    const words = this.memory.words;
    const loop = (words[eventLoop >> 2] ?? 0) >> 2;
    this.#highest = words[loop] ?? 0;
    words[loop] = 0;
    words[(words[loop + EVENTS_WORD] ?? 0) >> 2] = READABLE;
  }

  #showDescriptors(): void {
    if (this.#layout === undefined || this.#highest < 0) return;
    const words = this.memory.words;
    const loop = (words[this.#layout.eventLoop >> 2] ?? 0) >> 2;
    // Valkey may have registered a higher one meanwhile; one that is too high does no harm.
    words[loop] = Math.max(this.#highest, words[loop] ?? 0);
    this.#highest = -1;
  }

  /** Nobody is accepted while Valkey does not listen, as after CONFIG SET port 0. */
  #hasArrivals(): boolean {
    return this.#arrivals.length > 0 && this.#listener >= 0;
  }

  #allocate(): number {
    return this.#freeDescriptors.pop() ?? this.#nextDescriptor++;
  }

  #accept(): number {
    const socket = this.#arrivals.shift();
    if (socket === undefined) return WOULD_BLOCK;
    socket.descriptor = this.#allocate();
    this.#sockets.set(socket.descriptor, socket);
    if (socket.unread > 0 || socket.ended) this.wake(socket);
    return socket.descriptor;
  }

  #read(descriptor: number, pointer: number, length: number): number {
    const socket = this.#sockets.get(descriptor);
    if (socket === undefined) return WOULD_BLOCK;
    if (socket.unread === 0) return socket.ended ? 0 : WOULD_BLOCK;
    this.#limitOutput(socket.isOwn ? OWN_OUTPUT_LIMIT : this.#clientLimit);
    // Big arguments are read in one go whatever the limit: there is one command in them.
    const limit = length > FULL_READ ? length : Math.min(length, socket.readLimit);
    const count = socket.take(this.memory.bytes, pointer, limit);
    if (socket.readInStep === 0) this.#readers.push(socket);
    socket.readInStep += count;
    return count;
  }

  /**
   * Valkey has one limit for all connections. It looks at it whenever it adds to a reply, and the commands that it carries
   * out are always those of the connection that it has just read.
   */
  #limitOutput(bytes: number): void {
    if (this.#layout === undefined || bytes === this.#outputLimit) return;
    const words = this.memory.words;
    const word = this.#layout.outputLimit >> 2;
    words[word] = bytes % WORD;
    words[word + 1] = Math.floor(bytes / WORD);
    this.#outputLimit = bytes;
  }

  /**
   * Between two steps Valkey looks at what each connection holds, and counts strings that it only refers to, which take
   * no memory of their own: for that there is no limit. A limit that is not ours is one that CONFIG SET has brought.
   */
  #liftOutputLimit(): void {
    if (this.#layout === undefined) return;
    const words = this.memory.words;
    const word = this.#layout.outputLimit >> 2;
    const present = ((words[word] ?? 0) >>> 0) + (words[word + 1] ?? 0) * WORD;
    if (present !== this.#outputLimit) {
      this.#clientLimit = present === 0 ? this.#defaultLimit : present;
      this.#outputLimit = present;
    }
    this.#limitOutput(0);
  }

  #write(descriptor: number, pointer: number, length: number): number {
    const socket = this.#sockets.get(descriptor);
    if (socket === undefined) return WOULD_BLOCK;
    if (socket.ended) return length;
    if (!socket.inWriting) {
      socket.inWriting = true;
      this.#writing.push(socket);
    }
    if (socket.paused) return NOTHING_WRITTEN;
    const taken = socket.accept(this.memory.bytes, pointer, length);
    if (taken === 0) return NOTHING_WRITTEN;
    this.#wrote = true;
    this.#events.onOutput(socket);
    socket.unbroken += taken;
    if (socket.unbroken <= MAX_UNBROKEN) return taken;
    this.#events.onEndlessOutput();
    return BROKEN_PIPE;
  }

  #close(descriptor: number): void {
    const socket = this.#sockets.get(descriptor);
    if (socket !== undefined) {
      socket.closed = true;
      socket.drop();
      this.#sockets.delete(descriptor);
      this.#events.onOutput(socket);
    } else if (descriptor === this.#listener) {
      this.#listener = -1;
    }
    this.#freeDescriptors.push(descriptor);
  }

  #poll(interest: number, count: number, fired: number, max: number): number {
    if (this.#polls++ > 0) {
      this.#stopScriptInTime();
      return 0;
    }
    if (this.#layout !== undefined) {
      this.#showDescriptors();
      this.#pollActive(this.#layout.eventLoop, fired >> 2, max);
    } else {
      this.#pollAll(interest >> 2, count, fired >> 2, max);
    }
    return this.#fired;
  }

  #fire(word: number, descriptor: number, mask: number): void {
    const words = this.memory.words;
    words[word + this.#fired * 2] = descriptor;
    words[word + this.#fired * 2 + 1] = mask;
    this.#fired++;
  }

  #pollActive(eventLoop: number, word: number, max: number): void {
    const words = this.memory.words;
    const events = (words[((words[eventLoop >> 2] ?? 0) >> 2) + EVENTS_WORD] ?? 0) >> 2;
    const only = this.#only;
    if (this.#hasArrivals() && (only === undefined || only.descriptor < 0)) {
      this.#fire(word, this.#listener, READABLE);
    }
    for (const socket of this.#writing) {
      if (this.#fired >= max || socket.paused || socket.closed) continue;
      const mask = words[events + socket.descriptor * EVENT_WORDS] ?? 0;
      if ((mask & WRITABLE) !== 0) this.#fire(word, socket.descriptor, WRITABLE);
    }
    if (only !== undefined) {
      if (only.inReadable && only.descriptor >= 0 && only.isReadable) {
        const mask = words[events + only.descriptor * EVENT_WORDS] ?? 0;
        if ((mask & READABLE) !== 0) this.#fire(word, only.descriptor, READABLE);
      }
      return;
    }
    let kept = 0;
    for (const socket of this.#readable) {
      if (socket.closed || (socket.unread === 0 && !socket.ended)) {
        socket.inReadable = false;
        continue;
      }
      this.#readable[kept++] = socket;
      if (this.#fired >= max || socket.descriptor < 0 || !socket.isReadable) continue;
      const mask = words[events + socket.descriptor * EVENT_WORDS] ?? 0;
      if ((mask & READABLE) !== 0) this.#fire(word, socket.descriptor, READABLE);
    }
    this.#readable.length = kept;
  }

  /** The same without knowing where Valkey keeps its interest: by the list that it passes. */
  #pollAll(word: number, count: number, firedWord: number, max: number): void {
    const words = this.memory.words;
    for (let i = 0; i < count && this.#fired < max; i++) {
      const descriptor = words[word + i * 2] ?? 0;
      const mask = words[word + i * 2 + 1] ?? 0;
      let ready = 0;
      if (descriptor === this.#listener) {
        if (this.#arrivals.length > 0) ready = READABLE;
      } else {
        const socket = this.#sockets.get(descriptor);
        if (socket === undefined) continue;
        const readable = socket.isReadable && (this.#only === undefined || this.#only === socket);
        if (readable) ready |= mask & READABLE;
        if (!socket.paused) ready |= mask & WRITABLE;
      }
      if (ready !== 0) this.#fire(firedWord, descriptor, ready);
    }
  }

  /** Keeps of the sockets that Valkey wrote to those which still wait. @returns whether one of them can be written to */
  #sweepWriting(): boolean {
    if (this.#writing.length === 0) return false;
    const layout = this.#layout;
    const words = this.memory.words;
    const events =
      layout === undefined ? 0 : (words[((words[layout.eventLoop >> 2] ?? 0) >> 2) + EVENTS_WORD] ?? 0) >> 2;
    let kept = 0;
    let writable = false;
    for (const socket of this.#writing) {
      const waits =
        !socket.closed &&
        layout !== undefined &&
        ((words[events + socket.descriptor * EVENT_WORDS] ?? 0) & WRITABLE) !== 0;
      socket.inWriting = waits;
      if (!waits) socket.unbroken = 0;
      if (layout === undefined) writable = true;
      if (!waits) continue;
      this.#writing[kept++] = socket;
      if (!socket.paused) writable = true;
    }
    this.#writing.length = kept;
    return writable;
  }

  /**
   * A step ends only when all that was read is carried out. After a long one, or one with long replies, less is read at
   * once, down to about one command, so that a pipeline of expensive commands does not hold up everybody else.
   */
  #adaptReads(elapsedMs: number): void {
    for (const socket of this.#readers) {
      if (socket.hasLongReplies) socket.readLimit = MIN_READ;
      else if (elapsedMs > 10) socket.readLimit = Math.max(MIN_READ, Math.floor((socket.readInStep * 5) / elapsedMs));
      else if (socket.readLimit < FULL_READ && elapsedMs < 4 && !socket.inWriting)
        socket.readLimit = Math.min(FULL_READ, socket.readLimit * 2);
      socket.readInStep = 0;
    }
    this.#readers.length = 0;
  }

  /**
   * A second poll in one step comes from a script that has run longer than `busy-reply-threshold`. Nobody could send
   * SCRIPT KILL then, because this thread is inside the script; so its effect is brought about here, for a script that
   * has written too: otherwise only the end of the engine, with all its data, could stop it.
   */
  #stopScriptInTime(): void {
    if (this.scriptTimeLimitMs === 0 || performance.now() - this.#stepStart < this.scriptTimeLimitMs) return;
    if (this.#layout === undefined) throw new Error("a script ran for too long and can not be stopped");
    const words = this.memory.words;
    const script = (words[this.#layout.runningScript >> 2] ?? 0) >> 2;
    if (script === 0) return;
    const flags = words[script + SCRIPT_FLAGS_WORD] ?? 0;
    if ((flags & SCRIPT_TIMED_OUT) === 0 || (flags & SCRIPT_KILLED) !== 0) return;
    words[script + SCRIPT_FLAGS_WORD] = flags | SCRIPT_KILLED;
    this.#events.onScriptStopped((flags & SCRIPT_WROTE) !== 0);
  }
}
