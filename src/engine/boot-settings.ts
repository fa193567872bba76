/** The settings that Valkey boots with, and the file from which it reads them. */

import { ConfigError } from "../config.ts";
import type { EmbeddedConnection } from "./embedded-connection.ts";
import { encodeCommand } from "./encode.ts";
import { ENGINE_CLIENTS } from "./own-settings.ts";

/** The name of that file. It is not on the disk; one of this name there is not reached. */
export const SETTINGS_FILE = ".regears-engine.conf";

/** What stays so whatever is configured: replicas get the file that a copy has written, for it can not write to their connections. */
export const FIXED_SETTINGS: Readonly<Record<string, string>> = { "repl-diskless-sync": "no" };

/**
 * What the server itself wants of Valkey.
 * @param scriptLimitMs how long a script may run; 0: for ever
 * @param outputLimit most bytes of replies for each connection; 0: whoever opens one says that
 * @param saves whether there is a folder to save in
 */
export function ownSettings(scriptLimitMs: number, outputLimit: number, saves: boolean): Record<string, string> {
  return {
    maxclients: String(ENGINE_CLIENTS),
    // Saving always fails without a folder; somebody who tries must not stop all writes.
    ...(saves ? {} : { "stop-writes-on-bgsave-error": "no" }),
    // A client could forge a payload for RESTORE that ends the engine, and here the server with it.
    "sanitize-dump-payload": "clients",
    // Valkey polls the host from inside a script only after this threshold, and a poll is where a script can be stopped.
    ...(scriptLimitMs === 0 ? {} : { "busy-reply-threshold": String(scriptLimitMs) }),
    // In a build that is not known this limit holds for the server's own connections, too.
    ...(outputLimit === 0 ? {} : { "client-output-buffer-limit": `normal ${outputLimit} 0 0` }),
  };
}

/**
 * Gives Valkey its settings after its boot, when its build is not known to take a file of settings.
 * @param connection answers within the call, and is closed
 * @throws ConfigError when Valkey refuses one
 */
export function applySettings(
  connection: Pick<EmbeddedConnection, "write" | "flushNow" | "onData" | "close">,
  settings: Readonly<Record<string, string>>,
): void {
  let reply = "";
  connection.onData = (bytes) => {
    reply += bytes.toString();
  };
  const ask = (...words: string[]): string => {
    reply = "";
    connection.write(encodeCommand(words));
    connection.flushNow();
    return reply;
  };
  for (const [name, value] of Object.entries(settings)) {
    // Valkey refuses to change some settings once it runs, also to the value that they have
    if (ask("CONFIG", "GET", name).endsWith(`\r\n$${Buffer.byteLength(value)}\r\n${value}\r\n`)) continue;
    if (ask("CONFIG", "SET", name, value) !== "+OK\r\n")
      throw new ConfigError(`the engine refuses ${name}: ${reply.slice(1).trim()}`);
  }
  connection.close();
}

/** @param settings values as CONFIG SET would take them, by their names */
export function settingsFile(settings: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(settings).map(([name, value]) => `${name} ${quoted(value)}\n`);
  return Buffer.from(lines.join(""), "latin1");
}

/** As Valkey reads strings in its configuration: bytes that are not plain are told as numbers. */
function quoted(value: string): string {
  let text = "";
  for (const byte of Buffer.from(value)) {
    const letter = String.fromCharCode(byte);
    const plain = byte >= 32 && byte < 127 && letter !== '"' && letter !== "\\";
    text += plain ? letter : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `"${text}"`;
}
