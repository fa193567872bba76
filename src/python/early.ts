/**
 * The first interpreter takes longer than anything else of a start: it boots in its thread while this one still loads the
 * rest of the program. So this file imports as little as it can.
 */
import type { Config } from "../config.ts";
import type { Logger } from "../log.ts";
import { loadAssets } from "./snapshot.ts";
import { type PythonAssets, StartedWorker, type WorkerLimits } from "./started-worker.ts";

const MB = 1024 * 1024;

/** Gives what interpreters need; it may have been begun before. */
export type BegunPython = () => Promise<PythonAssets>;

/** What all interpreters share. @throws what {@link loadAssets} throws */
export const assetsFor = ({ cacheDir }: Config, log: Logger): Promise<PythonAssets> =>
  loadAssets({ ...(cacheDir === "" ? {} : { cacheDir }), log });

export const limitsOf = ({ pythonMemoryLimit, pythonMemfsLimit }: Config): WorkerLimits => ({
  memoryLimitMb: pythonMemoryLimit / MB,
  memfsLimitMb: pythonMemfsLimit / MB,
});

/** Starts the first interpreter, unless it is to have packages. Whoever makes one with these limits first gets it. */
export async function beginPython(config: Config, log: Logger): Promise<PythonAssets> {
  const assets = await assetsFor(config, log);
  if (config.preload.length > 0) return assets;
  let early: StartedWorker | undefined = new StartedWorker(assets, limitsOf(config));
  return {
    ...assets,
    takeStarted(limits) {
      const { memoryLimitMb, memfsLimitMb } = early?.limits ?? {};
      if (memoryLimitMb !== limits.memoryLimitMb || memfsLimitMb !== limits.memfsLimitMb) return undefined;
      const taken = early;
      early = undefined;
      return taken;
    },
    close() {
      void early?.worker.terminate();
      assets.close();
    },
  };
}
