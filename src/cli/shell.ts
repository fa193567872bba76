/** `regears shell`: a prompt of Python, evaluated by a trigger on the server (`shell.py`). */
import { readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline/promises";
import { v4 as uuid } from "uuid";
import { ConfigError } from "../config.ts";
import type { EngineClient, EngineValue } from "../engine/engine-client.ts";
import { InternalError, ReplyError } from "../errors.ts";
import { statusOf, whileTold } from "./ending-signals.ts";
import type { CommandArguments } from "./program-commands.ts";
import { connectTo } from "./server-client.ts";
import { checkServerOptions, withServer } from "./with-server.ts";

const CODE = new URL("shell.py", import.meta.url);
const PROMPT = ">>> ";
const MORE = "... ";
const HISTORY_LINES = 1_000;
const INDENT = "    ";
/** What takes the place of an answer that there is not. */
const ABORTED = { error: "the execution was aborted\n", words: [] };
/** Executions of RG.TOP that are looked at. */
const MOST_SHOWN = "10000";
/** How a value that there is not reads as text. */
const NONE = "null";
const GREETING = "Python on the server: GB, execute and log are there, `await` works. Ctrl-D ends.\n";

/** Runs until the end of the input. @returns the exit status. @throws what goes wrong before the prompt */
export async function shell({ options, words, server }: CommandArguments): Promise<number> {
  if (words.length > 0) throw new ConfigError("'shell' takes options only");
  checkServerOptions({ options, server });
  return withServer({ options, server }, async (url) => {
    const evaluator = await Evaluator.open(url);
    try {
      return await converse(evaluator);
    } finally {
      await evaluator.close();
    }
  });
}

/** What came of an input. */
interface Answer {
  /** It is not complete: lines have to follow. */
  readonly more?: boolean;
  readonly output?: string;
  readonly error?: string | null;
}

/** The server's side of the shell. */
class Evaluator {
  readonly #client: EngineClient;
  /** For what is asked while an input runs. */
  readonly #helper: EngineClient;
  readonly #trigger: string;
  /** The input that runs was aborted: what the server says of it then is nothing that was typed. */
  #aborted = false;

  private constructor(client: EngineClient, helper: EngineClient, trigger: string) {
    this.#client = client;
    this.#helper = helper;
    this.#trigger = trigger;
  }

  /** Registers it. @throws ReplyError when the server refuses that */
  static async open(url: string): Promise<Evaluator> {
    const [client, helper] = [await connectTo(url), await connectTo(url)];
    const trigger = `regears-shell-${uuid()}`;
    const code = readFileSync(CODE, "utf8").replace("trigger=TRIGGER", `trigger="${trigger}"`);
    await client.call("RG.PYEXECUTE", code, "ID", trigger);
    return new Evaluator(client, helper, trigger);
  }

  /** Evaluates an input. @throws ReplyError when the server refuses that */
  async evaluate(text: string): Promise<Answer> {
    this.#aborted = false;
    try {
      const answer = (await this.#ask("evaluate", text)) as Answer;
      // a flow was aborted that the input has only begun
      return this.#aborted ? { ...answer, error: answer.error ?? ABORTED.error } : answer;
    } catch (error) {
      if (this.#aborted && error instanceof ReplyError) return ABORTED;
      throw error;
    }
  }

  /** The names that begin so. */
  async complete(word: string): Promise<string[]> {
    const { words } = (await this.#ask("complete", word)) as { words: string[] };
    return words;
  }

  async #ask(kind: string, text: string): Promise<unknown> {
    const reply = await (kind === "complete" ? this.#helper : this.#client).call(
      "RG.TRIGGER",
      this.#trigger,
      kind,
      text,
    );
    const [answer] = Array.isArray(reply) ? reply : [reply];
    return answer === undefined ? ABORTED : JSON.parse(String(answer));
  }

  /** Aborts the input that runs, and the flows that it has started. @throws ReplyError when the server refuses that */
  async abort(): Promise<void> {
    const all = await this.#helper.call("RG.TOP", "NOSTACK", "COUNT", MOST_SHOWN);
    const own = (Array.isArray(all) ? all : []).map(fieldsOf).filter((one) => one.get("session") === this.#trigger);
    const isFlow = (one: ReadonlyMap<string, string>): boolean => one.get("registration") === NONE;
    // first what runs on top: Python can not be told to end code that lies beneath other code
    for (const one of [...own.filter(isFlow), ...own.filter((other) => !isFlow(other))]) {
      this.#aborted = true;
      await this.#helper.call("RG.ABORTEXECUTION", one.get("executionId") ?? "");
    }
  }

  /** Takes the trigger back. */
  async close(): Promise<void> {
    try {
      const registrations = await this.#helper.call("RG.DUMPREGISTRATIONS");
      const own = (Array.isArray(registrations) ? registrations : []).find((one) => names(one, this.#trigger));
      if (own !== undefined) await this.#helper.call("RG.UNREGISTER", fieldsOf(own).get("id") ?? "");
    } catch (error) {
      // the server has gone, and the trigger with it
      if (!(error instanceof InternalError || error instanceof ReplyError)) throw error;
    } finally {
      this.#client.close();
      this.#helper.close();
    }
  }
}

/** Names and values in turns, as a map. */
function fieldsOf(list: EngineValue): Map<string, string> {
  const values = Array.isArray(list) ? list : [];
  return new Map(values.flatMap((name, at) => (at % 2 === 0 ? [[String(name), String(values[at + 1])] as const] : [])));
}

const names = (value: EngineValue, text: string): boolean =>
  Array.isArray(value) ? value.some((one) => names(one, text)) : Buffer.isBuffer(value) && value.toString() === text;

async function converse(evaluator: Evaluator): Promise<number> {
  const isTerminal = process.stdin.isTTY === true;
  const lines = createInterface({
    input: process.stdin,
    output: process.stdout,
    terminal: isTerminal,
    history: isTerminal ? readHistory() : [],
    historySize: HISTORY_LINES,
    completer: (line: string) => complete(evaluator, line),
  });
  if (isTerminal) {
    process.stdout.write(GREETING);
    lines.on("history", writeHistory);
  }
  const input = new Input(evaluator, lines, isTerminal);
  lines.on("SIGINT", () => void input.interrupt());
  let status = 0;
  const end = (signal: NodeJS.Signals): void => {
    status = statusOf(signal);
    lines.close();
    void input.abort();
  };
  await whileTold(end, async () => {
    input.prompt();
    for await (const line of lines) {
      if (status !== 0) break;
      await input.take(line);
      input.prompt();
    }
    if (status === 0) await input.end();
  });
  if (isTerminal) process.stdout.write("\n");
  return status || (input.failed && !isTerminal ? 1 : 0);
}

/** Lines until they are something to evaluate. */
class Input {
  failed = false;
  readonly #evaluator: Evaluator;
  readonly #lines: Interface;
  readonly #shown: boolean;
  #pending: string[] = [];
  #running = false;

  constructor(evaluator: Evaluator, lines: Interface, shown: boolean) {
    this.#evaluator = evaluator;
    this.#lines = lines;
    this.#shown = shown;
  }

  prompt(): void {
    if (!this.#shown) return;
    this.#lines.setPrompt(this.#pending.length > 0 ? MORE : PROMPT);
    this.#lines.prompt();
  }

  /** A line has come. */
  async take(line: string): Promise<void> {
    // in a file a statement ends where the next one begins, and not only at an empty line
    if (!this.#shown && this.#pending.length > 0 && /^\S/.test(line) && !CONTINUES.test(line)) await this.#evaluate("");
    if (this.#pending.length === 0 && line.trim() === "") return;
    await this.#evaluate(line);
  }

  async #evaluate(line: string): Promise<void> {
    this.#pending.push(line);
    this.#running = true;
    try {
      const answer = await this.#evaluator.evaluate(this.#pending.join("\n"));
      if (answer.more) return;
      this.#pending = [];
      process.stdout.write(answer.output ?? "");
      if (answer.error) this.#fail(answer.error);
    } catch (error) {
      this.#pending = [];
      if (!(error instanceof ReplyError)) throw error;
      this.#fail(`${error.message}\n`);
    } finally {
      this.#running = false;
    }
  }

  #fail(text: string): void {
    this.failed = true;
    process.stderr.write(text);
  }

  /** What is left of an input without an empty line at its end. */
  async end(): Promise<void> {
    if (this.#pending.length > 0) await this.#evaluate("");
    if (this.#pending.length > 0) await this.#evaluate("");
  }

  /** Aborts the input that runs, if one does. */
  async abort(): Promise<void> {
    if (!this.#running) return;
    await this.#evaluator.abort().catch((error: unknown) => {
      if (!(error instanceof ReplyError)) throw error;
      process.stderr.write(`${error.message}\n`);
    });
  }

  /** Ctrl-C: the input that runs is aborted, or what was typed is forgotten. */
  async interrupt(): Promise<void> {
    if (this.#running) {
      await this.abort();
      return;
    }
    this.#pending = [];
    process.stdout.write("\n");
    this.#lines.write(null, { ctrl: true, name: "u" });
    this.prompt();
  }
}

/** Lines without indentation that belong to the statement before. */
const CONTINUES = /^(else|elif|except|finally)\b|^[)\]}]/;

async function complete(evaluator: Evaluator, line: string): Promise<[string[], string]> {
  const [word = ""] = /[A-Za-z_][\w.]*$|(?<=\.)$/.exec(line) ?? [];
  const before = line.slice(0, line.length - word.length);
  // a line begins with indentation
  if (word === "" && !before.endsWith(".")) return [[INDENT], ""];
  const known = (text: string): Promise<string[]> => evaluator.complete(text).catch(() => []);
  if (!before.endsWith(".")) return [await known(word), word];
  // what a call gives is known of a builder only: each of its methods gives it back
  if (!BUILDS.test(before)) return [[], word];
  return [(await known(`GB.${word}`)).map((name) => name.slice("GB.".length)), word];
}

const BUILDS = /\b(GB|GearsBuilder)\(.*\)\.$/;

const historyFile = (): string => join(homedir(), ".regears_history");

function readHistory(): string[] {
  try {
    return readFileSync(historyFile(), "utf8").split("\n").filter(Boolean).reverse();
  } catch {
    return [];
  }
}

/** The newest line comes first. */
function writeHistory(history: readonly string[]): void {
  try {
    writeFileSync(historyFile(), `${[...history].reverse().join("\n")}\n`, { mode: 0o600 });
  } catch {
    // who has no home has no history
  }
}
