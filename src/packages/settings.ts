/** The options about packages, as this room needs them. */
import type { Config } from "../config.ts";
import type { PackageSettings } from "./installed.ts";

/** Commas also stand between versions (`redis>=5,<6`) and between extras (`requests[socks,security]`). */
const BETWEEN = /,(?![^[]*\])(?=\s*[A-Za-z0-9])/;

export function packageSettings(config: Config): PackageSettings {
  return {
    packagesDir: config.packagesDir,
    pyodidePackages: config.pyodidePackages,
    // as pip has it, so that a machine is told once where its packages come from
    indexUrl: config.indexUrl || (process.env.PIP_INDEX_URL ?? ""),
    cacheDir: config.cacheDir,
    maxCacheBytes: config.packagesCacheSize,
    maxBytes: config.maxPackagesSize,
    preload: config.preload.flatMap((text) => text.split(BETWEEN)).map((text) => text.trim()),
  };
}
