/**
 * The system calls that Valkey's WebAssembly makes, as far as they are needed: clocks, its log on stdout, random bytes, exit,
 * and files, which are in `files/`. Without a folder the only file is `/dev/urandom`, without which Valkey would seed its
 * hashes by the clock.
 * Node's own `node:wasi` is not used because its clock allocates several objects per call, and Valkey asks for the time
 * a few times per command.
 */
import { randomBytes } from "node:crypto";
import { Errno } from "./files/errno.ts";
import { type MemoryView, wasm } from "./wasm.ts";

const { success: SUCCESS, badDescriptor: EBADF, noEntry: ENOENT, notImplemented: ENOSYS } = Errno;

const CLOCK_REALTIME = 0;
/**
 * `poll_oneoff`: the type of a subscription to a clock, and where in a subscription its type and its time (in nanoseconds)
 * are.
 */
const EVENT_CLOCK = 0;
const TYPE_AT = 8;
const TIME_AT = 24;
const EVENT_BYTES = 32;
const STDOUT = 1;
const STDERR = 2;
const ROOT = 3;
const URANDOM = 4;
const FILETYPE_CHARACTER_DEVICE = 2;
const FILETYPE_DIRECTORY = 3;
const READ_RIGHTS = 0x1fffffff;

/** Thrown through the engine's frames when it calls `exit`. */
export class EngineExit extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`the engine exited with code ${code}`);
    this.code = code;
  }
}

/** Functions of WASI about files, for other descriptors than those of this file; each gives the number of an error. */
export type FileImports = Readonly<Record<string, (...args: never[]) => number>>;

/** By how many milliseconds the engine's clocks are ahead of the system's; shared by all threads that run the engine. */
export type ClockShift = Float64Array<SharedArrayBuffer>;

/** What stands behind the system calls. A part that is left out does nothing, and without `files` there are none. */
export interface WasiHost {
  /** Gets what the engine prints, cut anywhere. */
  readonly onOutput?: (text: string) => void;
  /** Is called whenever the engine asks for the time. */
  readonly onClock?: () => void;
  readonly clockShift?: ClockShift;
  readonly files?: FileImports;
  /** Does what Valkey leaves to others, see `valkey-hooks.ts`. */
  readonly onHook?: (hook: number, argument: number) => number;
}

/**
 * The functions of `wasi_snapshot_preview1`.
 * @param memory the engine's memory
 */
export function wasiImports(
  memory: MemoryView,
  { onOutput = () => {}, onClock = () => {}, clockShift = NO_SHIFT, files = {}, onHook = () => -1 }: WasiHost,
): Record<string, unknown> {
  const setWord = (address: number, value: number): void => {
    memory.words[address >> 2] = value;
  };

  const gather = (list: number, count: number, each: (start: number, length: number) => void): number => {
    let total = 0;
    for (let i = 0; i < count; i++) {
      const start = (memory.words[(list >> 2) + i * 2] ?? 0) >>> 0;
      const length = (memory.words[(list >> 2) + i * 2 + 1] ?? 0) >>> 0;
      each(start, length);
      total += length;
    }
    return total;
  };

  const fdstat = (fd: number, pointer: number): number => {
    if (fd > URANDOM) return ofFile("fd_fdstat_get", fd, pointer);
    memory.bytes.fill(0, pointer, pointer + 24);
    memory.bytes[pointer] = fd === ROOT ? FILETYPE_DIRECTORY : FILETYPE_CHARACTER_DEVICE;
    setWord(pointer + 8, READ_RIGHTS);
    setWord(pointer + 16, READ_RIGHTS);
    return SUCCESS;
  };

  const ofFile = (name: string, ...args: unknown[]): number => files[name]?.(...(args as never[])) ?? EBADF;

  const known: Record<string, unknown> = {
    ...files,
    environ_sizes_get: (count: number, size: number) => {
      setWord(count, 0);
      setWord(size, 0);
      return SUCCESS;
    },
    environ_get: () => SUCCESS,
    sched_yield: () => SUCCESS,
    proc_exit: (code: number) => {
      throw new EngineExit(code);
    },
    clock_time_get: clockImport(memory, onClock, clockShift),
    poll_oneoff: (subscription: number, event: number, count: number, result: number) => {
      if (count !== 1 || memory.bytes[subscription + TYPE_AT] !== EVENT_CLOCK) return ENOSYS;
      const time = subscription + TIME_AT;
      const nanoseconds = ((memory.words[time >> 2] ?? 0) >>> 0) + (memory.words[(time >> 2) + 1] ?? 0) * 0x1_0000_0000;
      // the thread sleeps, and everybody waits: that is what DEBUG SLEEP is for
      Atomics.wait(SLEEPING, 0, 0, nanoseconds / 1e6);
      memory.bytes.fill(0, event, event + EVENT_BYTES);
      setWord(result, 1);
      return SUCCESS;
    },
    fd_fdstat_get: fdstat,
    fd_fdstat_set_flags: () => SUCCESS,
    sock_shutdown: (fd: number, how: number) => (fd < 0 ? onHook(fd, how) : ENOSYS),
    fd_close: (fd: number) => (fd === URANDOM ? SUCCESS : ofFile("fd_close", fd)),
    fd_prestat_get: (fd: number, pointer: number) => {
      if (fd !== ROOT) return EBADF;
      setWord(pointer, 0);
      setWord(pointer + 4, 1);
      return SUCCESS;
    },
    fd_prestat_dir_name: (_fd: number, pointer: number) => {
      memory.bytes[pointer] = "/".charCodeAt(0);
      return SUCCESS;
    },
    path_open: (
      dir: number,
      lookup: number,
      path: number,
      length: number,
      flags: number,
      rights: bigint,
      inheriting: bigint,
      fdflags: number,
      result: number,
    ) => {
      const name = Buffer.from(memory.bytes.subarray(path, path + length)).toString();
      if (name !== "dev/urandom") {
        if (files.path_open === undefined) return ENOENT;
        return ofFile("path_open", dir, lookup, path, length, flags, rights, inheriting, fdflags, result);
      }
      setWord(result, URANDOM);
      return SUCCESS;
    },
    fd_read: (fd: number, list: number, count: number, result: number) => {
      if (fd !== URANDOM) return ofFile("fd_read", fd, list, count, result);
      const fill = (start: number, length: number): void => {
        // Node's randomFill takes no memory that threads share
        memory.bytes.set(randomBytes(length), start);
      };
      setWord(result, gather(list, count, fill));
      return SUCCESS;
    },
    fd_write: (fd: number, list: number, count: number, result: number) => {
      if (fd !== STDOUT && fd !== STDERR) return ofFile("fd_write", fd, list, count, result);
      let text = "";
      const take = (start: number, length: number): void => {
        text += Buffer.from(memory.bytes.subarray(start, start + length)).toString();
      };
      setWord(result, gather(list, count, take));
      onOutput(text);
      return SUCCESS;
    },
  };
  return new Proxy(known, { get: (target, name) => target[String(name)] ?? (() => ENOSYS) });
}

/**
 * `clock_time_get`. Its second parameter (a wanted precision) is 64 bits wide, for which V8 would allocate a BigInt per
 * call; a module of one function in between drops it.
 */
function clockImport(memory: MemoryView, onClock: () => void, shift: ClockShift): unknown {
  const write = (clock: number, pointer: number): number => {
    onClock();
    const time = clock === CLOCK_REALTIME ? wallClock() : monotonic + performance.now();
    const micros = Math.round((time + (shift[0] ?? 0)) * 1000);
    const low = micros % 0x1_0000_0000;
    const high = (micros - low) / 0x1_0000_0000;
    const lowNanos = low * 1000;
    const words = memory.words;
    words[pointer >> 2] = lowNanos | 0;
    words[(pointer >> 2) + 1] = (high * 1000 + Math.floor(lowNanos / 0x1_0000_0000)) | 0;
    return SUCCESS;
  };
  const shim = new wasm.Instance(new wasm.Module(CLOCK_SHIM), { env: { write } });
  return shim.exports.clock;
}

/** Milliseconds since 1970 with a fraction: `Date.now()` alone ticks too coarsely for TIME and latencies. */
function wallClock(): number {
  const precise = clockOffset + performance.now();
  // Valkey asks several times for each command
  if (precise < comparedUntil) return precise;
  const date = Date.now();
  comparedUntil = precise + 1;
  // The system's clock may be set at any time; performance.now() does not follow it.
  if (precise >= date && precise < date + 1.5) return precise;
  clockOffset = date - performance.now();
  comparedUntil = date + 1;
  return date;
}

const NO_SHIFT: ClockShift = new Float64Array(new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT));

let clockOffset = performance.timeOrigin;
/** `performance.now()` begins anew in each thread, and Valkey must not see time go back when another thread runs it. */
const monotonic = Number(process.hrtime.bigint()) / 1e6 - performance.now();
/** The time at which the precise clock is compared with the system's again. */
let comparedUntil = 0;

/** A word that nobody ever notifies: waiting for it is sleeping. */
const SLEEPING = new Int32Array(new SharedArrayBuffer(4));

/**
 * (module
 *   (func $write (import "env" "write") (param i32 i32) (result i32))
 *   (func (export "clock") (param i32 i64 i32) (result i32) (call $write (local.get 0) (local.get 2))))
 */
const CLOCK_SHIM = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x0e, 0x02, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f, 0x60, 0x03, 0x7f, 0x7e, 0x7f, 0x01, 0x7f],
  ...[0x02, 0x0d, 0x01, 0x03, 0x65, 0x6e, 0x76, 0x05, 0x77, 0x72, 0x69, 0x74, 0x65, 0x00, 0x00],
  ...[0x03, 0x02, 0x01, 0x01],
  ...[0x07, 0x09, 0x01, 0x05, 0x63, 0x6c, 0x6f, 0x63, 0x6b, 0x00, 0x01],
  ...[0x0a, 0x0a, 0x01, 0x08, 0x00, 0x20, 0x00, 0x20, 0x02, 0x10, 0x00, 0x0b],
]);
