/** What is installed, and by which settings. */
import type { SessionPackages } from "../python/python-session.ts";

/** What was installed. */
export interface Installed {
  /** Undefined: nothing had to be installed. */
  readonly packages: SessionPackages | undefined;
  /** File names of the wheels of each requirement, by its text. */
  readonly wheelsOf: ReadonlyMap<string, readonly string[]>;
}

export interface PackageSettings {
  /** A folder with wheels; empty: none. */
  readonly packagesDir: string;
  /** Folder or address of Pyodide's own packages; `no`: none, empty: where Pyodide itself gets them. */
  readonly pyodidePackages: string;
  /** Address of an index; `no` or empty: none. */
  readonly indexUrl: string;
  /** Empty: the user's cache folder. */
  readonly cacheDir: string;
  /** Most bytes of wheels and packs in the cache; 0: any number. */
  readonly maxCacheBytes: number;
  /** Most bytes that one installation downloads. */
  readonly maxBytes: number;
  /** Requirements whose packages every interpreter has. */
  readonly preload: readonly string[];
}
