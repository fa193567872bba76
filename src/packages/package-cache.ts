/** The folder where wheels, packs and what was chosen before are kept between starts. */
import { createHash } from "node:crypto";
import { accessSync, constants, createReadStream, statSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { cacheFolders } from "../cache-folders.ts";
import { InternalError } from "../errors.ts";
import { makeFolder } from "../folder.ts";
import type { Logger } from "../log.ts";
import type { CachedWheel } from "./source.ts";

/** What nobody has used for so long is removed. */
const STALE_MS = 30 * 24 * 3600 * 1000;
/** A file that nobody has written to for so long is no download any more: its server has ended in the middle. */
const ABANDONED_MS = 3600 * 1000;
const TEMPORARY = ".tmp";
/** What was used so lately is kept whatever there is: another server may be about to use it, or uses it and has said so. */
const RECENT_MS = 3600 * 1000;

/** A file of the cache. */
interface CachedFile {
  readonly path: string;
  /** SHA-256 of the wheel, which its pack is named after. */
  readonly hash: string;
  readonly bytes: number;
  readonly usedMs: number;
}

export class PackageCache {
  readonly folder: string;
  /** Wheels that were whole when they were looked at first, or were got since. */
  readonly #whole = new Set<string>();

  /** @throws InternalError when no folder can be written */
  constructor(cacheDir: string) {
    // the folder of an image may have the prepared interpreter and be for reading only
    this.folder = usableFolder([...new Set([...cacheFolders(cacheDir), ...cacheFolders()])]);
    for (const part of ["wheels", "packs", "kept"]) makeFolder(join(this.folder, part), 0o700);
  }

  /** Where a wheel lies, or would. */
  wheelPath({ sha256, fileName }: Pick<CachedWheel, "sha256" | "fileName">): string {
    return join(this.folder, "wheels", sha256, fileName);
  }

  /** The wheel, if it is there. One that is damaged is removed. */
  async wheel({ fileName, sha256 }: Pick<CachedWheel, "sha256" | "fileName">): Promise<CachedWheel | undefined> {
    const path = this.wheelPath({ fileName, sha256 });
    if (!(await touched(path))) return undefined;
    if (!this.#whole.has(path)) {
      // another server may remove it meanwhile
      const found = await sha256OfFile(path).catch(() => undefined);
      if (found !== sha256) {
        await rm(path, { force: true });
        return undefined;
      }
      this.#whole.add(path);
    }
    return { fileName, sha256, path };
  }

  /** Where a download is written before its hash is known. */
  temporary(): string {
    return join(this.folder, `${process.pid}.${Math.random().toString(36).slice(2)}${TEMPORARY}`);
  }

  /** Takes a file of the cache's folder for a wheel. */
  async keepWheel(temporary: string, wheel: Pick<CachedWheel, "sha256" | "fileName">): Promise<CachedWheel> {
    const path = this.wheelPath(wheel);
    await mkdir(join(this.folder, "wheels", wheel.sha256), { recursive: true, mode: 0o700 });
    await rename(temporary, path);
    this.#whole.add(path);
    return { fileName: wheel.fileName, sha256: wheel.sha256, path };
  }

  packPath(name: string): string {
    return join(this.folder, "packs", name);
  }

  /** A file is used: it is not what goes next. */
  async use(path: string): Promise<void> {
    await touched(path);
  }

  /** What was kept under this name. */
  async read(name: string): Promise<unknown> {
    try {
      const path = this.#keptPath(name);
      const kept: unknown = JSON.parse(await readFile(path, "utf8"));
      await touched(path);
      return kept;
    } catch {
      return undefined;
    }
  }

  async keep(name: string, value: unknown): Promise<void> {
    await this.#write(this.#keptPath(name), JSON.stringify(value));
  }

  async forget(name: string): Promise<void> {
    await rm(this.#keptPath(name), { force: true });
  }

  /** Removes what nobody has used for long. Trouble is only logged. */
  async removeStale(log: Pick<Logger, "warn">): Promise<void> {
    try {
      const before = Date.now() - STALE_MS;
      for (const folder of [this.folder, join(this.folder, "packs")]) {
        for (const name of (await readdir(folder)).filter((one) => one.endsWith(TEMPORARY)))
          await removeOld(join(folder, name), Date.now() - ABANDONED_MS);
      }
      for (const part of ["packs", "kept"]) {
        for (const name of await readdir(join(this.folder, part)))
          await removeOld(join(this.folder, part, name), before);
      }
      for (const hash of await readdir(join(this.folder, "wheels"))) {
        const folder = join(this.folder, "wheels", hash);
        for (const name of await readdir(folder)) await removeOld(join(folder, name), before, folder);
      }
    } catch (error) {
      log.warn(`old packages can not be removed from ${this.folder}: ${error}`);
    }
  }

  /**
   * Removes the wheels and packs that were used longest ago, until all together have at most so many bytes. Those that a session
   * uses, or anybody has used lately, stay. Trouble is only logged.
   * @param used packs of sessions, by their paths
   */
  async limit(maxBytes: number, used: ReadonlySet<string>, log: Pick<Logger, "info" | "warn">): Promise<void> {
    try {
      const files = await this.#files();
      const usedHashes = new Set([...used].map(hashOfPack));
      let total = files.reduce((sum, { bytes }) => sum + bytes, 0);
      const before = Date.now() - RECENT_MS;
      for (const { path, hash, bytes, usedMs } of files.toSorted((a, b) => a.usedMs - b.usedMs)) {
        if (total <= maxBytes || usedMs > before) return;
        if (usedHashes.has(hash)) continue;
        await rm(path, { force: true });
        total -= bytes;
        log.info(`${basename(path)} is removed from the cache, which may have ${maxBytes} bytes (packages-cache-size)`);
      }
    } catch (error) {
      log.warn(`the size of ${this.folder} can not be limited: ${error}`);
    }
  }

  async #files(): Promise<CachedFile[]> {
    const packs = await readdir(join(this.folder, "packs"));
    const found = packs.map((name) => ({ path: this.packPath(name), hash: hashOfPack(name) }));
    for (const hash of await readdir(join(this.folder, "wheels"))) {
      const folder = join(this.folder, "wheels", hash);
      for (const name of await readdir(folder)) found.push({ path: join(folder, name), hash });
    }
    const files = found.map(async (one): Promise<CachedFile[]> => {
      // another server may have removed it
      const about = await stat(one.path).catch(() => undefined);
      return about ? [{ ...one, bytes: about.size, usedMs: about.mtimeMs }] : [];
    });
    return (await Promise.all(files)).flat();
  }

  #keptPath(name: string): string {
    return join(this.folder, "kept", `${sha256Of(name)}.json`);
  }

  async #write(path: string, text: string): Promise<void> {
    const temporary = this.temporary();
    await writeFile(temporary, text, { mode: 0o600 });
    await rename(temporary, path);
  }
}

/** The hash of the wheel that a pack was made of. */
const hashOfPack = (path: string): string => basename(path).split("-", 1)[0] ?? "";

export const sha256Of = (bytes: string | Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** The hash of a file, read piece by piece. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** Whoever may write there decides what scripts run. */
function usableFolder(folders: readonly string[]): string {
  const user = process.getuid?.();
  let reason: unknown;
  for (const folder of folders.map((one) => join(one, "packages"))) {
    try {
      makeFolder(folder, 0o700);
      accessSync(folder, constants.W_OK);
      const { uid } = statSync(folder);
      if (user === undefined || uid === user || uid === 0) return folder;
      reason = `${folder} belongs to somebody else`;
    } catch (error) {
      reason = error;
    }
  }
  throw new InternalError(`packages can not be kept anywhere: ${reason}`);
}

async function touched(path: string): Promise<boolean> {
  try {
    if (!(await stat(path)).isFile()) return false;
    const now = new Date();
    await utimes(path, now, now).catch(() => {});
    return true;
  } catch {
    return false;
  }
}

async function removeOld(path: string, before: number, whole = path): Promise<void> {
  // another server may have removed it
  const about = await stat(path).catch(() => undefined);
  if (about && about.mtimeMs < before) await rm(whole, { recursive: true, force: true });
}
