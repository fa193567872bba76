/**
 * Main side: the memory of a booted interpreter with our runtime imported. Restoring it takes a sixth of the time of booting.
 * It is kept in a file whose name depends on everything it was made of.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  utimes,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { receiveMessageOnPort } from "node:worker_threads";
import { cacheFolders } from "../cache-folders.ts";
import { InternalError } from "../errors.ts";
import { makeFolder } from "../folder.ts";
import { createShared } from "./channel.ts";
import { type MemoryImage, type PackedMemory, packMemory, sizeOf } from "./memory-image.ts";
import { readMapped } from "./mapped.ts";
import { spawnWorker } from "./spawn.ts";
import { compile, withMemoryLimits } from "./wasm-memory.ts";
import type { CodeCaches, PyodideScripts } from "./worker.ts";
import type { OutputLine, WorkerNotice } from "./protocol.ts";
import type { Preload } from "./python-session.ts";

export interface Snapshot {
  /** Of a snapshot in a file it says where that is: the memory itself lies nowhere but in the interpreters. */
  readonly image: MemoryImage;
  /** Shared libraries that are in it, as JSON. */
  readonly libraries: string;
  /** V8's code caches of the two scripts. */
  readonly moduleCache: Uint8Array<SharedArrayBuffer>;
  readonly loaderCache: Uint8Array<SharedArrayBuffer>;
}

/** One that is in no file. */
interface MadeSnapshot extends Snapshot {
  readonly image: PackedMemory;
}

/** No interpreter can be booted from it any more. */
export function closeSnapshot({ image: { pages } }: Snapshot): void {
  if (!(pages instanceof Uint8Array)) closeSync(pages.file);
}

/** Packages that are in a snapshot, and the memory that an interpreter may have with them. */
export interface PreloadWithin extends Preload {
  readonly memoryPages: number;
}

export interface SnapshotParts {
  readonly wasm: Uint8Array;
  readonly scripts: PyodideScripts;
  /** Path of the archive with Python's library. */
  readonly stdlib: string;
  /** The runtime package: module names to source texts. */
  readonly modules: Readonly<Record<string, string>>;
  /** Pyodide's. */
  readonly version: string;
  /** Packages that are in the snapshot. */
  readonly preload?: PreloadWithin | undefined;
}

interface Log {
  info(text: string): void;
  warn(text: string): void;
}

/** To be raised when the format of the file changes. */
const FORMAT = 3;
const SUFFIX = ".snapshot";
/** A file of another version that nobody has used for so long is removed. */
const STALE_MS = 30 * 24 * 3600 * 1000;
const BUILD_TIMEOUT_MS = 180_000;
/** How often it is looked whether another process has made the snapshot. */
const LOOK_MS = 50;
/** How often the one that makes it says so, and how long a silence means that it does not any more. */
const BEAT_MS = 1_000;
const SILENT_MS = 15_000;

/** Takes the snapshot from its file, or makes it and writes the file. Trouble with the file is only logged. */
export async function obtainSnapshot(
  parts: SnapshotParts,
  options: { cacheDir?: string; log: Log },
): Promise<Snapshot> {
  const key = keyOf(parts);
  const folders = cacheFolders(options.cacheDir);
  for (const folder of folders) {
    const cached = read(join(folder, key + SUFFIX), options.log);
    if (cached !== undefined) return cached;
  }
  const [folder = ""] = folders;
  const made = await whileNobodyElse(join(folder, `${key}.making`), () =>
    read(join(folder, key + SUFFIX), options.log),
  );
  if (typeof made === "object") return made;
  try {
    return await make(parts, folders, key, options.log);
  } finally {
    made();
  }
}

/**
 * Waits while another process makes the snapshot: many that start at once, as tests do, would keep each other from it.
 * @param mark file that says so
 * @returns what the other one has made, or what is to be called when this one has made it
 */
async function whileNobodyElse(mark: string, look: () => Snapshot | undefined): Promise<Snapshot | (() => void)> {
  for (;;) {
    const done = claim(mark);
    // also with the mark: somebody else may have written the snapshot, and taken its mark away, since it was looked for last
    const found = look();
    if (found) {
      done?.();
      return found;
    }
    if (done) return done;
    if (isAbandoned(mark)) rmSync(mark, { force: true });
    else await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Sets the mark, and keeps it young. @returns what takes it away; undefined when somebody else has it */
function claim(mark: string): (() => void) | undefined {
  try {
    makeFolder(dirname(mark), 0o700);
    writeFileSync(mark, String(process.pid), { flag: "wx", mode: 0o600 });
  } catch (error) {
    // without the folder there is nothing to share
    return (error as NodeJS.ErrnoException).code === "EEXIST" ? undefined : () => {};
  }
  const beating = setInterval(() => utimes(mark, new Date(), new Date(), () => {}), BEAT_MS).unref();
  return () => {
    clearInterval(beating);
    rmSync(mark, { force: true });
  };
}

/**
 * Has its process ended, or does it say nothing any more? The number alone does not tell: another process may have it by now, or
 * the process may be in another container; and who is killed while it sets the mark leaves no number. Who is taken for dead by
 * mistake makes a snapshot that is made twice, no more.
 */
function isAbandoned(mark: string): boolean {
  try {
    if (Date.now() - statSync(mark).mtimeMs > SILENT_MS) return true;
    process.kill(Number(readFileSync(mark, "latin1")), 0);
    return false;
  } catch (error) {
    // A mark that is gone is not to be removed: the next one may be there already.
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

async function make(parts: SnapshotParts, folders: readonly string[], key: string, log: Log): Promise<Snapshot> {
  const start = performance.now();
  const snapshot = await build(parts, log);
  log.info(`made the snapshot of Python${named(parts)} in ${Math.round(performance.now() - start)} ms`);
  const file = write(folders, key + SUFFIX, snapshot, log);
  return (file === undefined ? undefined : read(file, log)) ?? snapshot;
}

/** For people: the packages that are in it. */
const named = ({ preload }: SnapshotParts): string => (preload ? ` with ${preload.modules.join(", ")}` : "");

function keyOf(parts: SnapshotParts): string {
  const hash = createHash("sha256");
  const texts = [String(FORMAT), parts.version, process.versions.v8, process.arch, JSON.stringify(parts.modules)];
  // the name of a pack has the hash of what it was made of
  if (parts.preload) {
    const { packs, modules, memoryPages } = parts.preload;
    texts.push(JSON.stringify([packs.map((path) => basename(path)), modules, memoryPages]));
  }
  for (const part of [...texts, parts.wasm, parts.scripts.module, parts.scripts.loader, readMapped(parts.stdlib)]) {
    hash.update(`${part.length}:`).update(part);
  }
  return hash.digest("hex").slice(0, 32);
}

// The file: sha256 of the rest (32 bytes), six lengths (4 bytes each), and the byte strings: Pyodide's preface, the runs of
// pages, two code caches, the libraries, the pages.

const CHECKSUM_BYTES = 32;
const LENGTHS = 6;
const HEAD_BYTES = CHECKSUM_BYTES + LENGTHS * 4;
const CHUNK_BYTES = 64 * 1024;

/** The snapshot in a file, which stays open. @returns undefined when there is none or it is no good, which is logged */
function read(file: string, log: Log): Snapshot | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(file, "r");
  } catch {
    return undefined;
  }
  const result = examine(descriptor);
  if (typeof result !== "string") return result;
  closeSync(descriptor);
  log.warn(`ignored ${file}: ${result}`);
  return undefined;
}

/** @returns what is wrong with it, or the snapshot */
function examine(descriptor: number): Snapshot | string {
  try {
    // Whoever may write the file decides what the interpreter runs.
    const owner = fstatSync(descriptor).uid;
    if (process.getuid !== undefined && owner !== process.getuid() && owner !== 0) return "it belongs to somebody else";
    return isWhole(descriptor) ? decode(descriptor) : "it is damaged";
  } catch (error) {
    return String(error);
  }
}

function isWhole(descriptor: number): boolean {
  const hash = createHash("sha256");
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let at = CHECKSUM_BYTES; ; ) {
    const length = readSync(descriptor, chunk, 0, CHUNK_BYTES, at);
    if (length === 0) break;
    hash.update(chunk.subarray(0, length));
    at += length;
  }
  return bytesAt(descriptor, 0, CHECKSUM_BYTES).equals(hash.digest());
}

function decode(file: number): Snapshot {
  const head = bytesAt(file, 0, HEAD_BYTES);
  let offset = HEAD_BYTES;
  const part = (index: number): Uint8Array<SharedArrayBuffer> => {
    const bytes = new Uint8Array(new SharedArrayBuffer(head.readUInt32LE(CHECKSUM_BYTES + index * 4)));
    readSync(file, bytes, 0, bytes.length, offset);
    offset += bytes.length;
    return bytes;
  };
  const preface = part(0);
  const runs = new Uint32Array(part(1).buffer);
  const [moduleCache, loaderCache, libraries] = [part(2), part(3), Buffer.from(part(4)).toString()];
  return { image: { size: sizeOf(runs), preface, runs, pages: { file, offset } }, libraries, moduleCache, loaderCache };
}

/** Fewer where the file ends. */
function bytesAt(file: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
}

/** @returns the file; undefined when it can be written nowhere, which is logged */
function write(folders: readonly string[], name: string, made: MadeSnapshot, log: Log): string | undefined {
  const { preface, runs, pages } = made.image;
  const libraries = Buffer.from(made.libraries);
  const body = [preface, new Uint8Array(runs.buffer), made.moduleCache, made.loaderCache, libraries, pages];
  const lengths = Buffer.alloc(LENGTHS * 4);
  for (const [index, part] of body.entries()) lengths.writeUInt32LE(part.length, index * 4);
  const content = Buffer.concat([lengths, ...body]);
  const checksum = createHash("sha256").update(content).digest();
  let trouble: unknown;
  for (const folder of folders) {
    const file = join(folder, name);
    const temporary = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
    try {
      makeFolder(folder, 0o700);
      writeFileSync(temporary, Buffer.concat([checksum, content]), { mode: 0o600 });
      renameSync(temporary, file);
      removeStale(folder, name);
      return file;
    } catch (error) {
      trouble ??= error;
      try {
        rmSync(temporary, { force: true });
      } catch {
        // It is the same trouble.
      }
    }
  }
  log.warn(`the snapshot of Python can not be kept, so the next start will be slow: ${trouble}`);
  return undefined;
}

function removeStale(folder: string, current: string): void {
  for (const name of readdirSync(folder)) {
    if (name === current || !(name.endsWith(SUFFIX) || name.endsWith(".tmp"))) continue;
    const file = join(folder, name);
    if (Date.now() - statSync(file).mtimeMs > STALE_MS) rmSync(file, { force: true });
  }
}

/** Boots Python in a worker of its own, imports the runtime and takes the memory. */
function build(parts: SnapshotParts, output: Log): Promise<MadeSnapshot> {
  return new Promise((resolve, reject) => {
    const { loader, ...modules } = parts.modules;
    const { packs, modules: preload } = parts.preload ?? { packs: [], modules: [] };
    const { worker, outputPort } = spawnWorker({
      module: compile(
        parts.preload ? withMemoryLimits(parts.wasm, { maximum: parts.preload.memoryPages }) : parts.wasm,
      ),
      input: {
        shared: createShared(),
        scripts: parts.scripts,
        caches: undefined,
        stdlib: parts.stdlib,
        image: undefined,
        libraries: "",
        packs,
        spinning: false,
        options: {
          makeSnapshot: true,
          memfsBytes: 0,
          memfsNodes: 0,
          warmUp: false,
          modules: { ...modules, loader: loader ?? "" },
          loader: loader ?? "",
          preload,
        },
      },
    });
    let memory: Extract<WorkerNotice, { kind: "snapshot" }> | undefined;
    const printed = (): string[] => {
      const lines: string[] = [];
      for (let next = receiveMessageOnPort(outputPort); next !== undefined; next = receiveMessageOnPort(outputPort))
        lines.push((next.message as OutputLine).text);
      return lines;
    };
    const end = (outcome: () => void): void => {
      clearTimeout(timer);
      void worker.terminate();
      outcome();
    };
    const fail = (why: string): void =>
      end(() =>
        reject(
          new InternalError(
            `the snapshot of Python${named(parts)} can not be made: ${why} ${printed().join("\n")}`.trim(),
          ),
        ),
      );
    const timer = setTimeout(() => fail("it takes too long"), BUILD_TIMEOUT_MS);
    worker.on("message", (notice: WorkerNotice | CodeCaches) => {
      if (notice.kind === "died") fail(notice.reason);
      else if (notice.kind === "snapshot") memory = notice;
      else if (notice.kind === "caches" && memory !== undefined) {
        for (const line of printed()) output.warn(line);
        const snapshot = {
          image: packMemory(memory.bytes),
          libraries: memory.libraries,
          moduleCache: share(notice.module),
          loaderCache: share(notice.loader),
        };
        end(() => resolve(snapshot));
      }
    });
    worker.on("error", (error) => fail(String(error)));
    worker.on("exit", () => fail("its worker ended."));
  });
}

function share(bytes: Uint8Array): Uint8Array<SharedArrayBuffer> {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}
