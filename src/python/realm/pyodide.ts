/** Types only: the parts of Pyodide and Emscripten that the realm uses, of which most are not public. */

export interface FileNode {
  readonly name: string;
  readonly contents: Uint8Array;
  readonly usedBytes: number;
  readonly link?: string;
  readonly name_next?: FileNode;
}

export interface FileStream {
  readonly fd: number | null;
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
  createNode(parent: FileNode, name: string, mode: number, rdev: number): FileNode;
  close(stream: FileStream): void;
  makedev(major: number, minor: number): number;
  registerDevice(device: number, ops: DeviceOps): void;
  mkdev(path: string, mode: number, device: number): void;
  unlink(path: string): void;
}

export interface PyodideModule {
  readonly HEAP8: Int8Array;
  PyProxy_getPtr(proxy: object): number;
  _PyObject_CallNoArgs(callable: number): number;
  _PyErr_Print(): void;
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
