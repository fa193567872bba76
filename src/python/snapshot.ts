/**
 * Main side: what all Python workers share. The vendor's files, the snapshot of a booted interpreter, and the compiled wasm:
 * one module for all workers, so that code which V8 has optimised for one is fast in the others from the start.
 */
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  closeSnapshot,
  obtainSnapshot,
  type PreloadWithin,
  type Snapshot,
  type SnapshotParts,
} from "./snapshot-cache.ts";
import type { PythonAssets } from "./started-worker.ts";
import { InternalError } from "../errors.ts";
import { readMapped } from "./mapped.ts";
import { compile, WASM_PAGE, type WasmModule, withMemoryLimits } from "./wasm-memory.ts";

/** Where messages about the worker machinery go. */
interface AssetsLog {
  info(text: string): void;
  warn(text: string): void;
}

interface AssetsOptions {
  readonly cacheDir?: string;
  readonly runtimeDir?: string;
  readonly log: AssetsLog;
}

/** Room above the snapshot before the memory has to grow for the first time, in pages. */
const HEADROOM_PAGES = 128;

const here = dirname(fileURLToPath(import.meta.url));

/** Reads everything and gets the snapshot: from the cache, or by booting Python once.
 * @param options.cacheDir the folder for the snapshot; by default in the user's cache folder.
 * @param options.runtimeDir the folder of the runtime package, for tests; `bridge.py` and `loader.py` always are the product's.
 * @throws InternalError when Python can not be booted. A cache that can not be read or written is only logged.
 */
export const loadAssets = (options: AssetsOptions): Promise<PythonAssets> => assetsOf(readSources(options), options);

/** What all snapshots are made of, read once. */
interface Sources extends Pick<SnapshotParts, "scripts" | "stdlib" | "modules" | "version"> {
  /** Reads it again when it was forgotten. */
  wasm(): Uint8Array;
  forgetWasm(): void;
}

function readSources({ runtimeDir }: AssetsOptions): Sources {
  const folder = dirname(createRequire(import.meta.url).resolve("pyodide/package.json"));
  const read = (name: string): Buffer => readMapped(join(folder, name));
  let wasm: Uint8Array | undefined;
  return {
    scripts: {
      module: shareText(moduleScript(read("pyodide.asm.mjs").toString())),
      loader: shareText(read("pyodide.js").toString()),
    },
    stdlib: join(folder, "python_stdlib.zip"),
    modules: readRuntime(runtimeDir ?? join(here, "runtime")),
    version: (JSON.parse(read("package.json").toString()) as { version: string }).version,
    wasm() {
      wasm ??= read("pyodide.asm.wasm");
      return wasm;
    },
    forgetWasm() {
      wasm = undefined;
    },
  };
}

/** @param preload packages that are in the snapshot, which may take no more memory than interpreters */
async function assetsOf(sources: Sources, options: AssetsOptions, preload?: PreloadWithin): Promise<PythonAssets> {
  const { scripts, stdlib, modules, version } = sources;
  const snapshot = await obtainSnapshot({ wasm: sources.wasm(), scripts, stdlib, modules, version, preload }, options);
  if (preload) checkRoom(snapshot, preload);
  const compiled = new Map<number, WasmModule>();
  const warmed = new Set<number>();
  const assets: PythonAssets = {
    snapshot,
    scripts,
    stdlib,
    packs: preload?.packs ?? [],
    async withPackages(packages, limitMb) {
      const more = await assetsOf(sources, options, { ...packages, memoryPages: pagesOf(limitMb) });
      const close = (): void => {
        more.close();
        assets.close();
      };
      return { ...more, plain: assets, close };
    },
    close: () => closeSnapshot(snapshot),
    moduleFor(limitMb) {
      const minimum = Math.ceil(snapshot.image.size / WASM_PAGE) + HEADROOM_PAGES;
      const maximum = Math.max(minimum, pagesOf(limitMb));
      const known = compiled.get(maximum);
      if (known !== undefined) return known;
      const module = compile(withMemoryLimits(sources.wasm(), { minimum, maximum }));
      // Of these 10 MB V8 keeps a copy of its own; hardly ever is there a further limit, or an interpreter without the packages.
      sources.forgetWasm();
      compiled.set(maximum, module);
      return module;
    },
    takeWarmUp(limitMb) {
      const first = !warmed.has(limitMb);
      warmed.add(limitMb);
      return first;
    },
  };
  return assets;
}

const pagesOf = (megabytes: number): number => Math.floor((megabytes * 1024 * 1024) / WASM_PAGE);

/** @throws InternalError when there is none for scripts */
function checkRoom(snapshot: Snapshot, { memoryPages }: PreloadWithin): void {
  const pages = Math.ceil(snapshot.image.size / WASM_PAGE) + HEADROOM_PAGES;
  if (pages <= memoryPages) return;
  closeSnapshot(snapshot);
  const [needed, limit] = [pages, memoryPages].map((one) => Math.ceil((one * WASM_PAGE) / (1024 * 1024)));
  throw new InternalError(
    `option 'preload': with these packages Python needs ${needed} MB at least, and python-memory-limit is ${limit} MB`,
  );
}

/** The Emscripten module's script as a classic one: a realm has no module loader. */
function moduleScript(source: string): string {
  const classic = source
    .replaceAll("import.meta.url", '"regears:/pyodide.asm.mjs"')
    // libraries of a snapshot have their places
    .replace("var getMemory=size=>{", "$&if(Module.libraryPlace!==undefined)return Module.libraryPlace;")
    .replace(/export default _createPyodideModule;\s*$/, "globalThis.createPyodideModule = _createPyodideModule;");
  return `(function () { "use strict"; ${classic}\n})()`;
}

/** All workers read the same bytes: as messages the texts would be copied for each. */
function shareText(text: string): Uint8Array<SharedArrayBuffer> {
  const bytes = new Uint8Array(new SharedArrayBuffer(Buffer.byteLength(text)));
  Buffer.from(bytes.buffer).write(text);
  return bytes;
}

function readRuntime(folder: string): Record<string, string> {
  const modules: Record<string, string> = {};
  for (const from of [folder, join(here, "runtime")]) {
    for (const file of readdirSync(from).sort()) {
      const name = file.replace(/\.py$/, "");
      const wanted = from === folder || name === "bridge" || name === "loader";
      if (file.endsWith(".py") && wanted) modules[name] = readFileSync(join(from, file), "utf8");
    }
  }
  return modules;
}
