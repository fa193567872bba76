/** Archives of strangers. */
import { describe, expect, it } from "vitest";
import { readZip } from "../../src/packages/zip.ts";
import { type ZipFile, zip } from "../support/wheels.ts";

const LIMITS = { files: 10, bytes: 10_000_000 };

const paths = (files: readonly ZipFile[]): string[] => readZip(zip(files), LIMITS).map(({ path }) => path);

describe("an archive", () => {
  it("gives its files, without its folders", async () => {
    const archive = zip([
      { path: "a/", content: "", mode: 0o040_755 },
      { path: "a/b.py", content: "x = 1\n" },
      { path: "empty", content: "" },
    ]);
    const entries = readZip(archive, LIMITS);
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
  ])("with a file named %j is refused", (path) => {
    expect(() => paths([{ path, content: "" }])).toThrow("a name that is not allowed");
  });

  it("with a link or a device is refused", () => {
    expect(() => paths([{ path: "a", content: "/etc/passwd", mode: 0o120_777 }])).toThrow("no ordinary file");
    expect(() => paths([{ path: "a", content: "", mode: 0o020_666 }])).toThrow("no ordinary file");
  });

  it("with a file twice is refused", () => {
    expect(() =>
      paths([
        { path: "a", content: "1" },
        { path: "a", content: "2" },
      ]),
    ).toThrow("twice");
  });

  it("with too many files, or too many bytes, is refused before anything is unpacked", () => {
    const many = Array.from({ length: 11 }, (_, at) => ({ path: `f${at}`, content: "" }));
    expect(() => paths(many)).toThrow("at most 10 are allowed");
    expect(() => paths([{ path: "a", content: "", claims: 10_000_001 }])).toThrow("more than 10000000 bytes");
  });

  it("with many files that are each packed tightly, or share their bytes, is refused before anything is unpacked", () => {
    const many = Array.from({ length: 70 }, (_, at) => ({ path: `f${at}`, content: Buffer.alloc(1_000_000) }));
    expect(() => readZip(zip(many), { files: 100, bytes: 1e9 })).toThrow("packed too tightly");
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
    const [entry] = readZip(zip([file]), LIMITS);
    await expect(entry?.read()).rejects.toThrow(reason);
  });

  it("that is cut off or changed anywhere is refused, or gives what it gave", async () => {
    const archive = zip([{ path: "a.py", content: "x = 1\n".repeat(20) }]);
    const readAll = async (bytes: Buffer): Promise<string> => {
      const contents = await Promise.all(readZip(bytes, LIMITS).map((entry) => entry.read()));
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
