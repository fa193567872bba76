// Runs the fuzzers longer than CI does: npm run fuzz -- [--seconds 600] [--seed N] [--only requests]
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "600" },
    seed: { type: "string" },
    only: { type: "string", default: "" },
  },
});
const env = { ...process.env, REGEARS_FUZZ_SECONDS: values.seconds };
if (values.seed !== undefined) env.REGEARS_FUZZ_SEED = values.seed;
const root = fileURLToPath(new URL("..", import.meta.url));
const vitest = `${root}node_modules/vitest/vitest.mjs`;
const { status } = spawnSync(process.execPath, [vitest, "run", `test/fuzz/${values.only}`], {
  cwd: root,
  env,
  stdio: "inherit",
});
process.exitCode = status ?? 1;
