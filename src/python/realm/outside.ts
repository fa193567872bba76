/**
 * Runs in the worker, outside the realm: what the realm gets of the outer world (see realm/host.ts). Whatever it is given
 * may come from hostile code, so everything is checked and nothing is ever thrown into the realm: an object of this side's
 * realm would be a way out.
 */
import { randomFillSync } from "node:crypto";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { Gamble, OUTBOX_LIMIT, Receiver, Sender, type Shared, Word } from "../channel.ts";
import { ASKS_EVENT, BEGINS_ENTRY, ChunkState, ENDS_CHUNK } from "../chunk-memory.ts";
import type { AnswerPlace, DirectCalls } from "../direct-calls.ts";
import { DirectChunks } from "../direct-chunks.ts";
import { type MemoryImage, restoreMemory } from "../memory-image.ts";
import { BACKGROUND, BEGINS_REQUEST, DIRECT_OUTCOME, SAMPLE, type WorkerNotice } from "../protocol.ts";
import type { Host } from "./host.ts";
import { OutputLines } from "./output-lines.ts";
import type { PackFiles } from "./pack-files.ts";

export interface HostParts {
  readonly shared: Shared;
  /** Python's messages, both ways. */
  readonly port: MessagePort;
  /** Takes the lines that Python prints. */
  readonly outputPort: MessagePort;
  readonly notify: (notice: WorkerNotice, transfer?: ArrayBuffer[]) => void;
  /** Carries commands out in this thread. */
  readonly direct: Pick<DirectCalls, "carryOut" | "takeLong" | "attached">;
  readonly collectGarbage: () => void;
  /** Files that the realm may read while it boots: their bytes, or their paths. */
  readonly files: ReadonlyMap<string, Uint8Array | string>;
  /** The contents that Python's memory gets before Python begins; undefined: Python boots without a snapshot. */
  readonly image: MemoryImage | undefined;
  /** The packages of this interpreter. */
  readonly packages: PackFiles;
}

const EINTR = 27;
const EIO = 29;
const EINVAL = 28;
const ENOMEM = 48;

/** A single message may not be larger, so that no length overflows. */
const MAX_MESSAGE = 2 ** 30;
/** How long a reply is awaited without sleeping: waking a thread costs more than most replies take. */
const SPIN_MS = 0.05;
/**
 * How long a job is awaited without sleeping: longer, since main has more to do before the next job, but less than a wake-up
 * costs.
 */
const IDLE_SPIN_MS = 0.25;
/** How long a reply is awaited until Python is told that none has come: it may let others run then. */
const PATIENCE_MS = 10;
/** The same while main says that more comes. */
const LONGEST_SPIN_MS = 2;

export function createHost(parts: HostParts, spinning: boolean): Host {
  const { shared, port, outputPort, notify, files, image, direct, packages } = parts;
  const { words } = shared;
  const sender = new Sender(shared, "outbox", port);
  const receiver = new Receiver(shared, "inbox");
  const output = new OutputLines(words, outputPort, sender);
  const spin = new Gamble(64);
  /** For waits between jobs, which pay off when jobs come one after the other. */
  const idleSpin = new Gamble(64);
  let fire: (id: number) => void = () => {};

  /** The message that is being read, or that was read and may be asked for again. */
  let message: Uint8Array | undefined;
  let fromRing = false;
  let read = 0;
  /** The message was read, but is to be read again. */
  let unread = false;
  /** Until when to wait for the next message; undefined for a reply, which is expected soon. */
  let deadline: number | undefined;

  /** Does Python's event loop wait for its next job? */
  let turning = false;
  const turn = (waits: boolean): void => {
    if (waits !== turning) Atomics.add(words, Word.turn, 1);
    turning = waits;
  };
  /** The handle of what main wants interrupted; 0 for nothing, also when that was code of a turn of the loop that is over. */
  const target = (): number => {
    const wanted = Number(Atomics.load(shared.target, 0));
    if (wanted < BACKGROUND || wanted === SAMPLE) return wanted;
    return wanted === BACKGROUND + (Atomics.load(words, Word.turn) >>> 0) ? BACKGROUND : 0;
  };

  /** Python's memory as it was last seen, and the place in it for answers of the engine. */
  let heap: Uint8Array = new Uint8Array(0);
  let place: AnswerPlace = { start: 0, size: 0 };
  /** The buffer of the next read becomes that place. */
  let placing = false;
  /** The next message is sent from within an interrupt, perhaps in the middle of receiving another one. */
  let aside = false;
  /** An answer that is longer than its place, and how much of it is read. */
  let long: Buffer | undefined;
  let longRead = 0;

  const release = (): void => {
    if (message === undefined || unread) return;
    message = undefined;
    if (fromRing) receiver.release();
  };
  const next = (): boolean => {
    read = 0;
    const place = receiver.oldest;
    fromRing = place === "ring";
    message = fromRing ? receiver.peek() : undefined;
    if (place === "port") {
      const received = receiveMessageOnPort(port)?.message as unknown;
      receiver.countPortMessage();
      message = received instanceof Uint8Array ? received : undefined;
    }
    return message !== undefined;
  };
  const moreComes = (): boolean => Atomics.load(words, Word.moreComes) === 1;
  const spinForMessage = (milliseconds: number): boolean => {
    const begin = performance.now();
    let spent = 0;
    do {
      for (let i = 0; i < 50; i++) {
        if (receiver.ringHasMore) return next();
      }
      if (next()) return true;
      spent = performance.now() - begin;
    } while (
      (spent < milliseconds || (spent < LONGEST_SPIN_MS && moreComes())) &&
      Atomics.load(words, Word.interrupt) === 0
    );
    return false;
  };
  /** Waits until the signal is another than the one seen. */
  const sleep = (seen: number, milliseconds?: number): void => {
    Atomics.store(words, Word.asleep, 1);
    Atomics.wait(words, Word.signal, seen, milliseconds);
    Atomics.store(words, Word.asleep, 0);
  };
  /** Waits for a message. @returns 1 when there is one, 0 when the deadline has passed, or -EINTR. */
  const waitForMessage = (): number => {
    if (next()) return 1;
    const idle = deadline !== undefined;
    const gamble = idle ? idleSpin : spin;
    if (spinning && (moreComes() || gamble.worthwhile)) {
      if (spinForMessage(idle ? IDLE_SPIN_MS : SPIN_MS)) {
        gamble.won();
        return 1;
      }
      gamble.lost();
    }
    deadline ??= performance.now() + PATIENCE_MS;
    for (;;) {
      const seen = Atomics.load(words, Word.signal);
      if (next()) return 1;
      if (Atomics.load(words, Word.interrupt) !== 0) return -EINTR;
      const left = deadline - performance.now();
      if (left <= 0) return 0;
      sleep(seen, left);
    }
  };
  const isFull = (): boolean =>
    Atomics.load(words, Word.outboxKiB) > OUTBOX_LIMIT.kib || sender.inPort.messages >= OUTBOX_LIMIT.messages;
  /** Waits until main has dealt with enough. @returns 0 or -EINTR; nothing is sent yet, so that Python may try again. */
  const awaitRoom = (kib: number): number => {
    let interrupted = false;
    while (!interrupted && isFull()) {
      const seen = Atomics.load(words, Word.signal);
      Atomics.store(words, Word.workerStalled, 1);
      interrupted = Atomics.load(words, Word.interrupt) !== 0;
      if (!interrupted && isFull()) sleep(seen);
    }
    Atomics.store(words, Word.workerStalled, 0);
    if (interrupted) return -EINTR;
    Atomics.add(words, Word.outboxKiB, kib);
    return 0;
  };

  const ring = (): void => {
    if (Atomics.load(words, Word.mainAsleep) === 1) sender.wakeReceiver();
    const mustRing = Atomics.load(words, Word.mainPolls) === 0;
    if (mustRing && Atomics.exchange(words, Word.doorbell, 1) === 0) port.postMessage(null);
  };
  const chunks = new DirectChunks({ shared, sender, ring, engine: () => direct.attached });
  const attempt = (act: () => number): number => {
    try {
      return act();
    } catch (error) {
      // the main thread ends the engine when it sees what has happened
      return die(`the engine has failed in it: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  /** Carries out a request for the engine, if that may be done here. @returns one of {@link DIRECT_OUTCOME} */
  const carryOut = (start: number, end: number): number => {
    const outcome = attempt(() => direct.carryOut(heap, start, end, place));
    // during a chunk the main thread waits for its end, and has to hand that out then anyway
    const isInChunk = Atomics.load(words, Word.chunk) === ChunkState.handling;
    if (outcome !== DIRECT_OUTCOME.notHere && Atomics.load(words, Word.engineOwes) === 1 && !isInChunk) ring();
    long = direct.takeLong();
    longRead = 0;
    return outcome;
  };
  /** Gives the next piece of an answer that is longer than its place. */
  const readLong = (from: Buffer, offset: number, length: number): number => {
    const size = Math.min(length, from.length - longRead);
    heap.set(from.subarray(longRead, longRead + size), offset);
    longRead += size;
    if (longRead === from.length) long = undefined;
    return size;
  };
  /** Takes note of Python's memory, which may have grown. */
  const see = (memory: ArrayBufferLike): void => {
    if (heap.buffer === memory) return;
    heap = new Uint8Array(memory);
    Atomics.store(words, Word.heapPages, memory.byteLength / 65536);
  };
  /** @returns 1 when Python may begin the next one of the events that main has given ahead */
  const takeEvent = (): number => {
    let left = Atomics.load(words, Word.eventsAhead);
    while (left > 0) {
      const before = Atomics.compareExchange(words, Word.eventsAhead, left, left - 1);
      if (before === left) return 1;
      left = before;
    }
    return 0;
  };
  /** @returns how many bytes were sent, or an error below zero */
  const sendMessage = (offset: number, length: number): number => {
    // what begins so main believes to come from here
    if (heap[offset] === BEGINS_ENTRY) return -EINVAL;
    release();
    deadline = undefined;
    if (sender.fits(length)) {
      sender.sendByRing(heap.subarray(offset, offset + length));
      ring();
      return length;
    }
    const stalled = awaitRoom(Math.ceil(length / 1024));
    if (stalled < 0) return stalled;
    sender.sendByPort(heap.subarray(offset, offset + length));
    if (Atomics.load(words, Word.mainAsleep) === 1) sender.wakeReceiver();
    return length;
  };
  /** Sends a message, if it has any bytes, and goes on to the next event of the chunk. @returns its handle, 0, or an error below zero */
  const nextEvent = (offset: number, length: number): number => {
    const sent = length > 0 ? sendMessage(offset, length) : 0;
    return sent < 0 ? sent : attempt(() => chunks.next(heap, place));
  };
  const query = (argument: number): number => {
    switch (argument) {
      case 0:
        return target();
      case 1:
        return message?.length ?? 0;
      case 2:
        return Atomics.exchange(words, Word.lentThread, 0);
      case 3:
        return long?.length ?? 0;
      case 4:
        placing = true;
        return 0;
      case 6:
        Atomics.store(words, Word.openWait, 1);
        return 0;
      case 7:
        return Atomics.exchange(words, Word.openWait, 0);
      case 8:
        aside = true;
        return 0;
      case 9:
        return takeEvent();
      default:
        return -EINVAL;
    }
  };
  const die = (reason: string): never => {
    output.flush();
    notify({ kind: "died", reason: reason.slice(0, 1000) });
    // Node's types say that exit() never returns. The thread ends at its next check, and until then nothing may happen here.
    (process as { exit(code: number): void }).exit(1);
    for (;;) Atomics.wait(words, Word.signal, Atomics.load(words, Word.signal), 1000);
  };

  return {
    decode(encoding, fatal, bytes) {
      try {
        return decodeText(encoding, fatal, outerView(bytes));
      } catch {
        return undefined;
      }
    },
    utf8Length: guard((text) => (typeof text === "string" ? Buffer.byteLength(text) : 0), 0),
    encodeInto: guard((text, bytes) => (typeof text === "string" ? outerView(bytes).write(text, "utf8") : 0), 0),
    fillRandom: guard((bytes) => void randomFillSync(outerView(bytes)), undefined),
    now: () => performance.now(),
    onTimer: guard((callback) => {
      fire = callback;
    }, undefined),
    setTimer: guard((id, milliseconds) => void setTimeout(() => fire(id), milliseconds), undefined),
    fileSize: guard((name) => sizeOf(files.get(name)), -1),
    readFile: guard((name, into) => readInto(files.get(name), outerView(into)), false),
    restoreMemory: guard((memory) => {
      if (image !== undefined) restoreMemory(image, memory);
      return image !== undefined;
    }, false),
    isWanted: () => receiver.oldest !== undefined,
    collectGarbage: () => parts.collectGarbage(),
    saveSnapshot: guard((bytes, libraries) => {
      const copy = new Uint8Array(outerView(bytes));
      notify({ kind: "snapshot", bytes: copy, libraries }, [copy.buffer]);
    }, undefined),
    log: guard((text) => {
      if (typeof text === "string") output.write("stderr", Buffer.from(`${text.slice(0, 2000)}\n`));
    }, undefined),
    output: guard((stream, bytes) => {
      output.write(stream === 2 ? "stderr" : "stdout", outerView(bytes));
      return bytes.length;
    }, 0),

    send(memory, offset, length) {
      try {
        if (length <= 0 || length > MAX_MESSAGE) return -EINVAL;
        see(memory);
        if (!(offset >= 0 && offset + length <= heap.length)) return -EINVAL;
        if (aside) {
          aside = false;
          // it is not worth waiting for, and what is being received goes on as if nothing had been
          if (sender.fits(length)) {
            sender.sendByRing(heap.subarray(offset, offset + length));
            ring();
          }
          return length;
        }
        if (turning) turn(false);
        if (heap[offset] === ASKS_EVENT) return nextEvent(offset + 1, length - 1);
        if (length === 1 && heap[offset] === ENDS_CHUNK) {
          chunks.end();
          return length;
        }
        if (heap[offset] === BEGINS_REQUEST) return carryOut(offset, offset + length);
        return sendMessage(offset, length);
      } catch {
        return -ENOMEM;
      }
    },
    receive(memory, offset, length) {
      try {
        if (length <= 0) return 0;
        see(memory);
        if (!(offset >= 0 && offset + length <= heap.length)) return -EINVAL;
        if (placing) {
          placing = false;
          place = { start: offset, size: length };
          return 0;
        }
        if (long !== undefined) return readLong(long, offset, length);
        if (message === undefined || (read === message.length && !unread)) {
          release();
          const outcome = waitForMessage();
          // an interrupted read is repeated
          if (turning && outcome >= 0) turn(false);
          if (outcome <= 0 || message === undefined) return outcome;
        }
        unread = false;
        const size = Math.min(length, message.length - read);
        heap.set(read === 0 && size === message.length ? message : message.subarray(read, read + size), offset);
        read += size;
        return size;
      } catch {
        return -EINVAL;
      }
    },
    packageTable: guard(() => packages.table(), "[]"),
    packageRead: guard(
      (file, memory, offset, length, position) => packages.read(file, Buffer.from(memory, offset, length), position),
      -EIO,
    ),
    control(command, argument) {
      switch (command) {
        case 0:
          if (argument > 0) {
            output.comesFrom(argument);
            return 0;
          }
          unread = message !== undefined;
          read = 0;
          return 0;
        case 1:
          return query(argument);
        case 2:
          long = undefined;
          release();
          deadline = Math.abs(argument);
          turn(argument < 0);
          return 0;
        default:
          return -EINVAL;
      }
    },
    denied: () => void Atomics.add(words, Word.denials, 1),
    takeInterrupt: () => Atomics.exchange(words, Word.interrupt, 0),
    die: (reason) => die(typeof reason === "string" ? reason : "for an unknown reason"),
  };
}

/** A function that gives `otherwise` where the given one would throw. */
function guard<A extends unknown[], R>(run: (...args: A) => R, otherwise: R): (...args: A) => R {
  return (...args) => {
    try {
      return run(...args);
    } catch {
      return otherwise;
    }
  };
}

/** A buffer of this realm on the memory of one of the inner realm. */
function outerView(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function decodeText(encoding: string, fatal: boolean, bytes: Buffer): string {
  if (encoding === "utf-16le") return bytes.toString("utf16le");
  if (encoding === "latin1") return bytes.toString("latin1");
  if (!fatal) return bytes.toString("utf8");
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

function sizeOf(file: Uint8Array | string | undefined): number {
  if (file === undefined) return -1;
  return typeof file === "string" ? statSync(file).size : file.length;
}

/**
 * Reads a file straight into the realm's memory: a copy on this side would stay until a garbage collection that may never
 * come.
 */
function readInto(file: Uint8Array | string | undefined, into: Buffer): boolean {
  if (file === undefined) return false;
  if (typeof file !== "string") {
    into.set(file);
    return true;
  }
  const descriptor = openSync(file, "r");
  try {
    return readSync(descriptor, into) === into.length;
  } finally {
    closeSync(descriptor);
  }
}
