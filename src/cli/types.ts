/** `regears types [FOLDER]`: the types of what scripts see, for editors and checkers. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ConfigError } from "../config.ts";
import { makeFolder } from "../folder.ts";
import type { CommandArguments } from "./program-commands.ts";

const STUBS = new URL("stubs/", import.meta.url);
const stub = (name: string): string => readFileSync(new URL(name, STUBS), "utf8");

/** Prints gears.pyi, or writes all files into a folder. @throws ConfigError when that has another file of such a name */
export function types({ words: [folder, ...more] }: CommandArguments): number {
  if (more.length > 0) throw new ConfigError("'types' takes one folder");
  if (folder === undefined) {
    process.stdout.write(stub("gears.pyi"));
    return 0;
  }
  const files = readdirSync(STUBS).map((name) => ({ path: join(folder, name), text: stub(name) }));
  for (const { path, text } of files)
    if (existsSync(path) && !isOurs(readFileSync(path, "utf8"), text))
      throw new ConfigError(`${path} is there already, and of somebody else`);
  makeFolder(folder);
  for (const { path, text } of files) {
    writeFileSync(path, text);
    process.stdout.write(`${path}\n`);
  }
  return 0;
}

/** An earlier version begins as this one does. */
const isOurs = (there: string, ours: string): boolean => there.split("\n")[0] === ours.split("\n")[0];
