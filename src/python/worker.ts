/**
 * The worker's entry: boots Python inside a realm of its own and never comes back. Runs compiled only. See realm/host.ts for
 * what the realm gets; nothing else of this side may be reachable from there.
 */
import { readFileSync } from "node:fs";
import vm from "node:vm";
import {
  type MessagePort,
  moveMessagePortToContext,
  parentPort,
  receiveMessageOnPort,
  workerData,
} from "node:worker_threads";
import { garbageCollector } from "../garbage.ts";
import type { Shared } from "./channel.ts";
import { DirectCalls } from "./direct-calls.ts";
import type { MemoryImage } from "./memory-image.ts";
import type { BootOptions, Host } from "./realm/host.ts";
import type { WasmModule } from "./wasm-memory.ts";
import type { WorkerNotice } from "./protocol.ts";
import { createHost } from "./realm/outside.ts";
import { PackFiles } from "./realm/pack-files.ts";

/** Pyodide's two scripts, as UTF-8. */
export interface PyodideScripts {
  readonly module: Uint8Array<SharedArrayBuffer>;
  readonly loader: Uint8Array<SharedArrayBuffer>;
}

export interface WorkerInput {
  readonly shared: Shared;
  /** Python's messages. */
  readonly port: MessagePort;
  /** Takes the lines that Python prints. */
  readonly outputPort: MessagePort;
  /** Brings an `EngineShare`, when the main thread lets this one use the engine. */
  readonly enginePort: MessagePort;
  /** Brings the paths of the packs with this interpreter's packages. */
  readonly packagesPort: MessagePort;
  /** Paths of the packs that it has from the start. */
  readonly packs: readonly string[];
  /** Holds one message: the compiled module. */
  readonly modulePort: MessagePort;
  readonly scripts: PyodideScripts;
  /** V8's code caches for them. */
  readonly caches: PyodideScripts | undefined;
  /** Path of the archive with Python's library. */
  readonly stdlib: string;
  readonly image: MemoryImage | undefined;
  /** Shared libraries that are in the image, as JSON. */
  readonly libraries: string;
  readonly options: BootOptions;
  /** May the worker spin for replies? */
  readonly spinning: boolean;
}

/** With the notice of a snapshot: code caches that include what booting compiled. */
export interface CodeCaches {
  readonly kind: "caches";
  readonly module: Uint8Array;
  readonly loader: Uint8Array;
}

type Boot = (module: WasmModule, optionsJson: string) => Promise<() => void>;

const input = workerData as WorkerInput;
if (parentPort === null) throw new Error("worker.js runs in a worker thread only");
const toMain = parentPort;
const notify = (notice: WorkerNotice | CodeCaches, transfer?: ArrayBuffer[]): void =>
  toMain.postMessage(notice, transfer);

try {
  // Older versions would give a realm whose global object is backed by one of ours.
  if (vm.constants?.DONT_CONTEXTIFY === undefined) throw new Error("Node 20.18, 22.8 or later is needed");

  const collectGarbage = garbageCollector();
  // 1. A realm without anything of Node's, where no text can become code
  const realm = vm.createContext(vm.constants.DONT_CONTEXTIFY, { codeGeneration: { strings: false, wasm: true } });
  const { shared, port, outputPort, image } = input;
  const files = new Map<string, Uint8Array | string>([["stdlib", input.stdlib]]);
  if (image !== undefined) files.set("preface", image.preface);
  files.set("libraries", Buffer.from(input.libraries));
  const direct = new DirectCalls(shared.words, input.enginePort);
  const packages = new PackFiles(input.packagesPort, input.packs);
  const host = createHost(
    { shared, port, outputPort, notify, files, image, direct, packages, collectGarbage },
    input.spinning,
  );

  // 2. Our code for the realm, then Pyodide's scripts
  const prepare = vm.runInContext(realmSource(), realm, { filename: "regears-realm.js" }) as (host: Host) => Boot;
  const boot = prepare(host);
  const load = (name: keyof PyodideScripts, filename: string): vm.Script => {
    const cached = input.caches?.[name].buffer;
    const cachedData = cached && { cachedData: Buffer.from(cached) };
    const script = new vm.Script(Buffer.from(input.scripts[name].buffer).toString(), { filename, ...cachedData });
    script.runInContext(realm);
    return script;
  };
  const scripts = [load("module", "pyodide.asm.js"), load("loader", "pyodide.js")];

  // 3. The module, received through the realm so that it is an object of the realm's
  const module = receiveMessageOnPort(moveMessagePortToContext(input.modulePort, realm))?.message as WasmModule;

  // 4. Python
  const serve = await boot(module, JSON.stringify(input.options));
  if (input.options.makeSnapshot) {
    const [moduleCache, loaderCache] = scripts.map((script) => new Uint8Array(script.createCachedData()));
    if (moduleCache && loaderCache) notify({ kind: "caches", module: moduleCache, loader: loaderCache });
  } else {
    // 5. Should an object of this side ever leak into the realm, it shall not lead to a compiler
    removeCompilers();
    notify({ kind: "ready" });
    serve();
  }
} catch (error) {
  notify({ kind: "died", reason: `the worker can not start: ${error instanceof Error ? error.stack : String(error)}` });
  process.exit(1);
}

/** The files of realm/ as one script, whose value is the function `prepare`. */
function realmSource(): string {
  const sources = ["shims", "imports", "quota", "package-loader", "device", "boot"].map((name) =>
    readFileSync(new URL(`./realm/${name}.js`, import.meta.url), "utf8")
      .replace(/^import .*$/gm, "")
      .replace(/^export (?=(async )?(function|const|class))/gm, ""),
  );
  return `(function () { "use strict";\n${sources.map((source) => `${source}\n`).join("")}return prepare; })()`;
}

function removeCompilers(): void {
  const functions = [() => {}, async () => {}, function* () {}, async function* () {}];
  for (const sample of functions) {
    const prototype = Object.getPrototypeOf(sample) as object;
    Object.defineProperty(prototype, "constructor", { value: undefined, writable: false, configurable: false });
  }
  Reflect.deleteProperty(globalThis, "eval");
  Reflect.deleteProperty(globalThis, "Function");
}
