/** Small files that are written as a whole into the engine's folder, besides those that Valkey writes. */
import type { EngineFolder } from "../files/engine-folder.ts";

const NOTHING = {
  ...{ read: false, write: false, append: false, create: false },
  ...{ exclusive: false, truncate: false, directory: false },
};

/**
 * The content is on the disk when this returns; the name perhaps not, see {@link syncDirectory}.
 * @throws what the file system throws
 */
export function writeFile(folder: EngineFolder, name: string, content: Uint8Array): void {
  const { calls } = folder;
  const { fd } = folder.open(name, { ...NOTHING, write: true, create: true, truncate: true });
  try {
    for (let done = 0; done < content.length; ) done += calls.writeSync(fd, content, done);
    calls.fdatasyncSync(fd);
  } finally {
    calls.closeSync(fd);
  }
}

/** The names in a directory are on the disk when this returns. @throws what the file system throws */
export function syncDirectory(folder: EngineFolder, name: string): void {
  const { fd } = folder.open(name, { ...NOTHING, read: true, directory: true });
  try {
    folder.calls.fsyncSync(fd);
  } finally {
    folder.calls.closeSync(fd);
  }
}
