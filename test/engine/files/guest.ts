/** What C's library does on the other side of WASI, as far as tests need it. */
import { FileDescriptors } from "../../../src/engine/files/file-descriptors.ts";
import { EngineFolder, type FileCalls } from "../../../src/engine/files/engine-folder.ts";
import { createSharedMemory, SharedMemoryView } from "../../../src/engine/shared-memory.ts";

const PATH = 1024;
const RESULT = 512;
const LIST = 600;
const DATA = 8192;
const READ = 2n;
const WRITE = 64n;

export const CREATE = 1;
export const DIRECTORY = 2;
export const EXCLUSIVE = 4;
export const TRUNCATE = 8;

/** An error of WASI. */
export class GuestError extends Error {
  readonly errno: number;
  constructor(name: string, errno: number) {
    super(`${name}: ${errno}`);
    this.errno = errno;
  }
}

export class Guest {
  readonly memory = new SharedMemoryView(createSharedMemory(4, 16));
  readonly files: FileDescriptors;
  readonly #imports: Readonly<Record<string, (...args: never[]) => number>>;

  constructor(directory: string | undefined, virtual = new Map<string, Buffer>(), calls?: FileCalls) {
    this.files = new FileDescriptors(new EngineFolder(directory, virtual, calls), this.memory);
    this.#imports = this.files.imports();
  }

  call(name: string, ...args: (number | bigint)[]): void {
    const errno = this.#imports[name]?.(...(args as never[])) ?? 52;
    if (errno !== 0) throw new GuestError(name, errno);
  }

  open(path: string, mode: { write?: boolean; read?: boolean; append?: boolean; flags?: number } = {}): number {
    const { write = false, append = false, flags = 0 } = mode;
    const { read = !write } = mode;
    const rights = (read ? READ : 0n) | (write ? WRITE : 0n);
    this.call("path_open", 3, 0, ...this.#text(path), flags, rights, 0n, append ? 1 : 0, RESULT);
    return this.#word(RESULT);
  }

  write(fd: number, ...parts: string[]): number {
    let at = DATA;
    for (const [index, part] of parts.entries()) {
      const bytes = Buffer.from(part);
      this.memory.bytes.set(bytes, at);
      this.memory.words[LIST / 4 + index * 2] = at;
      this.memory.words[LIST / 4 + index * 2 + 1] = bytes.length;
      at += bytes.length;
    }
    this.call("fd_write", fd, LIST, parts.length, RESULT);
    return this.#word(RESULT);
  }

  read(fd: number, ...lengths: number[]): string {
    this.#ask(lengths);
    this.call("fd_read", fd, LIST, lengths.length, RESULT);
    return this.#taken();
  }

  readAt(fd: number, length: number, offset: bigint): string {
    this.#ask([length]);
    this.call("fd_pread", fd, LIST, 1, offset, RESULT);
    return this.#taken();
  }

  seek(fd: number, offset: bigint, whence = 0): bigint {
    this.call("fd_seek", fd, offset, whence, RESULT);
    return this.#long(RESULT);
  }

  stat(path: string): { type: number; size: bigint } {
    this.call("path_filestat_get", 3, 0, ...this.#text(path), RESULT);
    return { type: this.memory.bytes[RESULT + 16] ?? 0, size: this.#long(RESULT + 32) };
  }

  size(fd: number): bigint {
    this.call("fd_filestat_get", fd, RESULT);
    return this.#long(RESULT + 32);
  }

  list(fd: number): string[] {
    const names: string[] = [];
    for (let cookie = 0n, size = 64; ; ) {
      this.call("fd_readdir", fd, DATA, size, cookie, RESULT);
      const used = this.#word(RESULT);
      let at = DATA;
      for (; at + 24 <= DATA + used; ) {
        const length = this.#word(at + 16);
        if (at + 24 + length > DATA + used) break;
        names.push(Buffer.from(this.memory.bytes.subarray(at + 24, at + 24 + length)).toString());
        cookie = this.#long(at);
        at += 24 + length;
      }
      if (used < size) return names;
      size = at === DATA ? size * 2 : size;
    }
  }

  rename(from: string, to: string): void {
    this.memory.bytes.set(Buffer.from(to), PATH + 512);
    this.call("path_rename", 3, ...this.#text(from), 3, PATH + 512, Buffer.byteLength(to));
  }

  pathCall(name: "path_unlink_file" | "path_create_directory", path: string): void {
    this.call(name, 3, ...this.#text(path));
  }

  #ask(lengths: readonly number[]): void {
    let at = DATA;
    for (const [index, length] of lengths.entries()) {
      this.memory.words[LIST / 4 + index * 2] = at;
      this.memory.words[LIST / 4 + index * 2 + 1] = length;
      at += length;
    }
  }

  #taken(): string {
    return Buffer.from(this.memory.bytes.subarray(DATA, DATA + this.#word(RESULT))).toString("latin1");
  }

  #text(path: string): [number, number] {
    this.memory.bytes.set(Buffer.from(path), PATH);
    return [PATH, Buffer.byteLength(path)];
  }

  // addresses such as those of entries of a folder are not aligned
  #word(at: number): number {
    return Buffer.from(this.memory.bytes.subarray(at, at + 4)).readInt32LE();
  }

  #long(at: number): bigint {
    return Buffer.from(this.memory.bytes.subarray(at, at + 8)).readBigUInt64LE();
  }
}
