/** Runs the program as a person does, with what comes on its two outputs apart. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const PROGRAM = fileURLToPath(new URL("../../bin/regears.js", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** What has come so far. */
  so(): Omit<Ended, "code">;
}

/** Starts it. @param input what is typed; nothing unless given */
export function start(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; input?: string } = {},
): Running {
  const { input, cwd, env = {} } = options;
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, REDIS_URL: "", ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  const texts = { out: "", err: "" };
  child.stdout.on("data", (bytes: Buffer) => {
    texts.out += bytes;
  });
  child.stderr.on("data", (bytes: Buffer) => {
    texts.err += bytes;
  });
  child.stdin.end(input ?? "");
  const ended = new Promise<Ended>((resolve) => child.once("close", (code) => resolve({ code, ...texts })));
  return { child, ended, so: () => ({ ...texts }) };
}

/** Runs it to its end. */
export const finish = (args: readonly string[], options: Parameters<typeof start>[1] = {}): Promise<Ended> =>
  start(args, options).ended;
