// Runs the tests that measure, keeps their figures in bench/results and writes them into the README. The soak adds its own.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const env = {
  REGEARS_MANY_KEYS: "1000000",
  REGEARS_KILLS: "200",
  REGEARS_LOG_KILLS: "150",
  REGEARS_FUZZ_SECONDS: "20",
  REGEARS_VISITORS: "10000",
  REGEARS_DIRECT_ROUNDS: "100",
  ...process.env,
  REGEARS_FIGURES: `${root}bench/results`,
};
const run = (...args) => {
  const { status } = spawnSync(process.execPath, args, { cwd: root, env, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
};

if (process.argv.includes("--soak")) run(`${root}node_modules/tsx/dist/cli.mjs`, "scripts/soak.mjs");
else run(`${root}node_modules/vitest/vitest.mjs`, "run", "test/fault", "test/fuzz");
run(`${root}node_modules/tsx/dist/cli.mjs`, "scripts/docs.ts");
