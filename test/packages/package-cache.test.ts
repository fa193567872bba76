/** How much is kept of packages, and which. */
import { existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Installed } from "../../src/packages/installed.ts";
import { Installer } from "../../src/packages/installer.ts";
import { NO_LOG } from "../../src/log.ts";
import { newFolder } from "../support/folders.ts";
import { folderOf, type WheelSpec } from "../support/wheels.ts";

const NAMES = ["one", "two", "three"];
const wheels = folderOf(
  NAMES.map(
    (name): WheelSpec => ({
      name,
      version: "1.0",
      files: [{ path: `${name}.py`, content: `x = "${"y".repeat(50_000)}"` }],
    }),
  ),
);
const folders = [wheels];
const installers: Installer[] = [];
afterAll(() => {
  for (const installer of installers) installer.close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function installer(cacheDir: string, maxCacheBytes: number): Installer & { readonly lines: string[] } {
  const lines: string[] = [];
  const made = new Installer({
    settings: {
      packagesDir: wheels,
      pyodidePackages: "no",
      indexUrl: "no",
      cacheDir,
      maxBytes: 10_000_000,
      maxCacheBytes,
      preload: [],
    },
    compile: () => Promise.resolve(new Map()),
    idleMs: () => 10_000,
    builtIn: new Set(),
    log: { ...NO_LOG, info: (line: unknown) => void lines.push(String(line)) },
  });
  installers.push(made);
  return Object.assign(made, { lines });
}

/** All wheels and packs below the cache. */
const filesOf = (cache: string): string[] =>
  readdirSync(join(cache, "packages"), { recursive: true, encoding: "utf8" })
    .map((name) => join(cache, "packages", name))
    .filter((path) => /\.(whl|pack)$/.test(path));

const bytesOf = (cache: string): number => filesOf(cache).reduce((sum, path) => sum + statSync(path).size, 0);

/** As if everything had been used some hours ago; what is installed later, later. */
function age(cache: string, order: readonly Installed[]): void {
  for (const path of filesOf(cache)) {
    const place = order.findIndex(({ packages, wheelsOf }) =>
      [...(packages?.packs ?? []), ...[...wheelsOf.values()].flat()].some((one) => path.endsWith(one)),
    );
    const time = Date.now() / 1000 - 5 * 3600 + place * 60;
    utimesSync(path, time, time);
  }
}

describe("packages-cache-size", () => {
  async function filled(): Promise<{ cache: string; installed: Installed[]; bytes: number }> {
    const cache = newFolder();
    folders.push(cache);
    const first = installer(cache, 0);
    const installed: Installed[] = [];
    for (const name of NAMES) installed.push(await first.install([name], false));
    age(cache, installed);
    return { cache, installed, bytes: bytesOf(cache) };
  }
  const packs = (installed: readonly Installed[]): boolean[] =>
    installed.map(({ packages }) => packages?.packs.every((path) => existsSync(path)) ?? false);

  it("lets go first what was used longest ago, and no more than has to go", async () => {
    const { cache, installed, bytes } = await filled();
    const next = installer(cache, bytes - 1);
    await expect.poll(() => bytesOf(cache)).toBeLessThan(bytes);
    await expect.poll(() => next.lines).toContainEqual(expect.stringContaining("packages-cache-size"));
    expect(packs(installed).slice(1)).toEqual([true, true]);
  });

  it("spares what a session uses, and what was used lately", async () => {
    const cache = newFolder();
    folders.push(cache);
    const one = installer(cache, 1);
    const used = [await one.install(["one"], false), await one.install(["two"], false)];
    const other = join(cache, "packages", "packs", `${"0".repeat(64)}-other.pack`);
    writeFileSync(other, "x");
    age(cache, used);
    const lately = await one.install(["three"], false);
    await expect.poll(() => existsSync(other)).toBe(false);
    await expect.poll(() => one.lines).toContainEqual(expect.stringContaining("other.pack is removed"));
    expect(packs([...used, lately])).toEqual([true, true, true]);
    expect(filesOf(cache).filter((path) => path.endsWith(".whl"))).toHaveLength(3);
  });
});
