/**
 * Files as WebAssembly's system interface (WASI, preview 1) sees them: descriptors, and functions that take and give
 * numbers in the engine's memory. Everything is done within the call, as it would be in a process of Valkey's own.
 *
 * The memory may be one that threads share. Node's calls take views of such a memory as they are.
 */
import type { BigIntStats } from "node:fs";
import type { MemoryView } from "../wasm.ts";
import { BackgroundSync } from "./background-sync.ts";
import { BufferedFile } from "./buffered-file.ts";
import { Errno, errnoOf, fileError } from "./errno.ts";
import type { EngineFolder, OpenFile, OpenMode } from "./engine-folder.ts";

/** The number of the folder itself, and the first one that a file can get. */
const ROOT = 3;
const FIRST_FILE = 5;

/** `oflags`, `fdflags` and the rights that tell how a file is to be opened. */
const CREATE = 1;
const DIRECTORY = 2;
const EXCLUSIVE = 4;
const TRUNCATE = 8;
const APPEND = 1;
const RIGHT_READ = 2n;
const RIGHT_WRITE = 64n;
const ALL_RIGHTS = 0x1fffffff;

const TYPE_DIRECTORY = 3;
const TYPE_FILE = 4;

/** Where `fd_seek` counts from. */
const FROM_PRESENT = 1;
const FROM_END = 2;

const DIRENT_BYTES = 24;
const FDSTAT_BYTES = 24;
const STAT_BYTES = 64;
const WORD = 2 ** 32;

/**
 * Files that are of no use before they are renamed. All other files may be append-only files, also those that are not opened to
 * be appended to: a new one after a rewriting is such.
 */
const WRITTEN_AS_A_WHOLE = /^temp-[^/]*\.(?:rdb|aof)$/;

interface Descriptor extends OpenFile {
  readonly append: boolean;
  /** The file on the disk; a directory, and a file that is not on the disk, have none. */
  readonly file?: BufferedFile;
  /** Place of the next read or write; without a meaning when the file is only appended to. */
  position: number;
  /** The list that `fd_readdir` has begun to tell. */
  listed?: readonly { readonly name: string; readonly isDirectory: boolean }[];
}

export class FileDescriptors {
  /** Brings files to the disk in the background. */
  readonly sync: BackgroundSync;
  /** Gets the errors of calls that failed; that a file or descriptor does not exist is no failure. */
  onFailure: (error: unknown) => void = () => {};
  readonly #folder: EngineFolder;
  readonly #memory: MemoryView;
  readonly #open: (Descriptor | undefined)[] = [];

  constructor(folder: EngineFolder, memory: MemoryView) {
    this.#folder = folder;
    this.#memory = memory;
    this.sync = new BackgroundSync(folder.calls);
  }

  /** The functions of WASI. Those about descriptors answer for files only. */
  imports(): Record<string, (...args: never[]) => number> {
    return {
      path_open: this.#wrap(this.#pathOpen),
      path_filestat_get: this.#wrap((_fd: number, _flags: number, path: number, length: number, to: number) =>
        this.#writeStat(to, this.#folder.stat(this.#text(path, length))),
      ),
      path_rename: this.#wrap((_fd: number, from: number, size: number, _to: number, to: number, n: number) =>
        this.#folder.rename(this.#text(from, size), this.#text(to, n)),
      ),
      path_unlink_file: this.#wrap((_fd: number, path: number, length: number) =>
        this.#folder.unlink(this.#text(path, length)),
      ),
      path_create_directory: this.#wrap((_fd: number, path: number, length: number) =>
        this.#folder.makeDirectory(this.#text(path, length)),
      ),
      fd_close: this.#wrap(this.#close),
      fd_fdstat_get: this.#wrap(this.#fdstat),
      fd_filestat_get: this.#wrap(this.#filestat),
      fd_filestat_set_size: this.#wrap((fd: number, size: bigint) => {
        const file = this.#real(fd);
        file.flush();
        this.#folder.calls.ftruncateSync(file.fd, Number(size));
      }),
      fd_read: this.#wrap((fd: number, list: number, count: number, to: number) => {
        const file = this.#of(fd);
        const done = this.#read(file, list, count, file.position);
        file.position += done;
        this.#setWord(to, done);
      }),
      fd_pread: this.#wrap((fd: number, list: number, count: number, offset: bigint, to: number) =>
        this.#setWord(to, this.#read(this.#of(fd), list, count, Number(offset))),
      ),
      fd_write: this.#wrap(this.#write),
      fd_seek: this.#wrap(this.#seek),
      fd_sync: this.#wrap((fd: number) => this.#syncNow(this.#of(fd))),
      fd_readdir: this.#wrap(this.#readdir),
      fd_renumber: this.#wrap(this.#renumber),
    };
  }

  /** Brings a file to the disk while everybody is served. @returns false when there is no such file */
  syncInBackground(fd: number): boolean {
    const file = this.#open[fd];
    if (file === undefined || file.fd < 0) return false;
    this.sync.begin(file.fd);
    return true;
  }

  /** Closes what the engine has left open when it ended. What was on its way to the disk is there afterwards. */
  closeAll(): void {
    for (const [fd, descriptor] of this.#open.entries()) {
      if (descriptor === undefined) continue;
      if (descriptor.file && !WRITTEN_AS_A_WHOLE.test(descriptor.name)) this.#wrap(() => this.#syncNow(descriptor))();
      this.#wrap(this.#close)(fd as never);
    }
  }

  /** Makes a function of WASI of one that throws. */
  #wrap<Args extends unknown[]>(act: (...args: Args) => void): (...args: never[]) => number {
    const run = act.bind(this);
    return (...args) => {
      try {
        run(...(args as unknown as Args));
        return Errno.success;
      } catch (error) {
        const errno = errnoOf(error);
        if (errno !== Errno.noEntry && errno !== Errno.badDescriptor) this.onFailure(error);
        return errno;
      }
    };
  }

  #pathOpen(
    _directory: number,
    _lookup: number,
    path: number,
    length: number,
    oflags: number,
    rights: bigint,
    _inheriting: bigint,
    fdflags: number,
    result: number,
  ): void {
    const append = (fdflags & APPEND) !== 0;
    const opened = this.#opened(this.#text(path, length), {
      append,
      read: (rights & RIGHT_READ) !== 0n,
      write: (rights & RIGHT_WRITE) !== 0n && (oflags & DIRECTORY) === 0,
      create: (oflags & CREATE) !== 0,
      exclusive: (oflags & EXCLUSIVE) !== 0,
      truncate: (oflags & TRUNCATE) !== 0,
      directory: (oflags & DIRECTORY) !== 0,
    });
    let fd = FIRST_FILE;
    while (this.#open[fd] !== undefined) fd++;
    const file = opened.isDirectory || opened.fd < 0 ? {} : { file: this.#bufferedFile(opened, append) };
    this.#open[fd] = { ...opened, ...file, append, position: 0 };
    this.#setWord(result, fd);
  }

  #opened(path: string, mode: OpenMode): OpenFile {
    try {
      return this.#folder.open(path, mode);
    } catch (error) {
      // a missing file is no failure, but a missing folder for a file that is to be made is one
      if (mode.create && errnoOf(error) === Errno.noEntry) this.onFailure(error);
      throw error;
    }
  }

  #bufferedFile({ fd, name }: OpenFile, append: boolean): BufferedFile {
    return new BufferedFile(this.#folder.calls, fd, { append, holds: WRITTEN_AS_A_WHOLE.test(name) });
  }

  #close(fd: number): void {
    const { file, fd: real } = this.#of(fd);
    this.#open[fd] = undefined;
    try {
      file?.flush();
    } finally {
      if (real >= 0) this.sync.close(real);
    }
  }

  #renumber(from: number, to: number): void {
    const file = this.#of(from);
    if (this.#open[to] !== undefined) this.#close(to);
    this.#open[to] = file;
    this.#open[from] = undefined;
  }

  #fdstat(fd: number, to: number): void {
    const { isDirectory, append } = this.#of(fd);
    this.#memory.bytes.fill(0, to, to + FDSTAT_BYTES);
    this.#memory.bytes[to] = isDirectory ? TYPE_DIRECTORY : TYPE_FILE;
    this.#memory.bytes[to + 2] = append ? APPEND : 0;
    this.#setWord(to + 8, ALL_RIGHTS);
    this.#setWord(to + 16, ALL_RIGHTS);
  }

  #filestat(fd: number, to: number): void {
    const file = this.#of(fd);
    file.file?.flush();
    this.#writeStat(to, file.content?.length ?? this.#folder.calls.fstatSync(file.fd, { bigint: true }));
  }

  #read(file: Descriptor, list: number, count: number, from: number): number {
    if (file.isDirectory) throw fileError("EISDIR", file.name);
    let done = 0;
    for (let at = 0; at < count; at++) {
      const { start, length } = this.#buffer(list, at);
      const taken = this.#readInto(file, start, length, from + done);
      done += taken;
      if (taken < length) break;
    }
    return done;
  }

  #readInto({ file, content }: Descriptor, start: number, length: number, from: number): number {
    if (length === 0) return 0;
    const { bytes } = this.#memory;
    if (file) return file.read(bytes, start, length, from);
    const part = (content ?? Buffer.alloc(0)).subarray(from, from + length);
    bytes.set(part, start);
    return part.length;
  }

  /** Gives the number of bytes that were written before an error, if any were: the next call will meet the error again. */
  #write(fd: number, list: number, count: number, to: number): void {
    const descriptor = this.#of(fd);
    const file = this.#real(fd);
    let done = 0;
    for (let at = 0; at < count; at++) {
      const { start, length } = this.#buffer(list, at);
      if (length === 0) continue;
      try {
        const written = file.write(this.#memory.bytes, start, length, descriptor.position);
        done += written;
        descriptor.position += written;
        if (written < length) break;
      } catch (error) {
        if (done === 0) throw error;
        break;
      }
    }
    this.#setWord(to, done);
  }

  #seek(fd: number, offset: bigint, from: number, to: number): void {
    const file = this.#of(fd);
    let base = 0;
    if (from === FROM_PRESENT) base = file.position;
    if (from === FROM_END) {
      file.file?.flush();
      base = file.content?.length ?? this.#folder.calls.fstatSync(file.fd).size;
    }
    const position = base + Number(offset);
    if (position < 0) throw fileError("EINVAL", file.name);
    file.position = position;
    this.#setLong(to, BigInt(position));
  }

  #syncNow(file: Descriptor): void {
    if (file.fd < 0) return;
    file.file?.flush();
    // fdatasync brings a file's content and length to the disk; for the names in a directory it takes fsync
    if (file.isDirectory) this.#folder.calls.fsyncSync(file.fd);
    else this.#folder.calls.fdatasyncSync(file.fd);
  }

  #readdir(fd: number, buffer: number, size: number, cookie: bigint, to: number): void {
    const file = this.#of(fd);
    if (cookie === 0n || file.listed === undefined) file.listed = this.#folder.list(file.name);
    let used = 0;
    for (let at = Number(cookie); at < file.listed.length && used < size; at++) {
      const { name, isDirectory } = file.listed[at] as { name: string; isDirectory: boolean };
      const bytes = Buffer.from(name);
      const entry = Buffer.alloc(DIRENT_BYTES + bytes.length);
      entry.writeBigUInt64LE(BigInt(at + 1), 0);
      entry.writeBigUInt64LE(1n, 8);
      entry.writeUInt32LE(bytes.length, 16);
      entry[20] = isDirectory ? TYPE_DIRECTORY : TYPE_FILE;
      bytes.copy(entry, DIRENT_BYTES);
      // an entry that does not fit is cut off: the caller asks for it again
      const part = entry.subarray(0, size - used);
      this.#memory.bytes.set(part, buffer + used);
      used += part.length;
    }
    this.#setWord(to, used);
  }

  #writeStat(to: number, stat: BigIntStats | number): void {
    this.#memory.bytes.fill(0, to, to + STAT_BYTES);
    if (typeof stat === "number") {
      this.#memory.bytes[to + 16] = TYPE_FILE;
      this.#setLong(to + 32, BigInt(stat));
      return;
    }
    this.#memory.bytes[to + 16] = stat.isDirectory() ? TYPE_DIRECTORY : TYPE_FILE;
    const fields = [stat.dev, stat.ino, undefined, stat.nlink, stat.size, stat.atimeNs, stat.mtimeNs, stat.ctimeNs];
    for (const [at, value] of fields.entries()) if (value !== undefined) this.#setLong(to + at * 8, value);
  }

  /** @throws EBADF */
  #of(fd: number): Descriptor {
    if (fd === ROOT) return { fd: -1, isDirectory: true, name: "", append: false, position: 0 };
    const file = this.#open[fd];
    if (file === undefined) throw fileError("EBADF", String(fd));
    return file;
  }

  /** The file on the disk that a descriptor stands for. @throws EBADF for a directory, and a file that is not on the disk */
  #real(fd: number): BufferedFile {
    const { file, name } = this.#of(fd);
    if (file === undefined) throw fileError("EBADF", name);
    return file;
  }

  #buffer(list: number, at: number): { readonly start: number; readonly length: number } {
    const { words } = this.#memory;
    const index = (list >>> 2) + at * 2;
    return { start: (words[index] ?? 0) >>> 0, length: (words[index + 1] ?? 0) >>> 0 };
  }

  #text(path: number, length: number): string {
    return Buffer.from(this.#memory.bytes.subarray(path, path + length)).toString();
  }

  #setWord(address: number, value: number): void {
    this.#memory.words[address >>> 2] = value;
  }

  #setLong(address: number, value: bigint): void {
    const unsigned = BigInt.asUintN(64, value);
    this.#memory.words[address >>> 2] = Number(unsigned % BigInt(WORD)) | 0;
    this.#memory.words[(address >>> 2) + 1] = Number(unsigned / BigInt(WORD)) | 0;
  }
}
