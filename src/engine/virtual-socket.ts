/** The engine's end of a connection: input that waits for Valkey, and what Valkey wrote. */
import { Fifo } from "../resp/fifo.ts";
import type { ClientAddresses } from "./engine.ts";

/** Room for Valkey's own answer to "not now"; any negative result means "broken pipe" for a write. */
export const NOTHING_WRITTEN = 0;
/** Bytes that Valkey reads of one connection in one step, unless its commands turned out to be slow. */
export const FULL_READ = 32 * 1024;
/**
 * A client's bytes come in pieces of {@link FULL_COMMANDS} commands at most. Behind so many bytes a step reads no other piece:
 * slow commands may follow cheap ones, and only the end of the step tells.
 */
const FEW_BYTES = 1024;
export const MIN_READ = 64;
/** The same for a client that has just come: nobody knows yet how slow its commands are, nor how long their replies. */
const FIRST_READ = MIN_READ;
/**
 * Valkey asks for what has room in its buffer, which is at most 32 KiB, and up to three times that behind long arguments; or
 * for the whole of what is missing of an argument of more than 32 KiB.
 */
const USUAL_BUFFER = 33 * 1024;
const LARGEST_BUFFER = 128 * 1024;
/** A client has long replies when they have so many times the bytes of its commands. */
const LONG_REPLIES = 64;
/** After so many bytes of commands, what was known of their replies counts half. */
const FORGET_AFTER = 64 * 1024;
/**
 * Most bytes taken of Valkey in one write, for a client: a string of 100 MB leaves Valkey in many steps, between which other
 * clients are served. Buffers of this size are cheap to get; those above 128 KiB are mapped anew by the system each time.
 */
const CLIENT_WRITE = 64 * 1024;
/** Most bytes that wait for delivery to a client. */
const CLIENT_WINDOW = 4 * CLIENT_WRITE;
/** The same for the server's own connections, which want their replies whole: larger pieces, and as many as there are. */
const OWN_WRITE = 1024 * 1024;
/**
 * Most bytes of commands that are carried out for a client that does not read, while replies for it wait in Valkey. Valkey's own
 * limit does not count strings that the replies only refer to: after each command that overwrites such a string, the replies
 * alone hold one more.
 */
const MOST_UNANSWERED = 16 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);
/** Where MONITOR says that the commands of scripts come from. */
const SCRIPTS = "127.0.0.1:0";

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
  /** Is called, while Valkey runs, when Valkey closes the connection. */
  onClosing: () => void = () => {};
  /** MONITOR shows the commands that come now, though the server sends them: they are a script's. */
  shown = false;
  /** The client monitors: for each piece of its output, the client whose commands the piece tells of is noted. */
  monitoring = false;
  /** For each piece of output of a client that monitors: the address of the client whose commands it tells of. */
  readonly #causes = new Fifo<string | undefined>();
  /** The cause of the output that was taken last: an address, or undefined for the server itself. */
  cause: string | undefined;
  /** Input that MONITOR does not show. */
  readonly #quiet = new Set<Uint8Array>();
  /** What Valkey wrote and nobody fetched. */
  readonly #output = new Fifo<Buffer>();
  #outputBytes = 0;
  /** Member of the engine's list of sockets whose output waits for delivery. */
  undelivered = false;
  /** Bytes that Valkey has not read. */
  unread = 0;
  /** Bytes read in the present step, and how many may be read in one step. */
  readInStep = 0;
  readLimit: number;
  /** Bytes of commands and of replies lately, for {@link hasLongReplies}. */
  #commandBytes = 0;
  #replyBytes = 0;
  /** Is the input that Valkey has taken last hidden from MONITOR? */
  isQuiet = false;
  /** Bytes of replies since Valkey last had no more to write. */
  unbroken = 0;
  /** Bytes of commands that were read since then although the client did not read its replies. */
  unansweredBytes = 0;
  /** Members of the host's lists of sockets that have something to do. */
  inReadable = false;
  inWriting = false;
  readonly #input = new Fifo<Uint8Array>();
  #offset = 0;

  constructor(priority: boolean, addresses?: ClientAddresses) {
    this.priority = priority;
    this.addresses = addresses;
    this.readLimit = this.isOwn ? FULL_READ : FIRST_READ;
  }

  /** Where MONITOR says that the commands come from that Valkey has taken last; undefined: MONITOR does not show them. */
  get origin(): string | undefined {
    if (this.isQuiet) return undefined;
    if (this.addresses === undefined) return this.shown ? SCRIPTS : undefined;
    const { peer } = this.addresses;
    // no client of the network has this port
    return peer.endsWith(":0") ? `unix:${peer.slice(0, -2)}` : peer;
  }

  setMonitoring(monitoring: boolean): void {
    this.monitoring = monitoring;
    this.#causes.clear();
    if (monitoring) for (const _piece of this.#output) this.#causes.push(undefined);
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
  accept(memory: Uint8Array, start: number, length: number, cause: string | undefined): number {
    const size = Math.min(length, this.isOwn ? OWN_WRITE : CLIENT_WRITE);
    if (this.monitoring) this.#causes.push(cause);
    else if (!this.isOwn && this.#outputBytes >= CLIENT_WINDOW) return NOTHING_WRITTEN;
    const copy = Buffer.allocUnsafe(size);
    copy.set(memory.subarray(start, start + size));
    this.#output.push(copy);
    this.#outputBytes += size;
    this.#replyBytes += size;
    return size;
  }

  /** Valkey has no more to write. */
  wroteAll(): void {
    this.unbroken = 0;
    this.unansweredBytes = 0;
  }

  /** Takes the first of the output, or all of it when that is little; makes room for more. */
  takeOutput(): Buffer {
    const output = this.#output;
    const few = this.#outputBytes <= (this.isOwn ? 2 * OWN_WRITE : CLIENT_WRITE);
    const whole = output.length > 1 && few && this.#causes.length === 0;
    this.cause = this.#causes.shift();
    const bytes = whole ? Buffer.concat(output.clear(), this.#outputBytes) : (output.shift() ?? NOTHING);
    this.#outputBytes -= bytes.length;
    return bytes;
  }

  /** Forgets the output. */
  dropOutput(): void {
    this.#output.clear();
    this.#outputBytes = 0;
  }

  /** What Valkey has yet to take of this socket; 0 when it has everything. */
  get todo(): number {
    return this.descriptor < 0 ? this.unread + 1 : this.unread;
  }

  /**
   * Is there something that Valkey should read now? Commands of a client that does not read its replies are carried out as long
   * as the replies are short, because many a client first sends all its commands. Valkey limits the sum of such replies.
   */
  get isReadable(): boolean {
    return this.ended || (this.unread > 0 && !this.frozen && !(this.paused && this.#owesMuch));
  }

  get #owesMuch(): boolean {
    return this.hasLongReplies || (!this.isOwn && this.unansweredBytes > MOST_UNANSWERED);
  }

  /** Queues bytes for Valkey. @param quiet MONITOR does not show these bytes, which are no commands of the client */
  push(bytes: Uint8Array, quiet = false): void {
    if (bytes.length === 0) return;
    this.#input.push(bytes);
    if (quiet) this.#quiet.add(bytes);
    this.unread += bytes.length;
  }

  /** Forgets what Valkey has not read. */
  drop(): void {
    this.#quiet.clear();
    this.#input.clear();
    this.#offset = 0;
    this.unread = 0;
  }

  /** How many of the bytes that Valkey asks for it may have in this step. */
  mayTake(length: number): number {
    // while Valkey asks for one long argument, no other command can follow within the same read
    if (this.isOwn || length > LARGEST_BUFFER) return length;
    const limit = length > USUAL_BUFFER && this.readLimit === FULL_READ ? length : Math.min(length, this.readLimit);
    if (limit <= FEW_BYTES) return limit;
    let bytes = -this.#offset;
    for (let at = 0; at < this.#input.length && bytes < FEW_BYTES; at++) bytes += this.#input.at(at)?.length ?? 0;
    return Math.min(limit, bytes);
  }

  /** Moves up to `length` bytes of the queue to `target`. @returns how many */
  take(target: Uint8Array, start: number, length: number): number {
    let done = 0;
    const { first } = this.#input;
    this.isQuiet = this.#quiet.size > 0 && first !== undefined && this.#quiet.has(first);
    while (done < length) {
      const chunk = this.#input.first;
      if (chunk === undefined || (this.#quiet.size > 0 && this.#quiet.has(chunk) !== this.isQuiet)) break;
      const left = chunk.length - this.#offset;
      const room = length - done;
      if (left <= room) {
        target.set(this.#offset === 0 ? chunk : chunk.subarray(this.#offset), start + done);
        done += left;
        this.#offset = 0;
        this.#input.shift();
        if (this.isQuiet) this.#quiet.delete(chunk);
      } else {
        target.set(chunk.subarray(this.#offset, this.#offset + room), start + done);
        done += room;
        this.#offset += room;
      }
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
