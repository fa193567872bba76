// Compiles src/ to dist/, copies the Python runtime beside it, bundles the page of the console, and makes the engine's file.
import { execFileSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildConsolePage } from "./console-page.mjs";
import { buildInlinedEngine } from "./inlined-engine.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(`${root}dist`, { recursive: true, force: true });
execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-p", `${root}tsconfig.build.json`], {
  stdio: "inherit",
});
cpSync(`${root}src/python/runtime`, `${root}dist/python/runtime`, { recursive: true });
cpSync(`${root}src/gateway/scripts.lua`, `${root}dist/gateway/scripts.lua`);
await buildConsolePage(`${root}dist/console/page`);
cpSync(`${root}src/cli/stubs`, `${root}dist/cli/stubs`, { recursive: true });
cpSync(`${root}src/cli/shell.py`, `${root}dist/cli/shell.py`);
await buildInlinedEngine(`${root}dist`);
