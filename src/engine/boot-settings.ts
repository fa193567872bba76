/** The settings that Valkey boots with, as the file that it reads them from. */

import { ENGINE_CLIENTS } from "./own-settings.ts";

/** The name of that file. It is not on the disk; one of this name there is not reached. */
export const SETTINGS_FILE = ".regears-engine.conf";

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
    // Valkey lets the host look in only after this threshold.
    ...(scriptLimitMs === 0 ? {} : { "busy-reply-threshold": String(scriptLimitMs) }),
    // Of a build that is not known it holds for the server's own connections too.
    ...(outputLimit === 0 ? {} : { "client-output-buffer-limit": `normal ${outputLimit} 0 0` }),
  };
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
