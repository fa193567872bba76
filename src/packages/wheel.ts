/** Wheels: what they say of themselves, and how they become packs. */
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { PackWriter } from "../python/pack.ts";
import type { CompileModules, ModuleSource } from "../python/python-host.ts";
import { InstallError } from "./package-errors.ts";
import { type Metadata, parseMetadata } from "./metadata.ts";
import { inTurns, Slices } from "../in-turns.ts";
import { readZip, withArchive, type ZipEntry } from "./zip.ts";

/** Limits of one package, unpacked. */
export interface UnpackLimits {
  readonly files: number;
  readonly bytes: number;
}

interface PlacedEntry {
  readonly path: string;
  readonly entry: ZipEntry;
}

const METADATA = /^[^/]+\.dist-info\/METADATA$/;
/** Parts of a wheel that belong to other places than the folder of modules. */
const DATA = /^[^/]+\.data\/([^/]+)\/(.+)$/;
const LIBRARY_PARTS = ["purelib", "platlib"];
/** Modules of tests are seldom imported, and many: they are compiled when they are. */
const OF_TESTS = /(^|\/)(tests?|testing)\//;
/** Bytes that are written at a time. */
const PIECE = 1024 * 1024;
const BYTECODE = "cpython-314";

/** Reads the METADATA of a wheel. @throws InstallError when it has none */
export async function wheelMetadata(path: string, limits: UnpackLimits): Promise<Metadata> {
  return withArchive(path, async (archive) => {
    const entry = (await readZip(archive, limits)).find((one) => METADATA.test(one.path));
    if (!entry) throw new InstallError("it has no METADATA");
    return parseMetadata((await entry.read()).toString("utf8"));
  });
}

/**
 * Makes a pack of a wheel, or of one of Pyodide's archives with a shared library. No more than its modules is in memory at a time.
 * @throws InstallError when the archive breaks a rule; errors of the file system
 */
export function makePack(
  archivePath: string,
  pack: string,
  limits: UnpackLimits,
  compile: CompileModules,
): Promise<void> {
  return withArchive(archivePath, async (archive) => {
    const placed = (await readZip(archive, limits)).flatMap((entry) => place(entry) ?? []);
    const modules = placed.filter(({ path }) => path.endsWith(".py") && !OF_TESTS.test(path));
    const compiled = await compile(await inTurns(modules, readModule));
    const files = placed.map(
      ({ path, entry }): PackedContent => ({ path, size: entry.size, read: () => entry.read() }),
    );
    for (const [path, bytes] of compiled) {
      files.push({ path: bytecodePath(path), size: bytes.length, read: () => Promise.resolve(bytes) });
    }
    await write(pack, files);
  });
}

/** A file that is to be in a pack. */
interface PackedContent {
  readonly path: string;
  readonly size: number;
  read(): Promise<Buffer>;
}

const readModule = async ({ path, entry }: PlacedEntry): Promise<ModuleSource> => ({
  path,
  source: await entry.read(),
});

/** Where a file of a wheel belongs below the folder of modules; undefined: nowhere. */
function place(entry: ZipEntry): PlacedEntry | undefined {
  const [, part = "", rest = ""] = DATA.exec(entry.path) ?? [];
  if (part === "") return { path: entry.path, entry };
  return LIBRARY_PARTS.includes(part) ? { path: rest, entry } : undefined;
}

const bytecodePath = (path: string): string => path.replace(/([^/]+)\.py$/, `__pycache__/$1.${BYTECODE}.pyc`);

async function write(path: string, files: readonly PackedContent[]): Promise<void> {
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
  const file = await open(temporary, "wx", 0o600);
  try {
    await writeContents(file, files);
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Small files are written together: each by itself would take longer than all that is done with it. */
async function writeContents(file: FileHandle, files: readonly PackedContent[]): Promise<void> {
  const writer = new PackWriter(files);
  const slices = new Slices();
  let pieces = [writer.head];
  let bytes = writer.head.length;
  const flush = async (): Promise<void> => {
    await file.appendFile(Buffer.concat(pieces));
    pieces = [];
    bytes = 0;
  };
  for (const one of files) {
    const content = writer.add(await one.read());
    pieces.push(content);
    bytes += content.length;
    if (bytes >= PIECE) await flush();
    await slices.next();
  }
  await flush();
  const { checksum, place: at } = writer.end();
  await file.write(checksum, 0, checksum.length, at);
}
