/** Bytes that may be text. */

/** The text that bytes are; undefined when they are no UTF-8. */
export function utf8Of(bytes: Buffer): string | undefined {
  const text = bytes.toString("utf8");
  return text.includes("\ufffd") && !Buffer.from(text).equals(bytes) ? undefined : text;
}

/** The text that bytes are, or one with the characters of the same numbers. */
export const textOrLatin1 = (bytes: Buffer): string => utf8Of(bytes) ?? bytes.toString("latin1");
