/** Commands about the server and its Python. */
import { array, integer, type Reply, text } from "../resp/reply.ts";
import type { Access, CommandRow } from "../commands/command.ts";
import { ownSection } from "./info.ts";

/** Bytes of all Python interpreters together. */
interface PythonMemory {
  readonly totalAllocated: number;
  readonly peakAllocated: number;
  readonly currentAllocated: number;
}

interface ServerCommandDeps {
  readonly pythonMemory: () => PythonMemory;
  /** Lines of INFO's section `regears`. */
  readonly info: () => readonly string[];
}

/** The version of the Python plugin that RedisGears 1.2 reports. */
const PLUGIN_VERSION = 10_000;

const ANY = { minArgs: 0, maxArgs: Number.POSITIVE_INFINITY };

/** Commands about the server. */
export function serverCommands({ pythonMemory, info }: ServerCommandDeps): CommandRow[] {
  const base = { testedBy: "test/unit/commands.test.ts", since: "1.0", syntax: "" };
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
      run: () => statsReply(pythonMemory()),
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
      run: () => text(ownSection(info())),
    },
    gone("rg.pyexecuteremote", "Execute remote"),
    gone("rg.pyfreeinterpreter", "Free interpreter"),
  ];
}

function statsReply({ totalAllocated, peakAllocated, currentAllocated }: PythonMemory): Reply {
  const pair = (name: string, value: number): Reply[] => [text(name), integer(Math.round(value))];
  return array([
    ...pair("TotalAllocated", totalAllocated),
    ...pair("PeakAllocated", peakAllocated),
    ...pair("CurrAllocated", currentAllocated),
  ]);
}
