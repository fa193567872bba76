/** Where things are kept between starts that can be made again. */
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

/** Folders to be tried in this order. @param configured the option `cache-dir`; empty: none is given */
export function cacheFolders(configured = ""): string[] {
  if (configured !== "") return [configured];
  const { XDG_CACHE_HOME } = process.env;
  return [join(XDG_CACHE_HOME || join(homedir(), ".cache"), "regears"), join(tmpdir(), `regears-${userId()}`)];
}

function userId(): string {
  return String(process.getuid?.() ?? "cache");
}
