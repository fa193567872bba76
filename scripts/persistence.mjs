// Measures how data are kept: saving and loading a million keys, and what the log of changes costs; a redis-server does the
// same in the same run. Writes figures to bench/results/persistence and docs/persistence.md. It needs a quiet machine,
// redis-server and redis-benchmark:
//
//     npm run build && node scripts/persistence.mjs            (or one part: keys, logs)
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const results = join(root, "bench/results/persistence");
const KEYS = Number(process.env.KEYS ?? 1_000_000);
const ROUNDS = Number(process.env.ROUNDS ?? 3);
/** Keys that one script makes: longer ones would be stopped. */
const AT_ONCE = 50_000;
const folders = [];

const regears = (...args) => ["node", join(root, "bin/regears.js"), ...args];
const redis = (...args) => ["redis-server", "--loglevel", "warning", ...args];

const newFolder = () => {
  const folder = mkdtempSync(join(tmpdir(), "regears-persistence-"));
  folders.push(folder);
  return folder;
};

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** One command and the first line of its reply. */
const ask = (port, ...words) =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("error", reject);
    socket.once("data", (bytes) => {
      socket.destroy();
      resolve(bytes.toString().split("\r\n")[0]);
    });
    socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`);
  });

/** Starts a server and waits until it answers. */
async function start([program, ...args], folder) {
  const port = await freePort();
  const begun = performance.now();
  const child = spawn(program, [...args, "--port", String(port), "--dir", folder], { stdio: "ignore" });
  for (;;) {
    const answer = await ask(port, "PING").catch(() => undefined);
    if (answer === "+PONG") break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const stop = () =>
    new Promise((resolve) => {
      child.once("exit", resolve);
      child.kill("SIGKILL");
    });
  return { port, startMs: performance.now() - begun, stop };
}

/** Thousands of commands a second. */
function benchmark(port, ...args) {
  const output = execFileSync("redis-benchmark", ["-p", String(port), "-t", "set", "-r", "100000", "--csv", ...args], {
    encoding: "utf8",
  });
  return Number(/"SET","([\d.]+)"/.exec(output)?.[1]) / 1000;
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** The median of several rounds, each server on its own and in turns. */
async function compare(commands, ...args) {
  const measured = commands.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [at, command] of commands.entries()) {
      const server = await start(command, newFolder());
      measured[at].push(benchmark(server.port, ...args));
      await server.stop();
    }
  }
  return measured.map(median);
}

function figure(name, what, result) {
  console.info(`${what}: ${result}`);
  mkdirSync(results, { recursive: true });
  writeFileSync(join(results, `${name}.json`), `${JSON.stringify({ what, result }, undefined, 2)}\n`);
}

const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;

async function manyKeys() {
  const folder = newFolder();
  let server = await start(regears("--save", ""), folder);
  for (let from = 1; from <= KEYS; from += AT_ONCE)
    await ask(
      server.port,
      "EVAL",
      `for i = ${from}, ${Math.min(KEYS, from + AT_ONCE - 1)} do redis.call('SET', 'key:' .. i, 'value:' .. i) end`,
      "0",
    );
  const saves = [];
  for (let round = 0; round < ROUNDS; round++) {
    const begun = performance.now();
    const answer = await ask(server.port, "SAVE");
    if (answer !== "+OK") throw new Error(answer);
    saves.push(performance.now() - begun);
  }
  await server.stop();
  const starts = [];
  for (let round = 0; round < ROUNDS; round++) {
    server = await start(regears("--save", ""), folder);
    starts.push(server.startMs);
    const answer = await ask(server.port, "DBSIZE");
    if (answer !== `:${KEYS}`) throw new Error(answer);
    await server.stop();
  }
  const megabytes = (statSync(join(folder, "dump.rdb")).size / 1e6).toFixed(0);
  figure(
    "1-save",
    `\`SAVE\` of ${KEYS} small keys (${megabytes} MB), which holds everybody up`,
    seconds(median(saves)),
  );
  figure("2-start", "a start with them, until the first `PING` is answered", seconds(median(starts)));
}

async function logs() {
  const off = ["--save", ""];
  const on = (mode) => [...off, "--appendonly", "yes", "--appendfsync", mode];
  const piped = ["-P", "16", "-c", "50", "-n", "300000"];
  const [without, everysec] = await compare([regears(...off), regears(...on("everysec"))], ...piped);
  figure(
    "3-everysec",
    "`SET` by 50 clients with `-P 16`: without a log, and with `appendfsync everysec`",
    `${without.toFixed(0)}k/s and ${everysec.toFixed(0)}k/s: ${(everysec / without).toFixed(2)} of it`,
  );
  const [ours, theirs] = await compare([regears(...on("always")), redis(...on("always"))], "-c", "50", "-n", "10000");
  figure(
    "4-always",
    "`SET` by 50 clients with `appendfsync always`, and redis-server 7 on the same disk",
    `${ours.toFixed(1)}k/s and ${theirs.toFixed(1)}k/s: ${(ours / theirs).toFixed(2)} of it`,
  );
}

const [part] = process.argv.slice(2);
try {
  if (part !== "logs") await manyKeys();
  if (part !== "keys") await logs();
} finally {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
spawnSync(process.execPath, [join(root, "node_modules/tsx/dist/cli.mjs"), "scripts/docs.ts"], {
  cwd: root,
  stdio: "inherit",
});
