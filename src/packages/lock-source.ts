/** Pyodide's own packages, which are built for exactly this interpreter: the lock file names them with their hashes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Logger } from "../log.ts";
import type { Downloader } from "./downloader.ts";
import { PackageError } from "./package-errors.ts";
import type { Interpreter, LockedPackage, LockFile } from "./interpreter.ts";
import type { Metadata } from "./metadata.ts";
import { normalName, parseRequirement } from "./requirement.ts";
import { type Found, NOTHING, type Source } from "./source.ts";

export interface LockSourceOptions {
  /** A folder, or the address of one. */
  readonly base: string;
  /** For people; "Pyodide's packages" unless given. */
  readonly label?: string;
  readonly isImplied?: boolean;
  readonly interpreter: Interpreter;
  readonly downloader: Downloader;
  readonly log: Pick<Logger, "warn">;
}

/** The name of the file. */
export const LOCK = "pyodide-lock.json";

export class LockSource implements Source {
  readonly label: string;
  readonly isImplied: boolean;
  readonly #options: LockSourceOptions;
  #packages: Promise<Map<string, LockedPackage>> | undefined;

  constructor(options: LockSourceOptions) {
    this.#options = options;
    this.isImplied = options.isImplied ?? false;
    this.label = options.label ?? "Pyodide's packages";
  }

  async find(name: string): Promise<Found> {
    this.#packages ??= this.#load();
    const found = (await this.#packages).get(name);
    if (!found) return NOTHING;
    const { version, file_name: fileName, sha256, depends } = found;
    const metadata: Metadata = { name, version, requiresPython: undefined, requires: depends.map(parseRequirement) };
    const candidate = {
      ...{ name, version, fileName, source: this.label, yanked: false, locked: found },
      metadata: () => Promise.resolve(metadata),
      fetch: () => this.#options.downloader.wheel(this.#address(fileName), fileName, sha256),
    };
    return { candidates: [candidate], refused: [] };
  }

  #address(fileName: string): string {
    const { base } = this.#options;
    if (fileName.includes("/")) throw new PackageError(`${this.label}: ${fileName} is no name of a file`);
    return isAddress(base)
      ? new URL(fileName, base.replace(/\/*$/, "/")).href
      : pathToFileURL(join(base, fileName)).href;
  }

  /** Its own lock file, if it has one; else that of the installed Pyodide. */
  async #load(): Promise<Map<string, LockedPackage>> {
    const { base, interpreter, log } = this.#options;
    let lock = interpreter.lock;
    if (!isAddress(base)) {
      const own = await readFile(join(base, LOCK), "utf8").catch(() => undefined);
      if (own !== undefined) lock = readLock(own);
    }
    if (lock.info.abi_version !== interpreter.abi) {
      log.warn(`${this.label} in ${base} are for ABI ${lock.info.abi_version}, and not ${interpreter.abi}: not used`);
      return new Map();
    }
    return new Map(Object.values(lock.packages).map((one) => [normalName(one.name), one]));
  }
}

export const isAddress = (text: string): boolean => /^https?:\/\//i.test(text);

function readLock(text: string): LockFile {
  const lock = JSON.parse(text) as LockFile;
  const isWhole = (one: LockedPackage): boolean =>
    [one.name, one.version, one.file_name, one.sha256].every((field) => typeof field === "string") &&
    Array.isArray(one.depends);
  if (typeof lock.packages !== "object" || !Object.values(lock.packages).every(isWhole)) {
    throw new PackageError(`${LOCK} is no lock file of Pyodide`);
  }
  return lock;
}
