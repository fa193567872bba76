/** Bytes that may be text. */
import { isUtf8 } from "node:buffer";

/** The text that bytes are; undefined when they are no UTF-8. */
export function utf8Of(bytes: Buffer): string | undefined {
  const text = bytes.toString("utf8");
  return text.includes("\ufffd") && !Buffer.from(text).equals(bytes) ? undefined : text;
}

/** Bytes that are no UTF-8, and those with zeros, such as text in UTF-16, are no text. */
export const isText = (bytes: Buffer): boolean => isUtf8(bytes) && !bytes.includes(0);

/** The text that bytes are, or one with the characters of the same numbers. */
export const textOrLatin1 = (bytes: Buffer): string => utf8Of(bytes) ?? bytes.toString("latin1");

const ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A character as Python writes one that can not be shown. */
export const escaped = (character: string): string =>
  ESCAPES[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;

/** A text in one line, for a terminal: control characters are escaped, but for tabs. */
export const printable = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  text.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/g, escaped);
