/**
 * The worker's side of chunks: carries out a client's commands one after the other, and hands Python the events in mode
 * `sync` that each of them causes, before the next one is carried out. Runs in the worker, outside the realm. Python only runs
 * the handlers: which commands there are, whom their events concern and what has become of them it can not change.
 *
 * Each command is told the main thread in the moment in which it is carried out, inside the engine's lock, so that nothing of
 * it is lost if this thread is ended. Whatever is not quite simple ends the chunk: then the main thread goes on in its way.
 */
import type { AttachedEngine, Told } from "../engine/attached-engine.ts";
import { encodeCommands } from "../engine/encode.ts";
import { type Sender, type Shared, Word } from "./channel.ts";
import {
  ChunkMemory,
  ChunkState,
  type ChunkTerms,
  EndFlag,
  ENTRY_HEAD,
  Entry,
  MOST_TYPES,
  writeEntry,
} from "./chunk-memory.ts";
import { ChunkEvents, type ChunkEvent } from "./chunk-events.ts";
import type { AnswerPlace } from "./direct-calls.ts";
import { KeyReading, RECORD_HEAD, TYPE_NAMES, typeName, writeRecord } from "./key-reading.ts";
import { type Encoded, MarshalWriter } from "./marshal.ts";
import { JobFlag } from "./protocol.ts";
import { RespReader } from "./transcode.ts";

/** Room for what one command tells the listener. */
const MOST_TOLD = 48 * 1024;
/** The engine is asked for types only if the listener is told no more: what the questions cause has to fit, too. */
const MOST_ASKED_ABOUT = 8 * 1024;
/** Bytes of an event around its record, as Python gets it. */
const AROUND_RECORD = 20;
/** Room in the ring that a command has to find: for what it tells, and for what Python may add. */
const NEEDED_ROOM = 60 * 1024;

export interface DirectChunksOptions {
  readonly shared: Shared;
  readonly engine: () => AttachedEngine | undefined;
  readonly sender: Sender;
  /** Tells the main thread that something has come. */
  readonly ring: () => void;
}

/** What is under way. */
interface Running {
  /** Undefined: this thread does not use it. */
  readonly engine: AttachedEngine | undefined;
  readonly terms: ChunkTerms;
  readonly count: number;
  readonly until: number;
}

export class DirectChunks {
  readonly #words: Shared["words"];
  readonly #options: DirectChunksOptions;
  readonly #memory: ChunkMemory;
  readonly #entry = Buffer.allocUnsafeSlow(ENTRY_HEAD + MOST_TOLD + MOST_TYPES);
  readonly #told: Told = { bytes: this.#entry.subarray(ENTRY_HEAD, ENTRY_HEAD + MOST_TOLD), size: 0, isCut: false };
  readonly #events = new ChunkEvents();
  #version = -1;
  #running: Running | undefined;
  /** The next command. */
  #next = 0;
  #handles = 0;
  /** No further command follows. */
  #isLast = false;
  #isHandling = false;
  /** The event that has begun. */
  #present: ChunkEvent | undefined;
  /** What was read for it. */
  #record: Encoded | undefined;
  /** Room for an event in Python's memory. */
  #room = 0;
  /** Types for which the engine was asked, of keys of what the listener is told. */
  readonly #types: number[] = [];
  /** How many commands the thread's own code had sent when the present execution began. */
  #ownBefore = 0;
  #endFlags = 0;
  readonly #mayRun = (): boolean => Atomics.load(this.#words, Word.chunk) === ChunkState.running;
  readonly #onRun = (): void => this.#wasRun();
  readonly #onOwn = (): void => this.#tellOwn();
  readonly #askType = (key: Buffer): string | undefined => this.#ask(key);
  readonly #beginInside = (): boolean => this.#mayRun() && this.#beginNext(this.#running as Running);

  constructor(options: DirectChunksOptions) {
    this.#options = options;
    this.#words = options.shared.words;
    this.#memory = new ChunkMemory(options.shared.chunk);
  }

  /**
   * Goes on to the next event: the present one, if there is one, has been dealt with.
   * @param heap Python's memory
   * @param place where the record is written, as `(registration, [record], flags)`
   * @returns the handle of its execution; 0 when the chunk has ended
   * @throws whatever went wrong inside the engine
   */
  next(heap: Uint8Array, place: AnswerPlace): number {
    const running = this.#running ?? this.#begin();
    if (running === undefined) return 0;
    if (this.#isHandling) this.#ended(running);
    this.#room = place.size;
    for (;;) {
      if (this.#isHandling) return this.#give(running, heap, place);
      if (!this.#hasRoom) this.#endEarly();
      if (this.#events.length > 0 && this.#beginFurther(running)) this.#tell(Entry.begun, running);
      else if (!this.#carryOut(running)) {
        this.end();
        return 0;
      }
    }
  }

  /** Ends the chunk, if one is under way: nothing more of it is done here. */
  end(): void {
    if (this.#running === undefined) return;
    const { sender } = this.#options;
    this.#running = undefined;
    this.#isHandling = false;
    this.#events.clear();
    const entry = this.#entry.subarray(0, ENTRY_HEAD);
    writeEntry(entry, Entry.end, this.#endFlags, 0, []);
    Atomics.store(this.#words, Word.chunk, ChunkState.none);
    if (sender.fits(entry.length)) sender.sendByRing(entry);
    else {
      Atomics.add(this.#words, Word.outboxKiB, 1);
      sender.sendByPort(entry);
    }
    this.#options.ring();
  }

  #begin(): Running | undefined {
    if (!this.#move(ChunkState.offered, ChunkState.running)) return undefined;
    const engine = this.#options.engine();
    const terms = this.#memory.terms;
    this.#endFlags = 0;
    this.#next = 0;
    this.#handles = 0;
    this.#isLast = engine === undefined && terms.events === 0;
    this.#isHandling = false;
    this.#present = undefined;
    this.#record = undefined;
    this.#learn();
    // without an engine nothing is done, and the main thread is told so
    const until = performance.now() + terms.milliseconds;
    this.#running = { engine, terms, count: this.#memory.count, until };
    return this.#running;
  }

  #learn(): void {
    const { version } = this.#memory;
    if (version === this.#version) return;
    this.#events.table = this.#memory.table;
    this.#version = version;
  }

  /** Carries out the next command. @returns false when none follows */
  #carryOut({ engine, terms, count, until }: Running): boolean {
    const command = this.#next;
    if (this.#isLast || command >= count || this.#handles >= terms.handles || performance.now() > until) return false;
    if (terms.events > 0 || engine === undefined) return this.#beginReady();
    const span = [this.#memory.endOf(command - 1), this.#memory.endOf(command)] as const;
    this.#resetTold();
    const outcome = engine.executeFor(terms, this.#memory.commands, span, this.#told, [this.#mayRun, this.#onRun]);
    if (outcome === "closed") return false;
    this.#next++;
    if (outcome === "full") this.#isLast = true;
    if (engine.hasClosed) this.#endFlags |= EndFlag.closed;
    if (this.#told.isCut) this.#events.clear();
    return true;
  }

  /** The next event, which came ready, is to be dealt with. @returns false when none follows */
  #beginReady(): boolean {
    const running = this.#running as Running;
    this.#resetTold();
    if (!this.#beginHandling(running)) return false;
    this.#next++;
    Atomics.add(this.#words, Word.chunkDone, 1);
    this.#tell(Entry.begun, running);
    return true;
  }

  /** Inside the lock: a command has been carried out. */
  #wasRun(): void {
    const running = this.#running as Running;
    Atomics.add(this.#words, Word.chunkDone, 1);
    const { bytes, size, isCut } = this.#told;
    if (size === 0) return;
    const isSimple = !isCut && this.#events.take(bytes.subarray(0, size), this.#askType);
    if (!isSimple) this.#endEarly();
    const hasAsked = this.#types.length > 0;
    const begins = this.#events.length > 0 && this.#beginNext(running);
    this.#tell(begins ? Entry.begun : Entry.told, running);
    if (!hasAsked) return;
    // what the questions have caused is told apart from what the next command causes
    running.engine?.tellInside(running.terms.listener, this.#told);
    this.#tellOwn();
  }

  /** Gives the type of a key in the words of `keyTypes`; undefined when the engine can not be asked. */
  #ask(key: Buffer): string | undefined {
    const engine = this.#running?.engine;
    this.#endFlags |= EndFlag.ownCut;
    if (this.#types.length === MOST_TYPES || this.#told.size > MOST_ASKED_ABOUT) return undefined;
    if (engine?.ask(encodeCommands([["TYPE", key]])) !== true) return undefined;
    const type = typeName(new RespReader(engine.reply.subarray(0, engine.replySize)).line());
    this.#types.push(TYPE_NAMES.indexOf(type));
    return type;
  }

  /** Begins the next event of a command that has caused several. @returns false when the chunk is to end */
  #beginFurther(running: Running): boolean {
    const begins =
      this.#events.first.readValue && running.engine
        ? running.engine.inside(this.#beginInside)
        : this.#beginNext(running);
    if (!begins) this.#endEarly();
    return begins;
  }

  /** The next event is to be dealt with: inside the lock if its key is to be read. @returns false when the chunk is to end */
  #beginNext(running: Running): boolean {
    const { event, key, readValue } = this.#events.first;
    if (!this.#beginHandling(running)) return false;
    if (!readValue || this.#read(new KeyReading(event, key, true), running)) {
      this.#present = this.#events.shift();
      return true;
    }
    // nobody is told that it has begun
    this.#isHandling = false;
    this.#record = undefined;
    this.#endEarly();
    return false;
  }

  /** @returns false when the record can not be read here, or is too long */
  #read(reading: KeyReading, { engine }: Running): boolean {
    // a key that expires under it is told of when the event is over
    this.#endFlags |= EndFlag.ownCut;
    while (reading.record === undefined) {
      if (engine?.ask(encodeCommands(reading.commands)) !== true) return false;
      reading.take(new RespReader(engine.reply.subarray(0, engine.replySize)));
    }
    this.#record = reading.record;
    return this.#record.bytes.length + AROUND_RECORD < this.#room;
  }

  /** What is left is the main thread's. */
  #endEarly(): void {
    this.#events.clear();
    this.#isLast = true;
  }

  /** The next event is to be dealt with. @returns false when the chunk is to end */
  #beginHandling({ engine, terms }: Running): boolean {
    const handle = terms.handle + this.#handles;
    // whoever sees that an execution has begun reads this
    Atomics.store(this.#words, Word.chunkHandle, handle);
    const isAllowed = this.#handles < terms.handles && this.#move(ChunkState.running, ChunkState.handling);
    if (!isAllowed) {
      this.#endEarly();
      return false;
    }
    this.#isHandling = true;
    this.#ownBefore = Atomics.load(this.#words, Word.directCalls);
    if (engine) engine.only = handle;
    this.#handles++;
    return true;
  }

  /** Python has dealt with the present event. */
  #ended({ engine, terms }: Running): void {
    this.#isHandling = false;
    const goesOn = this.#move(ChunkState.handling, ChunkState.running);
    const isTold = this.#record === undefined && Atomics.load(this.#words, Word.directCalls) === this.#ownBefore;
    this.#record = undefined;
    if (!goesOn) {
      this.#endEarly();
      this.#endFlags |= EndFlag.ownCut;
    } else if (!this.#hasRoom) this.#endFlags |= EndFlag.ownCut;
    else if (engine && terms.events === 0 && !isTold) {
      this.#resetTold();
      // cut off until it is told
      this.#endFlags |= EndFlag.ownCut;
      engine.tell(terms.listener, this.#told, [this.#mayRun, this.#onOwn]);
      if (this.#hasOwnCut) this.#isLast = true;
    }
  }

  /** May the main thread be told more by the ring, behind what it was told by Python? Then all that one command needs fits. */
  get #hasRoom(): boolean {
    return this.#options.sender.fits(NEEDED_ROOM);
  }

  get #hasOwnCut(): boolean {
    return (this.#endFlags & EndFlag.ownCut) !== 0;
  }

  /** Inside the lock: what its code has caused fires nothing, but for keys that have expired. */
  #tellOwn(): void {
    const { bytes, size, isCut } = this.#told;
    if (!isCut) this.#endFlags &= ~EndFlag.ownCut;
    if (size > 0) this.#tell(Entry.own, this.#running as Running);
    if (isCut || (size > 0 && ChunkEvents.hasExpired(bytes.subarray(0, size)))) this.#endEarly();
  }

  /** Tells the main thread what the listener is told, and which execution begins with that. */
  #tell(kind: number, { terms }: Running): void {
    const entry = this.#entry.subarray(0, ENTRY_HEAD + this.#told.size + this.#types.length);
    const registration = kind === Entry.begun ? (this.#present?.registration ?? terms.events) : 0;
    writeEntry(entry, kind, terms.handle + this.#handles - 1, registration, this.#types);
    this.#options.sender.sendByRing(entry);
    this.#told.size = 0;
    this.#types.length = 0;
    this.#options.ring();
  }

  /** Writes the event that has begun for Python. @returns its handle */
  #give({ terms }: Running, heap: Uint8Array, place: AnswerPlace): number {
    const { commands } = this.#memory;
    const ready = this.#next - 1;
    if (this.#present) heap.set(encodedEvent(this.#present, this.#record), place.start);
    else heap.set(commands.subarray(this.#memory.endOf(ready - 1), this.#memory.endOf(ready)), place.start);
    return terms.handle + this.#handles - 1;
  }

  #resetTold(): void {
    this.#told.size = 0;
    this.#told.isCut = false;
  }

  #move(from: number, to: number): boolean {
    return Atomics.compareExchange(this.#words, Word.chunk, from, to) === from;
  }
}

/** @param record undefined: the key is not read */
function encodedEvent({ registration, event, key }: ChunkEvent, record: Encoded | undefined): Buffer {
  const size = AROUND_RECORD + (record?.bytes.length ?? RECORD_HEAD + key.length);
  const out = new MarshalWriter(size).tuple(3).int(registration).list(1);
  const { hasBytes } = record ?? writeRecord(out, event, key).valueFrom(0);
  if (record) out.encoded(record.bytes);
  return out.int(hasBytes ? JobFlag.bytes : 0).finish();
}
