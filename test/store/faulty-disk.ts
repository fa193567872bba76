/** Disks that fail, for what writes to them. */
import { constants } from "node:os";
import { DISK, type File, type FileSystem } from "../../src/store/disk.ts";

/**
 * A disk all of whose operations, those of its open files too, are told before.
 * @param before may throw: then the operation fails. It is given the operation's name
 */
export function watchedDisk(before: (operation: string) => void): FileSystem {
  const watched =
    (name: string, act: (...args: never[]) => Promise<unknown>) =>
    async (...args: never[]): Promise<unknown> => {
      before(name);
      return act(...args);
    };
  const operations = Object.entries(DISK).filter(([, member]) => typeof member === "function");
  const disk = Object.fromEntries(
    operations.map(([name, act]) => [name, watched(name, act as (...args: never[]) => Promise<unknown>)]),
  );
  const open: FileSystem["open"] = async (...args) => {
    before("open");
    return watchedFile(await DISK.open(...args), watched);
  };
  return { ...disk, open } as unknown as FileSystem;
}

function watchedFile(
  file: File,
  watched: (name: string, act: (...args: never[]) => Promise<unknown>) => unknown,
): File {
  return new Proxy(file, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      const bound = member.bind(target) as (...args: never[]) => Promise<unknown>;
      // Closing is what the system does for the dead.
      return name === "close" ? bound : watched(String(name), bound);
    },
  });
}

/** A disk on which so many operations succeed, and nothing happens afterwards, as if the process had been killed. */
export function dyingAfter(operations: number): FileSystem {
  let left = operations;
  return watchedDisk(() => {
    if (left-- <= 0) throw new Error("dead");
  });
}

/** A disk of which one operation fails. @param which its number, the first being 1 */
export function failingOnce(which: number): { disk: FileSystem; count: () => number } {
  let done = 0;
  const disk = watchedDisk(() => {
    if (++done === which) throw noSpace();
  });
  return { disk, count: () => done };
}

export const noSpace = (): Error =>
  Object.assign(new Error("ENOSPC: no space left on device, write"), {
    code: "ENOSPC",
    errno: -constants.errno.ENOSPC,
  });
