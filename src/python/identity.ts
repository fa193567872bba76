/**
 * Who a script is. Its commands go over a connection of the server's own, after the engine was asked whether the script's
 * user may run them; what tells of a connection's user tells the script's.
 */
import { wordOf } from "../engine/traits.ts";
import { isError, rewriteText } from "../resp/frames.ts";

/** Changes an engine's reply (RESP2). */
type Shown = (frame: Buffer) => Buffer;

/**
 * @param name in lower case
 * @param args the command with its name
 * @returns how its reply is shown to this user's code; undefined: as it is
 */
export function shownTo(user: string, name: string, args: readonly Buffer[]): Shown | undefined {
  if (name !== "acl" && name !== "client") return undefined;
  const verb = wordOf(args[1]);
  if (name === "acl" && verb === "whoami") return goodOnly(() => bulk(Buffer.from(user)));
  if (name === "client" && verb === "info") return goodOnly((frame) => rewriteText(frame, (text) => named(text, user)));
  return undefined;
}

const goodOnly =
  (shown: Shown): Shown =>
  (frame) =>
    isError(frame) ? frame : shown(frame);

const bulk = (bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from("\r\n")]);

/** A client's line with its user's name replaced; names have no spaces. */
const named = (line: Buffer, user: string): Buffer =>
  Buffer.from(line.toString("utf8").replace(/(^| )user=\S*/, (_all, before: string) => `${before}user=${user}`));
