/** Results of scripts as lines. */
import { type EngineValue, EngineError } from "../engine/engine-client.ts";
import { textOrLatin1, utf8Of } from "../utf8.ts";

export type ResultForm = "text" | "json" | "raw";

/** One result in one line, or with `raw` its bytes. Ends with a line end. */
export function resultLine(value: EngineValue, form: ResultForm): Buffer {
  if (form === "raw") return Buffer.concat([rawBytes(value), Buffer.from("\n")]);
  return Buffer.from(`${form === "json" || Array.isArray(value) ? JSON.stringify(plain(value)) : oneLine(value)}\n`);
}

function rawBytes(value: EngineValue): Buffer {
  if (Buffer.isBuffer(value)) return value;
  return Buffer.from(Array.isArray(value) ? JSON.stringify(plain(value)) : textOf(value));
}

const textOf = (value: number | null | EngineError): string =>
  value instanceof EngineError ? value.message : value === null ? "" : String(value);

/** Control characters and bytes that are no text are written as in Python, so that each result is one line. */
function oneLine(value: Exclude<EngineValue, EngineValue[]>): string {
  if (!Buffer.isBuffer(value)) return textOf(value);
  const text = utf8Of(value);
  const escaped = (character: string): string =>
    CONTROLS[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  const special = text !== undefined ? /[\x00-\x08\x0a-\x1f\x7f]/g : /[^\x20-\x7e]/g;
  return (text ?? value.toString("latin1")).replace(special, escaped);
}

const CONTROLS: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** A value for JSON; bytes that are no text become one with the characters of the same numbers. */
function plain(value: EngineValue): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof EngineError) return { error: value.message };
  return Buffer.isBuffer(value) ? textOrLatin1(value) : value;
}
