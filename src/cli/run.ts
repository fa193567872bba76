/** `regears run FILE [ARG …]`. */
import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { ConfigError } from "../config.ts";
import { statusOf, whileTold } from "./ending-signals.ts";
import { ProgressLine } from "./progress-line.ts";
import type { CommandArguments } from "./program-commands.ts";
import { readableError, type ScriptText } from "./python-text.ts";
import { type ResultForm, resultLine } from "./result-lines.ts";
import { runScript, type ScriptOutcome, scriptOf } from "./run-script.ts";
import { whenChanged } from "./watch.ts";
import { checkServerOptions, withServer } from "./with-server.ts";
import { textOf } from "../errors.ts";

/** Milliseconds within which two signals come of one press. */
const ONE_PRESS_MS = 500;

interface Run {
  readonly file: string;
  readonly url: string;
  readonly words: readonly string[];
  readonly form: ResultForm;
  readonly unblocking: boolean;
}

/** Runs the command. @returns its exit status: 1 when the script has errors. @throws what goes wrong before it runs */
export async function run({ options, words, server, after }: CommandArguments): Promise<number> {
  const [file, ...args] = [...words, ...(after ?? [])];
  if (file === undefined) throw new ConfigError("'run' needs the path of a script");
  checkServerOptions({ options, server });
  if (options.has("embedded") && options.has("url"))
    throw new ConfigError("there is a server by --url, or one that --embedded starts");
  if (options.has("json") && options.has("raw"))
    throw new ConfigError("results come as lines of JSON by --json, or as they are by --raw: not both");
  const watching = options.has("watch");
  if (watching && file === "-") throw new ConfigError("standard input can not be watched");
  // the script is read before a server is started for nothing
  readScript(file);
  return withServer({ options, server }, (url) => {
    const task: Run = {
      ...{ file, url, unblocking: options.has("unblocking") },
      words: scriptWords(file, args, options, watching),
      form: options.has("json") ? "json" : options.has("raw") ? "raw" : "text",
    };
    return watching ? watch(task) : once(task);
  });
}

/** What follows the script in the command: the words that were given, as of gears-cli, and those that options stand for. */
function scriptWords(
  file: string,
  args: readonly string[],
  options: CommandArguments["options"],
  watching: boolean,
): string[] {
  const id = options.get("id")?.at(-1) ?? (watching ? idOf(file) : undefined);
  const requirements = (options.get("requirements") ?? []).flatMap(requirementsOf);
  return [
    ...(id === undefined ? [] : ["ID", id]),
    ...(watching ? ["UPGRADE"] : []),
    ...args.filter((word) => word.toUpperCase() !== "UNBLOCKING"),
    // they take all words that follow
    ...(requirements.length === 0 ? [] : ["REQUIREMENTS", ...requirements]),
  ];
}

const idOf = (file: string): string =>
  basename(file)
    .replace(/\.py$/, "")
    .replace(/[^A-Za-z0-9_-]/g, "-");

function requirementsOf(name: string): string[] {
  if (!existsSync(name)) return [name];
  const lines = readFileSync(name, "utf8").split(/\r?\n/);
  return lines.map((line) => line.replace(/(^|\s)#.*$/, "").trim()).filter((line) => line !== "");
}

function readScript(file: string): Buffer {
  return scriptOf(scriptBytes(file), file === "-" ? "<stdin>" : file);
}

function scriptBytes(file: string): Buffer {
  try {
    if (file !== "-") return readFileSync(file);
    standardInput ??= readFileSync(0);
    return standardInput;
  } catch (error) {
    throw new ConfigError(`the script can not be read: ${textOf(error)}`);
  }
}

/** It can be read once only. */
let standardInput: Buffer | undefined;

async function once(task: Run): Promise<number> {
  const abort = new AbortController();
  let asked = Number.NEGATIVE_INFINITY;
  let status = 0;
  const interrupt = (signal: NodeJS.Signals): void => {
    // a Ctrl-C comes twice when a program such as npx passes it on
    if (performance.now() - asked < ONE_PRESS_MS) return;
    // who asks again does not want to wait
    if (abort.signal.aborted) process.exit(statusOf(signal));
    asked = performance.now();
    status = statusOf(signal);
    process.stderr.write("aborting the execution\n");
    abort.abort();
  };
  const failed = await whileTold(interrupt, () => execute(task, abort.signal));
  return status || (failed ? 1 : 0);
}

/** Runs it again and again, until Ctrl-C. */
async function watch(task: Run): Promise<number> {
  const end = new AbortController();
  const interrupt = (): void => end.abort();
  return whileTold(interrupt, async () => {
    while (!end.signal.aborted) {
      const changed = whenChanged(task.file, end.signal);
      await execute(task, end.signal).catch(tellOnly);
      if (!end.signal.aborted) process.stderr.write(`watching ${task.file}\n`);
      await changed;
    }
    return 0;
  });
}

/** The file may be gone for a moment, or the server restarted: the next change is another chance. */
function tellOnly(error: unknown): void {
  process.stderr.write(`regears: ${textOf(error)}\n`);
}

/** @returns whether it failed */
async function execute({ file, url, words, form, unblocking }: Run, signal: AbortSignal): Promise<boolean> {
  const code = readScript(file);
  const line = unblocking ? new ProgressLine(process.stderr, signal) : undefined;
  let outcome: ScriptOutcome;
  try {
    outcome = await runScript({ url, code, words, signal, ...(line && { onProgress: (now) => line.show(now) }) });
  } finally {
    line?.end();
  }
  const { results, errors, onlyBody } = outcome;
  for (const result of results) process.stdout.write(resultLine(result, form));
  if (onlyBody && errors.length === 0 && form === "text") process.stdout.write("OK\n");
  const script: ScriptText = { path: file === "-" ? "<stdin>" : file, lines: code.toString().split(/\r?\n/) };
  for (const text of distinct(errors.map((error) => readableError(error, script)))) process.stderr.write(`${text}\n`);
  return errors.length > 0;
}

/** A thousand records that fail in the same way are one error. */
function distinct(errors: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const error of errors) counts.set(error, (counts.get(error) ?? 0) + 1);
  return [...counts].map(([error, count]) => (count === 1 ? error : `${error}\n(${count} times)`));
}
