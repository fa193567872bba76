/** What the tests of faults share: a server with a folder of its own, and what the system says of its process. */
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import type { Client, Value } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";

const running: RunningRegears[] = [];
const folders: string[] = [];

/** To be called once in a file: ends the servers of a test after it. */
export function endServersAfterEach(): void {
  afterEach(async () => {
    await Promise.all(running.splice(0).map((server) => server.stop("SIGKILL")));
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
}

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "regears-fault-"));
  folders.push(folder);
  return folder;
}

/** Starts the server; it is ended after the test, however that ends. */
export async function startServer(args: readonly string[] = []): Promise<RunningRegears> {
  const server = await startRegears(["--dir", newFolder(), ...args]);
  running.push(server);
  return server;
}

/** The text of a command's error reply; a reply that is none fails the test. */
export async function errorOf(reply: Promise<Value>): Promise<string> {
  const outcome = await reply.then(
    (value) => ({ value }),
    (error: Error) => error.message,
  );
  if (typeof outcome === "string") return outcome;
  throw new Error(`expected an error, got ${JSON.stringify(outcome.value)}`);
}

/** Waits until a condition holds; the last word on why it does not is the failure. */
export async function eventually(
  what: string,
  holds: () => Promise<boolean> | boolean,
  timeout = 15_000,
): Promise<void> {
  const deadline = Date.now() + timeout;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Open descriptors of a process. */
export const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** Those of them that are sockets: interpreters, which are started and ended as needed, have others. */
export function sockets(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  const kinds = readdirSync(folder).map((name) => {
    try {
      return readlinkSync(`${folder}/${name}`);
    } catch {
      return "closed meanwhile";
    }
  });
  return kinds.filter((kind) => kind.startsWith("socket:")).length;
}

/** Memory of a process, in MB. */
export function residentMb(pid: number): number {
  const [, kb] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
  return Math.round(Number(kb) / 1024);
}

/** The process of a running server. */
export function pidOf(server: RunningRegears): number {
  const { pid } = server.process;
  if (pid === undefined) throw new Error("the server has no process");
  return pid;
}

/** The value of a field of INFO. */
export async function info(client: Client, field: string): Promise<number> {
  const [, value] = new RegExp(`^${field}:(\\d+)`, "m").exec(String(await client.call("INFO", "everything"))) ?? [];
  return Number(value);
}

/** Where /proc is missing, what it is asked for can not be measured. */
export const hasProc = process.platform === "linux";
export const withoutProc = hasProc ? "" : " (skipped: there is no /proc here)";
