/** COMMAND, MODULE LIST, INFO and HELLO: the engine's own replies with Regears beside it. */
import type { CommandRow, CommandTable } from "../commands/command.ts";
import { isError, joinAggregate, scalarBytes, scalarText, splitAggregate } from "../resp/frames.ts";
import { array, encodeWhole, error, integer, map, nil, type Protocol, type Reply, status, text } from "../resp/reply.ts";

/** Changes an engine's reply; the reply itself comes back when there is nothing to change. */
export type Splice = (frame: Buffer, protocol: Protocol) => Buffer;

export interface SpliceSources {
  readonly commands: CommandTable;
  /** The text of our INFO sections among those asked for (lower case; none: the default ones), lines ended by CRLF. */
  readonly infoSections: (sections: readonly string[]) => string;
  /** The start-up options that MODULE LIST shows. */
  readonly moduleArgs: readonly string[];
}

/** RedisGears 1.2.13; tools tell by it what a server can do. */
const MODULE_VERSION = 10213;
const ANCIENT_ELEMENTS = 7;
const ELEMENTS = 10;

/** Finds the change for a command; `args` are its arguments in lower case, as far as they may matter, without the name. */
export function spliceFor(name: string, args: readonly string[], sources: SpliceSources): Splice | undefined {
  const unlessError = (splice: Splice): Splice => (frame, protocol) => (isError(frame) ? frame : splice(frame, protocol));
  switch (name) {
    case "command":
      return commandSplice(args, sources.commands);
    case "module":
      return args[0] === "list" ? unlessError((frame, protocol) => append(frame, [moduleEntry(sources, protocol)])) : undefined;
    case "info":
      return unlessError((frame) => withSections(frame, sources.infoSections(args)));
    case "hello":
      return unlessError((frame, protocol) => withModule(frame, moduleEntry(sources, protocol)));
    default:
      return undefined;
  }
}

function commandSplice(args: readonly string[], { rows, find }: CommandTable): Splice | undefined {
  const names = args.slice(1);
  const entries = (protocol: Protocol, width: number): Buffer[] => rows.map((row) => infoEntry(row, width, protocol));
  const unlessError = (splice: Splice): Splice => (frame, protocol) => (isError(frame) ? frame : splice(frame, protocol));
  if (args.length === 0) return unlessError((frame, protocol) => append(frame, entries(protocol, widthOf(frame))));
  switch (args[0]) {
    case "count":
      return unlessError((frame, protocol) => encodeWhole(integer(Number(scalarText(frame)) + rows.length), protocol));
    case "info":
      if (names.length === 0) return unlessError((frame, protocol) => append(frame, entries(protocol, widthOf(frame))));
      return unlessError((frame) => fillInfo(frame, names.map(find)));
    case "docs": {
      const shown = names.length === 0 ? rows : [...new Set(names)].flatMap((name) => find(name) ?? []);
      return unlessError((frame, protocol) =>
        append(frame, shown.flatMap((row) => [encodeWhole(text(row.name), protocol), docsEntry(row, protocol)])),
      );
    }
    case "list":
      return unlessError((frame, protocol) =>
        append(frame, listed(rows, names).map((row) => encodeWhole(text(row.name), protocol))),
      );
    case "getkeys":
    case "getkeysandflags": {
      const row = find(names[0] ?? "");
      if (!row) return undefined;
      return (frame, protocol) => {
        const unknown = isError(frame) && scalarText(frame).startsWith("ERR Invalid command");
        return unknown ? keysReply(row, names.length, args[0] === "getkeysandflags", protocol) ?? frame : frame;
      };
    }
    default:
      return undefined;
  }
}
