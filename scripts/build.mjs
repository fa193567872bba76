// Compiles src/ to dist/ and copies the Python runtime beside it.
import { execFileSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-p", `${root}tsconfig.build.json`], {
  stdio: "inherit",
});
cpSync(`${root}src/python/runtime`, `${root}dist/python/runtime`, { recursive: true });
cpSync(`${root}src/gateway/scripts.lua`, `${root}dist/gateway/scripts.lua`);
cpSync(`${root}src/cli/stubs`, `${root}dist/cli/stubs`, { recursive: true });
cpSync(`${root}src/cli/shell.py`, `${root}dist/cli/shell.py`);
