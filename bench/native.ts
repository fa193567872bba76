/** What native RedisGears took on another machine at another time, and how that is made comparable. */
import { readFileSync } from "node:fs";
import type { Calibration, RowResult } from "./results.ts";

interface NativeFigures {
  readonly about: string;
  readonly machine: string;
  readonly calibration: Readonly<Record<keyof Calibration, readonly [number, number]>>;
  /** The least and the most of its medians, by row. */
  readonly rows: Readonly<Record<string, readonly [number, number]>>;
  /** Those of the Regears of that time, in the same runs. */
  readonly then: Readonly<Record<string, readonly [number, number]>>;
}

export const native = JSON.parse(readFileSync(new URL("./native.json", import.meta.url), "utf8")) as NativeFigures;

/** How many times as slow the machine of a result was, by the calibrations; undefined when there were none. */
export function factorOf({ calibration }: RowResult): number | undefined {
  const shares = (Object.keys(native.calibration) as (keyof Calibration)[]).flatMap((name) => {
    const here = calibration[name];
    return here === undefined ? [] : [here / middle(native.calibration[name])];
  });
  return shares.length === 0 ? undefined : shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** What native RedisGears would take where a row was measured. Memory does not depend on the machine's speed. */
export function nativeFor(result: RowResult): number | undefined {
  const there = native.rows[result.row];
  const factor = result.unit === "ms" ? factorOf(result) : 1;
  return there && factor && middle(there) * factor;
}

const middle = ([least, most]: readonly [number, number]): number => (least + most) / 2;
