/** The way that docs/architecture.md tells to the addresses in `LAYOUTS`: it leads to those that are there. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CodeAddresses, installedBuild } from "../../scripts/valkey-addresses.ts";

const build = readFileSync(installedBuild());
const source = readFileSync(new URL("../../src/engine/internals.ts", import.meta.url), "utf8");
const layout = source.slice(source.indexOf(createHash("sha256").update(build).digest("hex")));
/** An address in the layout of the installed build. */
const known = (field: string): number => Number(new RegExp(`\\b${field}: \\[*(\\d+)`).exec(layout)?.[1]);

describe("addresses in the installed build of Valkey", () => {
  const code = new CodeAddresses(build);
  const first = (...functions: string[]): number | undefined => code.namedByAll(functions)[0]?.address;

  it("are found by the functions that name them", () => {
    expect(first("beforeSleep", "createSocketAcceptHandler", "initListeners")).toBe(known("eventLoop"));
    expect(first("scriptIsTimedout", "scriptInterrupt", "scriptKill", "scriptGetCaller")).toBe(known("runningScript"));
    expect(first("alsoPropagate", "postExecutionUnitOperations", "call", "processCommand")).toBe(
      known("currentClient"),
    );
    expect(first("dlmalloc", "realloc")).toBe(known("growth"));
  });

  it("are named by the functions that use them", () => {
    expect(code.functionsOf(known("outputLimit"))).toEqual(["initServerConfig"]);
    expect(code.functionsOf(known("debugCommand"))).toEqual(["processCommand"]);
    expect(code.functionsOf(known("bootArguments"))).toEqual(["rk_boot"]);
    expect(code.functionsOf(known("aofState"))).toEqual(
      expect.arrayContaining(["allPersistenceDisabled", "loadDataFromDisk", "propagateNow"]),
    );
    expect(code.functionsOf(known("aofSync"))).toEqual(["beforeSleep"]);
    expect(code.functionsOf(known("aofSyncStatus"))).toEqual(
      expect.arrayContaining(["writeCommandsDeniedByDiskError", "processCommand", "genValkeyInfoString"]),
    );
    expect(code.functionsOf(known("saveStatus"))).toEqual(
      expect.arrayContaining(["writeCommandsDeniedByDiskError", "serverCron", "genValkeyInfoString"]),
    );
    expect(code.functionsOf(known("replaced"))).toContain("luaRedisAclCheckCmdPermissionsCommand");
  });

  it("of functions that are not there are an error", () => {
    expect(() => code.namedByAll(["noSuchFunction"])).toThrow("there is no function noSuchFunction");
  });
});
