/** Results of scripts as lines. */
import { type EngineValue, EngineError } from "../engine/engine-client.ts";
import { escaped, printable, textOrLatin1, utf8Of } from "../utf8.ts";

export type ResultForm = "text" | "json" | "raw";

/** One result in one line, or with `raw` its bytes. Ends with a line end. */
export function resultLine(value: EngineValue, form: ResultForm): Buffer {
  if (form === "raw") return Buffer.concat([rawBytes(value), Buffer.from("\n")]);
  return Buffer.from(`${form === "json" || Array.isArray(value) ? json(value) : oneLine(value)}\n`);
}

function rawBytes(value: EngineValue): Buffer {
  if (Buffer.isBuffer(value)) return value;
  return Buffer.from(Array.isArray(value) ? json(value) : textOf(value));
}

const textOf = (value: number | bigint | null | EngineError): string =>
  value instanceof EngineError ? value.message : value === null ? "" : String(value);

/** Control characters and bytes that are no text are written as in Python, so that each result is one line. */
function oneLine(value: Exclude<EngineValue, EngineValue[]>): string {
  if (!Buffer.isBuffer(value)) return textOf(value);
  const text = utf8Of(value);
  if (text !== undefined) return printable(text);
  return value.toString("latin1").replace(/[^\x20-\x7e]/g, escaped);
}

/** A value as JSON; bytes that are no text become one with the characters of the same numbers. Integers have all their digits. */
function json(value: EngineValue): string {
  if (Array.isArray(value)) return `[${value.map(json).join(",")}]`;
  if (typeof value === "bigint") return String(value);
  if (value instanceof EngineError) return JSON.stringify({ error: value.message });
  return JSON.stringify(Buffer.isBuffer(value) ? textOrLatin1(value) : value);
}
