/** `npm run docs` writes the generated parts of the README; `npm run docs:check` fails when they are out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { withGeneratedParts } from "./readme.ts";

const path = new URL("../README.md", import.meta.url);
const present = readFileSync(path, "utf8");
const wanted = await withGeneratedParts(present);
if (process.argv.includes("--check")) {
  if (present !== wanted) {
    process.stderr.write("README.md is out of date: run `npm run docs`.\n");
    process.exitCode = 1;
  }
} else writeFileSync(path, wanted);
