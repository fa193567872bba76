/**
 * Reads archives of strangers: by their central directory, with a limit for everything that a name, a size or a number in
 * them may be. Nothing is ever unpacked to a place of the host that an archive names.
 */
import { promisify } from "node:util";
import { crc32, inflateRaw } from "node:zlib";
import { InstallError } from "./package-errors.ts";

/** A file in an archive. */
export interface ZipEntry {
  readonly path: string;
  /** Unpacked, as the archive claims. */
  readonly size: number;
  read(): Promise<Buffer>;
}

export interface ZipLimits {
  /** Files. */
  readonly files: number;
  /** Bytes of all files together, unpacked. */
  readonly bytes: number;
}

const inflate = promisify(inflateRaw);

const END = 0x06054b50;
const END_SIZE = 22;
const MAX_COMMENT = 65_535;
const ENTRY = 0x02014b50;
const ENTRY_SIZE = 46;
const LOCAL = 0x04034b50;
const LOCAL_SIZE = 30;
const ENCRYPTED = 1;
const MAX_PATH = 1024;
/** How often longer than packed a file may be, above a size that harms nobody. */
const MAX_RATIO = 200;
const HARMLESS_BYTES = 1024 * 1024;
/** The same for all files together, which also finds files that share their bytes. */
const MAX_TOTAL_RATIO = 50;
const HARMLESS_TOTAL = 64 * 1024 * 1024;
const TYPE_MASK = 0o170_000;
const REGULAR = 0o100_000;

/** The files of an archive; folders are left out. @throws InstallError when it is none, or breaks a rule */
export function readZip(archive: Buffer, limits: ZipLimits): ZipEntry[] {
  const end = findEnd(archive);
  const count = archive.readUInt16LE(end + 10);
  let at = archive.readUInt32LE(end + 16);
  if (count > limits.files) throw new InstallError(`it has ${count} files, at most ${limits.files} are allowed`);
  const entries: ZipEntry[] = [];
  const paths = new Set<string>();
  let total = 0;
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_SIZE > archive.length || archive.readUInt32LE(at) !== ENTRY) throw damaged();
    const lengths = [28, 30, 32].map((offset) => archive.readUInt16LE(at + offset)) as [number, number, number];
    const path = archive.toString("utf8", at + ENTRY_SIZE, at + ENTRY_SIZE + lengths[0]);
    const entry = archive.subarray(at, at + ENTRY_SIZE);
    at += ENTRY_SIZE + lengths[0] + lengths[1] + lengths[2];
    if (path.endsWith("/")) continue;
    checkPath(path);
    checkKind(path, entry);
    if (paths.has(path)) throw new InstallError(`it has the file ${path} twice`);
    paths.add(path);
    const size = entry.readUInt32LE(24);
    total += size;
    if (total > limits.bytes) throw new InstallError(`its files have more than ${limits.bytes} bytes together`);
    if (total > HARMLESS_TOTAL && total > archive.length * MAX_TOTAL_RATIO) {
      throw new InstallError("its files are packed too tightly");
    }
    entries.push({ path, size, read: () => readEntry(archive, path, entry) });
  }
  return entries;
}

const damaged = (): InstallError => new InstallError("it is no archive, or damaged");

function findEnd(archive: Buffer): number {
  const least = Math.max(0, archive.length - END_SIZE - MAX_COMMENT);
  for (let at = archive.length - END_SIZE; at >= least; at--) if (archive.readUInt32LE(at) === END) return at;
  throw damaged();
}

function checkPath(path: string): void {
  const names = path.split("/");
  const isBad = (name: string): boolean => name === "" || name === "." || name === ".." || name.length > 255;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const odd = /[\\\u0000-\u001f]|^[A-Za-z]:/;
  if (path.length > MAX_PATH || odd.test(path) || path.includes("\ufffd") || names.some(isBad)) {
    throw new InstallError(`it has a file with a name that is not allowed: ${JSON.stringify(path.slice(0, 200))}`);
  }
}

/** No links and no devices: some archives say what a file is in the system that they were made on. */
function checkKind(path: string, entry: Buffer): void {
  const type = (entry.readUInt32LE(38) >>> 16) & TYPE_MASK;
  const isUnix = entry.readUInt8(5) === 3;
  if (isUnix && type !== 0 && type !== REGULAR) throw new InstallError(`${path} in it is no ordinary file`);
  if ((entry.readUInt16LE(8) & ENCRYPTED) !== 0) throw new InstallError(`${path} in it is encrypted`);
}

async function readEntry(archive: Buffer, path: string, entry: Buffer): Promise<Buffer> {
  const method = entry.readUInt16LE(10);
  const [crc, packed, size, local] = [16, 20, 24, 42].map((offset) => entry.readUInt32LE(offset)) as [
    number,
    number,
    number,
    number,
  ];
  if (local + LOCAL_SIZE > archive.length || archive.readUInt32LE(local) !== LOCAL) throw damaged();
  const start = local + LOCAL_SIZE + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
  if (start + packed > archive.length) throw damaged();
  if (size > HARMLESS_BYTES && size > packed * MAX_RATIO) throw new InstallError(`${path} in it is packed too tightly`);
  const bytes = await unpacked(archive.subarray(start, start + packed), method, size, path);
  if (bytes.length !== size || crc32(bytes) !== crc) throw new InstallError(`${path} in it is damaged`);
  return bytes;
}

async function unpacked(bytes: Buffer, method: number, size: number, path: string): Promise<Buffer> {
  if (method === 0) return bytes;
  if (method !== 8) throw new InstallError(`${path} in it is packed by method ${method}, which is not known here`);
  try {
    return await inflate(bytes, { maxOutputLength: Math.max(size, 1) });
  } catch {
    throw new InstallError(`${path} in it is damaged, or longer than it claims`);
  }
}
