/**
 * Figures that tests and scripts measure. They are printed; with `REGEARS_FIGURES` set to a folder they are also written
 * there, one file each, and `npm run docs` makes a table of them.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

type Counts = Readonly<Record<string, number>>;

interface Figure {
  readonly what: string;
  readonly result: string;
  readonly counts?: Counts;
}

/**
 * Tells what was done and what came of it.
 * @param name of the file, without its ending
 * @param what the left column of the table
 * @param result the right one
 * @param counts stand in both texts where their names are in braces. With `REGEARS_FIGURES_ADD` set they are added to those
 * that are in the file already, so that something long can be done in pieces.
 */
export function figure(name: string, what: string, result: string, counts?: Counts): void {
  const folder = process.env.REGEARS_FIGURES;
  const path = folder ? join(folder, `${name}.json`) : undefined;
  const all = counts && withEarlier(counts, path);
  const filled = (text: string): string =>
    text.replace(/\{(\w+)\}/g, (whole, count: string) => String(all?.[count] ?? whole));
  const done: Figure = { what: filled(what), result: filled(result), ...(all && { counts: all }) };
  console.info(`${done.what}: ${done.result}`);
  if (path === undefined) return;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(done, undefined, 2)}\n`);
}

function withEarlier(counts: Counts, path: string | undefined): Counts {
  if (!process.env.REGEARS_FIGURES_ADD || path === undefined || !existsSync(path)) return counts;
  const { counts: earlier = {} } = JSON.parse(readFileSync(path, "utf8")) as Figure;
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, count + (earlier[name] ?? 0)]));
}
