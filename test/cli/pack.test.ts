/** What `npm pack` makes of this checkout. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const [packed] = JSON.parse(
  execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root, encoding: "utf8" }),
) as { files: { path: string }[]; unpackedSize: number }[];
const files = packed?.files.map(({ path }) => path) ?? [];
const manifest = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as {
  bin: Record<string, string>;
  exports: Record<string, Record<string, string>>;
};

describe("the package", () => {
  it("has what its manifest names", () => {
    const named = [
      ...Object.values(manifest.bin),
      ...Object.values(manifest.exports).flatMap((one) => Object.values(one)),
    ].map((path) => path.replace(/^\.\//, ""));
    expect(named.filter((path) => !files.includes(path))).toEqual([]);
  });

  it("has what is no JavaScript, too", () => {
    for (const path of [
      "dist/python/runtime/main.py",
      "dist/gateway/scripts.lua",
      "dist/cli/shell.py",
      "dist/cli/stubs/gears.pyi",
      "dist/engine/valkey-LICENSE.txt",
    ])
      expect(files).toContain(path);
    expect(files).toContainEqual(expect.stringMatching(/^dist\/engine\/valkey-[0-9a-f]{16}\.wasm$/));
    for (const path of ["docs/options.md", "examples/word_count.py", "examples/pytest/regears_pytest.py", "LICENSE"])
      expect(files).toContain(path);
  });

  it("has nothing else", () => {
    const known =
      /^(bin\/regears\.js|dist\/.*\.(js|d\.ts|py|pyi|lua|css|html|svg|woff2|json|txt|wasm)|docs\/.*\.(md|svg|png|json|ya?ml)|examples\/.*\.py|README\.md|CHANGELOG\.md|LICENSE|package\.json)$/;
    expect(files.filter((path) => !known.test(path))).toEqual([]);
    expect(files.filter((path) => /(^|\/)(test|src|node_modules|__pycache__)\//.test(path))).toEqual([]);
  });
});
