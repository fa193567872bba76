/** Files of `dir` that are damaged, and servers that want the same `dir`. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { connectClient, type Client } from "../support/client.ts";
import { runRegears } from "../support/regears.ts";
import { endServersAfterEach, errorOf, newFolder, pidOf, startServer } from "./support.ts";

endServersAfterEach();

const REGISTRATIONS = "regears-registrations.json";
const DATA = "regears-data.rgs";

async function start(folder: string, ...more: string[]): Promise<{ client: Client; kill: () => Promise<unknown> }> {
  const server = await startServer(["--dir", folder, ...more]);
  const client = await connectClient(server.port);
  return { client, kill: () => server.stop("SIGKILL") };
}

/** A folder with two registrations and a key. */
async function filled(): Promise<string> {
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

  it("of data ends the start, and --repair goes on with what can be read", async () => {
    const folder = await filled();
    writeFileSync(join(folder, DATA), readFileSync(join(folder, DATA)).subarray(0, -3));
    const { code, line } = await refusal(folder);
    expect(code).toBe(1);
    expect(line).toMatch(/^regears: the data in .*regears-data\.rgs is damaged: its end is missing.*--repair/);
    const { client, kill } = await start(folder, "--repair");
    expect(await client.call("GET", "k")).toBe("v");
    expect(readdirSync(folder).some((name) => name.startsWith(`${DATA}.damaged-`))).toBe(true);
    await kill();
    expect(await (await start(folder)).client.call("GET", "k")).toBe("v");
  });

  it.each([
    ["is empty", REGISTRATIONS, ""],
    ["is of an earlier version", REGISTRATIONS, "regears-registrations sha256:0\n{}"],
    ["is no snapshot", DATA, "REDIS0011"],
    ["is of a later version", DATA, "RGSDATA\x09"],
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
