/**
 * What an open page of the console costs the server: `npm run bench:console [-- ROUNDS]`. The same work is done in turns with a page
 * open in Chromium and without one; what is compared is the server's processor time for each operation, since the browser takes time
 * of the same processors, and the operations a second are told besides.
 */
import { type Browser, chromium } from "playwright-core";
import { connectClient } from "../test/support/client.ts";
import { freePort } from "../test/support/ports.ts";
import { startRegears } from "../test/support/regears.ts";
import { spread } from "./statistics.ts";

const ROUNDS = Number(process.argv[2] ?? 7);
/** Milliseconds of work at a time: the page asks every other second. */
const WORK_MS = 4_000;
const AT_ONCE = 50;
const VIEWS = ["now", "registrations", "log"];
const SCRIPT = `
GB('CommandReader').map(lambda c: execute('INCRBY', 'total', c[1])).register(trigger='add')
GB('KeysReader').foreach(lambda r: execute('INCR', 'events')).register('key:*', eventTypes=['set'])
def say(c):
    log('a line of the log')
    return 1
GB('CommandReader').map(say).register(trigger='say')`;

interface Figures {
  readonly cpuMs: number;
  readonly perSecond: number;
}

const port = await freePort();
const server = await startRegears(["--http-port", String(port)]);
const client = await connectClient(server.port);
const browser: Browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage();

/** Processor time of the server's process, in milliseconds. */
async function cpuMs(): Promise<number> {
  const info = String(await client.call("INFO", "regears"));
  return Number(/^cpu_seconds_total:(.*)$/m.exec(info)?.[1]) * 1000;
}

async function work(): Promise<Figures> {
  const [began, before] = [performance.now(), await cpuMs()];
  let done = 0;
  while (performance.now() - began < WORK_MS) {
    const calls = Array.from({ length: AT_ONCE }, (_, n) =>
      n === 0
        ? client.call("RG.TRIGGER", "say")
        : n % 2
          ? client.call("RG.TRIGGER", "add", "1")
          : client.call("SET", `key:${n}`, "x"),
    );
    await Promise.all(calls);
    done += calls.length;
  }
  const ms = performance.now() - began;
  return { cpuMs: ((await cpuMs()) - before) / done, perSecond: (done / ms) * 1000 };
}

const median = (values: readonly number[]): number => spread(values).median;
const percent = (value: number): string => `${value >= 0 ? "+" : ""}${(value * 100).toFixed(1)} %`;

try {
  await client.call("RG.PYEXECUTE", SCRIPT);
  await work();
  for (const view of VIEWS) {
    const rounds: { closed: Figures; open: Figures }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      await page.goto("about:blank");
      const closed = await work();
      await page.goto(`http://127.0.0.1:${port}/#/${view}`);
      await page.locator("h1").waitFor();
      rounds.push({ closed, open: await work() });
    }
    const cost = median(rounds.map(({ closed, open }) => open.cpuMs / closed.cpuMs - 1));
    const rate = median(rounds.map(({ closed, open }) => open.perSecond / closed.perSecond - 1));
    const each = median(rounds.map(({ closed }) => closed.cpuMs));
    const many = median(rounds.map(({ closed }) => closed.perSecond));
    console.log(
      `${view}: processor time of an operation ${percent(cost)} (${each.toFixed(3)} ms without the page), ` +
        `operations a second ${percent(rate)} (${Math.round(many)} without)`,
    );
  }
} finally {
  await browser.close();
  client.close();
  await server.stop();
}
