/** Commands about the server, its Python and the packages that scripts require. */
import { ReplyError } from "../errors.ts";
import { array, integer, type Reply, text } from "../resp/reply.ts";
import type { Access, CommandRow } from "./command.ts";
import { blockingRefusal } from "./table.ts";

/** Bytes of all Python interpreters together. */
export interface PythonMemory {
  readonly totalAllocated: number;
  readonly peakAllocated: number;
  readonly currentAllocated: number;
}

export interface ServerCommandDeps {
  readonly pythonMemory: () => PythonMemory;
}

/** The version of the Python plugin that RedisGears 1.2 reports. */
const PLUGIN_VERSION = 10_000;

const ANY = { minArgs: 0, maxArgs: Number.POSITIVE_INFINITY };

/** Commands about the server. */
export function serverCommands({ pythonMemory }: ServerCommandDeps): CommandRow[] {
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
      summary: "Returns the memory of the Python interpreters in bytes.",
      group: "server",
      access: "read",
      run: () => statsReply(pythonMemory()),
    },
    gone("rg.pyexecuteremote", "Execute remote"),
    gone("rg.pyfreeinterpreter", "Free interpreter"),
    ...requirementCommands(base),
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

/** No requirement can be installed yet, so none is known. */
function requirementCommands(base: Pick<CommandRow, "testedBy" | "since" | "syntax">): CommandRow[] {
  return [
    {
      ...base,
      ...ANY,
      name: "rg.pydumpreqs",
      summary: "Lists the installed requirements.",
      group: "requirements",
      access: "read",
      run: () => array([]),
    },
    {
      ...base,
      name: "rg.pyexportreq",
      summary: "Returns a requirement in a form for RG.PYIMPORTREQ.",
      group: "requirements",
      access: "script",
      syntax: "requirement",
      minArgs: 1,
      maxArgs: 1,
      run: () => {
        throw new ReplyError("requirement does not exists");
      },
    },
    {
      ...base,
      ...ANY,
      name: "rg.pyimportreq",
      summary: "Installs a requirement made by RG.PYEXPORTREQ.",
      group: "requirements",
      access: "script",
      syntax: "[chunk ...]",
      refusedWhenNotBlocking: blockingRefusal,
      run: () => {
        throw new ReplyError("Bad serialization format on reading requirement name");
      },
    },
  ];
}
