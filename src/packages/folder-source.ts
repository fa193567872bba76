/** A folder of wheels, which is read anew each time: what is put there can be used at once. */
import { copyFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { type PackageCache, sha256OfFile } from "./package-cache.ts";
import { PackageError } from "./package-errors.ts";
import type { Interpreter } from "./interpreter.ts";
import { type CachedWheel, choose, type Found, type Source } from "./source.ts";
import { type UnpackLimits, wheelMetadata } from "./wheel.ts";

export interface FolderSourceOptions {
  readonly folder: string;
  readonly label: string;
  readonly cache: PackageCache;
  readonly interpreter: Interpreter;
  readonly limits: UnpackLimits;
}

export class FolderSource implements Source {
  readonly label: string;
  readonly #options: FolderSourceOptions;

  constructor(options: FolderSourceOptions) {
    this.#options = options;
    this.label = options.label;
  }

  async find(name: string): Promise<Found> {
    const { interpreter, limits } = this.#options;
    const files = (await this.#names()).map((fileName) => ({ fileName, path: join(this.#options.folder, fileName) }));
    const ofName = files.filter(({ fileName }) => startsLike(fileName, name));
    return choose(name, ofName, interpreter, ({ fileName, path }, version) => ({
      ...{ name, version, fileName, source: this.label, yanked: false },
      metadata: () => wheelMetadata(path, limits),
      fetch: () => this.#copy(path, fileName),
    }));
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#options.folder);
    } catch (error) {
      throw new PackageError(`${this.label} can not be read (${(error as NodeJS.ErrnoException).code})`);
    }
  }

  /** The cache has one of its own: the folder may change. */
  async #copy(path: string, fileName: string): Promise<CachedWheel> {
    const { cache } = this.#options;
    const sha256 = await sha256OfFile(path);
    const cached = await cache.wheel({ sha256, fileName });
    if (cached) return cached;
    const temporary = cache.temporary();
    await copyFile(path, temporary);
    return cache.keepWheel(temporary, { sha256, fileName });
  }
}

/** Is this a file of the package, by its name alone? Archives with sources are to be named in errors, too. */
function startsLike(fileName: string, name: string): boolean {
  return fileName
    .toLowerCase()
    .replaceAll(/[._-]+/g, "-")
    .startsWith(`${name}-`);
}
