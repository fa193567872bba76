/** Places where the server can not write. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fields } from "../support/use-server.ts";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { runRegears } from "../support/regears.ts";
import { endServersAfterEach, startServer } from "./support.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";
import { newFolder } from "../support/folders.ts";

endServersAfterEach();

/** A file system of 256 KB; undefined with the reason where none may be mounted. */
function smallDisk(): { folder: string; release: () => void } | undefined {
  const folder = newFolder();
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  return { folder, release: () => execFileSync("umount", ["-l", folder], { stdio: "ignore" }) };
}

/** Too long for what is left of the last block of a file. */
const trigger = (name: string, answer: string): string =>
  `GB('CommandReader').map(lambda r, long='x' * 8192: '${answer}').register(trigger='${name}')`;
const REGISTER = trigger("run", "ran");

/** Writes to a file until nothing more fits. */
function fill(path: string): void {
  for (let size = 64 * 1024; size >= 1; ) {
    try {
      appendFileSync(path, Buffer.alloc(size));
    } catch {
      size = Math.floor(size / 2);
    }
  }
}

/** Whatever would have to be kept is an error, and leaves everything as it was. */
async function refusesRegistrations(client: Client, error: RegExp): Promise<void> {
  const shown = async (): Promise<Value> => {
    const all = (await client.call("RG.DUMPREGISTRATIONS")) as Value[];
    return all.map(fields).map(({ id, PD }) => `${id} ${PD}`);
  };
  const before = await shown();
  expect(await errorOf(client.call("RG.PYEXECUTE", trigger("other", "x")))).toMatch(error);
  expect(await errorOf(client.call("RG.PYEXECUTE", trigger("run", "new"), "ID", "app", "UPGRADE"))).toMatch(error);
  const caught = (code: string): string => `
try:
    ${code}
except Exception as error:
    execute('SET', 'caught', type(error).__name__ + ' ' + str(error))
`;
  const event = caught("registerTE(1, lambda long='x' * 8192: execute('INCR', 'ticks'), 'event')");
  expect(await client.call("RG.PYEXECUTE", event)).toBe("OK");
  expect(String(await client.call("GET", "caught"))).toMatch(/^error MISCONF /);
  expect(await client.call("EXISTS", "event")).toBe(0);
  const step = `
def make(record):
    ${trigger("inner", "x")}
GB('ShardsIDReader').foreach(make).run()`;
  expect(JSON.stringify(await client.call("RG.PYEXECUTE", step))).toContain("MISCONF ");
  expect(await errorOf(client.call("RG.TRIGGER", "inner"))).toBe("ERR subcommand not found");
  expect(await errorOf(client.call("RG.TRIGGER", "other"))).toBe("ERR subcommand not found");
  expect(await shown()).toEqual(before);
}

describe("a folder that can not be written", { timeout: 180_000 }, () => {
  it("that is full fails SAVE, refuses registrations, and nothing else", async (context) => {
    const disk = smallDisk();
    if (!disk) return context.skip("no file system can be mounted here");
    try {
      const server = await startServer(["--dir", disk.folder]);
      const client = await connectClient(server.port);
      expect(await client.call("RG.PYEXECUTE", REGISTER, "ID", "app")).toBe("OK");
      for (let i = 0; i < 2000; i++) client.call("SET", `key:${i}`, randomBytes(1000)).catch(() => {});
      expect(await errorOf(client.call("SAVE"))).toBe("ERR the data can not be saved: ENOSPC: no space left on device");
      expect(await client.call("SET", "after", "works")).toBe("OK");
      fill(join(disk.folder, "filler"));
      await refusesRegistrations(client, /^MISCONF Errors writing the registrations to disk: ENOSPC: no space left/);
      expect(await client.call("RG.TRIGGER", "run")).toEqual(["ran"]);
      rmSync(join(disk.folder, "filler"));
      expect(await client.call("RG.PYEXECUTE", trigger("more", "again"))).toBe("OK");
      expect(server.output()).toMatch(/ENOSPC|no space/);
      await client.call("FLUSHALL");
      expect(await client.call("SET", "after", "works")).toBe("OK");
      expect(await client.call("SAVE")).toBe("OK");
      expect(await server.stop()).toBe(0);
      const again = await startServer(["--dir", disk.folder]);
      const other = await connectClient(again.port);
      expect(await other.call("GET", "after")).toBe("works");
      expect(await other.call("RG.TRIGGER", "run")).toEqual(["ran"]);
      expect(await other.call("RG.TRIGGER", "more")).toEqual(["again"]);
    } finally {
      disk.release();
    }
  });

  it("that is full does not let SIGTERM end the server and the data with it", async (context) => {
    const disk = smallDisk();
    if (!disk) return context.skip("no file system can be mounted here");
    try {
      const server = await startServer(["--dir", disk.folder]);
      const client = await connectClient(server.port);
      expect(await client.call("SET", "k", "v")).toBe("OK");
      fill(join(disk.folder, "filler"));
      const user = await errorOf(client.call("ACL", "SETUSER", "bob", "on"));
      expect(user).toMatch(/^MISCONF .*: ENOSPC: no space left on device$/);
      server.process.kill("SIGTERM");
      await until(() => server.output().includes("not stopping"), "a line that says why");
      expect(server.output()).toMatch(/not stopping, for the data can not be saved \(ENOSPC: no space/);
      expect(await client.call("GET", "k")).toBe("v");
      rmSync(join(disk.folder, "filler"));
      expect(await server.stop()).toBe(0);
      const again = await startServer(["--dir", disk.folder]);
      expect(await (await connectClient(again.port)).call("GET", "k")).toBe("v");
    } finally {
      disk.release();
    }
  });

  it.skipIf(process.platform !== "linux")("that is read-only is said clearly, and the data are served", async () => {
    const server = await startServer(["--dir", "/proc/self"]);
    const client = await connectClient(server.port);
    expect(await client.call("SET", "k", "v")).toBe("OK");
    expect(await errorOf(client.call("SAVE"))).toMatch(/^ERR the data can not be saved: E[A-Z]+: /);
    expect(await errorOf(client.call("RG.PYEXECUTE", REGISTER))).toMatch(/^MISCONF .*: E[A-Z]+: /);
    expect(await client.call("RG.DUMPREGISTRATIONS")).toEqual([]);
    expect(await client.call("GET", "k")).toBe("v");
  });

  it("that does not exist ends the start with a reason", async () => {
    const { exited, output } = runRegears(["--port", "0", "--dir", "/nowhere/at/all"]);
    expect(await exited).toBeGreaterThan(0);
    expect(output()).toMatch(/^regears: .*\/nowhere\/at\/all/m);
  });
});
