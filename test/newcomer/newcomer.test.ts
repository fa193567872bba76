/** The ways in which people start, each a script that begins with `npm pack` and an empty folder. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const folder = fileURLToPath(new URL(".", import.meta.url));
const scripts = readdirSync(folder).filter((name) => name.endsWith(".sh") && name !== "begin.sh");
/** The script's own word for: what it needs is not there. */
const SKIPPED = 77;

it.for(scripts)("%s", { timeout: 300_000 }, (script, context) => {
  // the variables of this vitest are not those of theirs
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_ENV|npm_)/.test(name)));
  const { status, stdout, stderr } = spawnSync("bash", [folder + script], {
    encoding: "utf8",
    env: { ...env, NO_COLOR: "1" },
  });
  if (status === SKIPPED) context.skip("no package registry, or no Python with pytest and redis-py");
  expect({ status, output: stdout + stderr }).toEqual({ status: 0, output: expect.any(String) });
});
