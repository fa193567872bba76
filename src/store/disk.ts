/** Replacing files so that a crash at any moment leaves either the old content or the new one, whole. */
import * as promises from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { getSystemErrorMap } from "node:util";
import { InternalError, textOf } from "../errors.ts";

/** The part of `node:fs/promises` that is used; tests put faults in. */
export type FileSystem = Pick<
  typeof promises,
  "open" | "rename" | "link" | "copyFile" | "rm" | "mkdir" | "readdir" | "readFile" | "stat"
>;

export type File = promises.FileHandle;

export const DISK: FileSystem = promises;

/**
 * Replaces a file. Its content is written beside it and forced to the disk first.
 * @param write writes the content
 * @throws what `write` or the file system throws; then the file is as it was
 */
export async function replaceFile(disk: FileSystem, path: string, write: (file: File) => Promise<void>): Promise<void> {
  // With the process in its name: a second server by mistake in this directory must not write into our file.
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    const file = await disk.open(temporary, "w", 0o600);
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await disk.rename(temporary, path);
  } catch (error) {
    await disk.rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await syncDirectory(disk, dirname(path));
}

/** Without it a rename may be forgotten by a crash of the machine. Not every system lets a directory be opened. */
async function syncDirectory(disk: FileSystem, directory: string): Promise<void> {
  try {
    const handle = await disk.open(directory, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!["EISDIR", "EPERM", "EINVAL", "EACCES"].includes(codeOf(error) ?? "")) throw error;
  }
}

/** Makes the file's directory if it is missing, and removes what writers that were killed left half-done. */
export async function prepareFor(disk: FileSystem, path: string): Promise<void> {
  const directory = dirname(path);
  await disk.mkdir(directory, { recursive: true });
  const name = `${basename(path)}.tmp-`;
  for (const entry of await disk.readdir(directory)) {
    if (entry.startsWith(name)) await disk.rm(join(directory, entry), { force: true });
  }
}

/**
 * Takes a file that can not be used out of the way of the next one, under a name of its own.
 * @param why a word for the name, such as `corrupt`
 * @returns the new path
 * @throws InternalError when it can not be moved: going on would sooner or later overwrite it
 */
export async function setAside(disk: FileSystem, path: string, why: string, now: Date): Promise<string> {
  const aside = asideOf(path, why, now);
  try {
    await disk.rename(path, aside);
    await syncDirectory(disk, dirname(path));
  } catch (error) {
    throw new InternalError(`${path} can not be used, and not be moved out of the way either: ${textOf(error)}`);
  }
  return aside;
}

/** Gives a file a second name, so that its content outlives its replacement. @returns the new path */
export async function keepCopy(disk: FileSystem, path: string, why: string, now: Date): Promise<string> {
  const copy = asideOf(path, why, now);
  await disk.link(path, copy).catch(() => disk.copyFile(path, copy));
  await syncDirectory(disk, dirname(path));
  return copy;
}

/** How to go on with a file that can not be used. */
export const REPAIR_HINT =
  "Put a good copy in its place, or start once with --repair, which keeps the file under another name and goes on with what can be read";

const asideOf = (path: string, why: string, now: Date): string =>
  `${path}.${why}-${now.toISOString().replace(/[-:]/g, "")}`;

/** The system's code of an error, such as `ENOENT`. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;

/** What went wrong, for clients: the system's errors without the paths and names that they end with. */
export function reasonOf(error: unknown): string {
  const number = error instanceof Error && "errno" in error ? Number(error.errno) : 0;
  const known = getSystemErrorMap().get(number);
  return known ? known.join(": ") : textOf(error);
}
