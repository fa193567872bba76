/**
 * What the server keeps in the engine's data beside the users' own: libraries of functions, one for each registration or
 * time event and one that counts the changes. The engine has them in its dumps and in its log, each change at its place
 * among all others, and they are no keys: nobody finds, counts, evicts or flushes them as such. A library's code registers
 * a function that does nothing, for one is needed, and has the record behind it, as a comment.
 */
import { randomBytes } from "node:crypto";
import type { EngineValue } from "../engine/engine-client.ts";

/** What the names of these libraries begin with. */
export const OWN_PREFIX = "__regears_";
/** Digits by which names are asked for in parts, as a reply has its limits. */
const DIGITS = "0123456789";
const RECORD = "\n--{";

/** A library as FUNCTION LIST shows it. */
export interface Library {
  readonly name: string;
  readonly record: string;
}

/** Patterns that together are the names of all these libraries. */
export const OWN_PATTERNS: readonly string[] = [...DIGITS].map((digit) => `${OWN_PREFIX}*${digit}`);

/** @param name of the record, such as `registration 7` */
export const libraryName = (name: string): string => `${OWN_PREFIX}${name.replace(" ", "_")}`;

/** Its function has a name that nobody can guess, and so nobody can take it before. */
export function libraryCode(name: string, record: string): string {
  const library = libraryName(name);
  const code = `redis.register_function('${library}_${randomBytes(8).toString("hex")}', function() end)`;
  return `#!lua name=${library}\n${code}\n--${record}`;
}

/** The server's own libraries among those of a reply to `FUNCTION LIST … WITHCODE`, whose patterns do not tell cases apart. */
export const librariesOf = (reply: EngineValue): Library[] =>
  listed(reply).flatMap((field) => {
    const code = field("library_code");
    const name = field("library_name");
    const record = code.slice(code.indexOf(RECORD) + RECORD.length - 1);
    return name.startsWith(OWN_PREFIX) ? [{ name, record }] : [];
  });

/** The names of all libraries of a reply to `FUNCTION LIST`. */
export const namesOf = (reply: EngineValue): string[] => listed(reply).map((field) => field("library_name"));

/** Gives the fields of each library. */
const listed = (reply: EngineValue): ((name: string) => string)[] =>
  (reply as EngineValue[][]).map(
    (fields) => (name) => String(fields[fields.findIndex((field) => String(field) === name) + 1]),
  );

/** Is a library's name one of the server's own? */
export const isOwnName = (name: Buffer): boolean =>
  name.subarray(0, OWN_PREFIX.length).toString("latin1") === OWN_PREFIX;

/** Would this code be a library of such a name? The name stands in the first line, perhaps in quotes, with escapes. */
export function isOwnCode(code: Buffer): boolean {
  const end = code.indexOf("\n");
  const line = code.toString("latin1", 0, end < 0 ? code.length : end);
  const plain = line.replace(/\\x([0-9a-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return plain.replace(/[\\"']/g, "").includes(OWN_PREFIX);
}
