/** Commands about the packages that scripts require: docs/spec/commands.md, section 12. */
import { COMPILED_OS } from "../packages/transfer.ts";
import { ReplyError } from "../errors.ts";
import type { KnownRequirement, Requirements } from "./requirements.ts";
import { array, bulk, integer, type Reply, text } from "../resp/reply.ts";
import type { UserRights } from "../engine/user-rights.ts";
import type { CommandRow } from "../commands/command.ts";
import { blockingRefusal } from "../commands/table.ts";

const NO_WHEELS = "Requirement was not yet downloaded so wheels are not available";
/** What is imported is what everybody gets who requires the same from then on. */
const NOT_FREE = "NOPERM only a user with all rights may import requirements";
const MANY = Number.POSITIVE_INFINITY;

/** The rows of this file. */
export function requirementCommands({
  requirements,
  rights,
}: {
  readonly requirements: Requirements;
  readonly rights: Pick<UserRights, "isFree">;
}): CommandRow[] {
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
      summary: "Returns a requirement with its packages, in a form for RG.PYIMPORTREQ.",
      access: "script",
      syntax: "requirement",
      minArgs: 1,
      maxArgs: 1,
      run: ([name], { caller }) => {
        const requirement = requirements.exportable(name?.toString("utf8") ?? "");
        if (!caller.canWait) throw new ReplyError(blockingRefusal(caller));
        return requirements
          .export(requirement)
          .then((chunks) => array([describeRequirement(requirement), array(chunks.map(bulk))]));
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
      run: async (chunks, { caller }) => {
        if (!(await rights.isFree(caller.user))) throw new ReplyError(NOT_FREE);
        await requirements.import(chunks);
        return bulk(Buffer.from("OK"));
      },
    },
  ];
}

/** The 18 fields of a requirement. */
export function describeRequirement({ name, refCount, installed, wheels, path }: KnownRequirement): Reply {
  const isThere = text(installed ? "yes" : "no");
  const pairs: [string, Reply][] = [
    ["GearReqVersion", integer(2)],
    ["Name", text(name)],
    ["IsDownloaded", isThere],
    ["IsInstalled", isThere],
    ["CompiledOs", text(COMPILED_OS)],
    ["Wheels", installed ? array(wheels.map(text)) : text(NO_WHEELS)],
    ["Path", text(path)],
    ["RefCount", integer(refCount)],
    ["IsInReqDictionary", text("yes")],
  ];
  return array(pairs.flatMap(([field, value]) => [text(field), value]));
}

/** A requirement's line of INFO. */
export function requirementLine({ name, refCount, installed, wheels, path }: KnownRequirement): string {
  const isThere = installed ? "yes" : "no";
  return (
    `rg_${name}:IsDownloaded=${isThere},IsInstalled=${isThere},CompiledOs=${COMPILED_OS},Wheels=${wheels.join(" ")},` +
    `Path=${path},RefCount=${refCount},IsInReqDictionary=yes`
  );
}
