/**
 * What Valkey's WebAssembly believes to be the network: virtual sockets, and the poll of its event loop. Nothing here
 * calls anybody outside while Valkey runs; what it produced is fetched by the engine after each step.
 */
import { Fifo } from "../resp/fifo.ts";
import { type Internals, OWN_OUTPUT_LIMIT, READABLE, WRITABLE } from "./internals.ts";
import { FULL_READ, MIN_READ, NOTHING_WRITTEN, type VirtualSocket } from "./virtual-socket.ts";
import type { MemoryView } from "./wasm.ts";

/** Smaller descriptors never reach the host: Valkey's build takes them for files. */
const FIRST_DESCRIPTOR = 4096;
const WOULD_BLOCK = -1;
const BROKEN_PIPE = -1;

/** Input that is longer may need more than one read, and so does not go without a turn of the event loop. */
const DIRECT_BYTES = 8 * 1024;
/** Valkey counts what it has sent of the replies that wait in 32 bits, and would send other bytes beyond that. */
const MAX_UNBROKEN = 2 ** 32 - 16 * 1024 * 1024;

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
  readonly memory: MemoryView;
  readonly #internals: Internals | undefined;
  readonly #events: HostEvents;
  readonly #sockets = new Map<number, VirtualSocket>();
  readonly #freeDescriptors: number[] = [];
  #nextDescriptor = FIRST_DESCRIPTOR;
  #listener = -1;
  readonly #arrivals = new Fifo<VirtualSocket>();
  /** Sockets with unread input or an end to read; swept in each poll. */
  #readable: VirtualSocket[] = [];
  /** Sockets that Valkey wrote to since the last poll, and those for which it waits to be able to write. */
  #writing: VirtualSocket[] = [];
  readonly #readers: VirtualSocket[] = [];
  readonly #monitors = new Set<VirtualSocket>();
  /** The socket whose commands are being carried out. */
  #reader: VirtualSocket | undefined;
  /** Where these commands come from, for MONITOR. */
  #cause: string | undefined;
  #only: VirtualSocket | undefined;
  #readsAll = true;
  #polls = 0;
  #fired = 0;
  #wrote = false;
  #stepStart = 0;

  /** How long one step may last before a script in it is stopped, in milliseconds; 0 for ever. */
  scriptTimeLimitMs = 0;
  /** Most bytes of replies that Valkey may hold for one client, unless CONFIG SET says something else. */
  readonly #defaultLimit: number;
  #clientLimit: number;
  /** The limit that Valkey was told last. */
  #outputLimit = 0;

  /**
   * @param internals undefined for an unknown build: then a poll walks over all descriptors from 0 to the highest, like
   * `select`, there is one limit for the replies of all connections, and an endless script ends the engine
   * @param outputLimit most bytes of replies that Valkey may hold for a client; beyond them it closes the connection.
   * CONFIG SET client-output-buffer-limit changes it
   */
  constructor(memory: MemoryView, internals: Internals | undefined, events: HostEvents, outputLimit: number) {
    this.memory = memory;
    this.#internals = internals;
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
    this.#readsAll = only === undefined;
    this.#only = only ?? (this.#monitors.size > 0 ? this.#nextReader() : undefined);
    this.#polls = 0;
    this.#fired = 0;
    this.#wrote = false;
    this.#stepStart = performance.now();
    this.#internals?.hideDescriptors();
  }

  /** Does anybody see each command? */
  get isMonitored(): boolean {
    return this.#monitors.size > 0;
  }

  /** A connection that another thread has used was closed by Valkey there. */
  noteClosed(socket: VirtualSocket): void {
    if (!socket.closed) this.#close(socket.descriptor);
  }

  /** May what this socket has sent be carried out without a turn of the event loop? Only all at once. */
  mayGoDirect(socket: VirtualSocket): boolean {
    const { descriptor, unread } = socket;
    if (this.#internals === undefined || this.#monitors.size > 0 || descriptor < 0 || unread === 0) return false;
    // Valkey has freed what it had for a connection that is closed
    if (socket.priority || socket.ended || socket.closed || socket.paused || socket.inWriting) return false;
    return unread <= Math.min(DIRECT_BYTES, socket.readLimit);
  }

  /** Must be called before what a socket has sent is carried out without a turn of the event loop. */
  beginDirect(): void {
    this.#readsAll = false;
    // a poll can only come from inside a script that runs for long
    this.#polls = 1;
    this.#fired = 0;
    this.#wrote = false;
    this.#stepStart = performance.now();
  }

  /**
   * Must be called after each step.
   * @returns true when another step may have something to do: what was read has no reply yet, not all was read or
   * written, or a client that got its reply after waiting for another has sent more
   */
  endStep(): boolean {
    this.#internals?.showDescriptors();
    this.#liftOutputLimit();
    this.#reader = undefined;
    const canWrite = this.#sweepWriting();
    this.#adaptReads(performance.now() - this.#stepStart);
    return canWrite || this.#wrote || this.#fired > 0 || (this.#readsAll && this.#hasArrivals());
  }

  /** The client monitors from now on, or no more. */
  setMonitoring(socket: VirtualSocket, monitoring: boolean): void {
    socket.setMonitoring(monitoring);
    if (monitoring) this.#monitors.add(socket);
    else this.#monitors.delete(socket);
  }

  /**
   * While somebody monitors, each step reads one connection, and reads only when no line waits in Valkey: so the lines that
   * leave it next tell of this connection's commands. (Valkey, which sees no addresses, can not tell.)
   */
  #nextReader(): VirtualSocket | undefined {
    this.#sweepReadable();
    const next = this.#readable.findIndex((socket) => socket.isReadable && socket.descriptor >= 0);
    if (next < 0) return undefined;
    const [socket] = this.#readable.splice(next, 1);
    if (socket !== undefined) this.#readable.push(socket);
    return socket;
  }

  /** Drops sockets that are closed, whose descriptors others may have now, and sockets with nothing to read. */
  #sweepReadable(): void {
    let kept = 0;
    for (const socket of this.#readable) {
      if (socket.closed || (socket.unread === 0 && !socket.ended)) socket.inReadable = false;
      else this.#readable[kept++] = socket;
    }
    this.#readable.length = kept;
  }

  /** Does Valkey hold lines of MONITOR? */
  holdsLines(): boolean {
    const internals = this.#internals;
    if (this.#monitors.size === 0 || internals === undefined) return false;
    for (const { descriptor } of this.#monitors)
      if (descriptor >= 0 && (internals.interestIn(descriptor) & WRITABLE) !== 0) return true;
    return false;
  }

  /** Does each connection have a limit of its own for its replies? */
  get limitsOutput(): boolean {
    return this.#internals !== undefined;
  }

  /** Most bytes of replies that Valkey may hold for one client; 0: no limit. */
  get clientOutputLimit(): number {
    return this.#clientLimit;
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
    this.#reader = socket;
    const count = socket.take(this.memory.bytes, pointer, socket.mayTake(length));
    this.#cause = socket.origin;
    if (socket.paused) socket.unansweredBytes += count;
    if (socket.readInStep === 0) this.#readers.push(socket);
    socket.readInStep += count;
    return count;
  }

  /** Valkey asks for the time, as it does before each command and before what it does by the clock. */
  clockAsked(): void {
    if (this.#internals === undefined || this.#reader === undefined) return;
    if (this.#internals.isInCommand) this.#limitOutput(this.#reader.isOwn ? OWN_OUTPUT_LIMIT : this.#clientLimit);
    else this.#liftOutputLimit();
  }

  /** The commands that Valkey carries out are always those of the connection that it has just read. */
  #limitOutput(bytes: number): void {
    if (this.#internals === undefined || bytes === this.#outputLimit) return;
    this.#internals.outputLimit = bytes;
    this.#outputLimit = bytes;
  }

  /**
   * Takes the limit away while no command is carried out. By the clock Valkey checks each connection against it, and counts
   * strings that the replies only refer to, which take no memory of their own. A limit that the server has not set comes from
   * CONFIG SET, and is kept for later.
   */
  #liftOutputLimit(): void {
    if (this.#internals === undefined) return;
    const present = this.#internals.outputLimit;
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
    if (socket.paused && !socket.monitoring) return NOTHING_WRITTEN;
    const taken = socket.accept(this.memory.bytes, pointer, length, this.#cause);
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
      socket.onClosing();
      this.#monitors.delete(socket);
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
    if (this.#internals !== undefined) {
      this.#internals.showDescriptors();
      this.#pollActive(this.#internals, fired >> 2, max);
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

  #pollActive(internals: Internals, word: number, max: number): void {
    const only = this.#only;
    if (this.#hasArrivals() && (only === undefined || only.descriptor < 0 || this.#monitors.size > 0)) {
      this.#fire(word, this.#listener, READABLE);
    }
    for (const socket of this.#writing) {
      if (this.#fired >= max || (socket.paused && !socket.monitoring) || socket.closed) continue;
      if ((internals.interestIn(socket.descriptor) & WRITABLE) !== 0) this.#fire(word, socket.descriptor, WRITABLE);
    }
    if (this.holdsLines()) return;
    if (only !== undefined) {
      const asks = only.inReadable && !only.closed && only.descriptor >= 0 && only.isReadable;
      if (asks && mayRead(only, internals.interestIn(only.descriptor))) this.#fire(word, only.descriptor, READABLE);
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
      if (mayRead(socket, internals.interestIn(socket.descriptor))) this.#fire(word, socket.descriptor, READABLE);
    }
    this.#readable.length = kept;
  }

  /** As {@link #pollActive}, for a build that is not known: by the list of descriptors that Valkey passes. */
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
    const internals = this.#internals;
    let kept = 0;
    let writable = false;
    for (const socket of this.#writing) {
      const waits =
        !socket.closed && internals !== undefined && (internals.interestIn(socket.descriptor) & WRITABLE) !== 0;
      socket.inWriting = waits;
      if (!waits) socket.wroteAll();
      if (internals === undefined) writable = true;
      if (!waits) continue;
      this.#writing[kept++] = socket;
      if (!socket.paused || socket.monitoring) writable = true;
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
   * SCRIPT KILL then, because this thread is inside the script.
   */
  #stopScriptInTime(): void {
    if (this.scriptTimeLimitMs === 0 || performance.now() - this.#stepStart < this.scriptTimeLimitMs) return;
    if (this.#internals === undefined) throw new Error("a script ran for too long and can not be stopped");
    const stopped = this.#internals.stopScript();
    if (stopped) this.#events.onScriptStopped(stopped.hadWritten);
  }
}

/** While Valkey waits to write replies to a client that reads, it carries out no more of its commands. */
const mayRead = ({ isOwn, paused }: VirtualSocket, mask: number): boolean =>
  (mask & READABLE) !== 0 && ((mask & WRITABLE) === 0 || isOwn || paused);
