/** Archives of strangers. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type ArchiveBytes, readZip, withArchive } from "../../src/packages/zip.ts";
import { newFolder } from "../support/folders.ts";
import { type ZipFile, zip } from "../support/wheels.ts";

const LIMITS = { files: 10, bytes: 10_000_000 };

const inMemory = (bytes: Buffer): ArchiveBytes => ({
  length: bytes.length,
  read: (at, length) => Promise.resolve(bytes.subarray(at, at + length)),
});

const paths = async (files: readonly ZipFile[]): Promise<string[]> =>
  (await readZip(inMemory(zip(files)), LIMITS)).map(({ path }) => path);

describe("an archive", () => {
  it("gives its files, without its folders", async () => {
    const archive = zip([
      { path: "a/", content: "", mode: 0o040_755 },
      { path: "a/b.py", content: "x = 1\n" },
      { path: "empty", content: "" },
    ]);
    const entries = await readZip(inMemory(archive), LIMITS);
    expect(entries.map(({ path, size }) => [path, size])).toEqual([
      ["a/b.py", 6],
      ["empty", 0],
    ]);
    expect(await Promise.all(entries.map((entry) => entry.read()))).toEqual([Buffer.from("x = 1\n"), Buffer.alloc(0)]);
  });

  it.each([
    "../x",
    "a/../../x",
    "/etc/passwd",
    "a//b",
    "./a",
    "a\\b",
    "C:x",
    "a\u0000b",
    "a\nb",
    `${"a/".repeat(600)}b`,
  ])("with a file named %j is refused", async (path) => {
    await expect(paths([{ path, content: "" }])).rejects.toThrow("a name that is not allowed");
  });

  it("with a link or a device is refused", async () => {
    await expect(paths([{ path: "a", content: "/etc/passwd", mode: 0o120_777 }])).rejects.toThrow("no ordinary file");
    await expect(paths([{ path: "a", content: "", mode: 0o020_666 }])).rejects.toThrow("no ordinary file");
  });

  it("with a file twice is refused", async () => {
    await expect(
      paths([
        { path: "a", content: "1" },
        { path: "a", content: "2" },
      ]),
    ).rejects.toThrow("twice");
  });

  it("with too many files, or too many bytes, is refused before anything is unpacked", async () => {
    const many = Array.from({ length: 11 }, (_, at) => ({ path: `f${at}`, content: "" }));
    await expect(paths(many)).rejects.toThrow("at most 10 are allowed");
    await expect(paths([{ path: "a", content: "", claims: 10_000_001 }])).rejects.toThrow("more than 10000000 bytes");
  });

  it("with many files that are each packed tightly, or share their bytes, is refused before anything is unpacked", async () => {
    const many = Array.from({ length: 70 }, (_, at) => ({ path: `f${at}`, content: Buffer.alloc(1_000_000) }));
    await expect(readZip(inMemory(zip(many)), { files: 100, bytes: 1e9 })).rejects.toThrow("packed too tightly");
  });

  it.each([
    [
      "that claims to be shorter than it is",
      { path: "a", content: "x".repeat(1000), claims: 10 },
      "longer than it claims",
    ],
    ["that claims to be longer than it is", { path: "a", content: "x", claims: 10 }, "damaged"],
    ["that is packed too tightly", { path: "a", content: "\0".repeat(4_000_000) }, "packed too tightly"],
  ])("with a file %s is refused when that is read", async (_what, file, reason) => {
    const [entry] = await readZip(inMemory(zip([file])), LIMITS);
    await expect(entry?.read()).rejects.toThrow(reason);
  });

  it("in a file is read as far as it is needed, and the file closed", async () => {
    const path = join(newFolder(), "a.zip");
    writeFileSync(path, zip([{ path: "a", content: "1" }]));
    const archive = await withArchive(path, async (bytes) => {
      const [entry] = await readZip(bytes, LIMITS);
      expect(await entry?.read()).toEqual(Buffer.from("1"));
      expect(await bytes.read(bytes.length - 1, 1_000_000_000)).toHaveLength(1);
      expect(await bytes.read(bytes.length + 10, 10)).toHaveLength(0);
      return bytes;
    });
    await expect(archive.read(0, 1)).rejects.toThrow("closed");
  });

  it("that is cut off or changed anywhere is refused, or gives what it gave", async () => {
    const archive = zip([{ path: "a.py", content: "x = 1\n".repeat(20) }]);
    const readAll = async (bytes: Buffer): Promise<string> => {
      const contents = await Promise.all((await readZip(inMemory(bytes), LIMITS)).map((entry) => entry.read()));
      return Buffer.concat(contents).toString();
    };
    for (let length = 0; length < archive.length; length++) {
      await expect(readAll(archive.subarray(0, length))).rejects.toThrow();
    }
    for (let at = 0; at < archive.length; at++) {
      const changed = Buffer.from(archive);
      changed[at] = (changed[at] as number) ^ 0x41;
      const outcome = await readAll(changed).catch((error: unknown) => error);
      if (!(outcome instanceof Error)) expect(["x = 1\n".repeat(20), ""]).toContain(outcome);
    }
  });
});
