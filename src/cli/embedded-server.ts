/** A server for as long as one command of the program runs, in the same process. */
import { copyFileSync, mkdtempSync, openSync, readSync, closeSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, loadStart } from "../config.ts";
import type { Logger } from "../log.ts";
import type { RegearsServer } from "../running.ts";
import { connectTo } from "./server-client.ts";
import { loadCommands } from "./load-commands.ts";
import { textOf } from "../errors.ts";

export interface EmbeddedServer extends Pick<RegearsServer, "url" | "port" | "stopped"> {
  close(): Promise<void>;
}

/**
 * Starts it, on a free port of 127.0.0.1 unless its options say something else, and fills it.
 * @param options as on the command line of the server
 * @param files dumps and files of commands
 * @param output gets the lines that scripts log and print, and warnings
 * @throws ConfigError for bad options and files that can not be read, InternalError when it does not start
 */
export async function startEmbedded(
  options: readonly string[],
  files: readonly string[],
  output: (line: string) => void,
): Promise<EmbeddedServer> {
  const log = scriptLog(output);
  const dumps = files.filter(isDump);
  if (dumps.length > 1) throw new ConfigError("only one dump can be loaded");
  const { config, warnings } = loadStart(["--port", "0", ...options], process.env);
  if (dumps.length > 0 && config.dir !== "")
    throw new ConfigError("a server with 'dir' has its data already: no dump can be loaded");
  for (const warning of warnings) log.warn(warning);
  // The interpreter boots in its thread while this one still loads the rest of the program.
  const { beginPython } = await import("../python/early.ts");
  const python = beginPython(config, log);
  python.catch(() => {});
  const folder = dumps[0] === undefined ? undefined : folderWith(dumps[0]);
  const removeFolder = (): void => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  };
  try {
    const { startServer } = await import("../server.ts");
    const ownFolder = folder === undefined ? {} : { dir: folder, dbfilename: DUMP, save: "" };
    const server = await startServer({ ...config, ...ownFolder }, log, () => python);
    const close = (): Promise<void> => server.close().finally(removeFolder);
    const { url, port, stopped } = server;
    try {
      await fill(url, files);
    } catch (error) {
      await close();
      throw error;
    }
    return { url, port, stopped, close };
  } catch (error) {
    removeFolder();
    throw error;
  }
}

/** Sends the commands of files to a server. @throws ConfigError for a dump, which only a server can load that starts */
export async function fill(url: string, files: readonly string[], dumpsToo = true): Promise<void> {
  const commands = files.filter((file) => !isDump(file));
  if (!dumpsToo && commands.length < files.length) throw new ConfigError("a dump can be loaded with --embedded only");
  if (commands.length === 0) return;
  const client = await connectTo(url);
  try {
    for (const file of commands) await loadCommands(client, file);
  } finally {
    client.close();
  }
}

const DUMP = "dump.rdb";
const MAGIC = /^(REDIS|VALKEY)\d/;

function isDump(path: string): boolean {
  const head = Buffer.alloc(8);
  try {
    // what a pipe has given can not be read again
    if (!statSync(path).isFile()) return false;
    const file = openSync(path, "r");
    readSync(file, head);
    closeSync(file);
  } catch (error) {
    throw new ConfigError(`option '--load': ${textOf(error)}`);
  }
  return MAGIC.test(head.toString("latin1"));
}

/** A folder with a copy of the dump, since a server that keeps data has its folder for itself. */
function folderWith(dump: string): string {
  const folder = mkdtempSync(join(tmpdir(), "regears-run-"));
  copyFileSync(dump, join(folder, DUMP));
  return folder;
}

/** Passes on what scripts say and what is wrong, and nothing else. */
function scriptLog(output: (line: string) => void): Logger {
  const important = (first: unknown, message?: unknown): void =>
    output(lineOf(first, message).replace(SCRIPT_PREFIX, ""));
  const ofScript = (first: unknown, message?: unknown): void => {
    const printed = typeof first === "object" && first !== null && "stream" in first;
    const text = lineOf(first, message);
    if (printed || SCRIPT_PREFIX.test(text)) output(text.replace(SCRIPT_PREFIX, ""));
  };
  return { trace() {}, debug() {}, info: ofScript, warn: important, error: important };
}

/** What the lines begin with that scripts log. */
const SCRIPT_PREFIX = /^GEARS: /;

function lineOf(first: unknown, message: unknown): string {
  if (typeof first === "string") return first;
  const reason = typeof first === "object" && first !== null && "err" in first ? `: ${String(first.err)}` : "";
  return `${String(message)}${reason}`;
}
