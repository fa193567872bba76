/** Types only: the parts of Pyodide and Emscripten that the realm uses, of which most are not public. */

/** Type and rights, as `st_mode` has them. */
export type FileMode = number;

/** The fields of `stat`. */
export interface NodeAttributes {
  readonly dev: number;
  readonly ino: number;
  readonly mode: FileMode;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
}

/** The operations of a file system's node; one that is missing is not permitted. */
interface NodeOps {
  getattr(node: FileNode): NodeAttributes;
  lookup(parent: FileNode, name: string): FileNode;
  readdir(node: FileNode): string[];
}

interface StreamOps {
  llseek(stream: FileStream, offset: number, whence: number): number;
  read(stream: FileStream, memory: Uint8Array, offset: number, length: number, position: number): number;
}

export interface FileNode {
  readonly id: number;
  readonly mode: FileMode;
  node_ops: NodeOps;
  stream_ops: StreamOps;
  readonly name: string;
  readonly contents: Uint8Array;
  readonly usedBytes: number;
  readonly link?: string;
  readonly name_next?: FileNode;
}

export interface FileStream {
  readonly fd: number | null;
  readonly position: number;
  readonly node: FileNode;
}

export interface DeviceOps {
  open?(stream: FileStream): void;
  close?(stream: FileStream): void;
  llseek?(stream: FileStream, offset: number, whence: number): number;
  read(stream: FileStream, memory: Int8Array, offset: number, length: number, position: number): number;
  write(stream: FileStream, memory: Int8Array, offset: number, length: number, position: number): number;
}

type WriteOp = (
  stream: FileStream,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
  canOwn?: boolean,
) => number;

export interface FileSystem {
  readonly ErrnoError: new (errno: number) => Error;
  readonly nameTable: (FileNode | undefined)[];
  readonly streams: (FileStream | null | undefined)[];
  readonly filesystems: Record<string, unknown> & {
    readonly MEMFS: {
      expandFileStorage(node: FileNode, capacity: number): void;
      resizeFileStorage(node: FileNode, size: number): void;
      readonly ops_table: {
        readonly file: { readonly stream: { write: WriteOp } };
        readonly dir: { readonly node: { symlink(parent: FileNode, name: string, target: string): FileNode } };
      };
    };
  };
  /** Makes a node; without a parent it is the root of a mount. */
  createNode(parent: FileNode | null, name: string, mode: FileMode, rdev: number): FileNode;
  mkdir(path: string): void;
  mount(type: { mount(): FileNode }, options: object, path: string): void;
  close(stream: FileStream): void;
  makedev(major: number, minor: number): number;
  registerDevice(device: number, ops: DeviceOps): void;
  mkdev(path: string, mode: number, device: number): void;
  unlink(path: string): void;
}

export interface PyodideModule {
  readonly FS: FileSystem;
  readonly HEAP8: Int8Array;
  readonly HEAPU32: Uint32Array;
  PyProxy_getPtr(proxy: object): number;
  _PyObject_CallNoArgs(callable: number): number;
  _PyErr_Print(): void;
  /** The linker's functions; names and texts are pointers. */
  _dlopen(name: number, flags: number): number;
  _dlerror(): number;
  loadDynamicLibrary(
    path: string,
    flags: { readonly global: boolean; readonly nodelete: boolean; readonly loadAsync: boolean },
    scope: object | null,
    handle: number,
  ): void;
  _emscripten_get_sbrk_ptr(): number;
  /** Ours: where the next library has its data; undefined: where there is room. */
  libraryPlace?: number | undefined;
  readonly wasmTable: { readonly length: number };
  UTF8ToString(text: number): string;
  stringToUTF8OnStack(text: string): number;
  readonly LDSO: { readonly loadedLibsByName: Record<string, unknown> };
  stackSave(): number;
  stackRestore(stack: number): void;
}

export interface Pyodide {
  readonly FS: FileSystem;
  readonly _module: PyodideModule;
  readonly _api: { on_fatal?: (error: unknown) => void };
  readonly globals: { get(name: string): unknown; set(name: string, value: unknown): void; delete(name: string): void };
  runPython(code: string): unknown;
  setInterruptBuffer(buffer: unknown): void;
  setStdin(options: object): void;
  setStdout(options: object): void;
  setStderr(options: object): void;
  makeMemorySnapshot(): Uint8Array;
}
