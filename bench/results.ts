/** What was measured, as it is kept in bench/results/performance: a file for each row, so that rows can be measured one by one. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Unit } from "./row.ts";
import type { SideName } from "./servers.ts";
import type { Spread } from "./statistics.ts";

const FOLDER = fileURLToPath(new URL("./results/performance", import.meta.url));

/** Of a side in a row; an error in place of the measurement where it could not be made. */
export interface Measured extends Partial<Spread> {
  readonly title: string;
  /** A commit, or a release. */
  readonly version: string;
  readonly rounds: number;
  /** What a client's PINGs took beside one more round, in milliseconds. */
  readonly pings?: { readonly p99: number; readonly slowest: number; readonly count: number };
  readonly error?: string;
}

/** How fast the machine was, in milliseconds. */
export interface Calibration {
  /** 500 000 × INCR in a Lua loop, in redis-server. */
  readonly luaLoopMs?: number;
  /** fib(24) in the system's Python. */
  readonly pythonFibMs?: number;
}

export interface RowResult {
  readonly row: string;
  readonly unit: Unit;
  readonly at: string;
  readonly machine: Machine;
  /** Of the last minute, when the row began. */
  readonly load: number;
  readonly calibration: Calibration;
  readonly sides: Readonly<Partial<Record<SideName, Measured>>>;
}

interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  readonly node: string;
}

export const machine = (): Machine => ({
  processor: cpus()[0]?.model.trim() ?? "unknown",
  cores: cpus().length,
  memoryGb: Math.round(totalmem() / 1024 ** 3),
  system: `${process.platform} ${process.arch}, kernel ${release()}`,
  node: process.version,
});

export const load = (): number => Math.round((loadavg()[0] ?? 0) * 100) / 100;

/** A row's name as a file's. */
export const fileOf = (row: string): string =>
  `${row
    .toLowerCase()
    .replace(/×/g, "x")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")}.json`;

/** @param folder where the files are; by default those that docs/performance.md is made of */
export function save(result: RowResult, folder = FOLDER): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, fileOf(result.row)), `${JSON.stringify(result, undefined, 2)}\n`);
}

/** All that was kept, by row. */
export function saved(folder = FOLDER): Map<string, RowResult> {
  const results = readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .map((file) => JSON.parse(readFileSync(join(folder, file), "utf8")) as RowResult);
  return new Map(results.map((result) => [result.row, result]));
}
