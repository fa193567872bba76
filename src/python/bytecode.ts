/**
 * Compiles modules of packages to Python's bytecode, in an interpreter that never runs a script: nobody could put code in
 * the place of another's. The source is only compiled there, not run.
 */
import type { Logger } from "../log.ts";
import { encodeMarshal } from "./marshal.ts";
import { decodeMessage } from "./messages.ts";
import type { PythonRequest } from "./protocol.ts";
import type { CompileModules, ModuleSource } from "./python-host.ts";
import { PythonWorker } from "./python-worker.ts";
import type { PythonAssets } from "./started-worker.ts";

/** Modules that are sent ahead of their answers. */
const AHEAD = 8;
/** An interpreter that does not answer for so long is given up, in milliseconds. */
const PATIENCE_MS = 60_000;
const MEMORY_MB = 512;
const FILES_MB = 1;

/** The compiler: each call boots an interpreter of its own, which ends with it. */
export function bytecodeCompiler(assets: () => PythonAssets, log: Pick<Logger, "warn">): CompileModules {
  return (modules) => (modules.length === 0 ? Promise.resolve(new Map()) : compileAll(assets(), modules, log));
}

function compileAll(
  assets: PythonAssets,
  modules: readonly ModuleSource[],
  log: Pick<Logger, "warn">,
): Promise<Map<string, Buffer>> {
  return new Promise((resolve) => {
    const compiled = new Map<string, Buffer>();
    let sent = 0;
    let answered = 0;
    let timer: NodeJS.Timeout | undefined;
    const wait = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => void worker.terminate(), PATIENCE_MS).unref();
    };
    const send = (): void => {
      for (; sent < modules.length && sent < answered + AHEAD; sent++) {
        const { path, source } = modules[sent] as ModuleSource;
        const request: PythonRequest = ["compile", sent, path, source];
        worker.post(encodeMarshal(request));
      }
    };
    const worker = new PythonWorker({
      assets,
      memoryLimitMb: MEMORY_MB,
      memfsLimitMb: FILES_MB,
      onOutput: () => {},
      onMessage(bytes) {
        const message = decodeMessage(bytes);
        if (message.kind !== "post" || message.op !== "compiled") return;
        const module = modules[message.args.number];
        if (module && message.args.code) compiled.set(module.path, Buffer.from(message.args.code));
        answered++;
        wait();
        if (answered === modules.length) void worker.terminate();
        else send();
      },
      onExit(reason) {
        clearTimeout(timer);
        // what is not compiled is imported from its source, which only takes longer
        if (answered < modules.length)
          log.warn(`only ${answered} of ${modules.length} modules were compiled: ${reason}`);
        resolve(compiled);
      },
    });
    wait();
    worker.ready.then(send, () => {});
  });
}
