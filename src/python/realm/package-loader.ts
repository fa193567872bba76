/**
 * Runs inside the realm. The folder with the packages of this interpreter's sessions: a file system that can only be read.
 * The contents of the files stay outside the realm; only folders and files that somebody looks at have a node here.
 */
import type { Host } from "./host.ts";
import type { FileMode, FileNode, FileStream, FileSystem, NodeAttributes, Pyodide } from "./pyodide.ts";

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

/** A folder, which is a map of the names in it, or a file. */
type Entry = Map<string, Entry> | { readonly number: number; readonly size: number };

/** Lets the wasm's linker load libraries while a function runs. */
type Linking = (link: () => void) => void;

/**
 * Gives the function that brings in the packages that main has given. That function is called before the first script runs, and
 * gives the number of their files.
 */
export function packageLoader(python: Pyodide, host: Host, linking: Linking): () => number {
  return () => {
    const table = JSON.parse(host.packageTable()) as readonly [string, number][];
    if (table.length === 0) return 0;
    const root: Entry = new Map();
    for (const [number, [path, size]] of table.entries()) enter(root, path.split("/"), { number, size });
    const { FS } = python;
    FS.mkdir(FOLDER);
    FS.mount({ mount: () => nodeOf(FS, host, null, "/", root) }, {}, FOLDER);
    const libraries = table.map(([path]) => path).filter((path) => path.endsWith(".so"));
    linking(() => {
      for (const path of libraries.filter(isShared)) {
        load(python, host, path, RTLD_GLOBAL);
        // other libraries ask for this one by its bare name
        const { loadedLibsByName } = python._module.LDSO;
        loadedLibsByName[path] = loadedLibsByName[`${FOLDER}/${path}`];
      }
      for (const path of libraries.filter((one) => !isShared(one))) load(python, host, path, 0);
    });
    return table.length;
  };
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

/**
 * Loads a library, which Python then finds by its path. A library that can not be loaded shows as an error when it is
 * imported.
 */
function load(python: Pyodide, host: Host, path: string, flags: number): void {
  const module = python._module;
  const stack = module.stackSave();
  try {
    const name = module.stringToUTF8OnStack(`${FOLDER}/${path}`);
    if (module._dlopen(name, RTLD_NOW | flags) !== 0) return;
    const reason = module._dlerror();
    host.log(`${path} can not be loaded: ${reason === 0 ? "for an unknown reason" : module.UTF8ToString(reason)}`);
  } finally {
    module.stackRestore(stack);
  }
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
