/** Commands about the server and its Python. */
import { array, integer, type Reply, text, verbatim } from "../resp/reply.ts";
import type { Access, CommandRow } from "../commands/command.ts";
import { type InfoSources, ownSection } from "./info.ts";

type ServerCommandDeps = Pick<InfoSources, "memory" | "regears">;

/** The version of the Python plugin that RedisGears 1.2 reports. */
const PLUGIN_VERSION = 10_000;

const ANY = { minArgs: 0, maxArgs: Number.POSITIVE_INFINITY };

/** Commands about the server. */
export function serverCommands({ memory, regears }: ServerCommandDeps): CommandRow[] {
  const base = { testedBy: "test/commands/table.test.ts", since: "1.0", syntax: "" };
  const gone = (name: string, what: string): CommandRow => ({
    ...base,
    ...ANY,
    name,
    summary: "No longer supported, as in RedisGears 1.2.",
    group: "server",
    access: "any" satisfies Access,
    run: () => text(`${what} is not longer supported`),
  });
  return [
    {
      ...base,
      ...ANY,
      name: "rg.dumpplugins",
      summary: "Lists the plugins: Python.",
      group: "server",
      access: "read",
      run: () => array([array([text("GearsPythonPlugin"), integer(PLUGIN_VERSION)])]),
    },
    {
      ...base,
      ...ANY,
      name: "rg.pystats",
      passesGate: true,
      summary: "Returns the memory of the Python interpreters in bytes.",
      group: "server",
      access: "read",
      run: () => statsReply(memory()),
    },
    {
      ...base,
      minArgs: 0,
      maxArgs: 0,
      name: "rg.info",
      passesGate: true,
      summary: "Describes the server: what it does, holds and waits for; the same as INFO's section `regears`.",
      since: "regears",
      group: "server",
      access: "read",
      testedBy: "test/visibility/visibility.test.ts",
      run: () => verbatim(ownSection(regears())),
    },
    gone("rg.pyexecuteremote", "Execute remote"),
    gone("rg.pyfreeinterpreter", "Free interpreter"),
  ];
}

function statsReply({ total, peak, current }: ReturnType<InfoSources["memory"]>): Reply {
  const pair = (name: string, value: number): Reply[] => [text(name), integer(Math.round(value))];
  return array([...pair("TotalAllocated", total), ...pair("PeakAllocated", peak), ...pair("CurrAllocated", current)]);
}
