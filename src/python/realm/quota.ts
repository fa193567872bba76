/**
 * Runs inside the realm. A limit for the in-memory file system: files are JavaScript memory, which the cap on the wasm's
 * memory does not cover.
 */
import type { FileNode, FileSystem } from "./pyodide.ts";

const ENOSPC = 51;

/** Bytes that one node costs besides its content, roughly: a JavaScript object with its strings. */
const NODE_BYTES = 512;

/**
 * Makes writing, growing and creating fail with "no space left on device" beyond the limits.
 *
 * Growth is added up as it happens. What is freed is not subtracted, since an unlinked file lives on while it is open. When the
 * sum passes the limit, everything that is there is counted anew.
 */
export function limitFileSystem(fs: FileSystem, maxBytes: number, maxNodes: number): void {
  const memfs = fs.filesystems.MEMFS;
  let { bytes, nodes } = usage(fs);
  // the files that are there when the worker starts (the standard library) do not count
  const bytesLimit = bytes + maxBytes;
  const nodesLimit = nodes + maxNodes;

  const charge = (moreBytes: number, moreNodes: number): void => {
    bytes += moreBytes;
    nodes += moreNodes;
    if (bytes <= bytesLimit && nodes <= nodesLimit) return;
    ({ bytes, nodes } = usage(fs));
    if (bytes + moreBytes > bytesLimit || nodes + moreNodes > nodesLimit) throw new fs.ErrnoError(ENOSPC);
    bytes += moreBytes;
    nodes += moreNodes;
  };

  const { expandFileStorage, resizeFileStorage } = memfs;
  memfs.expandFileStorage = (node, capacity) => {
    // a file's storage may be doubled when it grows, and so much is charged
    const growth = Math.max(capacity, node.contents.length * 2) - node.contents.length;
    if (capacity > node.contents.length) charge(growth, 0);
    expandFileStorage(node, capacity);
  };
  memfs.resizeFileStorage = (node, size) => {
    if (size > node.contents.length) charge(size - node.contents.length, 0);
    resizeFileStorage(node, size);
  };

  const fileOps = memfs.ops_table.file.stream;
  const { write } = fileOps;
  fileOps.write = (stream, buffer, offset, length, position, canOwn) => {
    // The first write to an empty file does not go through expandFileStorage.
    if (stream.node.usedBytes === 0 && position === 0) charge(length, 0);
    return write(stream, buffer, offset, length, position, canOwn);
  };

  const dirOps = memfs.ops_table.dir.node;
  const { symlink } = dirOps;
  dirOps.symlink = (parent, name, target) => {
    charge(target.length * 2, 0);
    return symlink(parent, name, target);
  };

  const { createNode } = fs;
  fs.createNode = (parent, name, mode, rdev) => {
    charge(NODE_BYTES + name.length * 2, 1);
    return createNode(parent, name, mode, rdev);
  };
}

/** Counts everything that is alive: nodes with a name, and nodes that only an open file keeps. */
function usage(fs: FileSystem): { bytes: number; nodes: number } {
  const seen = new Set<FileNode>();
  for (const first of fs.nameTable) {
    for (let node: FileNode | undefined = first; node; node = node.name_next) seen.add(node);
  }
  for (const stream of fs.streams) {
    if (stream?.node) seen.add(stream.node);
  }
  let bytes = 0;
  for (const node of seen) {
    bytes += NODE_BYTES + node.name.length * 2 + (node.link?.length ?? 0) * 2;
    // A directory's contents are an object of names.
    if (ArrayBuffer.isView(node.contents)) bytes += node.contents.byteLength;
  }
  return { bytes, nodes: seen.size };
}
