/**
 * Reads archives of strangers: by their central directory, with a limit for everything that a name, a size or a number in
 * them may be. Nothing is ever unpacked to a place of the host that an archive names.
 */
import { open } from "node:fs/promises";
import { promisify } from "node:util";
import { crc32, inflateRaw, inflateRawSync } from "node:zlib";
import { Slices } from "../in-turns.ts";
import { InstallError } from "./package-errors.ts";

/** The bytes of an archive, which are read as far as they are needed. */
export interface ArchiveBytes {
  readonly length: number;
  /** Fewer where the archive ends. */
  read(at: number, length: number): Promise<Buffer>;
}

/** Does something with an archive in a file. @throws errors of the file system */
export async function withArchive<T>(path: string, act: (archive: ArchiveBytes) => Promise<T>): Promise<T> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const read = async (at: number, length: number): Promise<Buffer> => {
      // a length is a stranger's: nothing is allocated for what is not there
      const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - at)));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, at);
      return bytes.subarray(0, bytesRead);
    };
    return await act({ length: size, read });
  } finally {
    await file.close();
  }
}

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
/** Bytes that one file may take in the directory, with its name, comment and further fields. */
const MAX_ENTRY = 4096;
/** A file of so few bytes is unpacked at once: handing it to another thread would take longer. */
const SMALL = 64 * 1024;
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
export async function readZip(archive: ArchiveBytes, limits: ZipLimits): Promise<ZipEntry[]> {
  const end = await readEnd(archive);
  const count = end.readUInt16LE(10);
  const directory = await archive.read(end.readUInt32LE(16), Math.min(end.readUInt32LE(12), count * MAX_ENTRY));
  let at = 0;
  const slices = new Slices();
  if (count > limits.files) throw new InstallError(`it has ${count} files, at most ${limits.files} are allowed`);
  const entries: ZipEntry[] = [];
  const paths = new Set<string>();
  let total = 0;
  for (let i = 0; i < count; i++) {
    if (at + ENTRY_SIZE > directory.length || directory.readUInt32LE(at) !== ENTRY) throw damaged();
    const lengths = [28, 30, 32].map((offset) => directory.readUInt16LE(at + offset)) as [number, number, number];
    const path = directory.toString("utf8", at + ENTRY_SIZE, at + ENTRY_SIZE + lengths[0]);
    const entry = directory.subarray(at, at + ENTRY_SIZE);
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
    await slices.next();
  }
  return entries;
}

const damaged = (): InstallError => new InstallError("it is no archive, or damaged");

/** What stands at its end: how many files there are, and where their directory is. */
async function readEnd(archive: ArchiveBytes): Promise<Buffer> {
  const most = END_SIZE + MAX_COMMENT;
  const tail = await archive.read(Math.max(0, archive.length - most), most);
  for (let at = tail.length - END_SIZE; at >= 0; at--) if (tail.readUInt32LE(at) === END) return tail.subarray(at);
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

async function readEntry(archive: ArchiveBytes, path: string, entry: Buffer): Promise<Buffer> {
  const method = entry.readUInt16LE(10);
  const [crc, packed, size, local] = [16, 20, 24, 42].map((offset) => entry.readUInt32LE(offset)) as [
    number,
    number,
    number,
    number,
  ];
  const head = await archive.read(local, LOCAL_SIZE);
  if (head.length < LOCAL_SIZE || head.readUInt32LE(0) !== LOCAL) throw damaged();
  const start = local + LOCAL_SIZE + head.readUInt16LE(26) + head.readUInt16LE(28);
  if (start + packed > archive.length) throw damaged();
  if (size > HARMLESS_BYTES && size > packed * MAX_RATIO) throw new InstallError(`${path} in it is packed too tightly`);
  const bytes = await unpacked(await archive.read(start, packed), method, size, path);
  if (bytes.length !== size || crc32(bytes) !== crc) throw new InstallError(`${path} in it is damaged`);
  return bytes;
}

async function unpacked(bytes: Buffer, method: number, size: number, path: string): Promise<Buffer> {
  if (method === 0) return bytes;
  if (method !== 8) throw new InstallError(`${path} in it is packed by method ${method}, which is not known here`);
  const limit = { maxOutputLength: Math.max(size, 1) };
  try {
    return size <= SMALL ? inflateRawSync(bytes, limit) : await inflate(bytes, limit);
  } catch {
    throw new InstallError(`${path} in it is damaged, or longer than it claims`);
  }
}
