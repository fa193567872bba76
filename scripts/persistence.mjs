// Measures how data are kept: saving and loading a million keys, what the log of changes costs (a redis-server does the same
// in the same run), replicas, kills, and disks that fail. Writes figures to bench/results/persistence and
// docs/persistence.md. It needs a quiet machine, redis-server, redis-benchmark, and a valkey-server that it fetches:
//
//     npm run build && npx tsx scripts/persistence.mjs [--only PART,…] [--add] [--kills N]
//
// Each part takes less than 150 seconds. With --add the kills are added to those of earlier runs.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { spread } from "../bench/statistics.ts";
import { callOnce } from "../test/support/client.ts";
import { figure as note } from "../test/support/figures.ts";
import { newFolder, removeFolders } from "../test/support/folders.ts";
import { pingsDuring } from "../test/support/ping-probe.ts";
import { freePort } from "../test/support/ports.ts";
import { residentMb } from "../test/support/processes.ts";
import { findValkeyServer } from "../test/support/valkey-server.ts";

const { values: options } = parseArgs({
  options: { only: { type: "string" }, add: { type: "boolean", default: false }, kills: { type: "string" } },
});
const root = fileURLToPath(new URL("..", import.meta.url));
process.env.REGEARS_FIGURES = join(root, "bench/results");
if (options.add) process.env.REGEARS_FIGURES_ADD = "1";
const KEYS = Number(process.env.KEYS ?? 1_000_000);
const ROUNDS = Number(process.env.ROUNDS ?? 3);
/** Keys that one script makes: longer ones would be stopped. */
const AT_ONCE = 50_000;

const regears = (...args) => ["node", join(root, "bin/regears.js"), ...args];
const redis = (...args) => ["redis-server", "--loglevel", "warning", ...args];

const info = async (port, section, field) =>
  new RegExp(`^${field}:(.*)\r$`, "m").exec(await callOnce(port, "INFO", section))?.[1];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sends PINGs meanwhile. @returns what `act` took and the longest waits for a reply, in milliseconds */
async function withPings(port, act) {
  const { result: took, pings } = await pingsDuring(port, async () => {
    const begun = performance.now();
    await act();
    return performance.now() - begun;
  });
  return { took, longest: pings.slowestMs, second: pings.secondMs };
}

/** Starts a server and waits until it answers. */
async function start([program, ...args], folder) {
  const port = await freePort();
  const begun = performance.now();
  const child = spawn(program, [...args, "--port", String(port), "--dir", folder], { stdio: "ignore" });
  for (;;) {
    const answer = await callOnce(port, "PING").catch(() => undefined);
    if (answer === "PONG") break;
    await pause(10);
  }
  const stop = () =>
    new Promise((resolve) => {
      child.once("exit", resolve);
      child.kill("SIGKILL");
    });
  return { port, startMs: performance.now() - begun, stop, rss: () => residentMb(child.pid) };
}

/** Thousands of commands a second. */
function benchmark(port, ...args) {
  const output = execFileSync("redis-benchmark", ["-p", String(port), "-t", "set", "-r", "100000", "--csv", ...args], {
    encoding: "utf8",
  });
  return Number(/"SET","([\d.]+)"/.exec(output)?.[1]) / 1000;
}

const median = (values) => spread(values).median;

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

const figure = (name, what, result) => note(`persistence/${name}`, what, result);

const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;

const milliseconds = (ms) => `${ms.toFixed(0)} ms`;

async function filled(folder) {
  const server = await start(regears("--save", ""), folder);
  for (let from = 1; from <= KEYS; from += AT_ONCE)
    await callOnce(
      server.port,
      "EVAL",
      `for i = ${from}, ${Math.min(KEYS, from + AT_ONCE - 1)} do redis.call('SET', 'key:' .. i, 'value:' .. i) end`,
      "0",
    );
  return server;
}

async function keys() {
  const folder = newFolder();
  let server = await filled(folder);
  const saves = [];
  for (let round = 0; round < ROUNDS; round++) {
    const begun = performance.now();
    const answer = await callOnce(server.port, "SAVE");
    if (answer !== "OK") throw new Error(answer);
    saves.push(performance.now() - begun);
  }
  const background = [];
  for (let round = 0; round < ROUNDS; round++) {
    // the thread for the next copy is started a second after the last one
    await pause(1_500);
    const { took, longest, second } = await withPings(server.port, () => savedInBackground(server.port));
    const fork = Number(await info(server.port, "stats", "latest_fork_usec")) / 1000;
    background.push({ took, longest, second, fork });
  }
  await server.stop();
  const starts = [];
  for (let round = 0; round < ROUNDS; round++) {
    server = await start(regears("--save", ""), folder);
    starts.push(server.startMs);
    const answer = await callOnce(server.port, "DBSIZE");
    if (answer !== KEYS) throw new Error(String(answer));
    await server.stop();
  }
  const megabytes = (statSync(join(folder, "dump.rdb")).size / 1e6).toFixed(0);
  figure(
    "1-save",
    `\`SAVE\` of ${KEYS} small keys (${megabytes} MB), which holds everybody up`,
    seconds(median(saves)),
  );
  const of = (name) => median(background.map((round) => round[name]));
  figure(
    "2-background",
    `\`BGSAVE\` of them while \`PING\` is sent all the time`,
    `${milliseconds(of("fork"))} pause, ${seconds(of("took"))} in all; the longest \`PING\` took ${milliseconds(of("longest"))}, the longest but one ${milliseconds(of("second"))}`,
  );
  figure("2-start", "a start with them, until the first `PING` is answered", seconds(median(starts)));
}

async function savedInBackground(port) {
  const answer = await callOnce(port, "BGSAVE");
  if (!answer.startsWith("Background")) throw new Error(answer);
  while ((await info(port, "persistence", "rdb_bgsave_in_progress")) === "1") await pause(20);
  const status = await info(port, "persistence", "rdb_last_bgsave_status");
  if (status !== "ok") throw new Error(`the save has ended with ${status}`);
}

const NO_DUMPS = ["--save", ""];
const logged = (mode) => [...NO_DUMPS, "--appendonly", "yes", "--appendfsync", mode];

async function everysec() {
  const piped = ["-P", "16", "-c", "50", "-n", "300000"];
  const [without, having] = await compare([regears(...NO_DUMPS), regears(...logged("everysec"))], ...piped);
  figure(
    "3-everysec",
    "`SET` by 50 clients with `-P 16`: without a log, and with `appendfsync everysec`",
    `${without.toFixed(0)}k/s and ${having.toFixed(0)}k/s: ${(having / without).toFixed(2)} of it`,
  );
}

/** As many commands as redis-benchmark sends by itself. */
async function always() {
  const [ours, theirs] = await compare(
    [regears(...logged("always")), redis(...logged("always"))],
    "-c",
    "50",
    "-n",
    "100000",
  );
  figure(
    "4-always",
    "100000 `SET` by 50 clients with `appendfsync always`, and redis-server 7 on the same disk",
    `${ours.toFixed(1)}k/s and ${theirs.toFixed(1)}k/s: ${(ours / theirs).toFixed(2)} of it`,
  );
}

async function replica() {
  const server = await filled(newFolder());
  const before = server.rss();
  let most = before;
  const watching = setInterval(() => {
    most = Math.max(most, server.rss());
  }, 10);
  const { command, skipped } = findValkeyServer();
  if (command === undefined) throw new Error(`there is no valkey-server${skipped}`);
  const there = await start([...command, "--save", ""], newFolder());
  const { took, longest, second } = await withPings(server.port, async () => {
    await callOnce(there.port, "REPLICAOF", "127.0.0.1", String(server.port));
    while ((await info(there.port, "replication", "master_link_status")) !== "up") await pause(20);
  });
  clearInterval(watching);
  const copied = await callOnce(there.port, "DBSIZE");
  if (copied !== KEYS) throw new Error(String(copied));
  const fork = Number(await info(server.port, "stats", "latest_fork_usec")) / 1000;
  await there.stop();
  await server.stop();
  figure(
    "9-replica-large",
    `a valkey-server 9.1 as a replica of ${KEYS} small keys, until it has loaded them`,
    `${seconds(took)}, of which the server stood still for ${milliseconds(fork)}; the longest \`PING\` took ${milliseconds(longest)}, the longest but one ${milliseconds(second)}; ${most - before} MB more memory meanwhile`,
  );
}
/** Runs tests that tell figures. */
function tests(file, pattern, env) {
  const { status } = spawnSync(
    process.execPath,
    [join(root, "node_modules/vitest/vitest.mjs"), "run", file, "-t", pattern, "--maxWorkers=1"],
    {
      cwd: root,
      stdio: "inherit",
      env: { ...process.env, ...env },
    },
  );
  if (status !== 0) throw new Error(`${file} has failed`);
}

const kills = (file, pattern, variable, count) => () =>
  tests(`test/fault/${file}.test.ts`, pattern, { [variable]: options.kills ?? String(count) });
const faults = (pattern) => () => tests("test/store/data.test.ts", pattern, { REGEARS_DISK_FAULTS: "1" });

const PARTS = {
  keys,
  everysec,
  always,
  replica,
  "kills-always": kills("log-kills", "always", "REGEARS_LOG_KILLS", 30),
  "kills-everysec": kills("log-kills", "everysec", "REGEARS_LOG_KILLS", 30),
  "kills-saving": kills("fork-kills", "", "REGEARS_KILLS", 25),
  "moments-always": kills("moment-kills", "always", "REGEARS_LOG_KILLS", 15),
  "moments-everysec": kills("moment-kills", "everysec", "REGEARS_LOG_KILLS", 15),
  "faults-enospc": faults("ENOSPC"),
  "faults-erofs": faults("EROFS"),
  "faults-eio": faults("EIO"),
  redis: () => tests("test/store/redis-dump.test.ts", "equal by DEBUG DIGEST", { REGEARS_DUMP_KEYS: String(KEYS) }),
  others: () => tests("test/gateway/real-replicas.test.ts", "a real Valkey", {}),
};

const wanted = options.only?.split(",") ?? Object.keys(PARTS);
const unknown = wanted.filter((name) => !(name in PARTS));
if (unknown.length > 0) throw new Error(`there are no parts ${unknown}, but ${Object.keys(PARTS).join(", ")}`);
try {
  for (const name of wanted) await PARTS[name]();
} finally {
  removeFolders();
}
spawnSync(process.execPath, [join(root, "node_modules/tsx/dist/cli.mjs"), "scripts/docs.ts"], {
  cwd: root,
  stdio: "inherit",
});
