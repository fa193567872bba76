/** The settings that Valkey boots with, as the file that it reads them from. */

/** The name of that file. It is not on the disk; one of this name there is not reached. */
export const SETTINGS_FILE = ".regears-engine.conf";

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
