/** Which commands of the engine a registration may name. */
import type { EngineCommand, EngineCommands } from "../engine/engine-commands.ts";
import { ReplyError } from "../errors.ts";

/**
 * May a KeysReader registration listen to these commands?
 * @throws ReplyError with the text of the `gears.error`
 */
export function checkCommands(commands: readonly string[], prefix: Buffer, engineCommands: EngineCommands): void {
  for (const name of commands) {
    const row = engineCommands.find(name.toLowerCase());
    if (!row) throw new ReplyError("bad reply on COMMAND command");
    checkHookable(row, "hook", true);
  }
  if (commands.length > 0 && prefix.length === 0) throw new ReplyError("Empty perfix given to command hooker");
}

/**
 * May a registration name this command, by the prefix of its keys or for all of them?
 * @param verb RedisGears' word for what the registration does to it
 * @throws ReplyError with the text of the `gears.error`
 */
export function checkHookable(command: EngineCommand, verb: "hook" | "override", byPrefix: boolean): void {
  const refuse = (why: string, word: string = verb): never => {
    throw new ReplyError(`Can not ${word} a command ${why}`);
  };
  if (command.isKeptFromScripts) refuse("which are not allowed inside a script");
  if (!byPrefix) return;
  if (command.movable) refuse("with moveable keys by key prefix");
  if (command.firstKey <= 0) refuse("by key prefix with none positive first key");
  // RedisGears has one word here for both
  if (command.keyStep <= 0) refuse("by key prefix with none positive jump", "override");
}
