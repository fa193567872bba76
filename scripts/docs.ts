/** `npm run docs` writes the generated parts of the documents; `npm run docs:check` fails when they are out of date. */
import { readFileSync, writeFileSync } from "node:fs";
import { generatedDocuments } from "./generated.ts";

for (const [name, generate] of Object.entries(generatedDocuments)) {
  const path = new URL(`../${name}`, import.meta.url);
  const present = readFileSync(path, "utf8");
  const wanted = await generate(present);
  if (present === wanted) continue;
  if (process.argv.includes("--check")) {
    process.stderr.write(`${name} is out of date: run \`npm run docs\`.\n`);
    process.exitCode = 1;
  } else writeFileSync(path, wanted);
}
