/** `regears exec -- COMMAND`: a server for as long as another program runs. */
import { spawn } from "node:child_process";
import { ConfigError } from "../config.ts";
import { startEmbedded } from "./embedded-server.ts";
import { statusOf, whileTold } from "./ending-signals.ts";
import type { CommandArguments } from "./program-commands.ts";

/** What shells say of a command that is not there. */
const NOT_FOUND = 127;

/** Runs the command. @returns its exit status. @throws when the server does not start */
export async function exec({ options, words, server, after }: CommandArguments): Promise<number> {
  const [program, ...args] = after ?? [];
  if (program === undefined) throw new ConfigError("'exec' needs a command: regears exec -- npm test");
  if (words.length > 0) throw new ConfigError(`'${words[0]}' is no option; the command comes after --`);
  const embedded = await startEmbedded(server, options.get("load") ?? [], (line) => process.stderr.write(`${line}\n`));
  const { url, port } = embedded;
  const { hostname } = new URL(url);
  const address = port === 0 ? {} : { REDIS_HOST: hostname.replace(/^\[|\]$/g, ""), REDIS_PORT: String(port) };
  try {
    return await runProgram(program, args, { ...process.env, REDIS_URL: url, ...address });
  } finally {
    await embedded.close();
  }
}

function runProgram(program: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(program, args, { stdio: "inherit", env });
  const pass = (signal: NodeJS.Signals): void => {
    // a terminal sends it to the command, too
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  };
  const ended = (): Promise<number> =>
    new Promise((resolve) => {
      child.once("error", (error) => {
        process.stderr.write(`regears: ${program} can not be run: ${error.message}\n`);
        resolve(NOT_FOUND);
      });
      child.once("close", (code, signal) => resolve(signal === null ? Number(code) : statusOf(signal)));
    });
  return whileTold(pass, ended);
}
