/** Booting: with and without a cached snapshot, from a damaged one, without a place to keep it. */
import { spawnSync } from "node:child_process";
import {
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join, parse } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { loadAssets } from "../../src/python/python-worker.ts";
import { SERVE_NESTED } from "../../src/python/protocol.ts";
import { fixtures, TestWorker } from "./support.ts";
import { newFolder } from "../support/folders.ts";
import { until } from "../support/waiting.ts";

const runtimeDir = join(fixtures, "runtime");
let cacheDir = "";
const logged: string[] = [];
const log = {
  info: (text: string) => logged.push(`info ${text}`),
  warn: (text: string) => logged.push(`warn ${text}`),
};
const snapshots = (): string[] => readdirSync(cacheDir);

async function boot(from: { cacheDir?: string }): Promise<{ answer: unknown; milliseconds: number }> {
  logged.length = 0;
  const start = performance.now();
  const assets = await loadAssets({ ...from, runtimeDir, log });
  await using worker = await TestWorker.start(assets);
  const milliseconds = performance.now() - start;
  return { answer: await worker.value("import sys; result = list(sys.version_info[:2])"), milliseconds };
}

/** Files that are no good, how they come to be so, and what is said of them. */
const SPOILT: readonly (readonly [which: string, spoil: (file: string) => void, reason: RegExp])[] = [
  ["that is cut", (file) => truncateSync(file, 1_000_000), /damaged/],
  ["that is empty", (file) => truncateSync(file, 0), /damaged/],
];
/** Only root can give a file away. */
const FOREIGN: typeof SPOILT = [
  ["of somebody else", (file) => chownSync(file, 12345, 12345), /belongs to somebody else/],
];

beforeAll(() => {
  cacheDir = newFolder();
});

describe("the snapshot", () => {
  it("is made when there is none, once for all who start then, and kept", async () => {
    const booting = boot({ cacheDir });
    const others = [1, 2, 3].map(() => loadAssets({ cacheDir, runtimeDir, log }));
    const { answer, milliseconds } = await booting;
    for (const assets of await Promise.all(others)) assets.close();
    expect(answer).toEqual([3, 14]);
    expect(snapshots()).toHaveLength(1);
    expect(logged).toEqual([expect.stringContaining("made the snapshot")]);
    console.log(`ready without a snapshot: ${Math.round(milliseconds)} ms`);
  });

  it("is used when it is there", async () => {
    const { answer, milliseconds } = await boot({ cacheDir });
    expect(answer).toEqual([3, 14]);
    expect(logged).toEqual([]);
    console.log(`ready with a snapshot: ${Math.round(milliseconds)} ms`);
  });

  it("is made anew when its file is damaged", async () => {
    const [name = ""] = snapshots();
    flip(join(cacheDir, name), 5_000_000);
    const { answer } = await boot({ cacheDir });
    expect(answer).toEqual([3, 14]);
    expect(logged[0]).toMatch(/^warn .* damaged/);
    expect(snapshots()).toEqual([name]);
    logged.length = 0;
    await loadAssets({ cacheDir, runtimeDir, log });
    expect(logged).toEqual([]);
  });

  it.each([...SPOILT, ...(process.getuid?.() === 0 ? FOREIGN : [])])(
    "is not read from a file %s",
    async (_name, spoil, reason) => {
      const [name = ""] = snapshots();
      const file = join(cacheDir, name);
      const good = readFileSync(file);
      spoil(file);
      // another process seems to make a new one, so that nobody else does
      const mark = join(cacheDir, `${parse(name).name}.making`);
      writeFileSync(mark, String(process.pid));
      logged.length = 0;
      const loading = loadAssets({ cacheDir, runtimeDir, log });
      await until(() => logged.length > 0, "the file is looked at");
      rmSync(file);
      writeFileSync(`${file}.tmp`, good);
      renameSync(`${file}.tmp`, file);
      await loading;
      rmSync(mark);
      for (const line of logged) expect(line).toMatch(reason);
    },
  );

  it.each([
    ["that has ended", () => String(spawnSync("true").pid), 0],
    ["whose number another one has", () => String(process.pid), 60],
    ["that was killed before it could write its number", () => "", 60],
  ])("is made by who comes next when a process has left its mark %s", async (_name, text, age) => {
    const [name = ""] = snapshots();
    const folder = newFolder();
    const mark = join(folder, `${parse(name).name}.making`);
    writeFileSync(mark, text());
    utimesSync(mark, Date.now() / 1000 - age, Date.now() / 1000 - age);
    (await loadAssets({ cacheDir: folder, runtimeDir, log })).close();
    expect(readdirSync(folder)).toEqual([name]);
  });

  it("is waited for as long as the process that makes it says so", async () => {
    const slow = newFolder();
    const main = readFileSync(join(runtimeDir, "main.py"), "utf8");
    writeFileSync(join(slow, "main.py"), `${main}\nimport time\ntime.sleep(3)\n`);
    const folder = newFolder();
    const making = loadAssets({ cacheDir: folder, runtimeDir: slow, log });
    const mark = (): string | undefined => readdirSync(folder).find((name) => name.endsWith(".making"));
    const path = join(folder, await until(mark));
    utimesSync(path, 0, 0);
    await until(() => existsSync(path) && statSync(path).mtimeMs > 0, "the mark is young again");
    (await making).close();
    expect(readdirSync(folder)).toEqual([expect.stringMatching(/\.snapshot$/)]);
  });

  it("is made each time where nothing can be written", async () => {
    const file = join(cacheDir, "file");
    writeFileSync(file, "");
    const { answer } = await boot({ cacheDir: join(file, "not-a-folder") });
    expect(answer).toEqual([3, 14]);
    expect(logged.join()).toMatch(/warn the snapshot of Python can not be kept/);
    rmSync(file);
  });

  it("depends on the runtime", async () => {
    const other = newFolder();
    writeFileSync(join(other, "main.py"), `${readFileSync(join(runtimeDir, "main.py"), "utf8")}\nMARK = 7\n`);
    const assets = await loadAssets({ cacheDir, runtimeDir: other, log });
    expect(snapshots()).toHaveLength(2);
    await using worker = await TestWorker.start(assets);
    expect(await worker.value("import regears.main; result = regears.main.MARK")).toBe(7);
  });

  it("that can not be made is an error with its reason", async () => {
    const broken = newFolder();
    writeFileSync(join(broken, "main.py"), "raise ValueError('no runtime today')\n");
    await expect(loadAssets({ cacheDir, runtimeDir: broken, log })).rejects.toThrow(/no runtime today/);
  });
});

describe("a restored interpreter", () => {
  it("does not repeat randomness, and shares what a worker may share", async () => {
    const assets = await loadAssets({ cacheDir, runtimeDir, log });
    const code =
      "import os, random, tempfile, uuid\nresult = [random.random(), os.urandom(8), tempfile.mktemp(), str(uuid.uuid4())]";
    await using first = await TestWorker.start(assets);
    await using second = await TestWorker.start(assets);
    const values = [await first.value(code), await second.value(code)] as unknown[][];
    for (let i = 0; i < 4; i++) expect(values[0]?.[i]).not.toEqual(values[1]?.[i]);
  });
});

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
}

describe("an interpreter that has just booted", () => {
  it("can be interrupted while it makes ready", async () => {
    // the real runtime, whose image all servers use
    const assets = await loadAssets({ log });
    await using worker = await TestWorker.start(assets);
    // nobody has sent anything yet, so it is still exercising
    worker.worker.interrupt(SERVE_NESTED);
    const interrupting = setInterval(() => worker.worker.interrupt(SERVE_NESTED), 10);
    try {
      worker.post("profile", 1, "1:x", "stats", "tottime");
      expect(await worker.answer()).toEqual(["post", "answer", 1, "error", "session does not exists"]);
    } finally {
      clearInterval(interrupting);
    }
  });
});
