/**
 * Calls of the file system for a copy of the engine. The copy's temporary files get names of their own, since all of Valkey's
 * processes have the same number here. After the copy was killed it can neither make nor rename a file.
 */
import type * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileError } from "../files/errno.ts";
import type { FileCalls } from "../files/engine-folder.ts";
import { End, type CopyJob, CopyWord } from "./copy-job.ts";

/** The names of Valkey's temporary files: they have its process number, which is a constant in WebAssembly. */
const TEMPORARY = /^temp-(rewriteaof-)?\d+\./;

/** The calls that a copy needs. */
export type ChildCalls = FileCalls & Pick<typeof fs, "utimesSync">;

/**
 * @param moment of the copy, in seconds: a file of that time is one of the data at that time
 * @throws ECANCELED from the calls of a copy that was killed
 */
export function childCalls(calls: ChildCalls, { pid, words, moment }: CopyJob): FileCalls {
  const own = (path: string): string =>
    join(
      dirname(path),
      basename(path).replace(TEMPORARY, (_, kind = "") => `temp-${kind}${pid}.`),
    );
  const check = (): void => {
    if (Atomics.load(words, CopyWord.end) === End.killed) throw fileError("ECANCELED", "killed");
  };
  const renameSync: FileCalls["renameSync"] = (from, to) => {
    // from here on the main thread waits instead of killing
    if (Atomics.compareExchange(words, CopyWord.end, End.running, End.finishing) === End.killed) check();
    calls.utimesSync(own(String(from)), moment, moment);
    calls.renameSync(own(String(from)), own(String(to)));
  };
  const openSync: FileCalls["openSync"] = (path, flags, mode) => {
    check();
    return calls.openSync(own(String(path)), flags, mode);
  };
  const unlinkSync: FileCalls["unlinkSync"] = (path) => calls.unlinkSync(own(String(path)));
  return { ...calls, renameSync, openSync, unlinkSync };
}
