/**
 * The main thread's stack. Lua and other C code of the embedded engine may recurse as deep as on a native stack of 8 MB,
 * but Node.js gives less than 1 MB of it away unless it is started with `--stack-size`; and with more than there is, too
 * deep a recursion would kill the process without a word.
 */
import { readFileSync } from "node:fs";

/** What V8 takes by itself, in KB. */
const DEFAULT_KB = 984;
/** As much as Valkey has natively. */
const WANTED_KB = 6000;
/** Of the real stack: the rest is for what runs beneath and above, and is not counted by V8. */
const SHARE = 0.73;
/** Keeps SIGUSR1 from opening the debugger before this program listens for the signal; older versions do not know it. */
const NO_DEBUGGER = process.allowedNodeEnvironmentFlags.has("--disable-sigusr1") ? ["--disable-sigusr1"] : [];
const OPTION = /^--stack[-_]size=(\d+)$/;

/**
 * How much of the stack may be used, in KB.
 * @param limits the text of /proc/self/limits
 */
export function fittingStack(limits: string): number {
  const soft = /^Max stack size\s+(\d+|unlimited)/m.exec(limits)?.[1];
  if (soft === undefined) return DEFAULT_KB;
  if (soft === "unlimited") return WANTED_KB;
  return Math.max(DEFAULT_KB, Math.min(WANTED_KB, Math.floor((Number(soft) / 1024) * SHARE)));
}

/**
 * Starts the program again in this very process, with as much stack as there is: same process id, same descriptors, so
 * nobody notices. Does nothing where Node.js can not do that (before 22.15, on Windows) or the size is right already.
 */
export function fitStack(): void {
  // old types do not know it
  const { execve } = process as { execve?: (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never };
  if (execve === undefined || process.platform !== "linux") return;
  const given = process.execArgv.map((option) => OPTION.exec(option)?.[1]).findLast((size) => size !== undefined);
  const fitting = fittingStack(readFileSync("/proc/self/limits", "latin1"));
  if (Number(given ?? DEFAULT_KB) === fitting) return;
  const options = process.execArgv.filter((option) => !OPTION.test(option));
  const args = [process.execPath, ...options, ...NO_DEBUGGER, `--stack-size=${fitting}`, ...process.argv.slice(1)];
  execve.call(process, process.execPath, args, process.env);
}
