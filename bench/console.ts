/**
 * What an open page of the console costs: `npm run bench:console [-- ROUNDS [VIEW…]]`. In turns with and without it are measured
 * the processor time of the server, while a process only reads what the page reads (bench/console-reader.ts) and nothing else is done
 * but that lines are logged; and how many operations are done, with the page in Chromium, which takes time of the same processors.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { connectClient } from "../test/support/client.ts";
import { newFolder, removeFolders } from "../test/support/folders.ts";
import { freePort } from "../test/support/ports.ts";
import { runRegears } from "../test/support/regears.ts";
import { until } from "../test/support/waiting.ts";
import type { Order } from "./console-reader.ts";
import { spread } from "./statistics.ts";

const VIEWS = ["now", "registrations", "log"];
const [rounds = "7", ...views] = process.argv.slice(2);
/** Milliseconds of work at a time: the page asks every other second. */
const WORK_MS = 4_000;
const TICK_MS = 10;
const SETTLE_MS = 2_000;
const AT_ONCE = 50;
const SCRIPT = `
GB('CommandReader').map(lambda c: execute('INCRBY', 'total', c[1])).register(trigger='add')
GB('KeysReader').foreach(lambda r: execute('INCR', 'events')).register('key:*', eventTypes=['set'])
def say(c):
    for n in range(int(c[1])): log('a line of the log')
    return 1
GB('CommandReader').map(say).register(trigger='say')`;
/** Some registrations that nobody causes, since a view of three would cost nothing. */
const MORE = "for n in range(200): GB('CommandReader').map(lambda c: 1).register(trigger='other-%d' % n)";

const port = await freePort();
const origin = `http://127.0.0.1:${port}`;
const serverPort = await freePort();
const options = ["--port", String(serverPort), "--http-port", String(port), "--script-log-rate", "0"];
const server = runRegears([...options, "--logfile", join(newFolder(), "log")]);
const client = await until(() => connectClient(serverPort).catch(() => undefined));
const reader = fork(fileURLToPath(new URL("./console-reader.ts", import.meta.url)));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage();

async function read(view: string): Promise<void> {
  const order: Order = { origin, view };
  reader.send(order);
  await once(reader, "message");
}

/** Processor time of the server's process, in milliseconds. */
async function cpuMs(): Promise<number> {
  const info = String(await client.call("INFO", "regears"));
  return Number(/^cpu_seconds_total:(.*)$/m.exec(info)?.[1]) * 1000;
}

/** One operation of the work: each of them logs ten lines where the log is looked at, else one of fifty logs a line. */
function operation(view: string, n: number): Promise<unknown> {
  if (view === "log") return client.call("RG.TRIGGER", "say", "10");
  if (n === 0) return client.call("RG.TRIGGER", "say", "1");
  return n % 2 ? client.call("RG.TRIGGER", "add", "1") : client.call("SET", `key:${n}`, "x");
}

const operations = (view: string, count: number): Promise<unknown> =>
  Promise.all(Array.from({ length: count }, (_, n) => operation(view, n)));

/** What the server takes beside nothing, or beside ten thousand lines a second where the log is looked at. */
async function pacedCpu(view: string): Promise<number> {
  const [began, before] = [performance.now(), await cpuMs()];
  for (let tick = 1; performance.now() - began < WORK_MS; tick++) {
    if (view === "log") await client.call("RG.TRIGGER", "say", "100");
    await setTimeout(began + tick * TICK_MS - performance.now());
  }
  return (((await cpuMs()) - before) / (performance.now() - began)) * 1000;
}

/** As many operations a second as it can. */
async function perSecond(view: string): Promise<number> {
  const began = performance.now();
  let done = 0;
  for (; performance.now() - began < WORK_MS; done += AT_ONCE) await operations(view, AT_ONCE);
  return (done / (performance.now() - began)) * 1000;
}

async function show(view: string): Promise<void> {
  await page.goto(view === "" ? "about:blank" : `${origin}/#/${view}`);
  if (view === "") return;
  await page.locator("h1").waitFor();
  // an open page is measured, and not one that is being opened
  await setTimeout(SETTLE_MS);
}

interface Turn {
  readonly closed: number;
  readonly open: number;
}

/** @param open opens a view, or closes what is open: "" */
async function turns(
  view: string,
  open: (view: string) => Promise<void>,
  measure: (view: string) => Promise<number>,
): Promise<Turn[]> {
  const all: Turn[] = [];
  const opened = async (): Promise<number> => {
    await open(view);
    const figure = await measure(view);
    await open("");
    return figure;
  };
  for (let round = 0; round < Number(rounds); round++) {
    // what goes up or down meanwhile is for the one as often as for the other
    if (round % 2) all.push({ closed: await measure(view), open: await opened() });
    else all.push({ open: await opened(), closed: await measure(view) });
  }
  return all;
}

/** The median of what was measured, and its quartiles. */
function told(values: readonly number[], unit: string): string {
  const shown = (value: number): string => `${value >= 0 ? "+" : ""}${value.toFixed(1)}`;
  const { median, lower, upper } = spread(values);
  return `${shown(median)} ${unit} (${shown(lower)} to ${shown(upper)})`;
}

const closedOf = (all: readonly Turn[]): string => spread(all.map(({ closed }) => closed)).median.toFixed(0);

try {
  await client.call("RG.PYEXECUTE", SCRIPT);
  await client.call("RG.PYEXECUTE", MORE, "ID", "more");
  await perSecond("now");
  for (const view of VIEWS.filter((one) => views.length === 0 || views.includes(one))) {
    await pacedCpu(view);
    const cost = await turns(view, read, pacedCpu);
    const more = cost.map(({ closed, open }) => open - closed);
    console.log(`${view}, the server alone: ${told(more, "ms of processor time a second")}, beside ${closedOf(cost)}`);
    const rates = await turns(view, show, perSecond);
    const lost = rates.map(({ closed, open }) => (open / closed - 1) * 100);
    console.log(`${view}, in Chromium: ${told(lost, "% operations a second")}, of ${closedOf(rates)}`);
  }
} finally {
  reader.disconnect();
  await browser.close();
  client.close();
  server.child.kill();
  await server.exited;
  removeFolders();
}
