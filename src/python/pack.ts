/**
 * A pack: the files of one package in one file of the host, to be read at any place. Interpreters share it: each knows its
 * table of contents and reads from it what is imported.
 *
 * The file: {@link MAGIC}, the SHA-256 of all that follows, the length of the table (4 bytes), the table as JSON (a list of path
 * and size), then the contents in the same order.
 */
import { createHash } from "node:crypto";
import { closeSync, createReadStream, fstatSync, openSync, readSync } from "node:fs";
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

const MAGIC = "RGPACK02";
const CHECKSUM = 32;
const BEFORE_TABLE = MAGIC.length + CHECKSUM;
const HEAD = BEFORE_TABLE + 4;
const MAX_TABLE = 64 * 1024 * 1024;

/** Makes the bytes of a pack, whose contents are added in their order. */
export class PackWriter {
  /** What stands before the contents; its checksum is not known yet. */
  readonly head: Buffer;
  readonly #hash = createHash("sha256");

  constructor(files: readonly { readonly path: string; readonly size: number }[]) {
    const table = Buffer.from(JSON.stringify(files.map(({ path, size }) => [path, size])));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(table.length);
    this.head = Buffer.concat([Buffer.from(MAGIC), Buffer.alloc(CHECKSUM), length, table]);
    this.#hash.update(this.head.subarray(BEFORE_TABLE));
  }

  /** @returns what was given */
  add(content: Buffer): Buffer {
    this.#hash.update(content);
    return content;
  }

  /** The checksum, and where in the pack it belongs. */
  end(): { readonly checksum: Buffer; readonly place: number } {
    return { checksum: this.#hash.digest(), place: MAGIC.length };
  }
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

/** Is there a pack of this name, with all that it had when it was made? */
export async function isWholePack(path: string): Promise<boolean> {
  try {
    const { descriptor } = openPack(path);
    const checksum = readBytes(descriptor, MAGIC.length, CHECKSUM);
    closeSync(descriptor);
    const hash = createHash("sha256");
    for await (const piece of createReadStream(path, { start: BEFORE_TABLE })) hash.update(piece as Buffer);
    return hash.digest().equals(checksum);
  } catch {
    return false;
  }
}

function readTable(path: string, descriptor: number): PackedFile[] {
  const total = fstatSync(descriptor).size;
  const head = readBytes(descriptor, 0, HEAD);
  const length = head.length === HEAD ? head.readUInt32LE(BEFORE_TABLE) : 0;
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
