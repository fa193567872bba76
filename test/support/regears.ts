/** Starts the compiled server as its users do: a process of its own, found by its log. */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { freePort } from "./ports.ts";

const PROGRAM = fileURLToPath(new URL("../../bin/regears.js", import.meta.url));
const READY = "Ready to accept connections";
/** Only ends what hangs: the server itself gives the image of Python three minutes. */
const START_LIMIT_MS = 200_000;

export interface RunningRegears {
  readonly port: number;
  readonly process: ChildProcess;
  /** Its exit code when it has ended; null when a signal ended it. */
  readonly exited: Promise<number | null>;
  /** Everything it has printed so far. */
  output(): string;
  /** Asks it to end and waits for that. Gives its exit code; null when a signal ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** A command line as which a program is run: `unshare` and its like, which become the program that they are given. */
type Under = (commandLine: readonly string[]) => readonly string[];

/** Runs the program with these arguments; what it prints is collected. */
export function runRegears(
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  under: Under = (commandLine) => commandLine,
) {
  const [command = "", ...words] = under([process.execPath, PROGRAM, ...args]);
  const child = spawn(command, words, { stdio: ["ignore", "pipe", "pipe"], env });
  let text = "";
  let listener: (() => void) | undefined;
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (bytes: Buffer) => {
      text += bytes;
      listener?.();
    });
  const exited = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  const onOutput = (told: typeof listener): void => {
    listener = told;
  };
  return { child, exited, output: () => text, onOutput };
}

/**
 * Starts a server on a free port of 127.0.0.1 and waits until it is ready.
 * @throws Error with its output when it ends or is silent for too long.
 */
export async function startRegears(args: readonly string[] = [], under?: Under): Promise<RunningRegears> {
  const port = await freePort();
  const { child, exited, output, onOutput } = runRegears(["--port", String(port), ...args], process.env, under);
  const stop = (signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> => {
    child.kill(signal);
    return exited;
  };
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const check = (): void => {
        if (output().includes(READY)) resolve();
      };
      timer = setTimeout(() => reject(new Error(`the server is not ready: ${output()}`)), START_LIMIT_MS);
      onOutput(check);
      void exited.then((code) => reject(new Error(`the server ended with ${code}: ${output()}`)));
    });
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  } finally {
    clearTimeout(timer);
    // looking through all of it again and again would make the server wait that prints much
    onOutput(undefined);
  }
  return { port, process: child, exited, output, stop };
}
