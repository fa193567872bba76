/** The engine's file as it is run, and the memory that it runs in. */
import { readFile } from "node:fs/promises";
import { DIRECT_FUNCTIONS } from "./direct-entry.ts";
import { CHILD_FUNCTIONS } from "./fork/forked-engine.ts";
import { FORK_FUNCTIONS } from "./fork/engine-forks.ts";
import { withExports, withSharedMemory } from "./image.ts";
import { createSharedMemory, SharedMemoryView } from "./shared-memory.ts";
import { MemoryView } from "./wasm.ts";

export interface PreparedImage {
  readonly image: Uint8Array;
  readonly memory: MemoryView;
  /** The memory that the module imports, when threads can share it; without it the module makes one of its own. */
  readonly shared?: object;
}

/** The functions of Valkey that the server calls. */
const FUNCTIONS = [...DIRECT_FUNCTIONS, ...FORK_FUNCTIONS, ...CHILD_FUNCTIONS];

/** The largest memory that WebAssembly can address, 4 GiB. A shared memory needs its maximum beforehand. */
const MOST_PAGES = 65536;

/** The file as it is. */
export const plainImage = (image: Uint8Array): PreparedImage => ({ image, memory: new MemoryView() });

/** The file with exports of the functions that the server calls; undefined where one of them is missing. */
export const exportedImage = (file: Uint8Array): Uint8Array | undefined => withExports(file, FUNCTIONS);

/** Where the build puts the engine in which small functions are inlined. @param build see `buildOf` */
export const inlinedImageFile = (build: string): URL =>
  new URL(`../../dist/engine/valkey-${build.slice(0, 16)}.wasm`, import.meta.url);

/**
 * What {@link exportedImage} gives for a build of Valkey, with small functions inlined, as `scripts/inlined-engine.mjs` has made
 * it. It takes a fifth less time for most commands: V8 inlines no WebAssembly in the versions of Node.js that this runs on.
 * @returns undefined when there is none
 */
export async function inlinedImage(build: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(inlinedImageFile(build));
  } catch {
    return undefined;
  }
}

/**
 * The file with a memory that threads can share, and with exports of the functions that the server calls. Where so much address
 * space can not be had (about 10 GB are reserved, not used), or the file is put together in another way, the memory is not
 * shared; and where a function is missing, the file is as it was.
 * @param exported what there is of {@link exportedImage} already
 */
export function prepareImage(
  file: Uint8Array,
  log: { warn(text: string): void },
  exported = exportedImage(file),
): PreparedImage {
  if (exported === undefined) {
    log.warn("threads can not share the engine here, so execute() goes the long way: it lacks a function");
    return plainImage(file);
  }
  try {
    const found = withSharedMemory(exported, MOST_PAGES);
    const shared = createSharedMemory(found.pages, MOST_PAGES);
    const memory = new SharedMemoryView(shared);
    for (const { address, bytes } of found.segments) memory.bytes.set(bytes, address);
    return { image: found.file, memory, shared };
  } catch (error) {
    log.warn(`threads can not share the engine here, so execute() goes the long way: ${String(error)}`);
    return plainImage(exported);
  }
}
