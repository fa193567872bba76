/** Places where the server can not write. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { runRegears } from "../support/regears.ts";
import { endServersAfterEach, errorOf, newFolder, startServer } from "./support.ts";

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

const REGISTER = "GB('CommandReader').map(lambda r: 'ran').register(trigger='run')";

describe("a folder that can not be written", () => {
  it("that is full fails SAVE and nothing else", async (context) => {
    const disk = smallDisk();
    if (!disk) return context.skip("no file system can be mounted here");
    try {
      const server = await startServer(["--dir", disk.folder]);
      const client = await connectClient(server.port);
      expect(await client.call("RG.PYEXECUTE", REGISTER)).toBe("OK");
      for (let i = 0; i < 2000; i++) client.call("SET", `key:${i}`, randomBytes(1000)).catch(() => {});
      expect(await errorOf(client.call("SAVE"))).toMatch(/^ERR/);
      expect(await client.call("SET", "after", "works")).toBe("OK");
      expect(await client.call("RG.TRIGGER", "run")).toEqual(["ran"]);
      expect(server.output()).toMatch(/ENOSPC|no space/);
      await client.call("FLUSHALL");
      expect(await client.call("SET", "after", "works")).toBe("OK");
      expect(await client.call("SAVE")).toBe("OK");
      expect(await server.stop()).toBe(0);
      const again = await startServer(["--dir", disk.folder]);
      const other = await connectClient(again.port);
      expect(await other.call("GET", "after")).toBe("works");
      expect(await other.call("RG.TRIGGER", "run")).toEqual(["ran"]);
    } finally {
      disk.release();
    }
  });

  it.skipIf(process.platform !== "linux")("that is read-only is said clearly, and the data are served", async () => {
    const server = await startServer(["--dir", "/proc/self"]);
    const client = await connectClient(server.port);
    expect(await client.call("SET", "k", "v")).toBe("OK");
    expect(await errorOf(client.call("SAVE"))).toMatch(/^ERR/);
    const registered = await client.call("RG.PYEXECUTE", REGISTER).catch((error: Error) => error.message);
    expect(String(registered)).toMatch(/OK|ERR/);
    expect(await client.call("GET", "k")).toBe("v");
  });

  it("that does not exist ends the start with a reason", async () => {
    const { exited, output } = runRegears(["--port", "0", "--dir", "/nowhere/at/all"]);
    expect(await exited).toBeGreaterThan(0);
    expect(output()).toMatch(/^regears: .*\/nowhere\/at\/all/m);
  });
});
