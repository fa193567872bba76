/**
 * Runs inside the realm. Boots Pyodide from its pieces, and gives a function that enters Python and never returns.
 */
import { installDevice } from "./device.ts";
import type { BootOptions, Host } from "./host.ts";
import { type Guards, guardImports } from "./imports.ts";
import type { Pyodide, PyodideModule } from "./pyodide.ts";
import { Packages } from "./package-loader.ts";
import { limitFileSystem } from "./quota.ts";
import { installShims } from "./shims.ts";

interface Imports {
  readonly env: Record<string, unknown>;
}

interface Realm extends Vendor {
  readonly WebAssembly: {
    readonly Instance: new (module: object, imports: Imports) => object;
    instantiateStreaming(response: unknown, imports: Imports): Promise<object>;
  };
}

/** What the vendor's scripts define as globals. */
interface Vendor {
  loadPyodide(config: object): Promise<Pyodide>;
  createPyodideModule(settings: object): Promise<PyodideModule>;
}

/** To be called before the scripts of Pyodide are evaluated, which look at the globals. @returns the function that boots */
export function prepare(host: Host): (module: object, optionsJson: string) => Promise<() => void> {
  const removeBootGlobals = installShims(host);
  return (module, optionsJson) => boot(host, module, JSON.parse(optionsJson) as BootOptions, removeBootGlobals);
}

async function boot(
  host: Host,
  wasm: object,
  options: BootOptions,
  removeBootGlobals: () => void,
): Promise<() => void> {
  // 1. Pyodide itself, from the snapshot if there is one
  let guards: Guards | undefined;
  let packages: Packages | undefined;
  const realm = globalThis as unknown as Realm;
  realm.WebAssembly.instantiateStreaming = async (_response, imports) => {
    guards = guardImports(imports.env, host);
    try {
      return { instance: new realm.WebAssembly.Instance(wasm, imports), module: wasm };
    } catch (error) {
      return host.die(`the interpreter can not be instantiated: ${error}`);
    }
  };
  const preface = options.makeSnapshot ? undefined : readPreface(host);
  const python = await realm.loadPyodide({
    indexURL: "regears:/",
    packageBaseUrl: "regears:/",
    lockFileContents: emptyLockFile,
    jsglobals: Object.create(null),
    createPyodideModule: async (settings: object) => {
      const module = await realm.createPyodideModule(settings);
      packages = new Packages(module, host, () => guards);
      if (preface !== undefined) restore(host, module, packages);
      return module;
    },
    env: { HOME: "/home/pyodide", PYTHONUTF8: "1" },
    stdin: () => null,
    stdout: (text: string) => host.log(text),
    stderr: (text: string) => host.log(text),
    // Pyodide takes a snapshot that ends after its preface for one of an empty memory, and leaves the memory as it is
    ...(options.makeSnapshot ? { _makeSnapshot: true } : { _loadSnapshot: preface }),
  });
  removeBootGlobals();
  python._api.on_fatal = (error) => host.die(`Python failed beyond repair: ${describeFatal(error)}`);

  // 2. The runtime package; it is part of the snapshot
  if (preface === undefined) installRuntime(python, options);
  if (options.makeSnapshot) {
    if (options.preload.length > 0) preload(python, packages, options.preload);
    host.saveSnapshot(python.makeMemorySnapshot(), packages?.loaded ?? "");
    return () => {};
  }

  // 3. The ways out: the device, the standard streams, interrupts
  for (const name of ["NODEFS", "IDBFS", "PROXYFS", "WORKERFS"]) delete python.FS.filesystems[name];
  // Emscripten's terminals keep what is written to them, without a limit.
  for (const name of ["tty", "tty1"]) python.FS.unlink(`/dev/${name}`);
  installDevice(python.FS, host, () => packages?.bringIn() ?? 0);
  python.setStdin({ stdin: () => null });
  python.setStdout({ write: (bytes: Uint8Array) => host.output(1, bytes) });
  python.setStderr({ write: (bytes: Uint8Array) => host.output(2, bytes) });
  // reading takes the signal in one step: in a plain buffer a signal would be lost that comes between Python's read and store
  python.setInterruptBuffer(
    Object.freeze({
      __proto__: null,
      get 0() {
        return host.takeInterrupt();
      },
      set 0(_value: number) {},
    }),
  );
  python.runPython("import regears.loader, regears.bridge; regears.loader.harden(); regears.bridge.open()");
  limitFileSystem(python.FS, options.memfsBytes, options.memfsNodes);

  // 4. Python has the thread from here on. Until there is a job it warms up, and may be interrupted meanwhile
  const entry = "import regears.main; regears.main.prepare(); regears.main.serve";
  const serve = python._module.PyProxy_getPtr(python.runPython(entry) as object);
  return () => {
    if (options.warmUp) warmUp(python, host);
    guards?.lock();
    if (!host.isWanted()) host.collectGarbage();
    try {
      if (python._module._PyObject_CallNoArgs(serve) === 0) python._module._PyErr_Print();
      host.die("the runtime's loop ended");
    } catch (error) {
      host.die(`Python failed beyond repair: ${describeFatal(error)}`);
    }
  };
}

const emptyLockFile = JSON.stringify({
  info: { arch: "wasm32", platform: "emscripten", version: "0", python: "3.14.2", abi_version: "2026_0" },
  packages: {},
});

function readPreface(host: Host): Uint8Array | undefined {
  return host.fileSize("preface") < 0 ? undefined : readFile(host, "preface");
}

function readFile(host: Host, name: string): Uint8Array {
  const bytes = new Uint8Array(Math.max(host.fileSize(name), 0));
  if (!host.readFile(name, bytes)) host.die("the snapshot can not be read");
  return bytes;
}

/** Makes the memory that of the snapshot, with the packages that were there. */
function restore(host: Host, module: PyodideModule, packages: Packages): void {
  packages.mount();
  try {
    packages.loadAgain(host.decode("utf-8", true, readFile(host, "libraries")) ?? "");
  } catch (error) {
    host.die(`the libraries of packages can not be loaded: ${describeFatal(error)}`);
  }
  if (!host.restoreMemory(module.HEAP8.buffer)) host.die("the snapshot can not be read");
}

/** Imports modules into the snapshot. */
function preload(python: Pyodide, packages: Packages | undefined, modules: readonly string[]): void {
  packages?.bringIn();
  python.globals.set("modules", JSON.stringify(modules));
  python.runPython("import regears.packages; regears.packages.preload(modules); del modules");
}

function installRuntime(python: Pyodide, options: BootOptions): void {
  python.globals.set("modules", JSON.stringify(options.modules));
  python.globals.set("loader", options.loader);
  python.runPython(
    "scope = {'__name__': 'regears.loader'}; exec(compile(loader, '<regears>/loader.py', 'exec'), scope); scope['install'](modules)",
  );
  for (const name of ["modules", "loader", "scope"]) python.globals.delete(name);
}

/**
 * The first calls of the wasm's functions make V8 optimise them, in the background. For the loop of Python's interpreter, a very
 * large function, that takes about 300 ms. The optimisation is taken to be over when the same work has taken hardly longer than
 * its shortest time three times in a row. All interpreters have that machine code in common.
 */
function warmUp(python: Pyodide, host: Host): void {
  const start = host.now();
  let shortest = Number.POSITIVE_INFINITY;
  let stable = 0;
  for (let now = start; now < start + 300 || (stable < 3 && now < start + 800); ) {
    if (host.isWanted()) return;
    const before = now;
    python.runPython("import regears.loader; regears.loader.exercise()");
    now = host.now();
    shortest = Math.min(shortest, now - before);
    stable = now - before < shortest * 1.5 ? stable + 1 : 0;
  }
}

function describeFatal(error: unknown): string {
  try {
    return String((error as { message?: unknown }).message ?? error).slice(0, 500);
  } catch {
    return "unknown";
  }
}
