/** Wheels: what they say of themselves, and how they become packs. */
import { open, readFile, rename, rm } from "node:fs/promises";
import { packHead } from "../python/pack.ts";
import type { CompileModules } from "../python/python-host.ts";
import { InstallError } from "./package-errors.ts";
import { type Metadata, parseMetadata } from "./metadata.ts";
import { readZip, type ZipEntry } from "./zip.ts";

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
const BYTECODE = "cpython-314";

/** Reads the METADATA of a wheel. @throws InstallError when it has none */
export async function wheelMetadata(path: string, limits: UnpackLimits): Promise<Metadata> {
  const entry = readZip(await readFile(path), limits).find((one) => METADATA.test(one.path));
  if (!entry) throw new InstallError("it has no METADATA");
  return parseMetadata((await entry.read()).toString("utf8"));
}

/**
 * Makes a pack of a wheel, or of one of Pyodide's archives with a shared library.
 * @throws InstallError when the archive breaks a rule; errors of the file system
 */
export async function makePack(
  archive: string,
  pack: string,
  limits: UnpackLimits,
  compile: CompileModules,
): Promise<void> {
  const placed = readZip(await readFile(archive), limits).flatMap((entry) => place(entry) ?? []);
  const files: { path: string; bytes: Buffer }[] = [];
  for (const { path, entry } of placed) files.push({ path, bytes: await entry.read() });
  const modules = files
    .filter(({ path }) => path.endsWith(".py") && !OF_TESTS.test(path))
    .map(({ path, bytes }) => ({ path, source: bytes }));
  for (const [path, bytes] of await compile(modules)) files.push({ path: bytecodePath(path), bytes });
  await write(pack, files);
}

/** Where a file of a wheel belongs below the folder of modules; undefined: nowhere. */
function place(entry: ZipEntry): PlacedEntry | undefined {
  const [, part = "", rest = ""] = DATA.exec(entry.path) ?? [];
  if (part === "") return { path: entry.path, entry };
  return LIBRARY_PARTS.includes(part) ? { path: rest, entry } : undefined;
}

const bytecodePath = (path: string): string => path.replace(/([^/]+)\.py$/, `__pycache__/$1.${BYTECODE}.pyc`);

async function write(path: string, files: readonly { path: string; bytes: Buffer }[]): Promise<void> {
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.appendFile(packHead(files.map((one) => ({ path: one.path, size: one.bytes.length }))));
    for (const { bytes } of files) if (bytes.length > 0) await file.appendFile(bytes);
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
}
