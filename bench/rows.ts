/** All rows, in the order in which they are shown. */
import type { Row } from "./row.ts";
import { batches } from "./rows/batches.ts";
import { events } from "./rows/events.ts";
import { executes } from "./rows/execute.ts";
import { growth } from "./rows/growth.ts";
import { plain } from "./rows/plain.ts";
import { processes } from "./rows/process.ts";
import { scripts } from "./rows/scripts.ts";

export const groups: Readonly<Record<string, readonly Row[]>> = {
  "Flows over many keys": batches,
  Scripts: scripts,
  "Commands from Python": executes,
  Events: events,
  "Without gears": plain,
  "Many of them": growth,
  "The process": processes,
};

/** @param only parts of names; none: all rows */
export function rowsNamed(only: readonly string[]): Row[] {
  const all = Object.values(groups).flat();
  return only.length === 0 ? all : all.filter(({ name }) => only.some((part) => name.includes(part)));
}
