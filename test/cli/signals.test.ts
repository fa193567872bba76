/** What the program does with signals, and with outputs that nobody reads. */
import { mkdtempSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { type Client, connectClient } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { type RunningRegears, runRegears, startRegears } from "../support/regears.ts";
import { freePort } from "../support/ports.ts";
import { until } from "../support/waiting.ts";
import { start as startProgram } from "./program.ts";

const folder = newFolder();

let server: RunningRegears | undefined;
const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await server?.stop("SIGKILL");
  server = undefined;
});
const start = async (...args: string[]): Promise<{ server: RunningRegears; client: Client }> => {
  server = await startRegears(args);
  return { server, client: await open(server.port) };
};
const open = async (port: number): Promise<Client> => {
  const client = await connectClient(port);
  clients.push(client);
  return client;
};
const linesOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};
const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(socket.destroy() !== undefined)).once("error", () => resolve(false));
  });

describe.skipIf(process.platform === "win32")("signals", () => {
  it("end nothing unless they mean it", async () => {
    const debuggerPort = await freePort();
    process.env.NODE_OPTIONS = `--inspect-port=${debuggerPort}`;
    const { server, client } = await start().finally(() => delete process.env.NODE_OPTIONS);
    for (const signal of ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGPIPE", "SIGUSR1"] as const) {
      server.process.kill(signal);
      expect(await client.call("PING"), signal).toBe("PONG");
    }
    expect(await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').count().run()")).toHaveLength(2);
    expect(await listens(debuggerPort)).toBe(false);
    expect(server.output()).not.toContain("Debugger");
    expect(await server.stop("SIGTERM")).toBe(0);
  });

  it("SIGHUP goes on in a new log file when the old one was moved away", async () => {
    const path = join(folder, "rotated.log");
    const port = await freePort();
    const { child, exited } = runRegears(["--port", String(port), "--logfile", path]);
    try {
      await expect.poll(() => linesOf(path), { timeout: 60_000 }).toContain("Ready to accept connections");
      renameSync(path, `${path}.1`);
      child.kill("SIGHUP");
      await expect.poll(() => linesOf(path)).toContain("opened anew");
      const client = await open(port);
      await client.call("RG.PYEXECUTE", "log('after the rotation')");
      expect(linesOf(path)).toContain("after the rotation");
      expect(linesOf(`${path}.1`)).not.toContain("after the rotation");
      child.kill("SIGTERM");
      expect(await exited).toBe(0);
      expect(linesOf(path)).toContain("SIGTERM: stopping");
    } finally {
      child.kill("SIGKILL");
    }
  });

  it.skipIf(process.platform !== "linux")("SIGUSR1 during the start opens no debugger that stays", async () => {
    const [port, debuggerPort] = [await freePort(), await freePort()];
    const env = { ...process.env, NODE_OPTIONS: `--inspect-port=${debuggerPort}` };
    const { child, exited, output } = runRegears(["--port", String(port)], env);
    try {
      // Node.js itself listens for the signal from some moment on; before, the signal ends any process
      const caught = (): boolean => {
        const [, mask = "0"] = /^SigCgt:\s*(\w+)/m.exec(linesOf(`/proc/${child.pid}/status`)) ?? [];
        return (BigInt(`0x${mask}`) & (1n << 9n)) !== 0n;
      };
      await expect.poll(caught, { interval: 1, timeout: 30_000 }).toBe(true);
      while (!output().includes("Ready to accept connections") && child.exitCode === null) {
        child.kill("SIGUSR1");
        // again and again, so that it comes at every moment of the start
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      expect(await (await open(port)).call("PING")).toBe("PONG");
      await expect.poll(() => listens(debuggerPort)).toBe(false);
      child.kill("SIGUSR1");
      expect(await (await open(port)).call("PING")).toBe("PONG");
      expect(await listens(debuggerPort)).toBe(false);
      child.kill("SIGTERM");
      expect(await exited).toBe(0);
    } finally {
      child.kill("SIGKILL");
    }
  });

  it.each(["SIGTERM", "SIGINT"] as const)("%s saves and ends with 0", async (signal) => {
    const dir = mkdtempSync(join(folder, "dir-"));
    const { server, client } = await start("--dir", dir);
    await client.call("SET", "k", "kept");
    expect(await server.stop(signal)).toBe(0);
    const again = await start("--dir", dir);
    expect(await again.client.call("GET", "k")).toBe("kept");
  });

  it("a second signal ends a long stop at once", async () => {
    const { server, client } = await start();
    // what it is owed is waited for
    client.call("BLPOP", "nothing", "0").catch(() => {});
    await (await open(server.port)).call("PING");
    server.process.kill("SIGTERM");
    await expect.poll(() => server.output()).toContain("SIGTERM: stopping");
    server.process.kill("SIGINT");
    expect(await server.exited).toBe(1);
    expect(server.output()).toContain("SIGINT again");
  });
});

describe.skipIf(process.platform === "win32")("SIGHUP while a server is started for a command", () => {
  it.each([
    ["exec", ["--", "true"]],
    ["shell", ["--embedded"]],
    ["run", [fileURLToPath(new URL("../../examples/word_count.py", import.meta.url)), "--embedded"]],
  ])("ends %s", async (command, words) => {
    // the image of Python is made first, which takes long enough
    const cache = newFolder();
    const { child, ended } = startProgram([command, ...words], { env: { REGEARS_CACHE_DIR: cache } });
    await until(() => readdirSync(cache).some((name) => name.endsWith(".making")));
    child.kill("SIGHUP");
    expect(await ended).toMatchObject({ code: 129, out: "" });
  });
});

describe("outputs that nobody reads", () => {
  it("end nothing", async () => {
    const { server, client } = await start("--loglevel", "debug");
    server.process.stdout?.destroy();
    server.process.stderr?.destroy();
    for (let times = 0; times < 20; times++) await client.call("RG.PYEXECUTE", "log('unheard')");
    expect(await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').count().run()")).toHaveLength(2);
    expect(await client.call("PING")).toBe("PONG");
  });

  it.skipIf(process.platform !== "linux")("nor does a full disk under the log", async () => {
    const port = await freePort();
    const { child } = runRegears(["--port", String(port), "--logfile", "/dev/full"]);
    try {
      const client = await until(() => open(port).catch(() => undefined), "it can be connected to");
      await client.call("RG.PYEXECUTE", "log('unheard')");
      expect(await client.call("PING")).toBe("PONG");
    } finally {
      child.kill("SIGKILL");
    }
  });
});
