/** The servers that are compared: how each is started, and what it takes. Linux only: memory is read from /proc. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { freePort } from "../test/support/ports.ts";
import { Client } from "./client.ts";

/** Who takes part. */
export type SideName = "regears" | "base" | "url" | "native" | "redis";

export interface Side {
  readonly name: SideName;
  /** As it is called in tables. */
  readonly title: string;
  /** Has it RG.* commands? */
  readonly gears: boolean;
  /** Starts one on a port. @param log is told where to find why, when it does not start */
  readonly command: (port: number, folder: string) => readonly string[];
  /** What it runs besides, which has to be there first. */
  readonly version: string;
}

const START_LIMIT_MS = 60_000;
const THIS = fileURLToPath(new URL("..", import.meta.url));

const regears = (root: string, port: number, more: readonly string[] = []): string[] => [
  ...[process.execPath, "--stack-size=6000", join(root, "bin/regears.js")],
  ...["--port", String(port), "--loglevel", "warning", "--max-registrations", "100000", ...more],
];

/** The sides that the options ask for. @param url of the engine for the side with one; undefined: there is none */
export function sidesOf(options: {
  readonly base: string | undefined;
  readonly url: string | undefined;
  readonly native: string | undefined;
  readonly redis: boolean;
}): Side[] {
  const sides: Side[] = [
    {
      ...{ name: "regears", title: "Regears", gears: true, version: commitOf(THIS) },
      command: (port) => regears(THIS, port),
    },
  ];
  const { base, url, native } = options;
  if (base !== undefined)
    sides.push({
      ...{ name: "base", title: "Regears before", gears: true, version: commitOf(base) },
      command: (port) => regears(base, port),
    });
  if (url !== undefined)
    sides.push({
      ...{ name: "url", title: "Regears, engine by URL", gears: true, version: commitOf(THIS) },
      command: (port) => regears(THIS, port, ["--engine", url]),
    });
  const redis = (port: number, folder: string): string[] => [
    ...["redis-server", "--port", String(port), "--dir", folder, "--save", "", "--appendonly", "no"],
    ...["--maxclients", "20000"],
  ];
  if (native !== undefined)
    sides.push({
      ...{ name: "native", title: "native RedisGears", gears: true, version: redisVersion() },
      command: (port, folder) => [...redis(port, folder), "--loadmodule", ...native.split(" ")],
    });
  if (options.redis)
    sides.push({ ...{ name: "redis", title: "redis-server", gears: false, version: redisVersion() }, command: redis });
  return sides;
}

/** One that runs. */
export class Server {
  readonly port: number;
  /** From its start until it answered, in milliseconds. */
  readonly startMs: number;
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #kept: Client[] = [];

  /** @throws Error with what it has printed when it does not start */
  static async start({ command, title }: Pick<Side, "command" | "title">): Promise<Server> {
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), "regears-bench-"));
    const [program = "", ...args] = command(port, folder);
    const began = performance.now();
    const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (text: Buffer) => {
        output = `${output}${text}`.slice(-2000);
      });
    while (!(await answers(port))) {
      if (child.exitCode !== null || performance.now() - began > START_LIMIT_MS)
        throw new Error(`${title} does not start: ${output}`);
      await delay(5);
    }
    return new Server(child, port, folder, performance.now() - began);
  }

  private constructor(child: ChildProcess, port: number, folder: string, startMs: number) {
    this.#process = child;
    this.#folder = folder;
    this.port = port;
    this.startMs = startMs;
  }

  /** Memory that it has now (RSS), in bytes. */
  memory(): number {
    const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${this.#process.pid}/status`, "utf8")) ?? [];
    return Number(kilobytes) * 1024;
  }

  /** The same when it has not changed by more than a hundredth within a second. */
  async settledMemory(): Promise<number> {
    for (let before = this.memory(); ; ) {
      await delay(1_000);
      const now = this.memory();
      if (Math.abs(now - before) < before / 100) return now;
      before = now;
    }
  }

  /** Closes a client when the server ends. */
  keep(client: Client): void {
    this.#kept.push(client);
  }

  async stop(): Promise<void> {
    for (const client of this.#kept) client.close();
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    if (this.#process.exitCode === null) {
      this.#process.kill("SIGKILL");
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function answers(port: number): Promise<boolean> {
  try {
    const client = await Client.open(port);
    const reply = await client.send("PING");
    client.close();
    return reply === "PONG";
  } catch {
    return false;
  }
}

/** What a program tells of itself; undefined when there is none. */
export function told(program: string, ...args: readonly string[]): string | undefined {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined;
  }
}

const redisVersion = (): string => /v=(\S+)/.exec(told("redis-server", "--version") ?? "")?.[1] ?? "unknown";

function commitOf(root: string): string {
  const commit = told("git", "-C", root, "rev-parse", "--short=10", "HEAD") ?? "unknown";
  const changed = told("git", "-C", root, "status", "--porcelain", "--", "src") !== "";
  return changed ? `${commit} and changes` : commit;
}
