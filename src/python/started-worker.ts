/** Main side: a worker thread that boots Python, before and after somebody cares for it. */
import { availableParallelism } from "node:os";
import type { MessagePort, Worker } from "node:worker_threads";
import { createShared, type Shared } from "./channel.ts";
import type { WorkerNotice } from "./protocol.ts";
import type { Preload } from "./python-session.ts";
import type { Snapshot } from "./snapshot-cache.ts";
import { spawnWorker } from "./spawn.ts";
import type { WasmModule } from "./wasm-memory.ts";
import type { PyodideScripts } from "./worker.ts";

/** What the interpreters may take, in MiB. */
export interface WorkerLimits {
  readonly memoryLimitMb: number;
  readonly memfsLimitMb: number;
}

/** What all interpreters share. */
export interface PythonAssets {
  readonly snapshot: Snapshot;
  readonly scripts: PyodideScripts;
  /** Path of the archive with Python's library. */
  readonly stdlib: string;
  /** Files with the packages that are in the snapshot. */
  readonly packs: readonly string[];
  /** The same without those packages, if there are any. */
  readonly plain?: PythonAssets;
  /**
   * The same with packages, whose modules are imported in the snapshot. That one is made the first time.
   * @throws InternalError when it can not be made, or leaves interpreters no room within the limit
   */
  withPackages(preload: Preload, memoryLimitMb: number): Promise<PythonAssets>;
  /** The compiled interpreter whose memory can not grow beyond the limit. Compiles it (about 50 ms) the first time. */
  moduleFor(memoryLimitMb: number): WasmModule;
  /** True once for each limit: the first worker has to bring V8 to optimise the interpreter. */
  takeWarmUp(memoryLimitMb: number): boolean;
  /** A worker with these limits that boots already, if there is one that nobody has. */
  takeStarted?(limits: WorkerLimits): StartedWorker | undefined;
  /** No worker is started any more. */
  close(): void;
}

interface WorkerListener {
  onNotice(notice: WorkerNotice): void;
  onError(error: unknown): void;
  onExit(): void;
}

/** Files and folders scripts may create. */
const MEMFS_NODES = 50_000;
/** May threads wait for each other without sleeping? */
export const spinning = availableParallelism() > 1;

export class StartedWorker {
  readonly limits: WorkerLimits;
  readonly shared: Shared = createShared();
  readonly worker: Worker;
  readonly port: MessagePort;
  readonly outputPort: MessagePort;
  readonly enginePort: MessagePort;
  readonly packagesPort: MessagePort;
  #listener: WorkerListener | undefined;
  /** What has happened while nobody listened. */
  readonly #missed: ((listener: WorkerListener) => void)[] = [];

  constructor(assets: PythonAssets, limits: WorkerLimits) {
    this.limits = limits;
    const { memoryLimitMb, memfsLimitMb } = limits;
    const { snapshot, scripts } = assets;
    const { worker, port, outputPort, enginePort, packagesPort } = spawnWorker({
      module: assets.moduleFor(memoryLimitMb),
      input: {
        shared: this.shared,
        scripts,
        caches: { module: snapshot.moduleCache, loader: snapshot.loaderCache },
        stdlib: assets.stdlib,
        image: snapshot.image,
        libraries: snapshot.libraries,
        packs: assets.packs,
        spinning,
        options: {
          makeSnapshot: false,
          memfsBytes: memfsLimitMb * 1024 * 1024,
          memfsNodes: MEMFS_NODES,
          warmUp: assets.takeWarmUp(memoryLimitMb),
          modules: {},
          loader: "",
          preload: [],
        },
      },
    });
    this.worker = worker;
    this.port = port;
    this.outputPort = outputPort;
    this.enginePort = enginePort;
    this.packagesPort = packagesPort;
    outputPort.unref();
    enginePort.unref();
    packagesPort.unref();
    worker.on("message", (notice: WorkerNotice) => this.#tell((listener) => listener.onNotice(notice)));
    worker.on("error", (error) => this.#tell((listener) => listener.onError(error)));
    worker.on("exit", () => this.#tell((listener) => listener.onExit()));
  }

  /** What has happened so far is told soon, and the rest as it happens. */
  listen(listener: WorkerListener): void {
    queueMicrotask(() => {
      this.#listener = listener;
      for (const tell of this.#missed.splice(0)) tell(listener);
    });
  }

  #tell(what: (listener: WorkerListener) => void): void {
    if (this.#listener) what(this.#listener);
    else this.#missed.push(what);
  }
}
