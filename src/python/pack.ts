/**
 * A pack: the files of one package in one file of the host, to be read at any place. Interpreters share it: each knows its
 * table of contents and reads from it what is imported.
 *
 * The file: {@link MAGIC}, the length of the table (4 bytes), the table as JSON (a list of path and size), then the contents
 * in the same order.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { InternalError } from "../errors.ts";

/** One file of a pack. */
export interface PackedFile {
  /** From the folder that is on `sys.path`, with slashes. */
  readonly path: string;
  readonly size: number;
  /** Where its bytes begin in the pack. */
  readonly at: number;
}

/** A pack that is open for reading. */
export interface OpenPack {
  readonly descriptor: number;
  readonly files: readonly PackedFile[];
}

const MAGIC = "RGPACK01";
const HEAD = MAGIC.length + 4;
const MAX_TABLE = 64 * 1024 * 1024;

/** What stands before the contents. */
export function packHead(files: readonly { readonly path: string; readonly size: number }[]): Buffer {
  const table = Buffer.from(JSON.stringify(files.map(({ path, size }) => [path, size])));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(table.length);
  return Buffer.concat([Buffer.from(MAGIC), length, table]);
}

/** Opens a pack. @throws InternalError when it is none, or not whole; errors of the file system */
export function openPack(path: string): OpenPack {
  const descriptor = openSync(path, "r");
  try {
    return { descriptor, files: readTable(path, descriptor) };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** Is there a whole pack of this name? */
export function isPack(path: string): boolean {
  try {
    closeSync(openPack(path).descriptor);
    return true;
  } catch {
    return false;
  }
}

function readTable(path: string, descriptor: number): PackedFile[] {
  const total = fstatSync(descriptor).size;
  const head = readBytes(descriptor, 0, HEAD);
  const length = head.length === HEAD ? head.readUInt32LE(MAGIC.length) : 0;
  if (head.toString("latin1", 0, MAGIC.length) !== MAGIC || length > MAX_TABLE) {
    throw new InternalError(`${path} is no pack of a package`);
  }
  const table = JSON.parse(readBytes(descriptor, HEAD, length).toString("utf8")) as readonly [string, number][];
  let at = HEAD + length;
  const files = table.map(([name, size]): PackedFile => {
    at += size;
    return { path: name, size, at: at - size };
  });
  if (at !== total) throw new InternalError(`${path} is not whole`);
  return files;
}

function readBytes(descriptor: number, at: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(descriptor, bytes, 0, length, at));
}
