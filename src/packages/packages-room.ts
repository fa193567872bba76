/** The room of packages: what scripts may require, and where it comes from. */
import type { Base } from "../base.ts";
import type { PythonRoom } from "../python/python-room.ts";
import { Packages } from "./packages.ts";

/** Builds it; nothing is loaded or read before a script requires something. */
export function packagesRoom({ compile }: PythonRoom, { config, runtime, log }: Base): Packages {
  return new Packages({
    settings: {
      packagesDir: config.packagesDir,
      pyodidePackages: config.pyodidePackages,
      // as pip has it, so that a machine is told once where its packages come from
      indexUrl: config.indexUrl || (process.env.PIP_INDEX_URL ?? ""),
      cacheDir: config.cacheDir,
      maxBytes: config.maxPackagesSize,
    },
    compile,
    idleMs: () => runtime.get("PythonInstallReqMaxIdleTime"),
    log,
  });
}
