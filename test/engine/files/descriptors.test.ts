import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { failingFrom, systemError, watchedCalls } from "../../support/file-calls.ts";
import { CREATE, DIRECTORY, EXCLUSIVE, Guest, TRUNCATE } from "./guest.ts";

let folder: string;
let guest: Guest;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "regears-files-"));
  mkdirSync(join(folder, "dir"));
  guest = new Guest(join(folder, "dir"));
});
afterEach(() => {
  guest.files.closeAll();
  rmSync(folder, { recursive: true });
});
const inside = (name: string): string => join(folder, "dir", name);
const failing = (act: () => unknown): number => {
  try {
    act();
  } catch (error) {
    return (error as { errno: number }).errno;
  }
  return 0;
};
const [EACCES, EBADF, EEXIST, EINVAL, EIO, EISDIR, ELOOP, ENOENT, ENOSPC, ENOTDIR, EROFS, ENOTCAPABLE] = [
  2, 8, 20, 28, 29, 31, 32, 44, 51, 54, 69, 76,
];

describe("files of the engine", () => {
  it("are made, written in pieces, read back and measured, on a memory that threads share", () => {
    const out = guest.open("a", { write: true, flags: CREATE | TRUNCATE });
    expect(guest.write(out, "one ", "", "two")).toBe(7);
    expect(guest.size(out)).toBe(7n);
    guest.call("fd_sync", out);
    guest.call("fd_close", out);
    expect(readFileSync(inside("a"), "utf8")).toBe("one two");
    expect(statSync(inside("a")).mode & 0o777).toBe(0o600);
    const input = guest.open("a");
    expect(guest.read(input, 2, 100)).toBe("one two");
    expect(guest.read(input, 100)).toBe("");
    expect(guest.readAt(input, 3, 4n)).toBe("two");
    expect(guest.seek(input, -3n, 2)).toBe(4n);
    expect(guest.seek(input, 1n, 1)).toBe(5n);
    expect(guest.read(input, 9)).toBe("wo");
    expect(failing(() => guest.seek(input, -1n))).toBe(EINVAL);
  });

  it("have sizes and places beyond 4 GiB", () => {
    const fd = guest.open("large", { write: true, read: true, flags: CREATE });
    const far = 5n * 2n ** 30n;
    expect(guest.seek(fd, far)).toBe(far);
    guest.write(fd, "far");
    expect(guest.size(fd)).toBe(far + 3n);
    expect(guest.readAt(fd, 3, far)).toBe("far");
    guest.call("fd_filestat_set_size", fd, far);
    expect(guest.stat("large")).toEqual({ type: 4, size: far });
  });

  it("are written and read past the pieces in which the system gets them", () => {
    const fd = guest.open("many", { write: true, flags: CREATE });
    for (let at = 0; at < 3000; at++) guest.write(fd, `${at}`.padStart(50, "."));
    guest.seek(fd, 50n);
    guest.write(fd, "changed");
    guest.call("fd_close", fd);
    expect(statSync(inside("many")).size).toBe(150_000);
    const input = guest.open("many");
    for (let at = 0; at < 3000; at++) {
      const wanted = `${at}`.padStart(50, ".");
      expect(guest.read(input, 30, 20)).toBe(at === 1 ? `changed${wanted.slice(7)}` : wanted);
    }
  });

  it("are appended to, wherever one stands", () => {
    writeFileSync(inside("log"), "first ");
    const fd = guest.open("log", { write: true, append: true, flags: CREATE });
    guest.write(fd, "second");
    expect(readFileSync(inside("log"), "utf8")).toBe("first second");
  });

  it("are opened as they are asked for", () => {
    writeFileSync(inside("there"), "content");
    expect(failing(() => guest.open("none"))).toBe(ENOENT);
    expect(failing(() => guest.open("there", { write: true, flags: CREATE | EXCLUSIVE }))).toBe(EEXIST);
    expect(failing(() => guest.open("there", { flags: DIRECTORY }))).toBe(ENOTDIR);
    expect(failing(() => guest.open("there/below"))).toBe(ENOTDIR);
    guest.open("there", { write: true, flags: TRUNCATE });
    expect(guest.stat("there").size).toBe(0n);
    expect(failing(() => guest.open(".", { write: true }))).toBe(EISDIR);
    execFileSync("mkfifo", [inside("pipe")]);
    expect(failing(() => guest.open("pipe"))).toBe(EACCES);
  });

  it("are in folders that can be made, listed and brought to the disk", () => {
    guest.pathCall("path_create_directory", "sub");
    expect(failing(() => guest.pathCall("path_create_directory", "sub"))).toBe(EEXIST);
    for (let at = 0; at < 20; at++) writeFileSync(inside(`sub/${at}`), "");
    const fd = guest.open("sub", { flags: DIRECTORY });
    expect(guest.list(fd).sort()).toEqual(Array.from({ length: 20 }, (_, at) => String(at)).sort());
    guest.call("fd_sync", fd);
    expect(failing(() => guest.read(fd, 1))).toBe(EISDIR);
    guest.rename("sub/3", "dump");
    guest.pathCall("path_unlink_file", "sub/4");
    expect(existsSync(inside("dump"))).toBe(true);
    expect(existsSync(inside("sub/4"))).toBe(false);
    expect(guest.stat("sub").type).toBe(3);
  });

  it("have descriptors that are used again", () => {
    writeFileSync(inside("a"), "a");
    const [first, second] = [guest.open("a"), guest.open("a")];
    expect(second).not.toBe(first);
    guest.call("fd_close", first);
    expect(failing(() => guest.read(first, 1))).toBe(EBADF);
    expect(guest.open("a")).toBe(first);
    guest.call("fd_renumber", second, first);
    expect(guest.read(first, 1)).toBe("a");
    expect(failing(() => guest.read(second, 1))).toBe(EBADF);
  });
});

describe("the folder of the engine", () => {
  it("is not left by names", () => {
    writeFileSync(join(folder, "secret"), "");
    for (const path of ["../secret", "a/../../secret", "..", "dir\\x", "c:x", "a\0b"])
      expect([path, failing(() => guest.open(path))]).toEqual([path, ENOTCAPABLE]);
    writeFileSync(inside("etc"), "mine");
    // the folder is its root
    expect(guest.read(guest.open("/etc"), 9)).toBe("mine");
    expect(failing(() => guest.rename("etc", "../out"))).toBe(ENOTCAPABLE);
    expect(failing(() => guest.pathCall("path_unlink_file", "../secret"))).toBe(ENOTCAPABLE);
    expect(failing(() => guest.pathCall("path_create_directory", "../made"))).toBe(ENOTCAPABLE);
  });

  it("is not left by links", () => {
    writeFileSync(join(folder, "secret"), "");
    symlinkSync(folder, inside("up"));
    symlinkSync(join(folder, "secret"), inside("link"));
    symlinkSync(join(folder, "made"), inside("dangling"));
    expect(failing(() => guest.open("link"))).toBe(ELOOP);
    expect(failing(() => guest.stat("link"))).toBe(ELOOP);
    expect(failing(() => guest.open("up/secret"))).toBe(ELOOP);
    expect(failing(() => guest.open("dangling", { write: true, flags: CREATE }))).toBe(ELOOP);
    expect(failing(() => guest.rename("link", "up/moved"))).toBe(ELOOP);
    expect(failing(() => guest.pathCall("path_unlink_file", "up/secret"))).toBe(ELOOP);
    expect(existsSync(join(folder, "secret"))).toBe(true);
    expect(existsSync(join(folder, "made"))).toBe(false);
  });

  it("has files that can only be read, and are nowhere", () => {
    guest = new Guest(undefined, new Map([["conf", Buffer.from("port 1\n")]]));
    const fd = guest.open("/conf");
    expect(guest.size(fd)).toBe(7n);
    expect(guest.read(fd, 4)).toBe("port");
    expect(guest.seek(fd, 0n, 2)).toBe(7n);
    expect(failing(() => guest.write(fd, "x"))).toBe(EBADF);
    for (const change of [
      () => guest.open("conf", { write: true }),
      () => guest.pathCall("path_unlink_file", "conf"),
      () => guest.rename("conf", "other"),
      () => guest.rename("other", "conf"),
    ])
      expect(failing(change)).toBe(EACCES);
  });

  it("is none: nothing is there, and nothing can be made", () => {
    guest = new Guest(undefined);
    expect(failing(() => guest.open("dump.rdb"))).toBe(ENOENT);
    expect(failing(() => guest.open("dump.rdb", { write: true, flags: CREATE }))).toBe(EROFS);
    expect(failing(() => guest.pathCall("path_create_directory", "sub"))).toBe(EROFS);
  });
});

describe("a disk that fails", () => {
  it.each([
    ["ENOSPC", ENOSPC],
    ["EACCES", EACCES],
    ["EROFS", EROFS],
    ["EIO", EIO],
  ] as const)("is told as %s", (code, errno) => {
    guest = new Guest(join(folder, "dir"), undefined, failingFrom(1, code).calls);
    const told: unknown[] = [];
    guest.files.onFailure = (error) => told.push(error);
    const fd = guest.open("a", { write: true, append: true, flags: CREATE });
    expect(failing(() => guest.write(fd, "x"))).toBe(errno);
    expect(told).toEqual([expect.objectContaining({ code })]);
    expect(guest.write(fd, "x")).toBe(1);
  });

  it("tells what was written before it failed, and the error with the next call", () => {
    let writes = 0;
    const calls = watchedCalls((name) => {
      if (name === "writeSync" && ++writes === 2) throw systemError("ENOSPC", name);
    });
    guest = new Guest(join(folder, "dir"), undefined, calls);
    const fd = guest.open("a", { write: true, append: true, flags: CREATE });
    expect(guest.write(fd, "one", "two")).toBe(3);
    expect(readFileSync(inside("a"), "utf8")).toBe("one");
  });

  it("fails what is to bring a file to the disk when that could not take it all", () => {
    guest = new Guest(join(folder, "dir"), undefined, failingFrom(1).calls);
    const fd = guest.open("temp-1.rdb", { write: true, flags: CREATE });
    expect(guest.write(fd, "kept back")).toBe(9);
    expect(failing(() => guest.call("fd_sync", fd))).toBe(ENOSPC);
    guest.call("fd_sync", fd);
    expect(readFileSync(inside("temp-1.rdb"), "utf8")).toBe("kept back");
  });
});

describe("what is brought to the disk in the background", () => {
  const done = (): Promise<unknown> =>
    new Promise((resolve) => {
      guest.files.sync.onDone = resolve;
    });

  it("is counted until it is done", async () => {
    const fd = guest.open("a", { write: true, append: true, flags: CREATE });
    guest.write(fd, "x");
    const ended = done();
    expect(guest.files.syncInBackground(fd)).toBe(true);
    expect(guest.files.sync.pending).toBe(1);
    expect(await ended).toBeUndefined();
    expect(guest.files.sync.pending).toBe(0);
    expect(guest.files.syncInBackground(77)).toBe(false);
  });

  it("is done before its file is closed, whose number nobody gets before", async () => {
    const order: string[] = [];
    guest = new Guest(
      join(folder, "dir"),
      undefined,
      watchedCalls((name) => order.push(name)),
    );
    const fd = guest.open("a", { write: true, append: true, flags: CREATE });
    const ended = done();
    guest.files.syncInBackground(fd);
    order.length = 0;
    guest.call("fd_close", fd);
    expect(order).toEqual(["fdatasyncSync"]);
    await ended;
    expect(order).toEqual(["fdatasyncSync", "closeSync"]);
  });

  it("is tried again when it failed, and told", async () => {
    guest = new Guest(join(folder, "dir"), undefined, failingFrom(1, "EIO").calls);
    const fd = guest.open("a", { write: true, append: true, flags: CREATE });
    const failed = done();
    guest.files.syncInBackground(fd);
    expect(await failed).toMatchObject({ code: "EIO" });
    expect(await done()).toBeUndefined();
  });
});
