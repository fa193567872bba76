/** `regears install` and `regears packages`: a folder of wheels is filled, for servers without network, and listed. */
import { copyFile, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Config, ConfigError } from "../config.ts";
import { InternalError } from "../errors.ts";
import { makeFolder } from "../folder.ts";
import type { Logger } from "../log.ts";
import { BUILT_IN } from "./built-in.ts";
import { PackageError } from "./package-errors.ts";
import { Installer } from "./installer.ts";
import { type LockedPackage, type LockFile, readInterpreter } from "./interpreter.ts";
import { LOCK } from "./lock-source.ts";
import { parseWheelName, rankOf } from "./metadata.ts";
import { packageSettings } from "./settings.ts";

/**
 * Puts the wheels that these requirements need into `packages-dir`. Of Pyodide's own packages a lock file there tells what
 * their wheels do not: which libraries they share.
 * @returns file names
 * @throws ConfigError without a folder, InternalError when the packages can not be had
 */
export async function fillFolder(requirements: readonly string[], config: Config, log: Logger): Promise<string[]> {
  const folder = folderOf(config);
  if (requirements.length === 0) throw new ConfigError("install needs requirements, such as 'redis>=5'");
  makeFolder(folder);
  const installer = new Installer({
    ...{ settings: packageSettings(config), builtIn: BUILT_IN, log },
    compile: () => Promise.resolve(new Map()),
    idleMs: () => config.pythonInstallReqMaxIdleTime,
  });
  try {
    const fetched = await installer.fetch(requirements);
    for (const { wheel } of fetched) await put(wheel.path, join(folder, wheel.fileName));
    await addToLock(
      join(folder, LOCK),
      fetched.flatMap(({ locked }) => locked ?? []),
    );
    return fetched.map(({ wheel }) => wheel.fileName);
  } catch (error) {
    throw error instanceof PackageError ? new InternalError(error.message) : error;
  } finally {
    await installer.close();
  }
}

/** The wheels of `packages-dir`, a line each. @throws ConfigError without a folder, or when it can not be read */
export async function listFolder(config: Config): Promise<string[]> {
  const folder = folderOf(config);
  const { tags } = readInterpreter();
  let files: string[];
  try {
    files = await readdir(folder);
  } catch (error) {
    throw new ConfigError(`packages-dir can not be read (${(error as NodeJS.ErrnoException).code})`);
  }
  return files.toSorted().flatMap((fileName) => {
    const wheel = parseWheelName(fileName);
    if (!wheel) return [];
    const note = rankOf(wheel.tags, tags) === undefined ? " (not for this interpreter)" : "";
    return [`${wheel.name} ${wheel.version} ${fileName}${note}`];
  });
}

function folderOf({ packagesDir }: Config): string {
  if (packagesDir === "") throw new ConfigError("the folder is missing: --packages-dir FOLDER");
  return packagesDir;
}

/** A server may read it now: it is there as a whole, or not. */
async function put(from: string, to: string): Promise<void> {
  const temporary = `${to}.${process.pid}.tmp`;
  await copyFile(from, temporary);
  await rename(temporary, to);
}

async function addToLock(path: string, packages: readonly LockedPackage[]): Promise<void> {
  if (packages.length === 0) return;
  const present = await readFile(path, "utf8").catch(() => undefined);
  const lock: LockFile = present === undefined ? { ...readInterpreter().lock, packages: {} } : JSON.parse(present);
  const added = Object.fromEntries(packages.map((one) => [one.name, one]));
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, JSON.stringify({ ...lock, packages: { ...lock.packages, ...added } }));
  await rename(temporary, path);
}
