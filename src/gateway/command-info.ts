/** Our commands as COMMAND INFO and COMMAND DOCS show them. */
import type { CommandRow } from "../commands/command.ts";
import { array, encodeWhole, integer, map, type Protocol, type Reply, raw, status, text } from "../resp/reply.ts";

/** The ACL categories of a command, with their `@`. */
export function aclCategories({ access }: CommandRow): readonly string[] {
  switch (access) {
    case "script":
      return ["@slow", "@scripting"];
    case "admin":
      return ["@admin", "@slow", "@dangerous"];
    case "read":
      return ["@read", "@slow"];
    case "any":
      return ["@slow"];
  }
}

/** One element of COMMAND INFO; `elements` is how many the engine's own entries have (6, 7 or 10, by its age). */
export function infoEntry(row: CommandRow, elements: number, protocol: Protocol): Buffer {
  const set = (items: readonly Reply[]): Reply => setReply(items, protocol);
  const flags = ["readonly", "module", ...(row.movableKeys ? ["movablekeys"] : [])];
  const [first, last, step] = row.keys ?? [0, 0, 0];
  const entry = [
    text(row.name),
    integer(-1),
    set(flags.map(status)),
    integer(first),
    integer(last),
    integer(step),
    set(aclCategories(row).map(status)),
    set([]),
    set(first > 0 ? [keySpec(row.keys ?? [0, 0, 0], set)] : []),
    set([]),
  ];
  return encodeWhole(array(entry.slice(0, elements)), protocol);
}

/** The value of a command in COMMAND DOCS. */
export function docsEntry(row: CommandRow): Reply {
  const pairs: (readonly [Reply, Reply])[] = [
    [text("summary"), text(row.summary)],
    [text("since"), text(row.since)],
    [text("group"), text("module")],
    [text("module"), text("rg")],
  ];
  if (row.syntax !== "") {
    // One argument that holds the whole syntax: that is what redis-cli shows as a hint.
    const argument = map([
      [text("name"), text("arguments")],
      [text("type"), text("string")],
      [text("display_text"), text(row.syntax)],
    ]);
    pairs.push([text("arguments"), array([argument])]);
  }
  return map(pairs);
}

function keySpec(
  [first, last, step]: readonly [number, number, number],
  set: (items: readonly Reply[]) => Reply,
): Reply {
  return map([
    [text("flags"), set(["RW", "access", "update"].map(status))],
    [
      text("begin_search"),
      map([
        [text("type"), text("index")],
        [text("spec"), map([[text("index"), integer(first)]])],
      ]),
    ],
    [
      text("find_keys"),
      map([
        [text("type"), text("range")],
        [
          text("spec"),
          map([
            [text("lastkey"), integer(last < 0 ? last : last - first)],
            [text("keystep"), integer(step)],
            [text("limit"), integer(0)],
          ]),
        ],
      ]),
    ],
  ]);
}

function setReply(items: readonly Reply[], protocol: Protocol): Reply {
  if (protocol === 2) return array(items);
  return raw(Buffer.from(`~${items.length}\r\n`), ...items.map((item) => encodeWhole(item, protocol)));
}
