/**
 * Runs inside the realm. The folder with the packages of this interpreter's sessions: a file system that can only be read.
 * The contents of the files stay outside the realm; only folders and files that somebody looks at have a node here.
 */
import type { Host } from "./host.ts";
import type { Guards } from "./imports.ts";
import type { FileMode, FileNode, FileStream, FileSystem, NodeAttributes, PyodideModule } from "./pyodide.ts";

const FOLDER = "/packages";

const DIRECTORY_MODE = 0o040_555;
const FILE_MODE = 0o100_444;
const ENOENT = 44;
const EINVAL = 28;
const EIO = 29;
const SEEK_CURRENT = 1;
const SEEK_END = 2;
/** The time of all files, in milliseconds: 1980, as in archives that come out the same each time they are made. */
const MADE = 315_532_800_000;
/** Python's flag for `dlopen`: everything is resolved at once. */
const RTLD_NOW = 2;
const RTLD_GLOBAL = 0x100;
/** Where the linker's record of a library has the places of its data and of its functions. */
const HANDLE_MEMORY = 12;
const HANDLE_TABLE = 20;

/** A shared library as it lies in the memory and in the table of functions. */
interface LoadedLibrary {
  readonly path: string;
  /** The linker's record of it. */
  readonly handle: number;
  readonly memory: number;
  readonly table: number;
  readonly isGlobal: boolean;
}

/** A folder, which is a map of the names in it, or a file. */
type Entry = Map<string, Entry> | { readonly number: number; readonly size: number };

/** The packages of an interpreter: those that it has from the start, and those that main gives it later. */
export class Packages {
  readonly #module: PyodideModule;
  readonly #host: Host;
  readonly #guards: () => Guards | undefined;
  readonly #root: Map<string, Entry> = new Map();
  readonly #loaded: LoadedLibrary[] = [];
  #files = 0;

  constructor(module: PyodideModule, host: Host, guards: () => Guards | undefined) {
    this.#module = module;
    this.#host = host;
    this.#guards = guards;
  }

  /** The libraries that were loaded, as they lie in the memory now, and where that ends: for {@link Packages.loadAgain}. */
  get loaded(): string {
    const module = this.#module;
    return JSON.stringify([module.HEAPU32[module._emscripten_get_sbrk_ptr() >>> 2], this.#loaded]);
  }

  /** Brings in the files that there are to bring in, without libraries. @returns their paths */
  mount(): string[] {
    const table = JSON.parse(this.#host.packageTable()) as readonly [string, number][];
    if (table.length === 0) return [];
    const { FS } = this.#module;
    if (this.#files === 0) {
      FS.mkdir(FOLDER);
      FS.mount({ mount: () => nodeOf(FS, this.#host, null, "/", this.#root) }, {}, FOLDER);
    }
    for (const [path, size] of table) enter(this.#root, path.split("/"), { number: this.#files++, size });
    return table.map(([path]) => path);
  }

  /** Brings in files, and has their libraries linked. To be called before scripts run. @returns the number of files */
  bringIn(): number {
    const paths = this.mount();
    const libraries = paths.filter((path) => path.endsWith(".so"));
    this.#guards()?.linking(() => {
      for (const path of libraries.filter(isShared)) this.#load(path, RTLD_GLOBAL);
      for (const path of libraries.filter((one) => !isShared(one))) this.#load(path, 0);
    });
    return paths.length;
  }

  /**
   * Loads the libraries that are in a snapshot, to the places that they have there. To be called before the memory is
   * that of the snapshot, which has all that their loading would write: what it writes now is overwritten.
   * @throws an error when one of them can not have its place
   */
  loadAgain(libraries: string): void {
    const module = this.#module;
    const [end, list] = JSON.parse(libraries) as readonly [number, readonly LoadedLibrary[]];
    if (list.length === 0) return;
    // what their initialisation allocates comes to lie behind all that
    module.HEAPU32[module._emscripten_get_sbrk_ptr() >>> 2] = end;
    for (const { path, handle, memory, table, isGlobal } of list) {
      module.libraryPlace = memory;
      if (module.wasmTable.length !== table) throw new Error(`${path} has another place than in the snapshot`);
      const flags = { global: isGlobal, nodelete: true, loadAsync: false };
      module.loadDynamicLibrary(`${FOLDER}/${path}`, flags, isGlobal ? null : {}, handle);
      if (isGlobal) this.#nameBare(path);
      this.#guards()?.linked(handle);
    }
    module.libraryPlace = undefined;
  }

  /** A library that can not be loaded shows as an error when it is imported. */
  #load(path: string, flags: number): void {
    const module = this.#module;
    const stack = module.stackSave();
    try {
      const name = module.stringToUTF8OnStack(`${FOLDER}/${path}`);
      const handle = module._dlopen(name, RTLD_NOW | flags);
      if (handle === 0) {
        const reason = module._dlerror();
        const text = reason === 0 ? "for an unknown reason" : module.UTF8ToString(reason);
        this.#host.log(`${path} can not be loaded: ${text}`);
        return;
      }
      const [memory, table] = [HANDLE_MEMORY, HANDLE_TABLE].map((at) => module.HEAPU32[(handle + at) >>> 2] ?? 0);
      const isGlobal = flags === RTLD_GLOBAL;
      this.#loaded.push({ path, handle, memory: memory as number, table: table as number, isGlobal });
      if (isGlobal) this.#nameBare(path);
    } finally {
      module.stackRestore(stack);
    }
  }

  /** Other libraries ask for this one by its bare name. */
  #nameBare(path: string): void {
    const { loadedLibsByName } = this.#module.LDSO;
    loadedLibsByName[path] = loadedLibsByName[`${FOLDER}/${path}`];
  }
}

/** A library that several of Pyodide's packages need; all others are Python's extension modules, or lie beside those. */
const isShared = (path: string): boolean => !path.includes("/") && !/\.(cpython-|abi3\.)/.test(path);

function enter(root: Map<string, Entry>, names: readonly string[], file: Entry): void {
  let folder = root;
  for (const name of names.slice(0, -1)) {
    let next = folder.get(name);
    if (!(next instanceof Map)) {
      next = new Map();
      folder.set(name, next);
    }
    folder = next;
  }
  const last = names[names.length - 1] as string;
  if (!folder.has(last)) folder.set(last, file);
}

function nodeOf(fs: FileSystem, host: Host, parent: FileNode | null, name: string, entry: Entry): FileNode {
  const isFolder = entry instanceof Map;
  const node = fs.createNode(parent, name, isFolder ? DIRECTORY_MODE : FILE_MODE, 0);
  const size = isFolder ? 4096 : entry.size;
  node.node_ops = {
    getattr: () => attributesOf(node, size),
    lookup(folder: FileNode, wanted: string) {
      const found = isFolder ? entry.get(wanted) : undefined;
      if (found === undefined) throw new fs.ErrnoError(ENOENT);
      return nodeOf(fs, host, folder, wanted, found);
    },
    readdir: () => [".", "..", ...(isFolder ? entry.keys() : [])],
  };
  node.stream_ops = {
    llseek(stream: FileStream, offset: number, whence: number): number {
      const from = whence === SEEK_CURRENT ? stream.position : whence === SEEK_END ? size : 0;
      if (from + offset < 0) throw new fs.ErrnoError(EINVAL);
      return from + offset;
    },
    read(_stream: FileStream, memory: Uint8Array, offset: number, length: number, position: number): number {
      if (isFolder) throw new fs.ErrnoError(EINVAL);
      const read = host.packageRead(entry.number, memory.buffer, memory.byteOffset + offset, length, position);
      if (read < 0) throw new fs.ErrnoError(EIO);
      return read;
    },
  };
  return node;
}

function attributesOf({ id, mode }: FileNode & { readonly mode: FileMode }, size: number): NodeAttributes {
  const made = new Date(MADE);
  const blocks = Math.ceil(size / 512);
  return {
    ...{ dev: 2, ino: id, mode, nlink: 1, uid: 0, gid: 0, rdev: 0, size, blksize: 4096, blocks },
    ...{ atime: made, mtime: made, ctime: made },
  };
}
