/** Collecting garbage when the program says so: what a start leaves behind would stay, for who is at rest never collects. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Gives the function that collects all garbage of this thread. */
export function garbageCollector(): () => void {
  setFlagsFromString("--expose-gc");
  try {
    return runInNewContext("gc") as () => void;
  } finally {
    // contexts that are made from now on have no such global
    setFlagsFromString("--no-expose-gc");
  }
}
