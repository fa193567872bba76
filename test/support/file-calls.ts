/** Calls of the file system that fail, for what the engine does with its files. */
import fs from "node:fs";
import { constants } from "node:os";
import type { FileCalls } from "../../src/engine/files/engine-folder.ts";

/** All of {@link FileCalls}. */
const NAMES = [
  ...["openSync", "closeSync", "readSync", "writeSync", "fstatSync", "lstatSync", "ftruncateSync", "fsyncSync"],
  ...["fdatasyncSync", "fdatasync", "renameSync", "unlinkSync", "mkdirSync", "readdirSync"],
] as readonly (keyof FileCalls)[];

/** An error as the system's. */
export const systemError = (code: keyof typeof constants.errno, call: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`${code}: ${call}`), { code, errno: -constants.errno[code], syscall: call });

/**
 * Calls that are told before they are made.
 * @param before may throw: then the call fails. It is given the call's name
 */
export function watchedCalls(before: (name: keyof FileCalls) => void): FileCalls {
  const watched = NAMES.map((name) => {
    const call = fs[name] as (...args: unknown[]) => unknown;
    return [
      name,
      (...args: unknown[]) => {
        try {
          before(name);
        } catch (error) {
          const last = args.at(-1);
          if (name !== "fdatasync" || typeof last !== "function") throw error;
          setImmediate(() => last(error));
          return undefined;
        }
        return call(...args);
      },
    ];
  });
  return Object.fromEntries(watched) as unknown as FileCalls;
}

/** Calls that change the disk. */
export const WRITING: ReadonlySet<keyof FileCalls> = new Set([
  ...(["writeSync", "ftruncateSync", "fsyncSync", "fdatasyncSync", "fdatasync"] as const),
  ...(["renameSync", "unlinkSync", "mkdirSync"] as const),
]);

/**
 * Calls of which those from the n-th on fail that change the disk, until they are mended.
 * @param which the number of the first one that fails, from 1 on
 * @param lasting how many fail
 */
export function failingFrom(which: number, code: keyof typeof constants.errno = "ENOSPC", lasting = 1) {
  let done = 0;
  let until = which + lasting;
  const calls = watchedCalls((name) => {
    if (!WRITING.has(name)) return;
    done++;
    if (done >= which && done < until) throw systemError(code, name);
  });
  return {
    calls,
    /** How many there were. */
    count: (): number => done,
    mend: (): void => {
      until = 0;
    },
  };
}
