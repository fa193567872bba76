/** COMMAND, MODULE LIST, INFO and HELLO: the engine's own replies with Regears beside it. */
import type { CommandRow, CommandTable } from "../commands/command.ts";
import type { Translator } from "../commands/path.ts";
import { isError, joinAggregate, rewriteText, scalarText, splitAggregate } from "../resp/frames.ts";
import { array, bulk, encodeWhole, error, integer, map, type Protocol, type Reply, text } from "../resp/reply.ts";
import { aclCategories, docsEntry, infoEntry } from "./command-info.ts";
import { globMatches } from "./glob.ts";

/** Changes an engine's reply; the reply itself comes back when there is nothing to change. */
type Splice = (frame: Buffer, protocol: Protocol) => Buffer;

export interface SpliceSources {
  readonly commands: CommandTable;
  /** The text of our INFO sections among those asked for (lower case; none: the default ones), lines ended by CRLF. */
  readonly infoSections: (sections: readonly string[]) => string;
  /** Puts into the engine's INFO what the server knows better. */
  readonly correctedInfo?: ((info: Buffer) => Buffer) | undefined;
  /** The start-up options that MODULE LIST shows. */
  readonly moduleArgs: readonly string[];
}

/** RedisGears 1.2.13; tools tell by it what a server can do. */
const MODULE_VERSION = 10213;
/** Elements of a COMMAND INFO entry since Redis 7, when the engine's own reply does not show how many it has. */
const INFO_ELEMENTS = 10;

export const splices = (sources: SpliceSources): Translator => ({
  of: ["client", "python"],
  names: ["command", "module", "info", "hello"],
  translate(name, request) {
    const settle = spliceFor(name, request.copy(1), sources);
    return settle && { settle };
  },
});

/** Finds the change for a command's reply, by its name in lower case and its arguments without the name. */
function spliceFor(name: string, args: readonly Buffer[], sources: SpliceSources): Splice | undefined {
  const words = args.slice(0, 64).map((arg) => arg.toString().toLowerCase());
  switch (name) {
    case "command":
      return commandSplice(args, sources.commands);
    case "module":
      return words[0] === "list"
        ? goodOnly((frame, protocol) => append(frame, [moduleEntry(sources, protocol)]))
        : undefined;
    case "info":
      return goodOnly((frame) => wholeInfo(frame, sources.infoSections(words), sources.correctedInfo));
    default:
      return goodOnly((frame, protocol) => withModule(frame, moduleEntry(sources, protocol)));
  }
}

/** Errors pass as they are. */
const goodOnly =
  (splice: Splice): Splice =>
  (frame, protocol) =>
    isError(frame) ? frame : splice(frame, protocol);

function commandSplice(args: readonly Buffer[], { rows, find }: CommandTable): Splice | undefined {
  const all = goodOnly((frame, protocol) =>
    append(
      frame,
      rows.map((row) => infoEntry(row, width(frame), protocol)),
    ),
  );
  const names = args.slice(1).map((arg) => arg.toString().toLowerCase());
  switch (args[0]?.toString().toLowerCase()) {
    case undefined:
      return all;
    case "count":
      return goodOnly((frame, protocol) => encodeWhole(integer(Number(scalarText(frame)) + rows.length), protocol));
    case "info":
      return names.length === 0 ? all : goodOnly((frame, protocol) => fillInfo(frame, names.map(find), protocol));
    case "docs": {
      const shown = names.length === 0 ? rows : [...new Set(names)].flatMap((name) => find(name) ?? []);
      return goodOnly((frame, protocol) =>
        append(
          frame,
          shown.flatMap((row) => [encodeWhole(text(row.name), protocol), encodeWhole(docsEntry(row), protocol)]),
        ),
      );
    }
    case "list":
      return goodOnly((frame, protocol) =>
        append(
          frame,
          listed(rows, names).map((row) => encodeWhole(text(row.name), protocol)),
        ),
      );
    case "getkeys":
      return keysSplice(find(names[0] ?? ""), args.slice(2), bulk);
    case "getkeysandflags":
      return keysSplice(find(names[0] ?? ""), args.slice(2), (key) =>
        array([bulk(key), array(["RW", "access", "update"].map(text))]),
      );
    default:
      return undefined;
  }
}

/** The engine does not know our commands, so it refuses to find their keys. */
function keysSplice(
  row: CommandRow | undefined,
  args: readonly Buffer[],
  show: (key: Buffer) => Reply,
): Splice | undefined {
  if (!row) return undefined;
  return (frame, protocol) => {
    if (!isError(frame) || !scalarText(frame).startsWith("ERR Invalid command")) return frame;
    const [first, last, step] = row.keys ?? [0, 0, 0];
    const end = last < 0 ? args.length + 1 + last : last;
    const keys: Reply[] = [];
    for (let index = first; index > 0 && index <= end; index += Math.max(step, 1)) {
      const key = args[index - 1];
      if (key) keys.push(show(key));
    }
    if (first === 0) return encodeWhole(error("ERR The command has no key arguments"), protocol);
    if (keys.length === 0) return encodeWhole(error("ERR Invalid number of arguments specified for command"), protocol);
    return encodeWhole(array(keys), protocol);
  };
}

/** COMMAND LIST with its FILTERBY. */
function listed(rows: readonly CommandRow[], words: readonly string[]): readonly CommandRow[] {
  const [filterBy, kind, value] = words;
  if (filterBy === undefined) return rows;
  if (kind === "module") return value === "rg" ? rows : [];
  if (kind === "pattern") return rows.filter((row) => globMatches(value ?? "", row.name));
  if (kind === "aclcat") return rows.filter((row) => aclCategories(row).includes(`@${value}`));
  return [];
}

/** Puts our entries into the places where the engine had nothing to say. */
function fillInfo(frame: Buffer, rows: readonly (CommandRow | undefined)[], protocol: Protocol): Buffer {
  const aggregate = splitAggregate(frame);
  if (!aggregate) return frame;
  const children = aggregate.children.map((child, index) => {
    const row = rows[index];
    return row && !splitAggregate(child) ? infoEntry(row, width(frame), protocol) : child;
  });
  return joinAggregate({ type: aggregate.type, children });
}

/** How many elements the engine's own entries have. */
function width(frame: Buffer): number {
  for (const child of splitAggregate(frame)?.children ?? []) {
    const entry = splitAggregate(child);
    if (entry) return entry.children.length;
  }
  return INFO_ELEMENTS;
}

function append(frame: Buffer, entries: readonly Buffer[]): Buffer {
  const aggregate = splitAggregate(frame);
  return aggregate ? joinAggregate({ type: aggregate.type, children: [...aggregate.children, ...entries] }) : frame;
}

function moduleEntry({ moduleArgs }: SpliceSources, protocol: Protocol): Buffer {
  return encodeWhole(
    map([
      [text("name"), text("rg")],
      [text("ver"), integer(MODULE_VERSION)],
      [text("path"), text("")],
      [text("args"), array(moduleArgs.map(text))],
    ]),
    protocol,
  );
}

/** HELLO's map has the modules as its last value, after the key `modules`. */
function withModule(frame: Buffer, entry: Buffer): Buffer {
  const aggregate = splitAggregate(frame);
  const modules = aggregate?.children.at(-1);
  if (!aggregate || !modules || scalarText(aggregate.children.at(-2)) !== "modules") return frame;
  return joinAggregate({
    type: aggregate.type,
    children: [...aggregate.children.slice(0, -1), append(modules, [entry])],
  });
}

function wholeInfo(frame: Buffer, sections: string, correct = (info: Buffer): Buffer => info): Buffer {
  const ours = Buffer.from(sections);
  return rewriteText(frame, (text) => {
    const own = correct(text);
    if (ours.length === 0) return own;
    return Buffer.concat([own, Buffer.from(own.length > 0 ? "\r\n" : ""), ours]);
  });
}
