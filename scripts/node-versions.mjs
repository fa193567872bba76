// Tries the compiled server with several versions of Node.js, which npm brings: `npm run node-versions [-- VERSION ...]`.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const given = process.argv.slice(2);
const versions = given.length > 0 ? given : ["20.20", "22", "24", "26"];
const folder = mkdtempSync(join(tmpdir(), "regears-node-"));

/** What is tried: a server in a program, the one of tests, and the program itself. */
const PROGRAM = `
import assert from "node:assert/strict";
import { createServer } from ${JSON.stringify(`${root}dist/index.js`)};
import { startServer } from ${JSON.stringify(`${root}dist/testing.js`)};
const server = await createServer({ port: 0, log: false });
assert.equal(server.url, "redis://127.0.0.1:" + server.port);
await server.close();
const tested = await startServer();
await tested.call("SET", "text:1", "to be or not to be");
assert.deepEqual(await tested.load(${JSON.stringify(`${root}examples/word_count.py`)}), ["to 2", "be 2", "or 1", "not 1"]);
await tested.call("RG.PYEXECUTE", "registerTE(60, lambda: execute('INCR', 'minutes'))");
await tested.fastForward(600_000);
assert.equal(await tested.call("GET", "minutes"), "10");
await tested.reset();
assert.deepEqual(await tested.call("KEYS", "*"), []);
await tested.close();
console.log(process.version);
`;

try {
  writeFileSync(join(folder, "try.mjs"), PROGRAM);
  writeFileSync(join(folder, "commands.txt"), 'SET text:1 "to be or not to be"\n');
  for (const version of versions) {
    const name = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;
    const target = join(folder, version);
    const options = ["--prefix", target, "--no-audit", "--no-fund", "--loglevel", "error"];
    execFileSync("npm", ["install", ...options, `${name}@${version}`], { stdio: ["ignore", "ignore", "inherit"] });
    const node = join(target, "node_modules", name, "bin", "node");
    const run = (...args) => execFileSync(node, args, { cwd: folder, encoding: "utf8" });
    const tried = run("try.mjs").trim();
    const args = ["run", `${root}examples/word_count.py`, "--embedded", "--load", "commands.txt", "--json"];
    const words = run(`${root}bin/regears.js`, ...args);
    if (words !== '"to 2"\n"be 2"\n"or 1"\n"not 1"\n') throw new Error(`${version}: ${words}`);
    console.log(`${tried}: a server in a program, one of tests, and regears run`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
