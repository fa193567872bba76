/** The room of packages: what scripts may require, and where it comes from. */
import type { Base } from "../base.ts";
import type { PythonRoom } from "../python/python-room.ts";
import { Packages } from "./packages.ts";
import { packageSettings } from "./settings.ts";

/** Builds it; nothing is loaded or read before a script requires something. */
export function packagesRoom({ compile }: PythonRoom, { config, runtime, log }: Base): Packages {
  return new Packages({
    settings: packageSettings(config),
    compile,
    idleMs: () => runtime.get("PythonInstallReqMaxIdleTime"),
    log,
  });
}
