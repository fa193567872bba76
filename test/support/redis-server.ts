/**
 * A real redis-server for tests that compare with it byte by byte. Use it so:
 *
 *     const redis = findRedisServer();
 *     describe.skipIf(!redis.path)(`against redis-server${redis.skipped}`, () => { ... await startRedisServer() ... });
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { connectPlain } from "./plain-client.ts";
import { freePort } from "./ports.ts";

/** Where the server's program is, or why there is none (for a skipped suite's title). */
export interface RedisServerProgram {
  readonly path: string | undefined;
  readonly skipped: string;
}

/** A running server; `stop` ends it and removes its files. */
export interface RedisServer {
  readonly port: number;
  readonly socketPath: string;
  stop(): Promise<void>;
}

let found: RedisServerProgram | undefined;

/** Finds `redis-server`, else installs Debian's package when that may be done; the reason of a failure is printed. */
export function findRedisServer(): RedisServerProgram {
  if (found) return found;
  const path = search() ?? install();
  found = { path, skipped: path ? "" : " (skipped: no redis-server, and it could not be installed)" };
  if (!path) console.warn("redis-server was not found: the tests that compare with it are skipped");
  return found;
}

function search(): string | undefined {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(folder, "redis-server");
    if (folder && existsSync(path)) return path;
  }
  return undefined;
}

function install(): string | undefined {
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) return undefined;
  const apt = (...args: string[]): void => {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    execFileSync("/usr/bin/apt-get", ["-o", "DPkg::Lock::Timeout=120", ...args], {
      stdio: "ignore",
      timeout: 180_000,
      env,
    });
  };
  try {
    apt("update");
    apt("install", "-y", "redis-server");
  } catch (error) {
    console.warn(`redis-server could not be installed: ${String(error)}`);
  }
  return search();
}

/**
 * Starts a server without persistence on a free port and a unix socket, and waits until it answers.
 * @param args further options, as on its command line
 */
export async function startRedisServer(args: readonly string[] = []): Promise<RedisServer> {
  const program = findRedisServer().path;
  if (!program) throw new Error("no redis-server");
  const folder = mkdtempSync(join(tmpdir(), "redis-"));
  const socketPath = join(folder, "socket");
  const port = await freePort();
  const options = [
    "--port",
    String(port),
    "--unixsocket",
    socketPath,
    "--dir",
    folder,
    "--save",
    "",
    "--appendonly",
    "no",
  ];
  const child = spawn(program, [...options, ...args], { stdio: "ignore" });
  const stop = async (): Promise<void> => {
    await ended(child);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await answers(port, child);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, socketPath, stop };
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.kill("SIGKILL");
  });
}

async function answers(port: number, child: ChildProcess): Promise<void> {
  // only ends what hangs, on busy machines too
  const deadline = Date.now() + 60_000;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with code ${child.exitCode}`);
    try {
      const client = await connectPlain(port);
      client.write("PING\r\n");
      await client.read(1);
      client.destroy();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
