/** The page in a real browser. Skipped where there is none: `CHROMIUM` names one, else Debian's is looked for. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { until } from "../support/waiting.ts";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const missing = existsSync(executablePath) ? undefined : `there is no ${executablePath}`;
if (missing) console.warn(`the console is not tried in a browser: ${missing}`);

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** What a key, a result, a name or a line of the log can not do. */
const MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

it("is not larger than 300 kB, compressed", () => {
  const folder = new URL("../../dist/console/page/", import.meta.url);
  const sizes = readdirSync(folder).map((name) => gzipSync(readFileSync(new URL(name, folder))).length);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(300_000);
});

describe.skipIf(missing)("the console in a browser", () => {
  let server: RunningRegears;
  let client: Client;
  let browser: Browser;
  let page: Page;
  let origin = "";
  let home = "";
  /** Errors of the page, and what its content policy has refused. */
  let faults: string[] = [];

  beforeAll(async () => {
    const port = await freePort();
    home = `http://127.0.0.1:${port}`;
    origin = home;
    server = await startRegears(["--http-port", String(port)]);
    client = await connectClient(server.port);
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  });
  beforeEach(async () => {
    faults = [];
    page = await browser.newPage();
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("console", (message) => {
      // 401: nobody is logged in yet
      if (message.type() === "error" && !message.text().includes("401")) faults.push(message.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(origin)) faults.push(`it asks for ${request.url()}`);
    });
  });
  afterEach(async () => {
    await page.close();
    expect(faults).toEqual([]);
  });
  afterAll(async () => {
    await browser?.close();
    client?.close();
    await server?.stop();
  });

  const open = async (view: string): Promise<void> => {
    await page.goto(`${origin}/#/${view}`);
    await page.locator("h1").waitFor();
  };
  const run = async (script: string): Promise<void> => {
    // Chromium copies the style of what is replaced, which the content policy does not allow
    await page.locator(".cm-content").fill("");
    await page.locator(".cm-content").fill(script);
    await page.getByRole("button", { name: "Run" }).click();
  };
  /** What axe finds wrong, in words. */
  const violations = async (): Promise<string[]> => {
    // as a devtool does: the page's own policy lets no such script in
    const result = await page.evaluate(`${AXE}; axe.run()`);
    const { violations: found } = result as { violations: { id: string; help: string; nodes: { html: string }[] }[] };
    return found.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes[0]?.html}`);
  };

  it.each(["light", "dark"] as const)("all views are accessible, %s", async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    await client.call(
      "RG.PYEXECUTE",
      "GB('StreamReader', desc='mail').foreach(lambda r: 1 / 0).register('mail')",
      "ID",
      `mail-${colorScheme}`,
    );
    const id = (await client.call(
      "RG.PYEXECUTE",
      "GB('ShardsIDReader').map(lambda r: 1 / 0).run()",
      "UNBLOCKING",
    )) as string;
    const sleeping = (await client.call(
      "RG.PYEXECUTE",
      "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(60)).run()",
      "UNBLOCKING",
    )) as string;
    const views = [
      ["now", "In progress"],
      ["registrations", "stream mail"],
      [`execution/${id}`, "ZeroDivisionError"],
      [`execution/${sleeping}`, "running"],
      ["try", "Run"],
      ["log", "Live."],
    ] as const;
    for (const [view, text] of views) {
      await open(view);
      await page.getByText(text).first().waitFor();
      expect(await violations(), view).toEqual([]);
    }
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByLabel("Password").waitFor();
    expect(await violations(), "login").toEqual([]);
    await client.call("RG.ABORTEXECUTION", sleeping);
    await client.call("RG.UNREGISTERALL");
  });

  it("runs a script and shows its results as a table, and remembers it", async () => {
    await client.call("HSET", "employee:1", "name", "Ada", "salary", "5200");
    await open("try");
    await run(
      "GB().map(lambda r: {'name': r['value']['name'], 'salary': int(r['value']['salary'])}).run('employee:*')",
    );
    await page.getByRole("heading", { name: "1 results" }).waitFor();
    expect(await page.locator(".results thead th").allTextContents()).toEqual(["#", "name", "salary"]);
    expect(await page.locator(".results tbody tr").first().locator("td").allTextContents()).toEqual(["Ada", "5200"]);
    await page.reload();
    await page.locator(".cm-content").waitFor();
    expect(await page.locator(".cm-content").textContent()).toContain("employee:*");
  });

  it("shows errors with the line of the script, completes names, and runs by the keyboard", async () => {
    await open("try");
    await page.locator(".cm-content").fill("");
    await page.locator(".cm-content").pressSequentially("GB('ShardsIDReader').ma");
    await page.locator(".cm-tooltip-autocomplete li").first().waitFor();
    expect(await page.locator(".cm-tooltip-autocomplete .cm-completionLabel").allTextContents()).toContain("map");
    await page.locator(".cm-content").fill("def half(r):\n    return 1 / 0\nGB('ShardsIDReader').map(half).run()");
    await page.keyboard.press("Escape");
    await page.keyboard.press("ControlOrMeta+Enter");
    await page.locator(".traceback .last").getByText("ZeroDivisionError").waitFor();
    expect(await page.locator(".traceback").textContent()).toContain("return 1 / 0");
  });

  it("aborts what runs, at the second press", async () => {
    const id = await client.call(
      "RG.PYEXECUTE",
      "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(60)).run()",
      "UNBLOCKING",
    );
    await open("now");
    const button = page.getByRole("button", { name: /^Abort execution/ });
    await button.click();
    await button.click();
    await until(
      async () =>
        String(await client.call("RG.DUMPEXECUTIONS")).includes("done") ||
        String(await client.call("RG.DUMPEXECUTIONS")).includes("aborted"),
    );
    await page.getByText("Nothing runs.").waitFor();
    await client.call("RG.DROPEXECUTION", id as string);
  });

  it("shows what scripts log, as it comes", async () => {
    await open("log");
    await page.getByText("Live.").waitFor();
    await client.call("RG.PYEXECUTE", "log('a line of the log')\nprint('a printed line')");
    await page.locator(".log").getByText("a line of the log").waitFor();
    await page.locator(".log").getByText("a printed line").waitFor();
  });

  it("shows markup in keys, results, names and lines as text", async () => {
    await client.call("SET", MARKUP, MARKUP);
    const quoted = JSON.stringify(MARKUP);
    const script = `log(${quoted})\nprint(${quoted})\nGB('KeysReader', desc=${quoted}).foreach(lambda r: 1 / 0).register(${quoted})`;
    await client.call("RG.PYEXECUTE", script, "DESCRIPTION", MARKUP);
    await client.call("SET", MARKUP, "x");
    const id = await client.call(
      "RG.PYEXECUTE",
      `def fail(r): raise ValueError(${quoted})\nGB().map(lambda r: {r['key']: r['key']}).run()`,
      "UNBLOCKING",
      "DESCRIPTION",
      MARKUP,
    );
    for (const view of ["now", "registrations", `execution/${id}`, "log", "try"]) {
      await open(view);
      if (view !== "try") await page.getByText("<img src=x").first().waitFor();
      expect(await page.locator("main img, main script").count()).toBe(0);
      expect(await page.title()).not.toBe("owned");
    }
    await run("GB().map(lambda r: r['key']).run()");
    await page.locator(".results").getByText("<img src=x").first().waitFor();
    expect(await page.locator("main img, main script").count()).toBe(0);
    await client.call("RG.UNREGISTERALL");
    await client.call("FLUSHALL");
  });

  it("asks for user and password where there are some, and tells when the login is over", async () => {
    await client.call("CONFIG", "SET", "requirepass", "secret");
    try {
      await open("now");
      await page.getByLabel("Password").fill("wrong");
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByText("WRONGPASS").waitFor();
      await page.getByLabel("Password").fill("secret");
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "Now" }).waitFor();
      await page.context().clearCookies();
      await page.getByText("The login is over.").waitFor();
    } finally {
      await client.call("CONFIG", "SET", "requirepass", "");
    }
  });

  it("keeps what was typed when another view was looked at, and when the page was loaded anew", async () => {
    await open("try");
    await page.locator(".cm-content").fill("");
    await page.locator(".cm-content").fill("half of a script(");
    await page.getByRole("link", { name: "Now" }).click();
    await page.getByRole("heading", { name: "Now" }).waitFor();
    await page.getByRole("link", { name: "Try" }).click();
    await page.locator(".cm-content").getByText("half of a script(").waitFor();
    await page.reload();
    await page.locator(".cm-content").getByText("half of a script(").waitFor();
  });

  it("shows addresses that are none, and executions that there are not", async () => {
    await open("try/%");
    await page.getByRole("heading", { name: "Upgrade session %" }).waitFor();
    await open("execution/nothing");
    await page.getByText("execution plan does not exist").waitFor();
    expect(await page.getByRole("button", { name: /Abort|Drop/ }).count()).toBe(0);
  });

  it("shows what took long, also when it was a trigger's", async () => {
    await client.call(
      "RG.PYEXECUTE",
      "import time\nGB('CommandReader', desc='naps').map(lambda r: time.sleep(0.3)).register(trigger='nap')",
      "DESCRIPTION",
      "a session that naps",
    );
    await client.call("RG.TRIGGER", "nap");
    await open("now");
    await page.getByRole("row", { name: /a session that naps \(event\) done/ }).waitFor();
    await client.call("RG.UNREGISTERALL");
  });

  it("has ten thousand registrations, a hundred at a time, and finds them", async () => {
    const script = "for n in range(10000): GB('CommandReader').map(lambda r: 1).register(trigger='many-%d' % n)";
    await client.call("RG.PYEXECUTE", script, "ID", "many");
    await open("registrations");
    await page.getByText("1 to 100 of 10,000").waitFor();
    await page.getByRole("button", { name: "Later registrations" }).click();
    await page.getByText("101 to 200 of 10,000").waitFor();
    expect(await page.locator("tbody tr").count()).toBeLessThan(110);
    await page.getByLabel("Only registrations with").fill("many-9999");
    await page.keyboard.press("Enter");
    await page.getByText("command many-9999").waitFor();
    await page.getByText("1 to 1 of 1").first().waitFor();
    await client.call("RG.UNREGISTERALL");
  });

  it("says why an action is refused for as long as nothing else is done", async () => {
    await client.call("RG.PYEXECUTE", "GB('CommandReader').register(trigger='kept')");
    await client.call("ACL", "SETUSER", "few", "on", ">few", "~*", "+@read");
    await client.call("CONFIG", "SET", "requirepass", "secret");
    try {
      await open("registrations");
      await page.getByLabel("User").fill("few");
      await page.getByLabel("Password").fill("few");
      await page.keyboard.press("Enter");
      const button = page.getByRole("button", { name: /^Unregister/ });
      await button.click();
      await button.click();
      await page.getByText("NOPERM").waitFor();
      await page.waitForResponse(/api\/run/);
      await page.waitForResponse(/api\/run/);
      expect(await page.getByText("NOPERM").isVisible()).toBe(true);
    } finally {
      await client.call("CONFIG", "SET", "requirepass", "");
      await client.call("ACL", "DELUSER", "few");
      await client.call("RG.UNREGISTERALL");
    }
  });

  it.each([
    ["now", "#/now"],
    ["log", "#/log"],
  ])("goes on by itself after a restart of the server: %s", async (view, hash) => {
    const port = String(await freePort());
    let other = await startRegears(["--http-port", port]);
    const errors = /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/;
    origin = `http://127.0.0.1:${port}`;
    try {
      await page.goto(`${origin}/${hash}`);
      await page.getByText(view === "log" ? "Live." : "Nothing runs.").waitFor();
      await other.stop();
      await page.getByText("The server does not answer.").waitFor();
      other = await startRegears(["--http-port", port]);
      await page.getByText("The server does not answer.").waitFor({ state: "hidden" });
      if (view === "log") {
        await page.getByText("Live.").waitFor();
        const restarted = await connectClient(other.port);
        await restarted.call("RG.PYEXECUTE", "log('I am back')");
        await page.locator(".log").getByText("I am back").waitFor();
        restarted.close();
      }
      expect(await page.getByLabel("Password").count()).toBe(0);
    } finally {
      await other.stop();
      origin = home;
      faults = faults.filter((text) => !errors.test(text));
    }
  });

  it("fits a phone, without scrolling sideways, and its tables are cards", async () => {
    await page.setViewportSize({ width: 360, height: 700 });
    await client.call(
      "RG.PYEXECUTE",
      "GB('StreamReader', desc='on a phone').foreach(lambda r: 1 / 0).register('phone:*')",
    );
    await client.call("XADD", "phone:1", "*", "a", "b");
    for (const view of ["now", "registrations", "try", "log"]) {
      await open(view);
      if (view === "registrations") {
        const card = page.locator(".rows tr", { hasText: "on a phone" });
        await card.getByRole("button", { name: /^Unregister/ }).waitFor();
        const wide = await page.evaluate(
          "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth).length",
        );
        expect(wide).toBe(0);
        expect(
          await card
            .getByRole("cell")
            .filter({ hasText: /ZeroDivisionError|^1$/ })
            .count(),
        ).toBeGreaterThan(0);
        expect(await violations()).toEqual([]);
      }
      const [inner, outer] = (await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")) as number[];
      expect(inner, view).toBeLessThanOrEqual(Number(outer));
    }
  });
});
