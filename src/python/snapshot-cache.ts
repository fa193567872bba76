/**
 * Main side: the memory of a booted interpreter with our runtime imported. Restoring it takes a sixth of the time of booting.
 * It is kept in a file whose name depends on everything it was made of.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { InternalError } from "../errors.ts";
import { makeFolder } from "../folder.ts";
import { createShared } from "./channel.ts";
import { spawnWorker } from "./spawn.ts";
import { compile } from "./wasm-memory.ts";
import type { CodeCaches } from "./worker.ts";
import type { WorkerNotice } from "./protocol.ts";

export interface Snapshot {
  readonly memory: Uint8Array<SharedArrayBuffer>;
  /** V8's code caches of the two scripts. */
  readonly moduleCache: Uint8Array<SharedArrayBuffer>;
  readonly loaderCache: Uint8Array<SharedArrayBuffer>;
}

export interface SnapshotParts {
  readonly wasm: Uint8Array;
  readonly scripts: { readonly module: string; readonly loader: string };
  readonly stdlib: Uint8Array;
  /** The runtime package: module names to source texts. */
  readonly modules: Readonly<Record<string, string>>;
  /** Pyodide's. */
  readonly version: string;
}

interface Log {
  info(text: string): void;
  warn(text: string): void;
}

/** To be raised when the format of the file changes. */
const FORMAT = 1;
const SUFFIX = ".snapshot";
/** A file of another version that nobody has used for so long is removed. */
const STALE_MS = 30 * 24 * 3600 * 1000;
const BUILD_TIMEOUT_MS = 180_000;

/** Takes the snapshot from its file, or makes it and writes the file. Trouble with the file is only logged. */
export async function obtainSnapshot(
  parts: SnapshotParts,
  options: { cacheDir?: string; log: Log },
): Promise<Snapshot> {
  const key = keyOf(parts);
  const folders = options.cacheDir === undefined ? defaultFolders() : [options.cacheDir];
  for (const folder of folders) {
    const cached = read(join(folder, key + SUFFIX), options.log);
    if (cached !== undefined) return cached;
  }
  const start = performance.now();
  const snapshot = await build(parts);
  options.log.info(`made the snapshot of Python in ${Math.round(performance.now() - start)} ms`);
  write(folders, key + SUFFIX, snapshot, options.log);
  return snapshot;
}

function keyOf(parts: SnapshotParts): string {
  const hash = createHash("sha256");
  const texts = [String(FORMAT), parts.version, process.versions.v8, process.arch, JSON.stringify(parts.modules)];
  for (const part of [...texts, parts.wasm, parts.scripts.module, parts.scripts.loader, parts.stdlib]) {
    hash.update(`${part.length}:`).update(part);
  }
  return hash.digest("hex").slice(0, 32);
}

function defaultFolders(): string[] {
  const { XDG_CACHE_HOME } = process.env;
  return [join(XDG_CACHE_HOME || join(homedir(), ".cache"), "regears"), join(tmpdir(), `regears-${userId()}`)];
}

function userId(): string {
  return String(process.getuid?.() ?? "cache");
}

// The file: sha256 of the rest (32 bytes), three lengths (4 bytes each), three byte strings.

function read(file: string, log: Log): Snapshot | undefined {
  let bytes: Buffer;
  try {
    // Whoever may write the file decides what the interpreter runs.
    const owner = statSync(file).uid;
    if (process.getuid !== undefined && owner !== process.getuid() && owner !== 0) {
      log.warn(`ignored ${file}: it belongs to somebody else`);
      return undefined;
    }
    bytes = readFileSync(file);
  } catch {
    return undefined;
  }
  const snapshot = decode(bytes);
  if (snapshot === undefined) log.warn(`ignored ${file}: it is damaged`);
  return snapshot;
}

function decode(file: Buffer): Snapshot | undefined {
  if (file.length < 44) return undefined;
  const checksum = createHash("sha256").update(file.subarray(32)).digest();
  if (!checksum.equals(file.subarray(0, 32))) return undefined;
  let at = 44;
  const part = (index: number): Uint8Array<SharedArrayBuffer> => {
    const length = file.readUInt32LE(32 + index * 4);
    at += length;
    return share(file.subarray(at - length, at));
  };
  return { memory: part(0), moduleCache: part(1), loaderCache: part(2) };
}

function write(folders: readonly string[], name: string, snapshot: Snapshot, log: Log): void {
  const body = [snapshot.memory, snapshot.moduleCache, snapshot.loaderCache];
  const lengths = Buffer.alloc(12);
  for (const [index, part] of body.entries()) lengths.writeUInt32LE(part.length, index * 4);
  const content = Buffer.concat([lengths, ...body]);
  const checksum = createHash("sha256").update(content).digest();
  let trouble: unknown;
  for (const folder of folders) {
    const temporary = join(folder, `${name}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`);
    try {
      makeFolder(folder, 0o700);
      writeFileSync(temporary, Buffer.concat([checksum, content]), { mode: 0o600 });
      renameSync(temporary, join(folder, name));
      removeStale(folder, name);
      return;
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
}

function removeStale(folder: string, current: string): void {
  for (const name of readdirSync(folder)) {
    if (name === current || !(name.endsWith(SUFFIX) || name.endsWith(".tmp"))) continue;
    const file = join(folder, name);
    if (Date.now() - statSync(file).mtimeMs > STALE_MS) rmSync(file, { force: true });
  }
}

/** Boots Python in a worker of its own, imports the runtime and takes the memory. */
function build(parts: SnapshotParts): Promise<Snapshot> {
  return new Promise((resolve, reject) => {
    const { loader, ...modules } = parts.modules;
    const { worker } = spawnWorker({
      module: compile(parts.wasm),
      input: {
        shared: createShared(),
        scripts: { module: { source: parts.scripts.module }, loader: { source: parts.scripts.loader } },
        stdlib: parts.stdlib,
        snapshot: undefined,
        spinning: false,
        options: {
          makeSnapshot: true,
          memfsBytes: 0,
          memfsNodes: 0,
          warmUp: false,
          modules: { ...modules, loader: loader ?? "" },
          loader: loader ?? "",
        },
      },
    });
    let memory: Uint8Array | undefined;
    const log: string[] = [];
    const end = (outcome: () => void): void => {
      clearTimeout(timer);
      void worker.terminate();
      outcome();
    };
    const fail = (why: string): void =>
      end(() => reject(new InternalError(`the snapshot of Python can not be made: ${why} ${log.join("\n")}`.trim())));
    const timer = setTimeout(() => fail("it takes too long"), BUILD_TIMEOUT_MS);
    worker.on("message", (notice: WorkerNotice | CodeCaches) => {
      if (notice.kind === "output") log.push(notice.text);
      else if (notice.kind === "died") fail(notice.reason);
      else if (notice.kind === "snapshot") memory = notice.bytes;
      else if (notice.kind === "caches" && memory !== undefined) {
        const snapshot = {
          memory: share(memory),
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
