/** Collecting garbage when the program says so: what a start leaves behind would stay, for who is at rest never collects. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** The flag is the whole process': another thread that does the same may take it away before the context is made. */
const ATTEMPTS = 10_000;

/** Gives the function that collects all garbage of this thread; one that does nothing, where there is none. */
export function garbageCollector(): () => void {
  try {
    for (let left = ATTEMPTS; left > 0; left--) {
      setFlagsFromString("--expose-gc");
      const collect: unknown = runInNewContext("globalThis.gc");
      if (typeof collect === "function") return collect as () => void;
    }
    return () => {};
  } finally {
    // contexts that are made from now on have no such global
    setFlagsFromString("--no-expose-gc");
  }
}
