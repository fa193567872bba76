/**
 * Figures that tests and scripts measure. They are printed; with `REGEARS_FIGURES` set to a folder they are also written
 * there, one file each, and `npm run docs` makes a table of them.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * Tells what was done and what came of it.
 * @param name of the file, without its ending
 * @param what the left column of the table
 * @param result the right one
 */
export function figure(name: string, what: string, result: string): void {
  console.info(`${what}: ${result}`);
  const folder = process.env.REGEARS_FIGURES;
  if (!folder) return;
  const path = join(folder, `${name}.json`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify({ what, result }, undefined, 2)}\n`);
}
