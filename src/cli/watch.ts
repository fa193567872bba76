/** Waits for changes of a file. */
import { readFileSync, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** Editors write in several steps. */
const SETTLE_MS = 50;

/**
 * Resolves when the contents of a file are others than now, or when `signal` fires. The folder is watched, because many
 * editors put another file in its place.
 */
export function whenChanged(path: string, signal: AbortSignal): Promise<void> {
  const before = contents(path);
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const end = (): void => {
      clearTimeout(timer);
      watcher.close();
      resolve();
    };
    const compare = (): void => {
      const now = contents(path);
      if (now !== undefined && (before === undefined || !now.equals(before))) end();
    };
    const watcher = watch(dirname(path), (_event, name) => {
      if (name !== null && name !== basename(path)) return;
      clearTimeout(timer);
      timer = setTimeout(compare, SETTLE_MS);
    });
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
  });
}

function contents(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
