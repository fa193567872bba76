/** The program as its users start it: output, exit codes, signals. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { connectClient } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { type RunningRegears, runRegears, startRegears } from "../support/regears.ts";
import { freePort } from "../support/ports.ts";

const folder = newFolder();

const finish = async (...args: string[]): Promise<{ code: number | null; output: string }> => {
  const { exited, output } = runRegears(args);
  const code = await exited;
  return { code, output: output() };
};

describe("without a server", () => {
  it("prints its help and its version", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(await finish("--version")).toEqual({ code: 0, output: `regears ${version}\n` });
    const help = await finish("--help");
    expect(help.code).toBe(0);
    expect(help.output).toContain("--max-executions ");
  });

  it("ends with 2 for a wrong option, and says which", async () => {
    expect(await finish("--prot", "1")).toEqual({
      code: 2,
      output: "regears: unknown option 'prot'; did you mean 'port'?\nregears --help lists the options.\n",
    });
    const mistyped = await finish("rnu", "script.py");
    expect(mistyped.output).toContain("regears: there is no command 'rnu'; did you mean 'run'?\n");
  });

  it.each([
    [["--engine", "http://:secret@h"], "the engine's URL must look like redis://host:6379/0"],
    [["--engine", "rediss://h", "--engine-tls-ca", join(folder, "none")], "engine-tls-ca can not be read: ENOENT"],
    [["--save", "often", "--dir", folder], "'often' is not pairs of seconds and changes"],
    [["--dir", join(folder, "none")], `option 'dir': '${join(folder, "none")}' can not be entered (ENOENT)`],
    [["--cache-dir", "/proc/none/cache"], "option 'cache-dir': '/proc/none/cache' can not be used (ENOENT)"],
    [["--logfile", "/proc/none/log"], "option 'logfile': ENOENT"],
  ])("ends with 2 and a line also when that shows later: %s", async (args, text) => {
    const { code, output } = await finish("--port", "0", ...args);
    expect({ code, lines: output.trim().split("\n").length }).toEqual({ code: 2, lines: 2 });
    expect(output).toContain(text);
    expect(output).not.toContain("secret");
  });

  it("is not healthy", async () => {
    const { code, output } = await finish("--healthcheck", "--port", String(await freePort()));
    expect(code).toBe(1);
    expect(output).toContain("ECONNREFUSED");
  });
});

describe("a server", () => {
  let server: RunningRegears | undefined;
  afterEach(async () => {
    await server?.stop("SIGKILL");
    server = undefined;
  });
  const ask = async (...command: string[]) => {
    const client = await connectClient(server?.port ?? 0);
    try {
      return await client.call(...command);
    } finally {
      client.close();
    }
  };

  it("takes its configuration from a file, answers, is healthy and stops when told", async () => {
    const file = join(folder, "regears.conf");
    writeFileSync(file, "maxexecutions 7\nsave 60 1\ngears-option color 'dark blue'\nmaxmemory 64mb\n");
    server = await startRegears(["--config", file, "--dir", folder]);
    expect(await ask("RG.CONFIGGET", "MaxExecutions", "color")).toEqual([7, "dark blue"]);
    expect(await ask("CONFIG", "GET", "maxmemory")).toEqual(["maxmemory", String(64 * 1024 * 1024)]);
    expect(server.output()).not.toContain("has no effect");
    expect(await finish("--healthcheck", "--port", String(server.port))).toEqual({ code: 0, output: "" });
    expect(await server.stop("SIGTERM")).toBe(0);
    expect(server.output()).toContain("SIGTERM: stopping");
  });

  it("is healthy also when it wants a password", async () => {
    server = await startRegears(["--requirepass", "secret"]);
    await expect(ask("PING")).rejects.toThrow("NOAUTH");
    expect((await finish("--healthcheck", "--port", String(server.port))).code).toBe(0);
  });

  it("logs to a file and says nothing", async () => {
    const logfile = join(folder, "regears.log");
    const port = await freePort();
    const { child, exited, output } = runRegears(["--port", String(port), "--logfile", logfile]);
    await expect.poll(() => readLog(logfile)).toContain("Ready to accept connections");
    child.kill("SIGTERM");
    expect(await exited).toBe(0);
    expect(output()).toBe("");
    const lines = readLog(logfile).trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).level)).toContain("notice");
  });

  it("ends with 1 when its port is taken", async () => {
    server = await startRegears();
    const { code, output } = await finish("--port", String(server.port));
    expect(code).toBe(1);
    expect(output).toContain(String(server.port));
    expect(output).not.toContain("    at ");
  });

  it("ends with 0 after SHUTDOWN", async () => {
    server = await startRegears();
    await expect(ask("SHUTDOWN")).rejects.toThrow("closed");
    expect(await server.exited).toBe(0);
  });
});

function readLog(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
