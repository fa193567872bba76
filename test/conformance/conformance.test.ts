/**
 * Replays the recorded conversations with RedisGears 1.2 against the built server, one test for each. A conversation that
 * differs on purpose, or can not work yet, stands in differences.json with its reason; it is a failure when it passes.
 * `area: *` there skips a whole area.
 */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

interface Recording {
  readonly area: string;
  readonly cases: readonly { readonly name: string }[];
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const differences = JSON.parse(readFileSync(here("differences.json"), "utf8")) as Record<string, string>;
const files = readdirSync(here("cases")).filter((name) => name.endsWith(".json"));
const recordings = files.map((name) => JSON.parse(readFileSync(here(`cases/${name}`), "utf8")) as Recording);
const AREA_LIMIT_MS = 240_000;

/** The runner's verdicts by title: undefined when it passed, else what it printed. */
function replay(file: string, port: number): Promise<Map<string, string | undefined>> {
  const args = [here("run.mjs"), "--verbose", "--port", String(port), here(`cases/${file}`)];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { maxBuffer: 64 * 1024 * 1024, timeout: AREA_LIMIT_MS }, (_failed, output) => {
      const verdicts = new Map<string, string | undefined>();
      for (const block of output.split(/^(?=ok {3}|FAIL )/m)) {
        const [title = "", ...details] = block.trimEnd().split("\n");
        if (title.startsWith("ok   ")) verdicts.set(title.slice(5), undefined);
        else if (title.startsWith("FAIL ")) verdicts.set(title.slice(5), details.join("\n"));
      }
      resolve(verdicts);
    });
  });
}

/**
 * The recordings are of a server whose threads are there; interpreters boot when they are needed, so they are made to:
 * each of these scripts waits for the others.
 */
async function warmUp(port: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: 4 }, () => connectClient(port)));
  const together = "import time\nexecute('INCR', 'warm')\nwhile int(execute('GET', 'warm')) < 4: time.sleep(0.01)";
  await Promise.all(clients.map((client) => client.call("RG.PYEXECUTE", together)));
  await clients[0]?.call("FLUSHALL");
  for (const client of clients) client.close();
}

// One for all: each conversation begins with an empty server, whatever was there before.
let server: RunningRegears;
beforeAll(async () => {
  server = await startRegears();
  await warmUp(server.port);
});
afterAll(() => server.stop());

it("excuses only conversations that exist", () => {
  const titles = new Set(
    recordings.flatMap(({ area, cases }) => [`${area}: *`, ...cases.map(({ name }) => `${area}: ${name}`)]),
  );
  expect(Object.keys(differences).filter((title) => !titles.has(title))).toEqual([]);
});

for (const [index, { area, cases }] of recordings.entries())
  describe(area, () => {
    const skipped = differences[`${area}: *`];
    if (skipped !== undefined) {
      for (const { name } of cases) it.skip(`${name} (${skipped})`);
      return;
    }
    let verdicts = new Map<string, string | undefined>();

    beforeAll(async () => {
      verdicts = await replay(files[index] ?? "", server.port);
    }, AREA_LIMIT_MS + 60_000);

    for (const { name } of cases) {
      const title = `${area}: ${name}`;
      const reason = differences[title];
      it(reason === undefined ? name : `${name} (differs: ${reason})`, () => {
        expect(verdicts.has(title), "the conversation was not held").toBe(true);
        const difference = verdicts.get(title);
        if (reason === undefined) expect(difference ?? "", difference ?? "").toBe("");
        else expect(difference, "no longer differs: take it out of differences.json").toBeDefined();
      });
    }
  });
