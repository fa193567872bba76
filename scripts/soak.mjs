// Everything at once for a while, with interpreters that are killed at random: npm run soak -- [--minutes 20] [--isolation session]
// Checks that nothing is lost, nothing hangs and memory stays. Prints a summary, and with REGEARS_FIGURES keeps it.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { figure } from "../test/support/figures.ts";
import { connectClient } from "../test/support/client.ts";
import { startRegears } from "../test/support/regears.ts";

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "20" }, isolation: { type: "string", default: "shared" } },
});
const MINUTES = Number(values.minutes);
const HANG_MS = 30_000;
const RESIDENT = /^VmRSS:\s+(\d+) kB$/m;

const REGISTER = `
GB('KeysReader').foreach(lambda r: execute('HINCRBY', 'soak:keys', r['key'], 1)).register('k:*', eventTypes=['set'], readValue=False)
GB('StreamReader').foreach(lambda r: execute('HINCRBY', 'soak:seen', r['value']['n'], 1)).register('s:*', batch=5, duration=50, onFailedPolicy='retry')
GB('CommandReader').map(lambda r: execute('INCR', 'soak:triggered')).register(trigger='soak')
GB('CommandReader').map(lambda r: call_next(*r[1:])).register(hook='hset', keyprefix='hooked:', mode='sync')
`;
const FATAL = "x = None\nfor i in range(2000000):\n    x = (x,)\nhash(x)";
const C_LOOP = "import itertools\nsum(itertools.repeat(1))";
const PAUSED = "import time\nfor i in range(3): time.sleep(0.01)";

const folder = mkdtempSync(join(tmpdir(), "regears-soak-"));
const server = await startRegears(["--dir", folder, "--max-executions", "200", "--isolation", values.isolation]);
const { pid } = server.process;
const done = {
  sets: 0,
  messages: 0,
  triggers: 0,
  hooks: 0,
  scripts: 0,
  unblocking: 0,
  aborts: 0,
  deaths: 0,
  visits: 0,
};
const problems = [];
const end = Date.now() + MINUTES * 60_000;
const going = () => Date.now() < end && problems.length < 20;
const problem = (text) => {
  problems.push(text);
  console.error(`PROBLEM ${text}`);
};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A command whose reply must come. */
async function ask(client, ...args) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no reply in ${HANG_MS} ms: ${args.join(" ").slice(0, 80)}`)), HANG_MS);
  });
  try {
    return await Promise.race([client.call(...args), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** One kind of load, by a client of its own, until the end. `allowed` says which errors the faults of others may cause. */
async function load(name, work, allowed = /^$/) {
  const client = await connectClient(server.port);
  for (let n = 0; going(); n++) {
    try {
      await work(client, n);
    } catch (error) {
      if (!allowed.test(error.message)) problem(`${name}: ${error.message}`);
    }
  }
  client.close();
}

function expectSame(what, got, wanted) {
  const text = JSON.stringify(got);
  if (text !== JSON.stringify(wanted)) throw new Error(`${what}: ${text} instead of ${JSON.stringify(wanted)}`);
}

// Interpreters that are killed take what runs in them along; the sessions of registrations are made again elsewhere.
const LOST = /interpreter|forcestopped/;
const lost = { scripts: 0, triggers: 0, hooks: 0 };
const losing = (kind, work) => async (client, n) => {
  try {
    await work(client, n);
  } catch (error) {
    if (!LOST.test(error.message)) throw error;
    lost[kind]++;
  }
};

/** Starts all of it. */
const loads = () => [
  load("set", async (client, n) => {
    const replies = await Promise.all(
      Array.from({ length: 5 }, (_, i) => ask(client, "SET", `k:${(n * 5 + i) % 500}`, "v")),
    );
    done.sets += replies.length;
    await sleep(10);
  }),
  load("xadd", async (client, n) => {
    await ask(client, "XADD", `s:${n % 4}`, "*", "n", String(n));
    done.messages++;
    await sleep(4);
  }),
  load(
    "trigger",
    losing("triggers", async (client) => {
      await ask(client, "RG.TRIGGER", "soak");
      done.triggers++;
      await sleep(8);
    }),
  ),
  load(
    "hook",
    losing("hooks", async (client, n) => {
      // the reply is a string: register() appends map(str)
      expectSame("hset", await ask(client, "HSET", `hooked:${n}`, "f", "v"), "1");
      done.hooks++;
      await ask(client, "UNLINK", `hooked:${n}`);
      await sleep(8);
    }),
  ),
  ...[1, 2].map((who) =>
    load(
      "script",
      losing("scripts", async (client, n) => {
        const code = `GB('ShardsIDReader').flatmap(lambda r: [1, 2, 3]).map(lambda r: r * ${n}).aggregate(0, lambda a, r: a + r, lambda a, r: a + r).run()`;
        expectSame("script", await ask(client, "RG.PYEXECUTE", code), [[String(6 * n)], []]);
        if (n % 50 === 0) expectSame("count", (await ask(client, "RG.PYEXECUTE", "GB().count().run('k:*')"))[1], []);
        done.scripts++;
        await sleep(who * 5);
      }),
    ),
  ),
  load(
    "unblocking",
    losing("scripts", async (client) => {
      const id = await ask(client, "RG.PYEXECUTE", PAUSED, "UNBLOCKING");
      expectSame("results", await ask(client, "RG.GETRESULTSBLOCKING", id), "OK");
      done.unblocking++;
      await sleep(20);
    }),
  ),
  load("abort", async (client, n) => {
    const id = await ask(client, "RG.PYEXECUTE", n % 4 === 0 ? C_LOOP : "while True: pass", "UNBLOCKING");
    await sleep(50);
    expectSame("abort", await ask(client, "RG.ABORTEXECUTION", id), "OK");
    done.aborts++;
    await sleep(1500);
  }),
  load("death", async (client) => {
    const error = await ask(client, "RG.PYEXECUTE", FATAL).then(
      () => "no error",
      ({ message }) => message,
    );
    if (!LOST.test(error)) throw new Error(`a fatal script ended with ${error}`);
    done.deaths++;
    await sleep(4000);
  }),
  load("visitors", async (_, n) => {
    const visitor = await connectClient(server.port);
    const gone = visitor.call(...(n % 2 === 0 ? ["BLPOP", "nothing", "0"] : ["RG.PYEXECUTE", PAUSED])).catch(() => {});
    await sleep(n % 3 === 0 ? 0 : 5);
    visitor.close();
    await gone;
    done.visits++;
    await sleep(20);
  }),
];

/** Memory and open files over time. */
const samples = [];
const resident = () => Number(RESIDENT.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]) / 1024;
async function watch() {
  const client = await connectClient(server.port);
  while (going()) {
    const start = performance.now();
    await ask(client, "PING").catch((error) => problem(error.message));
    samples.push({
      at: Date.now(),
      mb: resident(),
      files: readdirSync(`/proc/${pid}/fd`).length,
      ping: performance.now() - start,
    });
    if (samples.length % 300 === 0)
      console.log(
        `${Math.round((end - Date.now()) / 1000)} s left, ${Math.round(resident())} MB, ${JSON.stringify(done)}`,
      );
    await sleep(200);
  }
  client.close();
}

/** Waits for what is still on its way; what does not come is lost. */
async function settled(what, count, wanted) {
  const deadline = Date.now() + 2 * HANG_MS;
  for (;;) {
    const got = await count();
    if (got === wanted) return;
    if (Date.now() > deadline) return problem(`${what}: ${got} instead of ${wanted}`);
    await sleep(100);
  }
}

const first = await connectClient(server.port);
try {
  expectSame("register", await ask(first, "RG.PYEXECUTE", REGISTER), "OK");
  await Promise.all([...loads(), watch()]);
  const sum = (list) => list.reduce((total, n) => total + Number(n), 0);
  await settled("messages seen", async () => await ask(first, "HLEN", "soak:seen"), done.messages);
  await settled(
    "messages left",
    async () => sum(await Promise.all([0, 1, 2, 3].map((n) => ask(first, "XLEN", `s:${n}`)))),
    0,
  );
  const unfinished = async () =>
    (await ask(first, "RG.DUMPEXECUTIONS")).filter((fields) => fields[3] === "running" || fields[3] === "created")
      .length;
  await settled("executions that have not ended", unfinished, 0);
  const seen = await ask(first, "HVALS", "soak:seen");
  const twice = seen.filter((n) => Number(n) > 1).length;
  const triggered = Number(await ask(first, "GET", "soak:triggered"));
  if (triggered < done.triggers) problem(`triggers: ${triggered} ran, ${done.triggers} were answered`);
  // Events are not repeated: those whose interpreter died have failed, and at most one was at work in each.
  const events = sum(await ask(first, "HVALS", "soak:keys"));
  const eventsLost = done.sets - events;
  if (eventsLost > done.deaths + done.aborts) problem(`key events: ${events} were handled of ${done.sets}`);

  // the median of the second tenth and of the last one: interpreters come and go in between
  const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
  const part = (from, to) =>
    samples.slice(Math.floor(samples.length * from), Math.ceil(samples.length * to)).map(({ mb }) => mb);
  const [warm, last] = [median(part(0.2, 0.4)), median(part(0.8, 1))];
  const growth = (last / warm - 1) * 100;
  if (growth > 10) problem(`memory grew by ${growth.toFixed(1)} % after warm-up`);
  const code = await server.stop();
  if (code !== 0) problem(`the server ended with ${code}`);
  const summary = {
    minutes: MINUTES,
    ...done,
    lost,
    messagesSeenTwice: twice,
    keyEvents: events,
    keyEventsLost: eventsLost,
    memoryMb: { warm: Math.round(warm), last: Math.round(last), growthPercent: Number(growth.toFixed(1)) },
    slowestPingMs: Math.round(Math.max(...samples.map(({ ping }) => ping))),
    files: { most: Math.max(...samples.map(({ files }) => files)), last: samples.at(-1)?.files },
    problems,
  };
  console.log(JSON.stringify(summary, undefined, 2));
  figure(
    "soak",
    `${MINUTES} minutes (isolation ${values.isolation}) of scripts, triggers, hooks, key events and streams, with aborts and interpreters that die`,
    `${done.messages} messages, ${done.sets} key events, ${done.triggers} triggers, ${done.scripts + done.unblocking} scripts, ${done.aborts} aborts, ${done.deaths} deaths of interpreters: ` +
      `${problems.length === 0 ? "nothing lost, nothing hung" : `${problems.length} problems`}; ${twice} messages seen twice; memory ${summary.memoryMb.warm} MB, at the end ${summary.memoryMb.last} MB (${growth.toFixed(1)} %)`,
  );
} catch (error) {
  problem(String(error?.stack ?? error));
} finally {
  await server.stop("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}
process.exit(problems.length === 0 ? 0 : 1);
