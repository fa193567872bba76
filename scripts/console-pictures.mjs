// Makes the pictures of docs/console.md: starts a server, has something happen in it, and looks at each view with a browser.
// `npm run pictures`, or `npm run pictures -- FOLDER` to look at them before; CHROMIUM names another browser than Debian's.
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { createServer } from "../src/index.ts";
import { connectClient } from "../test/support/client.ts";
import { freePort } from "../test/support/ports.ts";

const folder = process.argv[2] ?? fileURLToPath(new URL("../docs/pictures", import.meta.url));
mkdirSync(folder, { recursive: true });
const httpPort = await freePort();
const server = await createServer({ port: 0, httpPort, logfile: "/dev/null" });
const client = await connectClient(server.port);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});

const SLOW = `import time
def count_letters(record):
    time.sleep(0.05)
    return len(record['value'] or '')
GB().map(count_letters).filter(lambda n: n > 3).run('word:*')`;
const SENDING = `
def store(message):
    log('a message of ' + message['value']['from'])
    execute('HINCRBY', 'senders', message['value']['from'], 1)
    if message['value']['from'] == 'nobody':
        raise ValueError('nobody can not send')
GB('StreamReader', desc='counts senders').foreach(store).register('mail', batch=1)
GB('CommandReader', desc='adds to the total').map(lambda r: execute('INCRBY', 'total', r[1])).register(trigger='add')
GB('KeysReader').foreach(lambda r: execute('SADD', 'seen', r['key'])).register('employee:*', eventTypes=['hset'], mode='sync')`;

try {
  for (let n = 0; n < 2000; n++) await client.call("SET", `word:${n}`, "w".repeat(n % 9));
  for (const [n, name] of ["Ada", "Alan", "Grace", "Edsger"].entries())
    await client.call(
      "HSET",
      `employee:${n}`,
      "name",
      name,
      "department",
      n % 2 ? "research" : "teaching",
      "salary",
      String(4000 + n * 300),
    );
  await client.call("RG.PYEXECUTE", SENDING, "ID", "mail", "DESCRIPTION", "counts mail");
  const busy = setInterval(() => {
    void client.call("RG.TRIGGER", "add", "1");
    void client.call("XADD", "mail", "*", "from", ["Ada", "Alan", "Grace", "nobody"][Math.floor(Math.random() * 4)]);
  }, 100);
  const page = await browser.newPage({ viewport: { width: 1100, height: 760 } });
  const open = async (path) => page.goto(`http://127.0.0.1:${httpPort}/#/${path}`);
  const shoot = (name) => page.screenshot({ path: `${folder}/console-${name}.png` });
  await open("now");
  await new Promise((resolve) => setTimeout(resolve, Number(process.env.SECONDS ?? 40) * 1000));
  await open("try");
  await page.locator(".cm-content").fill(SLOW);
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByText(/It runs for/).waitFor();
  const [progress] = await client.call("RG.TOP", "NOSTACK");
  const running = progress[progress.indexOf("executionId") + 1];
  await open("now");
  await new Promise((resolve) => setTimeout(resolve, 4000));
  await shoot("now");
  await open(`execution/${running}`);
  await page.locator(".stack").getByText("count_letters").waitFor();
  await shoot("execution");
  await client.call("RG.ABORTEXECUTION", String(running));
  await open("registrations");
  await page.getByText("stream mail").waitFor();
  await shoot("registrations");
  await open("try");
  await page
    .locator(".cm-content")
    .fill(
      "def row(r):\n    return {'name': r['value']['name'], 'salary': int(r['value']['salary'])}\nGB().map(row).run('employee:*')",
    );
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByText("4 results").waitFor();
  await shoot("try");
  await page.locator(".cm-content").fill("");
  await page.locator(".cm-content").fill("def half(r):\n    return 1 / 0\nGB().map(half).run('employee:*')");
  await page.getByRole("button", { name: "Run" }).click();
  await page.getByText("ZeroDivisionError").first().waitFor();
  await shoot("error");
  await open("log");
  await page.getByText("a message of").first().waitFor();
  await page.setViewportSize({ width: 1100, height: 480 });
  await page.emulateMedia({ colorScheme: "dark" });
  await shoot("log");
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 390, height: 760 });
  await open("now");
  await page.getByText("Executions per second").waitFor();
  await shoot("phone");
  await open("registrations");
  await page.getByText("stream mail").waitFor();
  await shoot("phone-registrations");
  clearInterval(busy);
} finally {
  await browser.close();
  client.close();
  await server.close();
}
