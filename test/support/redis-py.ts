/** Where redis-py is: Debian has it as `python3-redis` (version 4.3.4 in Debian 12), for Debian's own Python. */
import { spawnSync } from "node:child_process";

export interface PythonWithRedis {
  readonly path: string | undefined;
  /** Its version; why there is none (for a skipped suite's title) otherwise. */
  readonly version: string;
}

let found: PythonWithRedis | undefined;

/** Finds a Python that can import redis-py. The reason of a failure is printed. */
export function findPython(): PythonWithRedis {
  if (found) return found;
  for (const path of ["/usr/bin/python3", "python3"]) {
    const { status, stdout } = spawnSync(path, ["-c", "import redis, sys; print(sys.executable, redis.__version__)"], {
      encoding: "utf8",
    });
    if (status !== 0) continue;
    const [executable, version = ""] = stdout.trim().split(" ");
    found = { path: executable, version };
    return found;
  }
  console.warn("no Python here can import redis-py (Debian's python3-redis): what needs it is skipped");
  found = { path: undefined, version: "skipped: there is no redis-py" };
  return found;
}
