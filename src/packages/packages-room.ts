/** The room of packages: what scripts may require, and where it comes from. */
import type { Base } from "../base.ts";
import type { PythonRoom } from "../python/python-room.ts";
import { Packages } from "./packages.ts";
import { packageSettings } from "./settings.ts";

/** Builds it; nothing is loaded or read before something is required. */
export function packagesRoom({ compile, users }: PythonRoom, { config, runtime, log }: Base): Packages {
  const packages = new Packages({
    settings: packageSettings(config),
    compile,
    idleMs: () => runtime.get("PythonInstallReqMaxIdleTime"),
    log,
  });
  users.preload = () => packages.preload();
  return packages;
}
