/** The server of a test: an ordinary one in this process, with what tests want to do with it. */
import { readFileSync } from "node:fs";
import { loadCommands } from "../cli/load-commands.ts";
import { readableError } from "../cli/python-text.ts";
import { runScript, scriptOf } from "../cli/run-script.ts";
import { connectTo } from "../cli/server-client.ts";
import type { EngineClient, EngineValue } from "../engine/engine-client.ts";
import { ReplyError } from "../errors.ts";
import type { Logger } from "../log.ts";
import { createServer, type ServerOptions } from "../server.ts";
import { keepingLog, type LogLine } from "./log-lines.ts";
import { textOrLatin1 } from "../utf8.ts";

/** The options of `createServer`. The port is a free one unless given. */
export type TestServerOptions = Omit<ServerOptions, "log"> & {
  /** Gets the lines as well as `logs`. */
  readonly log?: Logger;
};

/** A reply: texts (latin1 when they are no UTF-8), numbers (from 2^53 on bigints), null, and lists of these; an error within a list is an Error. */
export type ReplyValue = string | number | bigint | null | Error | readonly ReplyValue[];

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** What it has logged since its start, or since the last `reset()`. */
  readonly logs: readonly LogLine[];
  /** Sends a command. @throws Error with the text of an error reply */
  call(...command: readonly (string | number | Buffer)[]): Promise<ReplyValue>;
  /**
   * Runs a script (a file that ends with `.py`), or the commands in a file, a line each.
   * @returns the script's results
   * @throws Error with tracebacks when the script has errors, or with the command that is refused
   */
  load(path: string): Promise<readonly ReplyValue[]>;
  /** Resolves when no execution, event or call of a time event is pending. @throws Error after `timeoutMs`, 30 seconds unless given */
  idle(timeoutMs?: number): Promise<void>;
  /** Moves the clock of time events, durations of streams and expiry of keys, and waits for what was due on the way. @throws Error after `timeoutMs`, 30 seconds unless given */
  fastForward(ms: number, timeoutMs?: number): Promise<void>;
  /** Empties it: no data, executions, sessions, registrations, time events, functions and logs; ids begin anew. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

const IDLE_MS = 30_000;

/** Starts a server. @throws what `createServer` throws */
export async function startServer({ log, ...options }: TestServerOptions = {}): Promise<TestServer> {
  const logs: LogLine[] = [];
  const server = await createServer({
    ...{ port: 0, testClock: true, enableDebugCommand: "local" },
    ...options,
    log: keepingLog(logs, log),
  });
  const { url, port } = server;
  const client = await connectTo(url);
  const close = (): Promise<void> => {
    client.close();
    return server.close();
  };
  return {
    ...{ url, port, logs, close, [Symbol.asyncDispose]: close },
    call: async (...command) => shown(await client.call(...command.map(argument))),
    load: (path) => (path.endsWith(".py") ? loadScript(url, path) : loadCommands(client, path).then(() => [])),
    idle: async (timeoutMs = IDLE_MS) => void (await client.call("RG.IDLE", String(timeoutMs))),
    fastForward: async (ms, timeoutMs = IDLE_MS) =>
      void (await client.call("RG.TIME", "FASTFORWARD", String(ms), String(timeoutMs))),
    reset: async () => {
      await reset(client);
      logs.length = 0;
    },
  };
}

const argument = (value: string | number | Buffer): string | Buffer =>
  typeof value === "number" ? String(value) : value;

function shown(value: EngineValue): ReplyValue {
  if (Array.isArray(value)) return value.map(shown);
  return Buffer.isBuffer(value) ? textOrLatin1(value) : value;
}

async function loadScript(url: string, path: string): Promise<readonly ReplyValue[]> {
  const code = scriptOf(readFileSync(path), path);
  const { signal } = new AbortController();
  const { results, errors } = await runScript({ url, code, words: [], signal });
  const script = { path, lines: code.toString().split(/\r?\n/) };
  if (errors.length > 0) throw new Error(errors.map((error) => readableError(error, script)).join("\n"));
  return results.map(shown);
}

async function reset(client: EngineClient): Promise<void> {
  await client.call("RG.UNREGISTERALL", "ABORTPENDING");
  const executions = await client.call("RG.DUMPEXECUTIONS");
  for (const execution of Array.isArray(executions) ? executions : []) {
    const [, id] = Array.isArray(execution) ? execution : [];
    // it may have ended by itself
    if (id !== undefined) await client.call("RG.ABORTEXECUTION", String(id)).catch(ignoreRefusal);
  }
  for (const command of [["FLUSHALL"], ["SCRIPT", "FLUSH"], ["FUNCTION", "FLUSH"]]) await client.call(...command);
  // the rest goes as at a restart: time events, ids, what is kept of executions
  await client.call("DEBUG", "RELOAD");
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof ReplyError)) throw error;
}
