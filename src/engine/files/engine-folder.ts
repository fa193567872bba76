/**
 * The folder that the engine takes for the root of its file system: files below `dir` and nothing else. Names come from
 * Valkey, which makes them of its configuration; nothing that such a name could say, and no link that lies in the folder,
 * leads out of it.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { fileError } from "./errno.ts";

/** The part of `node:fs` that is used; tests give calls that fail. */
export type FileCalls = Pick<
  typeof fs,
  | "openSync"
  | "closeSync"
  | "readSync"
  | "writeSync"
  | "fstatSync"
  | "lstatSync"
  | "ftruncateSync"
  | "fsyncSync"
  | "fdatasyncSync"
  | "fdatasync"
  | "renameSync"
  | "unlinkSync"
  | "mkdirSync"
  | "readdirSync"
>;

/** How a file is to be opened. */
export interface OpenMode {
  readonly read: boolean;
  readonly write: boolean;
  readonly append: boolean;
  readonly create: boolean;
  readonly exclusive: boolean;
  readonly truncate: boolean;
  /** Only a directory will do. */
  readonly directory: boolean;
}

/** A file or directory that was opened. */
export interface OpenFile {
  /** The system's descriptor; -1 for a file that is not on the disk. */
  readonly fd: number;
  readonly isDirectory: boolean;
  /** The name in the folder, without a slash at either end. */
  readonly name: string;
  /** The content of a file that is not on the disk. */
  readonly content?: Buffer;
}

/** Rights for the server's user only: what clients have stored is nobody else's business. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

const { O_RDONLY, O_WRONLY, O_RDWR, O_APPEND, O_CREAT, O_EXCL, O_TRUNC } = fs.constants;
/** Without O_NONBLOCK a pipe in the place of a file would hold the server up for ever. Not every system has both flags. */
const GUARDS = (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0);

export class EngineFolder {
  readonly #directory: string | undefined;
  readonly #virtual: ReadonlyMap<string, Buffer>;
  readonly calls: FileCalls;

  /**
   * @param directory the folder; undefined: there is none, and nothing can be made
   * @param virtual files that are not on the disk and can only be read, by their names
   */
  constructor(directory: string | undefined, virtual: ReadonlyMap<string, Buffer> = new Map(), calls: FileCalls = fs) {
    this.#directory = directory;
    this.#virtual = virtual;
    this.calls = calls;
  }

  /** @throws what the file system throws, or an error with such a code */
  open(path: string, mode: OpenMode): OpenFile {
    const name = nameOf(path);
    const content = this.#virtual.get(name);
    if (content) {
      if (mode.write) throw fileError("EACCES", path);
      return { fd: -1, isDirectory: false, name, content };
    }
    const changes = mode.create || mode.truncate;
    const real = this.#locate(name, changes);
    const fd = this.calls.openSync(real, flagsOf(mode) | GUARDS, FILE_MODE);
    try {
      const stat = this.calls.fstatSync(fd);
      if (mode.directory && !stat.isDirectory()) throw fileError("ENOTDIR", path);
      if (!stat.isFile() && !stat.isDirectory()) throw fileError("EACCES", path);
      return { fd, isDirectory: stat.isDirectory(), name };
    } catch (error) {
      this.calls.closeSync(fd);
      throw error;
    }
  }

  stat(path: string): fs.BigIntStats | number {
    const name = nameOf(path);
    const content = this.#virtual.get(name);
    if (content) return content.length;
    const stat = this.calls.lstatSync(this.#locate(name, false), { bigint: true });
    if (stat.isSymbolicLink()) throw fileError("ELOOP", path);
    return stat;
  }

  rename(from: string, to: string): void {
    const [source, target] = [nameOf(from), nameOf(to)];
    for (const name of [source, target]) if (this.#virtual.has(name)) throw fileError("EACCES", name);
    this.calls.renameSync(this.#locate(source, true), this.#locate(target, true));
  }

  unlink(path: string): void {
    const name = nameOf(path);
    if (this.#virtual.has(name)) throw fileError("EACCES", name);
    this.calls.unlinkSync(this.#locate(name, false));
  }

  makeDirectory(path: string): void {
    this.calls.mkdirSync(this.#locate(nameOf(path), true), DIRECTORY_MODE);
  }

  /** The names in a directory, and whether each is a directory itself. */
  list(path: string): { readonly name: string; readonly isDirectory: boolean }[] {
    const real = this.#locate(nameOf(path), false);
    return this.calls
      .readdirSync(real, { withFileTypes: true })
      .map((entry) => ({ name: entry.name, isDirectory: entry.isDirectory() }));
  }

  /**
   * The place of a name on the disk. All that is above the file must be directories, and no links.
   * @param changes whether something is to be made there
   */
  #locate(name: string, changes: boolean): string {
    if (this.#directory === undefined) throw fileError(changes ? "EROFS" : "ENOENT", name);
    const parts = name.split("/");
    let path = this.#directory;
    for (const part of parts.slice(0, -1)) {
      path = join(path, part);
      const stat = this.calls.lstatSync(path);
      if (stat.isSymbolicLink()) throw fileError("ELOOP", name);
      if (!stat.isDirectory()) throw fileError("ENOTDIR", name);
    }
    return join(path, parts.at(-1) ?? "");
  }
}

/** Characters that have a special meaning in names on some systems. */
const UNWANTED = /[\0\\:]/;

/** A path as a name in the folder, where it begins even with a slash. @throws ENOTCAPABLE when the path would lead out */
function nameOf(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.some((part) => part === ".." || UNWANTED.test(part))) throw fileError("ENOTCAPABLE", path);
  return parts.join("/");
}

function flagsOf({ read, write, append, create, exclusive, truncate }: OpenMode): number {
  const access = write ? (read ? O_RDWR : O_WRONLY) : O_RDONLY;
  return (
    access | (append ? O_APPEND : 0) | (create ? O_CREAT : 0) | (exclusive ? O_EXCL : 0) | (truncate ? O_TRUNC : 0)
  );
}
