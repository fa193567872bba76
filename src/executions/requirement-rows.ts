/** Commands about the packages that scripts require: docs/spec/commands.md, section 12. */
import { ReplyError } from "../errors.ts";
import type { KnownRequirement, Requirements } from "./requirements.ts";
import { array, integer, type Reply, text } from "../resp/reply.ts";
import type { CommandRow } from "../commands/command.ts";
import { blockingRefusal } from "../commands/table.ts";

const MANY = Number.POSITIVE_INFINITY;
/** What Python runs on. */
const COMPILED_OS = "emscripten-wasm32";

/** The rows of this file. */
export function requirementCommands({ requirements }: { readonly requirements: Requirements }): CommandRow[] {
  const common = { testedBy: "test/executions/requirements.test.ts", since: "1.0", group: "requirements" } as const;
  return [
    {
      ...common,
      name: "rg.pydumpreqs",
      summary: "Lists the requirements that scripts have named.",
      access: "read",
      syntax: "",
      minArgs: 0,
      maxArgs: MANY,
      run: () => array(requirements.list().map(describeRequirement)),
    },
    {
      ...common,
      name: "rg.pyexportreq",
      summary: "Returns a requirement in a form for RG.PYIMPORTREQ; there are only built-in ones, which it refuses.",
      access: "script",
      syntax: "requirement",
      minArgs: 1,
      maxArgs: 1,
      run: ([name]) => {
        const known = requirements.find(name?.toString("utf8") ?? "");
        if (!known) throw new ReplyError("requirement does not exists");
        throw new ReplyError(`ERR requirement '${known.name}' is part of the server: there is nothing to export`);
      },
    },
    {
      ...common,
      name: "rg.pyimportreq",
      summary: "Installs a requirement made by RG.PYEXPORTREQ.",
      access: "script",
      syntax: "[chunk ...]",
      minArgs: 0,
      maxArgs: MANY,
      refusedWhenNotBlocking: blockingRefusal,
      run: () => {
        throw new ReplyError("Bad serialization format on reading requirement name");
      },
    },
  ];
}

/** The 18 fields of a requirement. */
export function describeRequirement({ name, refCount }: KnownRequirement): Reply {
  const pairs: [string, Reply][] = [
    ["GearReqVersion", integer(2)],
    ["Name", text(name)],
    ["IsDownloaded", text("yes")],
    ["IsInstalled", text("yes")],
    ["CompiledOs", text(COMPILED_OS)],
    ["Wheels", array([])],
    ["Path", text("")],
    ["RefCount", integer(refCount)],
    ["IsInReqDictionary", text("yes")],
  ];
  return array(pairs.flatMap(([field, value]) => [text(field), value]));
}

/** A requirement's line of INFO. */
export const requirementLine = ({ name, refCount }: KnownRequirement): string =>
  `rg_${name}:IsDownloaded=yes,IsInstalled=yes,CompiledOs=${COMPILED_OS},Wheels=,Path=,RefCount=${refCount},IsInReqDictionary=yes`;
