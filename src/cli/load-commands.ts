/** Files of commands, a line each, written as for redis-cli. */
import { readFileSync } from "node:fs";
import { ConfigError } from "../config.ts";
import { splitWords } from "../config/config-words.ts";
import { type EngineClient, EngineError } from "../engine/engine-client.ts";

/** Commands that are sent together. */
const AT_ONCE = 1_000;

/** Sends a file's commands. @throws ConfigError that names the line which is none, or which the server refused */
export async function loadCommands(client: EngineClient, path: string): Promise<void> {
  const commands = commandsOf(readFileSync(path, "utf8"), path);
  for (let at = 0; at < commands.length; at += AT_ONCE) {
    const some = commands.slice(at, at + AT_ONCE);
    const replies = await client.pipeline(some.map(({ words }) => words));
    for (const [index, reply] of replies.entries()) {
      if (reply instanceof EngineError) throw new ConfigError(`${path}:${some[index]?.line}: ${reply.message}`);
    }
  }
}

function commandsOf(text: string, path: string): { line: number; words: string[] }[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (/^\s*(#|$)/.test(line)) return [];
    try {
      return [{ line: index + 1, words: splitWords(line) }];
    } catch (error) {
      throw error instanceof ConfigError ? new ConfigError(`${path}:${index + 1}: ${error.message}`) : error;
    }
  });
}
