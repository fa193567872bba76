/**
 * Files of users: lines as ACL LIST gives them, in latin1. An `aclfile` has nothing else, as Redis has it; the file that is
 * kept in `dir` begins with a line with the checksum of everything after it.
 */
import { createHash } from "node:crypto";
import type { UserLine } from "../config.ts";

/** Something in a file that keeps it from being used. */
export interface Fault {
  /** Counted from 1. */
  readonly line: number;
  /** In the words of Redis, for a file of this name. */
  say(path: string): string;
}

/** A user with the line that it stands in. */
export interface FileUser extends UserLine {
  readonly line: number;
}

const FIRST_LINE = /^regears-users sha256:([0-9a-f]{64})\n/;
const FIRST_LINE_LENGTH = 86;

/** As hexadecimal digits, which is also how the engine shows a password. */
export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Reads lines by the rules of Redis. Whether the rules are good is the engine's to say. */
export function parseUsers(text: string): { readonly users: readonly FileUser[]; readonly faults: readonly Fault[] } {
  const users: FileUser[] = [];
  const faults: Fault[] = [];
  const names = new Set<string>();
  for (const [index, content] of text.split("\n").entries()) {
    const line = index + 1;
    const [keyword, name, ...rules] = content.split(/[ \t\r]+/).filter((word) => word !== "");
    if (keyword === undefined) continue;
    if (keyword !== "user" || name === undefined) {
      faults.push({ line, say: (path) => `${path}:${line} should start with user keyword followed by the username.` });
    } else if (names.has(name)) {
      faults.push({ line, say: () => `WARNING: Duplicate user '${name}' found on line ${line}.` });
    } else users.push({ name, rules, line });
    if (name !== undefined) names.add(name);
  }
  return { users, faults };
}

/** The content of an `aclfile`. */
export const encodeUsers = (users: readonly UserLine[]): Buffer =>
  Buffer.from(users.map(({ name, rules }) => `${["user", name, ...rules].join(" ")}\n`).join(""), "latin1");

/** The content of the file in `dir`. */
export function encodeKeptUsers(users: readonly UserLine[]): Buffer {
  const body = encodeUsers(users);
  return Buffer.concat([Buffer.from(`regears-users sha256:${sha256(body)}\n`), body]);
}

/** The text after the checksum of the file in `dir`, or why it can not be trusted. */
export function decodeKeptUsers(bytes: Buffer): { readonly text: string } | { readonly damage: string } {
  const first = FIRST_LINE.exec(bytes.toString("latin1", 0, FIRST_LINE_LENGTH));
  if (!first) return { damage: "it is no file of users" };
  const body = bytes.subarray(first[0].length);
  return sha256(body) === first[1] ? { text: body.toString("latin1") } : { damage: "its checksum is wrong" };
}
