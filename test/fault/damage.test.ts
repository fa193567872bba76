/** Files of `dir` that are damaged, and servers that want the same `dir`. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { connectClient, type Client } from "../support/client.ts";
import { runRegears } from "../support/regears.ts";
import { endServersAfterEach, startServer } from "./support.ts";
import { errorOf } from "../support/errors.ts";
import { newFolder } from "../support/folders.ts";
import { pidOf } from "../support/processes.ts";

endServersAfterEach();

const REGISTRATIONS = "regears-registrations.json";
const DATA = "dump.rdb";

async function start(folder: string, ...more: string[]): Promise<{ client: Client; kill: () => Promise<unknown> }> {
  const server = await startServer(["--dir", folder, ...more]);
  const client = await connectClient(server.port);
  return { client, kill: () => server.stop("SIGKILL") };
}

/** A folder with two registrations and a key, as a server has left it. */
async function fill(): Promise<string> {
  const folder = newFolder();
  const { client, kill } = await start(folder);
  for (const name of ["a", "b"]) {
    await client.call("RG.PYEXECUTE", `GB('CommandReader').map(lambda r: '${name}').register(trigger='${name}')`);
  }
  await client.call("SET", "k", "v");
  await client.call("SAVE");
  await kill();
  return folder;
}

let model: Promise<string> | undefined;

/** A copy of such a folder. */
async function filled(): Promise<string> {
  model ??= fill();
  const folder = newFolder();
  // the lock of the server that was killed is a socket
  cpSync(await model, folder, { recursive: true, filter: (path) => !path.includes("regears.lock-") });
  return folder;
}

/** What a server that can not start says, in one line, and its exit code. */
async function refusal(folder: string, ...more: string[]): Promise<{ code: number | null; line: string }> {
  const { exited, output } = runRegears(["--port", "0", "--dir", folder, ...more]);
  const code = await exited;
  const [line = "", ...others] = output()
    .split("\n")
    .filter((text) => text.startsWith("regears:"));
  expect(others).toEqual([]);
  return { code, line };
}

/** Changes a byte in the middle of a text in a file. */
function damage(path: string, text: string): void {
  const bytes = readFileSync(path);
  const at = bytes.indexOf(text);
  if (at < 0) throw new Error(`${path} has no ${text}`);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe("a damaged file", { timeout: 180_000 }, () => {
  it("of registrations ends the start, and --repair goes on with the others", async () => {
    const folder = await filled();
    // which has them, too
    rmSync(join(folder, DATA));
    damage(join(folder, REGISTRATIONS), '"number":1,');
    const before = readFileSync(join(folder, REGISTRATIONS));
    const { code, line } = await refusal(folder);
    expect(code).toBe(1);
    expect(line).toMatch(
      /^regears: the registrations in .*regears-registrations\.json are damaged: line 2: .*--repair/,
    );
    expect(readFileSync(join(folder, REGISTRATIONS))).toEqual(before);
    const { client, kill } = await start(folder, "--repair");
    expect(await errorOf(client.call("RG.TRIGGER", "a"))).toBe("ERR subcommand not found");
    expect(await client.call("RG.TRIGGER", "b")).toEqual(["b"]);
    const aside = readdirSync(folder).find((name) => name.startsWith(`${REGISTRATIONS}.damaged-`));
    expect(readFileSync(join(folder, String(aside)))).toEqual(before);
    await kill();
    expect(await (await start(folder)).client.call("RG.TRIGGER", "b")).toEqual(["b"]);
  });

  it("of registrations is repaired by what the dump has of them", async () => {
    const folder = await filled();
    damage(join(folder, REGISTRATIONS), '"number":1,');
    expect((await refusal(folder)).code).toBe(1);
    const { client } = await start(folder, "--repair");
    for (const name of ["a", "b"]) expect(await client.call("RG.TRIGGER", name)).toEqual([name]);
  });

  it("of data ends the start, and --repair goes on without it", async () => {
    const folder = await filled();
    const cut = readFileSync(join(folder, DATA)).subarray(0, -3);
    writeFileSync(join(folder, DATA), cut);
    const { code, line } = await refusal(folder);
    expect(code).toBe(1);
    expect(line).toMatch(
      /^regears: the data in .*dump\.rdb can not be loaded: Unexpected EOF reading RDB file\. Put a good copy.*--repair/,
    );
    expect(readFileSync(join(folder, DATA))).toEqual(cut);
    const { client, kill } = await start(folder, "--repair");
    expect(await client.call("GET", "k")).toBeNull();
    expect(await client.call("RG.TRIGGER", "b")).toEqual(["b"]);
    const aside = readdirSync(folder).find((name) => name.startsWith(`${DATA}.damaged-`));
    expect(readFileSync(join(folder, String(aside)))).toEqual(cut);
    await kill();
    expect(await (await start(folder)).client.call("GET", "k")).toBeNull();
  });

  it("of the log of changes ends the start where it is wrong, and --repair goes on with the dump", async () => {
    const folder = await filled();
    const first = await start(folder, "--appendonly", "yes");
    expect(await first.client.call("GET", "k")).toBe("v");
    await first.client.call("SET", "later", "1");
    await first.client.call("SET", "last", "1");
    await first.kill();
    writeFileSync(join(folder, "appendonlydir/appendonly.aof.1.incr.aof"), "!\r\n", { flag: "a" });
    const { code, line } = await refusal(folder, "--appendonly", "yes");
    expect(code).toBe(1);
    expect(line).toMatch(
      /^regears: the data in .*appendonlydir can not be loaded: Bad file format reading the append only/,
    );
    const { client } = await start(folder, "--appendonly", "yes", "--repair");
    expect(await client.call("GET", "k")).toBe("v");
    expect(await client.call("EXISTS", "last")).toBe(0);
    expect(readdirSync(folder).some((name) => name.startsWith("appendonlydir.damaged-"))).toBe(true);
  });

  it("of the log of changes whose end is missing is loaded without its last change", async () => {
    const folder = newFolder();
    const first = await start(folder, "--appendonly", "yes", "--appendfsync", "always");
    for (const key of ["a", "b"]) await first.client.call("SET", key, "1");
    await first.kill();
    const log = join(folder, "appendonlydir/appendonly.aof.1.incr.aof");
    writeFileSync(log, readFileSync(log).subarray(0, -3));
    const server = await startServer(["--dir", folder, "--appendonly", "yes"]);
    const client = await connectClient(server.port);
    expect(await client.call("MGET", "a", "b")).toEqual(["1", null]);
    expect(server.output()).toMatch(/Truncating the AOF appendonly\.aof\.1\.incr\.aof at offset/);
  });

  it("of the log of changes without its manifest ends the start", async () => {
    const folder = newFolder();
    const first = await start(folder, "--appendonly", "yes");
    await first.client.call("SET", "a", "1");
    await first.kill();
    rmSync(join(folder, "appendonlydir/appendonly.aof.manifest"));
    expect(await refusal(folder, "--appendonly", "yes")).toEqual({
      code: 1,
      line: expect.stringMatching(/appendonly\.aof\.manifest is missing, and appendonly\.aof\.1\.incr\.aof is there/),
    });
  });

  it.each([
    ["is empty", REGISTRATIONS, ""],
    ["is of an earlier version", REGISTRATIONS, "regears-registrations sha256:0\n{}"],
    ["is no dump", DATA, "hello, world"],
    ["is of a later version", DATA, "REDIS0099 and so on"],
  ])("that %s ends the start: %s", async (_why, name, bytes) => {
    const folder = newFolder();
    writeFileSync(join(folder, name), bytes);
    const { code, line } = await refusal(folder);
    expect(code).toBe(1);
    expect(line).toContain("--repair");
    expect(readFileSync(join(folder, name), "latin1")).toBe(bytes);
  });

  it.each([REGISTRATIONS, DATA])("that is a directory ends the start: %s", async (name) => {
    const folder = newFolder();
    mkdirSync(join(folder, name));
    expect(await refusal(folder)).toEqual({ code: 1, line: expect.stringMatching(/can not be read: EISDIR/) });
  });

  it("of registrations whose last change was cut off by the end of the server is none", async () => {
    const folder = await filled();
    const path = join(folder, REGISTRATIONS);
    writeFileSync(path, readFileSync(path).subarray(0, -10));
    const { client, kill } = await start(folder);
    expect(await client.call("RG.TRIGGER", "a")).toEqual(["a"]);
    await client.call("RG.PYEXECUTE", "GB('CommandReader').map(lambda r: 'c').register(trigger='c')");
    await kill();
    expect(await (await start(folder)).client.call("RG.TRIGGER", "c")).toEqual(["c"]);
  });
});

describe("two servers in one folder", { timeout: 180_000 }, () => {
  it("are one: the second ends with status 1 and says who the first is", async () => {
    const folder = newFolder();
    const server = await startServer(["--dir", folder]);
    const second = await refusal(folder);
    expect(second).toEqual({
      code: 1,
      line: expect.stringContaining(`in use by another server, process ${pidOf(server)} `),
    });
    const client = await connectClient(server.port);
    await client.call("RG.PYEXECUTE", "GB('CommandReader').map(lambda r: 'a').register(trigger='a')");
    await server.stop("SIGKILL");
    expect(await (await start(folder)).client.call("RG.TRIGGER", "a")).toEqual(["a"]);
  });

  it("come after each other, also when the first was killed", async () => {
    const folder = newFolder();
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      const server = await startServer(["--dir", folder]);
      await server.stop(signal);
    }
    await startServer(["--dir", folder]);
    expect(readdirSync(folder).filter((name) => name.startsWith("regears.lock-"))).toHaveLength(1);
  });
});
