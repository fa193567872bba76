/** The figures as text. */
import { isBetterWhenMore } from "./row.ts";
import { load, machine, type Measured, type RowResult } from "./results.ts";
import type { Side, SideName } from "./servers.ts";

/** How many times as fast, or small, the first is. Undefined when one of them was not measured. */
export function ratio(result: RowResult, other: SideName): number | undefined {
  const ours = result.sides.regears?.median;
  const theirs = result.sides[other]?.median;
  if (ours === undefined || theirs === undefined || ours <= 0 || theirs <= 0) return undefined;
  return isBetterWhenMore(result.unit) ? ours / theirs : theirs / ours;
}

export function heading(sides: readonly Side[]): string {
  const { processor, cores, memoryGb, system, node } = machine();
  const versions = sides.map(({ title, version }) => `${title} ${version}`).join(", ");
  const legend =
    "median (quartiles); × is how many times as fast, or small, Regears is; PING is the 99th percentile beside it";
  return `${processor}, ${cores} cores, ${memoryGb} GB, ${system}, Node.js ${node}, load ${load()}\n${versions}\n${legend}\n\n`;
}

export function line(result: RowResult): string {
  const sides = Object.entries(result.sides).map(([name, side]) => {
    const times = name === "regears" ? undefined : ratio(result, name as SideName);
    return `    ${side.title.padEnd(24)} ${figure(side, result)}${times === undefined ? "" : `   × ${times.toFixed(2)}`}`;
  });
  return `${result.row}\n${sides.join("\n")}\n`;
}

function figure({ median, lower, upper, pings, error }: Measured, { unit }: RowResult): string {
  if (median === undefined || lower === undefined || upper === undefined) return error ?? "not measured";
  const beside = pings ? `   PING ${pings.p99.toFixed(1)} ms` : "";
  return `${rounded(median).padStart(9)} ${unit} (${rounded(lower)}–${rounded(upper)})${beside}`;
}

/** Three digits, and all before the point. */
export function rounded(value: number): string {
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.max(Math.abs(value), 1e-9))));
  const text = value.toFixed(Math.min(digits, 2));
  return text.replace(/\B(?=(\d{3})+(?!\d))/g, (_, __, at: number) =>
    text.indexOf(".") >= 0 && at > text.indexOf(".") ? "" : " ",
  );
}
