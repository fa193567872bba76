/** The options about packages, as this room needs them. */
import type { Config } from "../config.ts";
import type { PackageSettings } from "./installed.ts";

export function packageSettings(config: Config): PackageSettings {
  return {
    packagesDir: config.packagesDir,
    pyodidePackages: config.pyodidePackages,
    // as pip has it, so that a machine is told once where its packages come from
    indexUrl: config.indexUrl || (process.env.PIP_INDEX_URL ?? ""),
    cacheDir: config.cacheDir,
    maxCacheBytes: config.packagesCacheSize,
    maxBytes: config.maxPackagesSize,
  };
}
