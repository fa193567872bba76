/** The program: command line and environment to a running server, signals to a clean stop, failures to exit codes. */
import { existsSync } from "node:fs";
import { endWithTerminal } from "./cli/ending-signals.ts";
import { COMMANDS, commandHelp, findCommand, type ProgramCommand, readCommand } from "./cli/program-commands.ts";
import { type Config, ConfigError, didYouMean, helpText, loadStart, type Start } from "./config.ts";
import { findOption } from "./config/options.ts";
import { InternalError, ReplyError, textOf } from "./errors.ts";
import { garbageCollector } from "./garbage.ts";
import { ping } from "./healthcheck.ts";
import { type Logger, openLog } from "./log.ts";
import type { RegearsServer } from "./running.ts";
import { obey } from "./signals.ts";
import { reasonOf } from "./store/disk.ts";
import { version } from "./version.ts";

/** 0: ended as asked; 1: failed while starting or running; 2: the command line or configuration is wrong. */
type ExitCode = 0 | 1 | 2;

const HEALTHCHECK_TIMEOUT_MS = 5000;
/** What starting has left behind is collected so long after it, in milliseconds: it takes about 20. */
const COLLECT_AFTER_MS = 2000;

/** @returns the exit status; undefined while a server runs */
async function main(args: readonly string[]): Promise<number | undefined> {
  const [word = "", ...rest] = args;
  const command = findCommand(word);
  if (command) return runCommand(command, rest).catch(fail);
  let start: Start;
  try {
    checkWord(word);
    start = loadStart(args, process.env);
  } catch (error) {
    return fail(error);
  }
  const { config } = start;
  switch (start.action) {
    case "help":
      process.stdout.write(helpText(COMMANDS));
      return 0;
    case "version":
      process.stdout.write(`regears ${version()}\n`);
      return 0;
    case "healthcheck":
      return healthcheck(config);
    case "snapshot":
      return snapshot(config);
    case "serve":
      return serve(start);
  }
}

/** @throws ConfigError for a mistyped command, which would be taken for a configuration file */
function checkWord(word: string): void {
  if (/^[a-z]+$/i.test(word) && !findOption(word) && !existsSync(word)) {
    const names = COMMANDS.map(({ name }) => name);
    const hint = didYouMean(word.toLowerCase(), names);
    if (hint !== "") throw new ConfigError(`there is no command '${word}'${hint}`);
  }
}

/** `regears install REQUIREMENT … [--option value …]`, and `regears packages [--option value …]`. */
async function packages(word: "install" | "packages", args: readonly string[]): Promise<ExitCode> {
  const at = args.findIndex((one) => one.startsWith("--"));
  const requirements = args.slice(0, at < 0 ? args.length : at);
  const { config } = loadStart(at < 0 ? [] : args.slice(at), process.env);
  const { fillFolder, listFolder } = await import("./packages/fill.ts");
  if (word === "packages" && requirements.length > 0) throw new ConfigError(`'packages' takes options only`);
  // what it prints to standard output is the list
  const note = (line: unknown): void => void process.stderr.write(`${line}\n`);
  const log = { trace() {}, debug() {}, info: note, warn: note, error: note };
  const lines = word === "packages" ? await listFolder(config) : await fillFolder(requirements, config, log);
  for (const line of lines) process.stdout.write(`${line}\n`);
  return 0;
}

/** What the program does besides serving. Its parts are loaded only here. */
async function runCommand(command: ProgramCommand, args: readonly string[]): Promise<number> {
  endWithTerminal();
  const own = args.indexOf("--");
  if (args.slice(0, own < 0 ? args.length : own).includes("--help")) {
    process.stdout.write(commandHelp(command));
    return 0;
  }
  switch (command.name) {
    case "install":
    case "packages":
      return packages(command.name, args);
    case "migrate":
      return migrate(args);
    case "run":
      return (await import("./cli/run.ts")).run(readCommand(command, args));
    case "exec":
      return (await import("./cli/exec.ts")).exec(readCommand(command, args));
    case "shell":
      return (await import("./cli/shell.ts")).shell(readCommand(command, args));
    case "types":
      return (await import("./cli/types.ts")).types(readCommand(command, args));
    case "completion":
      return (await import("./cli/completion.ts")).completion(readCommand(command, args));
  }
}

async function serve({ config, warnings }: Start): Promise<undefined> {
  if (config.dir !== "") enter(config.dir);
  const { log, reopen } = openLog({ level: config.loglevel, file: config.logfile });
  for (const warning of warnings) log.warn(warning);
  let begin!: (started: Promise<RegearsServer>) => void;
  const started = new Promise<RegearsServer>((resolve) => {
    begin = resolve;
  });
  let stopping: Promise<void> | undefined;
  /** As Redis does, it does not end when that would lose the data. */
  const end = async (server: RegearsServer): Promise<void> => {
    try {
      await server.save();
    } catch (error) {
      log.error(
        `not stopping, for the data can not be saved (${reasonOf(error)}); SHUTDOWN NOSAVE stops without saving`,
      );
      stopping = undefined;
      return;
    }
    await server.close();
    process.exit(0);
  };
  obey({
    stop: (signal) => {
      if (stopping) {
        log.warn(`${signal} again: ending at once, without saving`);
        process.exit(1);
      }
      log.info(`${signal}: stopping`);
      // A signal during the start is obeyed as soon as there is something to stop.
      stopping = started.then((server) => end(server)).catch(fail);
    },
    reopenLog: () => {
      if (config.logfile !== "") reopenLog(log, reopen);
    },
  });
  // Loaded only here, so that --healthcheck and --help are quick.
  const { beginPython } = await import("./python/early.ts");
  const python = beginPython(config, log);
  // if it fails, whoever waits for it tells
  python.catch(() => {});
  const { startServer } = await import("./server.ts");
  begin(startServer({ ...config, dir: config.dir === "" ? "" : "." }, log, () => python));
  const server = await started;
  // not in a program that others have written and this server is a part of: its heap may be large
  setTimeout(garbageCollector(), COLLECT_AFTER_MS).unref();
  server.stopped.then(() => process.exit(0), fail);
}

function reopenLog(log: Logger, reopen: () => void): void {
  try {
    reopen();
    log.info("SIGHUP: the log file was opened anew");
  } catch (error) {
    log.warn(`SIGHUP: the log file can not be opened anew: ${textOf(error)}`);
  }
}

function enter(directory: string): void {
  try {
    process.chdir(directory);
  } catch (error) {
    throw new ConfigError(
      `option 'dir': '${directory}' can not be entered (${error instanceof Error && "code" in error ? error.code : error})`,
    );
  }
}

async function healthcheck(config: Config): Promise<ExitCode> {
  try {
    const { bind: host, port, unixsocket } = config;
    const useSocket = port === 0 ? unixsocket : "";
    await ping({ host, port, unixsocket: useSocket, timeoutMs: HEALTHCHECK_TIMEOUT_MS });
    return 0;
  } catch (error) {
    process.stderr.write(`regears: ${textOf(error)}\n`);
    return 1;
  }
}

async function snapshot(config: Config): Promise<ExitCode> {
  const { log } = openLog({ level: config.loglevel, file: config.logfile });
  const { assetsFor } = await import("./python/early.ts");
  await assetsFor(config, log);
  return 0;
}

/** Tells what a dump has of RedisGears and of other modules. */
async function migrate([path, ...surplus]: readonly string[]): Promise<ExitCode> {
  if (path === undefined || surplus.length > 0) throw new ConfigError("migrate needs the path of one dump");
  const { readModuleData } = await import("./store/rdb/module-data.ts");
  const { gearsLines, otherLines } = await import("./store/rdb/module-report.ts");
  try {
    const data = readModuleData(path);
    const lines = [...gearsLines(data.gears), ...otherLines(data)];
    process.stdout.write(`${(lines.length === 0 ? ["there are no data of modules"] : lines).join("\n")}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`regears: ${path} can not be read: ${textOf(error)}\n`);
    return 1;
  }
}

/** Wrong options, a port in use, a server out of reach and what a server refuses are told in a line; where anything else came from is worth the stack. */
function fail(error: unknown): never {
  if (error instanceof ConfigError) {
    process.stderr.write(`regears: ${error.message}\nregears --help lists the options.\n`);
    process.exit(2);
  }
  const expected =
    error instanceof InternalError || error instanceof ReplyError || (error instanceof Error && "code" in error);
  const text = error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error);
  process.stderr.write(`regears: ${text}\n`);
  process.exit(1);
}

/** Ends the program when its outputs have taken what was written: a pipe takes it piece by piece, and the rest would be lost. */
async function leave(code: number): Promise<never> {
  const outputs = [process.stdout, process.stderr];
  const errors = await Promise.all(outputs.map((output) => new Promise<unknown>((taken) => output.write("", taken))));
  const lost = unwritten ?? errors[0];
  // who reads no further has what they wanted
  if (!(lost instanceof Error) || ("code" in lost && lost.code === "EPIPE")) process.exit(code);
  process.stderr.write(`regears: the output can not be written: ${lost.message}\n`);
  process.exit(code === 0 ? 1 : code);
}

/** Why something of the standard output was lost. */
let unwritten: Error | undefined;
process.stdout.on("error", (error: Error) => {
  unwritten ??= error;
});

main(process.argv.slice(2)).then((code) => (code === undefined ? undefined : leave(code)), fail);
