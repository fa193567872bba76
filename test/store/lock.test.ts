import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { DISK, type FileSystem } from "../../src/store/disk.ts";
import { DirectoryInUse, DirectoryLock } from "../../src/store/directory-lock.ts";
import { Lines } from "./support.ts";
import { newFolder } from "../support/folders.ts";

const CHILD = fileURLToPath(new URL("lock-child.ts", import.meta.url));

const locks: DirectoryLock[] = [];
afterEach(() => {
  for (const lock of locks.splice(0)) lock.release();
});

function lockOf(directory: string, log = new Lines(), disk?: FileSystem): DirectoryLock {
  const lock = new DirectoryLock({ directory, log, ...(disk && { disk }) });
  locks.push(lock);
  return lock;
}

/** A process that takes the directory; resolves with what it says. */
async function otherProcess(directory: string) {
  const child = spawn(process.execPath, ["--import", "tsx", CHILD, directory], { stdio: ["pipe", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (bytes) => {
    said += bytes;
  });
  while (!said.includes("\n")) await once(child.stdout, "data");
  return { child, said: said.trim() };
}

describe("a directory", () => {
  it("is taken once, and again when it was given back", async () => {
    const directory = newFolder();
    const first = lockOf(directory);
    await first.take();
    await first.take();
    const second = lockOf(directory);
    const text = `the directory '${directory}' is in use by another server, process ${process.pid} on `;
    await expect(second.take()).rejects.toThrow(text);
    await expect(second.take()).rejects.toThrow(DirectoryInUse);
    first.release();
    await second.take();
    expect(await readdir(directory)).toHaveLength(1);
    second.release();
    expect(await readdir(directory)).toEqual([]);
  });

  it("whose sign somebody has removed is taken again, unless another server came", async () => {
    const directory = newFolder();
    const first = lockOf(directory);
    await first.take();
    for (const name of await readdir(directory)) await rm(join(directory, name));
    await first.take();
    expect(await readdir(directory)).toHaveLength(1);
    for (const name of await readdir(directory)) await rm(join(directory, name));
    const second = lockOf(directory);
    await second.take();
    await expect(first.take()).rejects.toThrow(DirectoryInUse);
    await second.take();
  });

  it("is made when it is missing", async () => {
    const directory = join(newFolder(), "a/b");
    await lockOf(directory).take();
    expect(await readdir(directory)).toHaveLength(1);
  });

  it("has one owner of many that want it at once, each time", async () => {
    const directory = newFolder();
    for (let round = 0; round < 20; round++) {
      const contenders = Array.from({ length: 5 }, () => lockOf(directory));
      const outcomes = await Promise.allSettled(contenders.map((lock) => lock.take()));
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      for (const lock of contenders) lock.release();
    }
  });

  it.skipIf(process.platform === "win32")("is free when its owner was killed, whoever has its number now", async () => {
    const directory = newFolder();
    const { child, said } = await otherProcess(directory);
    expect(said).toBe("taken");
    await expect(lockOf(directory).take()).rejects.toThrow(`process ${child.pid} on `);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await readdir(directory)).toHaveLength(1);
    // The name says a number that a living process has: ours.
    await DISK.rename(
      join(directory, String((await readdir(directory))[0])),
      join(directory, `regears.lock-${process.pid}-0123`),
    );
    await lockOf(directory).take();
    expect(await readdir(directory)).toHaveLength(1);
  });

  it.skipIf(process.platform === "win32")(
    "is taken by an owner that does not answer, as long as it lives",
    async () => {
      const directory = newFolder();
      const silent = createServer(() => {});
      await new Promise<void>((done) => silent.listen(join(directory, "regears.lock-4711-00"), done));
      await expect(lockOf(directory).take()).rejects.toThrow("process 4711");
      await new Promise((done) => silent.close(done));
      await lockOf(directory).take();
    },
  );

  it.skipIf(process.platform === "win32")("is not blocked by a file that only has the name", async () => {
    const directory = newFolder();
    await writeFile(join(directory, "regears.lock-1-ff"), "1");
    await lockOf(directory).take();
  });

  it.skipIf(process.platform === "win32")(
    "whose path is too long for a socket is used, and the log tells",
    async () => {
      const directory = join(newFolder(), "x".repeat(120));
      const log = new Lines();
      await lockOf(directory, log).take();
      expect(log.matching(/^warn a second server .* would not be noticed/)).toHaveLength(1);
    },
  );

  it("that can not be taken tells why, and can be tried again", async () => {
    const directory = newFolder();
    let refuses = true;
    const readdir_ = (path: string): Promise<string[]> =>
      refuses ? Promise.reject(new Error("EIO: i/o error")) : readdir(path);
    const lock = lockOf(directory, new Lines(), { ...DISK, readdir: readdir_ } as FileSystem);
    await expect(lock.take()).rejects.toThrow("EIO");
    refuses = false;
    await lock.take();
  });
});
