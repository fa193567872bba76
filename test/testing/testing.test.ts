/** `regears/testing`, as a program imports it. */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { TestServer } from "../../src/testing.ts";
import { newFolder } from "../support/folders.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const BUILT = new URL("../../dist/testing.js", import.meta.url).href;
const { startServer } = (await import(/* @vite-ignore */ BUILT)) as typeof import("../../src/testing.ts");

describe("a server for tests", () => {
  let server: TestServer;
  const folder = newFolder();
  beforeAll(async () => {
    server = await startServer();
  });
  beforeEach(() => server.reset());
  afterAll(() => server.close());

  it("runs scripts, and says what is wrong with them", async () => {
    const good = join(folder, "good.py");
    writeFileSync(good, "log('here')\nGB().map(lambda r: r['value']).run()\n");
    await server.call("SET", "a", 1);
    expect(await server.load(good)).toEqual(["1"]);
    expect(server.logs.map(({ level, text }) => `${level} ${text}`)).toContain("notice GEARS: here");
    const bad = join(folder, "bad.py");
    writeFileSync(bad, "GB().map(lambda r: r.nope).run()\n");
    await expect(server.load(bad)).rejects.toThrow(
      `File "${bad}", line 1, in <lambda>\n    GB().map(lambda r: r.nope).run()`,
    );
  });

  it("loads commands, waits for what they cause, and moves time", async () => {
    const script = join(folder, "events.py");
    writeFileSync(
      script,
      "GB().foreach(lambda r: execute('INCR', 'events')).register('e:*', eventTypes=['set', 'expired'])\n" +
        "registerTE(10, lambda: execute('INCR', 'ticks'))\n",
    );
    await server.load(script);
    const commands = join(folder, "commands.txt");
    writeFileSync(commands, "SET e:1 x\nSET e:2 x EX 100\n");
    await server.load(commands);
    await server.idle();
    expect(await server.call("GET", "events")).toBe("2");
    await server.fastForward(100_000);
    expect(await server.call("MGET", "events", "ticks")).toEqual(["3", "10"]);
  });

  it("is as new after a reset", async () => {
    await server.call("RG.PYEXECUTE", "registerTE(1, lambda: execute('INCR', 'ticks'))");
    await server.call(
      "RG.PYEXECUTE",
      "import time\nGB('ShardsIDReader').map(lambda r: time.sleep(1000)).run()",
      "UNBLOCKING",
    );
    await server.call("SET", "a", "b");
    await server.reset();
    await server.fastForward(10_000);
    expect(await server.call("KEYS", "*")).toEqual([]);
    expect(await server.call("RG.DUMPEXECUTIONS")).toEqual([]);
    const id = await server.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()", "UNBLOCKING");
    expect(id).toBe(`${"0".repeat(40)}-0`);
  });
});

describe("many at once", () => {
  it.each([
    ["the set-up has", ["regears/testing/vitest"], 0],
    ["one of them has", [], 1],
  ])(
    "four test files of vitest, without anything in the cache, start with the image that %s made",
    async (_who, globalSetup, byTests) => {
      const project = newFolder();
      // as if it was installed: vitest leaves alone what is in there, and nothing else
      mkdirSync(join(project, "node_modules"));
      for (const name of readdirSync(join(root, "node_modules")).filter((name) => !name.startsWith(".")))
        symlinkSync(join(root, "node_modules", name), join(project, "node_modules", name));
      for (const part of ["dist", "package.json"])
        cpSync(join(root, part), join(project, "node_modules/regears", part), { recursive: true });
      for (const name of ["one", "two", "three", "four"])
        writeFileSync(
          join(project, `${name}.test.mjs`),
          `import { expect, inject, it } from "vitest";
         import { startServer } from "regears/testing";
         it("answers", async () => {
           const server = await startServer();
           expect(await server.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()")).toEqual([["1"], []]);
           expect(inject("redisUrl")).toBe(process.env.REDIS_URL);
           console.log("made: " + server.logs.filter(({ text }) => text.includes("made the snapshot")).length + ".");
           await server.close();
         });`,
        );
      const settings = { globalSetup, maxWorkers: 4, root: project, testTimeout: 60_000 };
      writeFileSync(join(project, "vitest.config.mjs"), `export default { test: ${JSON.stringify(settings)} };`);
      const vitest = join(root, "node_modules/vitest/vitest.mjs");
      const { stdout } = await promisify(execFile)(process.execPath, [vitest, "run", "--root", project], {
        env: {
          ...process.env,
          REDIS_URL: undefined,
          XDG_CACHE_HOME: join(project, "cache"),
          NO_COLOR: "1",
          VITEST: "",
          VITEST_WORKER_ID: "",
          VITEST_POOL_ID: "",
        },
      });
      expect(stdout).toContain("4 passed (4)");
      const made = [...stdout.matchAll(/made: (\d)\./g)].map(([, count]) => Number(count));
      expect(made.toSorted()).toEqual([0, 0, 0, byTests]);
      expect(readdirSync(join(project, "cache/regears"))).toEqual([expect.stringMatching(/\.snapshot$/)]);
    },
  );
});
