import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { DATA_FILE } from "../../src/store/data.ts";
import { startData } from "./support.ts";
import { newFolder } from "../support/folders.ts";

const CHILD = fileURLToPath(new URL("crash-child.ts", import.meta.url));

/** Runs the writer until it has said `until` so many times, and some milliseconds more. @returns what it said */
async function killed(directory: string, until: RegExp, times: number, afterMs: number): Promise<string[]> {
  const child: ChildProcess = spawn(process.execPath, ["--import", "tsx", CHILD, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  let seen = 0;
  if (!child.stdout) throw new Error("no output");
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    if (until.test(line) && ++seen === times) setTimeout(() => child.kill("SIGKILL"), afterMs);
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  expect(child.signalCode).toBe("SIGKILL");
  return lines;
}

const last = (lines: readonly string[], kind: string): number =>
  Number(
    lines
      .filter((line) => line.startsWith(kind))
      .at(-1)
      ?.split(" ")[1] ?? 0,
  );

describe("a server that is killed", () => {
  it("has what was saved last, whole, also when it was saving", { timeout: 120_000 }, async () => {
    const directory = newFolder();
    let kept = 0;
    for (let kill = 0; kill < 8; kill++) {
      // At another moment of another snapshot each time.
      const lines = await killed(directory, /^saving/, 1 + (kill % 3), kill * 9);
      const loaded = last(lines, "loaded");
      expect(loaded).toBeGreaterThanOrEqual(kept);
      kept = Math.max(loaded, last(lines, "saved"));
      const begun = last(lines, "saving");

      const { client, log, stop } = await startData(directory);
      const generation = Number(await client.call("GET", "generation"));
      expect(generation).toBeGreaterThanOrEqual(kept);
      expect(generation).toBeLessThanOrEqual(begun);
      if (generation > 0) expect(await client.call("DBSIZE")).toBe(3001);
      const values = (await client.call("MGET", ...Array.from({ length: 3000 }, (_, i) => `key:${i}`))) as Buffer[];
      expect(new Set(values.map((value) => Number(value?.toString().split(" ")[0] ?? 0)))).toEqual(
        new Set([generation]),
      );
      expect(log.matching(/damaged/)).toEqual([]);
      await stop();
    }
    expect(kept).toBeGreaterThan(3);
    expect((await readdir(directory)).sort()).toEqual([DATA_FILE, `${DATA_FILE}.bak`]);
  });
});
