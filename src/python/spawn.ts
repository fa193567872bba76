/** Main side: starts a worker thread for Python. */
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import type { WasmModule } from "./wasm-memory.ts";
import type { WorkerInput } from "./worker.ts";

// Workers always run compiled code, also when this file itself is run from its source.
const workerFile = new URL(
  import.meta.url.endsWith(".ts") ? "../../dist/python/worker.js" : "./worker.js",
  import.meta.url,
);

/** Memory for JavaScript's own objects: Python's memory and files are outside of it, and limited elsewhere. */
const resourceLimits = {
  maxOldGenerationSizeMb: 256,
  // Python's garbage is not in this heap. Booting would make it as large as it may become, and it stays so.
  maxYoungGenerationSizeMb: 6,
  // Python's guard counts its own C stack (10 MB), but wasm's frames also lie here and are larger: with 64, deep destructors
  // or a high recursion limit would end the worker and not the script. Only what is used is ever allocated.
  stackSizeMb: 256,
};

interface Spawned {
  readonly worker: Worker;
  /** Main's end of the port for Python's messages. */
  readonly port: MessagePort;
  /** Main's end of the port for what Python prints. */
  readonly outputPort: MessagePort;
  /** Main's end of the port for what the worker needs to use the engine itself. */
  readonly enginePort: MessagePort;
  /** Main's end of the port for the packages of the interpreter. */
  readonly packagesPort: MessagePort;
}

/** Starts a worker; the module and the rest of its input are given to it at once. */
export function spawnWorker(start: {
  module: WasmModule;
  input: Omit<WorkerInput, "port" | "outputPort" | "modulePort" | "enginePort" | "packagesPort">;
}): Spawned {
  const messages = new MessageChannel();
  const outputs = new MessageChannel();
  const modules = new MessageChannel();
  const engines = new MessageChannel();
  const packages = new MessageChannel();
  modules.port1.postMessage(start.module);
  const ports = {
    port: messages.port2,
    outputPort: outputs.port2,
    modulePort: modules.port2,
    enginePort: engines.port2,
    packagesPort: packages.port2,
  };
  const workerData: WorkerInput = { ...start.input, ...ports };
  const worker = new Worker(workerFile, {
    name: "regears-python",
    workerData,
    transferList: Object.values(ports),
    resourceLimits,
    // Nothing of the process is the scripts' business.
    env: {},
    argv: [],
    execArgv: [],
    stdin: false,
  });
  return {
    worker,
    port: messages.port1,
    outputPort: outputs.port1,
    enginePort: engines.port1,
    packagesPort: packages.port1,
  };
}
