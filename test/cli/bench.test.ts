/** The benchmark works: it starts servers, measures, prints and keeps what it has measured. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { saved } from "../../bench/results.ts";
import { spread } from "../../bench/statistics.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const ROW = "RG.DUMPREGISTRATIONS of 1 100";

it.skipIf(process.platform !== "linux")("measures a row and keeps its figures", { timeout: 120_000 }, async () => {
  const out = mkdtempSync(join(tmpdir(), "regears-bench-test-"));
  try {
    const args = [`${root}node_modules/tsx/dist/cli.mjs`, "bench/bench.ts", "--quick", "--only", ROW, "--out", out];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root });
    expect(stdout).toContain(ROW);
    const result = saved(out).get(ROW);
    expect(result?.unit).toBe("ms");
    expect(result?.sides.regears).toMatchObject({ title: "Regears", rounds: 1, median: expect.any(Number) });
    expect(result?.sides.regears?.pings?.count).toBeGreaterThan(0);
  } finally {
    rmSync(out, { recursive: true });
  }
});

it("tells medians and quartiles", () => {
  expect(spread([4, 1, 3, 2])).toEqual({ median: 2.5, lower: 1.75, upper: 3.25 });
  expect(spread([7])).toEqual({ median: 7, lower: 7, upper: 7 });
  expect(() => spread([])).toThrow(RangeError);
});
