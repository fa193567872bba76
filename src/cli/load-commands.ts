/** Files of commands, a line each, written as for redis-cli. */
import { readFileSync } from "node:fs";
import { ConfigError } from "../config.ts";
import { splitWords } from "../config/config-words.ts";
import { type EngineClient, EngineError } from "../engine/engine-client.ts";
import { isText, printable } from "../utf8.ts";

/** Commands that are sent together. */
const AT_ONCE = 1_000;

/** Sends a file's commands. @throws ConfigError that names the line which is none, or which the server refused */
export async function loadCommands(client: EngineClient, path: string): Promise<void> {
  const bytes = readFileSync(path);
  if (!isText(bytes)) throw new ConfigError(`${path} is neither a dump nor a file of commands, which must be UTF-8`);
  const commands = commandsOf(bytes.toString(), path);
  for (let at = 0; at < commands.length; at += AT_ONCE) {
    const some = commands.slice(at, at + AT_ONCE);
    const replies = await client.pipeline(some.map(({ words }) => words));
    for (const [index, reply] of replies.entries()) {
      if (reply instanceof EngineError)
        throw new ConfigError(`${path}:${some[index]?.line}: ${printable(reply.message)}`);
    }
  }
}

function commandsOf(text: string, path: string): { line: number; words: string[] }[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (/^\s*(#|$)/.test(line)) return [];
    try {
      return [{ line: index + 1, words: splitWords(line) }];
    } catch (error) {
      throw error instanceof ConfigError ? new ConfigError(`${path}:${index + 1}: ${printable(error.message)}`) : error;
    }
  });
}
