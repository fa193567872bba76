import { describe, expect, it } from "vitest";
import { clusterCommands } from "../../src/commands/cluster-rows.ts";
import type { Caller } from "../../src/commands/caller.ts";
import type { CommandContext, CommandRow } from "../../src/commands/command.ts";
import { configCommands } from "../../src/commands/config-rows.ts";
import { Requirements } from "../../src/executions/requirements.ts";
import { SessionRegistry } from "../../src/executions/session.ts";
import { requirementCommands } from "../../src/executions/requirement-rows.ts";
import { serverCommands } from "../../src/visibility/server-rows.ts";
import { createCommandTable } from "../../src/commands/table.ts";
import { type Config, completeConfig, RuntimeConfig } from "../../src/config.ts";
import { ReplyError } from "../../src/errors.ts";
import type { Reply } from "../../src/resp/reply.ts";
import { callerOf } from "../support/path.ts";
import { NO_LOG } from "../../src/log.ts";
import { SYSTEM_CLOCK } from "../../src/timer.ts";
import { noPackages } from "../support/wheels.ts";

const context = (caller = callerOf()): CommandContext => ({
  caller,
  signal: new AbortController().signal,
  clientId: 1,
  typedName: "RG.TEST",
});

/** Replies as plain values: `+status`, `-error`, numbers, texts or bytes, arrays. */
function plain(reply: Reply): unknown {
  switch (reply.type) {
    case "status":
      return `+${reply.text}`;
    case "error":
      return `-${reply.text}`;
    case "integer":
      return Number(reply.value);
    case "bulk":
    case "verbatim": {
      const bytes = Buffer.from(reply.bytes);
      return Buffer.from(bytes.toString()).equals(bytes) ? bytes.toString() : bytes;
    }
    case "array":
      return reply.items.map(plain);
    default:
      throw new Error(`unexpected reply ${reply.type}`);
  }
}

function setup(given: Partial<Config> = {}) {
  const config = new RuntimeConfig(completeConfig(given));
  const logged: unknown[] = [];
  const memory = () => ({ total: 30, peak: 20, current: 10 });
  const rows = [
    ...configCommands({ config }),
    ...clusterCommands(),
    ...serverCommands({ memory, regears: () => ["version:1", "state:ready"] }),
    ...requirementCommands({
      requirements: new Requirements({
        ...{ sessions: new SessionRegistry(), packages: noPackages(), clock: SYSTEM_CLOCK },
        ...{ onBack: () => {}, log: NO_LOG },
      }),
      rights: { isFree: () => true },
    }),
  ];
  const table = createCommandTable(rows, { error: (entry: unknown) => logged.push(entry) });
  const ask = async (name: string, ...args: (string | Buffer)[]): Promise<unknown> => {
    const row = table.find(name);
    if (!row) throw new Error(`no command ${name}`);
    const buffers = args.map((arg) => (typeof arg === "string" ? Buffer.from(arg) : arg));
    return plain(await table.run(row, buffers, context()));
  };
  return { config, table, ask, logged };
}

const SAVED = "+OK - value was saved in extra config dictionary";

describe("the command table", () => {
  const row = (run: CommandRow["run"], more: Partial<CommandRow> = {}): CommandRow => ({
    name: "rg.test",
    summary: "",
    since: "1.0",
    group: "server",
    access: "any",
    minArgs: 1,
    maxArgs: 2,
    syntax: "",
    testedBy: "",
    run,
    ...more,
  });
  const logged: unknown[] = [];
  const run = (command: CommandRow, args: string[], caller = callerOf()) =>
    createCommandTable([command], { error: (entry: unknown) => logged.push(entry) }).run(
      command,
      args.map((arg) => Buffer.from(arg)),
      context(caller),
    );
  const ok: Reply = { type: "status", text: "OK" };
  const arity = { type: "error", text: "ERR wrong number of arguments for 'rg.test' command" };

  it("finds rows in any case and refuses doubles", () => {
    const command = row(() => ok);
    const table = createCommandTable([command], { error: () => undefined });
    expect(table.find("RG.Test")).toBe(command);
    expect(table.find("rg.tes")).toBeUndefined();
    expect(() => createCommandTable([command, command], { error: () => undefined })).toThrow("bad command name");
  });

  it("counts arguments", () => {
    expect(
      run(
        row(() => ok),
        [],
      ),
    ).toEqual(arity);
    expect(
      run(
        row(() => ok),
        ["1", "2", "3"],
      ),
    ).toEqual(arity);
    expect(
      run(
        row(() => ok),
        ["1", "2"],
      ),
    ).toEqual(ok);
  });

  it("refuses callers that can not wait after it has counted, or before", () => {
    const refusedWhenNotBlocking = ({ kind }: Caller): string => `no ${kind}`;
    const command = row(() => ok, { refusedWhenNotBlocking });
    const refusing = row(() => ok, { refusedWhenNotBlocking, refusesFirst: true });
    for (const kind of ["client", "lua", "python"] as const) {
      const caller = callerOf({ kind, canWait: false });
      const refused = { type: "error", text: `no ${kind}` };
      expect([run(command, ["1"], caller), run(command, [], caller)]).toEqual([refused, arity]);
      expect([run(refusing, ["1"], caller), run(refusing, [], caller)]).toEqual([refused, refused]);
    }
    for (const each of [command, refusing]) expect([run(each, []), run(each, ["1"])]).toEqual([arity, ok]);
  });

  it("makes replies of failures, at once or later", async () => {
    const mistake = () => {
      throw new ReplyError("-your fault");
    };
    const bug = () => {
      throw new TypeError("ours");
    };
    expect(run(row(mistake), ["1"])).toEqual({ type: "error", text: "-your fault" });
    expect(
      await run(
        row(async () => mistake()),
        ["1"],
      ),
    ).toEqual({ type: "error", text: "-your fault" });
    expect(logged).toEqual([]);
    expect(run(row(bug), ["1"])).toEqual({ type: "error", text: "ERR internal error" });
    expect(
      await run(
        row(async () => bug()),
        ["1"],
      ),
    ).toEqual({ type: "error", text: "ERR internal error" });
    expect(logged).toMatchObject([{ command: "rg.test" }, { command: "rg.test" }]);
  });
});

describe("RG.CONFIGGET", () => {
  it("shows every option of RedisGears with its default", async () => {
    const { ask } = setup();
    expect(
      await ask(
        "rg.configget",
        ...["MaxExecutions", "MaxExecutionsPerRegistration", "ProfileExecutions", "ExecutionThreads"],
        ...[
          "ExecutionMaxIdleTime",
          "SendMsgRetries",
          "Plugin",
          "PythonAttemptTraceback",
          "PythonInstallReqMaxIdleTime",
        ],
        ...["CreateVenv", "DownloadDeps", "ForeceDownloadDepsOnEnterprise", "OverridePythonAllocators"],
        ...["PythonInstallationDir"],
      ),
    ).toEqual([1000, 100, 0, 3, 5000, 3, [], 1, 30000, 0, 0, 0, 1, "/var/opt/redislabs/modules/rg"]);
    expect(await ask("rg.configget")).toEqual([]);
  });

  it("knows keys in their own case only", async () => {
    const { ask } = setup();
    expect(await ask("rg.configget", "maxexecutions", "", "MaxExecutions", "two words")).toEqual([
      "-(error) Unsupported config parameter: maxexecutions",
      "-(error) Unsupported config parameter: ",
      1000,
      "-(error) Unsupported config parameter: two words",
    ]);
  });

  it("shows what the server was started with", async () => {
    const { ask } = setup({
      maxExecutions: 7,
      executionThreads: 9,
      gearsOption: ["foo=bar"],
      plugin: ["a.so", "b.so"],
    });
    expect(await ask("rg.configget", "MaxExecutions", "ExecutionThreads", "foo", "Plugin")).toEqual([
      ...[7, 9, "bar"],
      ["a.so", "b.so"],
    ]);
  });
});

describe("RG.CONFIGSET", () => {
  it.each<[key: string, value: string, reply: string, after: number | string]>([
    ["MaxExecutions", "500", "+OK", 500],
    ["MaxExecutions", "-5", "+OK", -5],
    ["MaxExecutions", "9223372036854775807", "+OK", Number(9223372036854775807n)],
    ["maxexecutions", "6", "+OK", 6],
    ["MaxExecutions", "abc", "-(error) Failed setting config value MaxExecutions", 1000],
    ["MaxExecutions", "", "-(error) Failed setting config value MaxExecutions", 1000],
    ["MaxExecutions", "1.5", "-(error) Failed setting config value MaxExecutions", 1000],
    ["MaxExecutions", " 5", "-(error) Failed setting config value MaxExecutions", 1000],
    ["MaxExecutions", "99999999999999999999", "-(error) Failed setting config value MaxExecutions", 1000],
    ["ExecutionThreads", "5", "-(error) Config value ExecutionThreads not modifiable at runtime", 3],
    ["executionthreads", "5", "-(error) Config value executionthreads not modifiable at runtime", 3],
    ["ExecutionMaxIdleTime", "0", "-(error) Failed setting config value ExecutionMaxIdleTime", 5000],
    ["SendMsgRetries", "0", "+OK", 0],
    ["SendMsgRetries", "-1", "-(error) Failed setting config value SendMsgRetries", 3],
    ["PythonAttemptTraceback", "0", SAVED, 0],
    ["PythonAttemptTraceback", "-7", SAVED, 1],
    ["PythonAttemptTraceback", "x", "-Failed setting config value for key 'PythonAttemptTraceback' with value 'x'", 1],
    ["PythonInstallReqMaxIdleTime", "40000", SAVED, 40000],
    ["SendMsgRetries", "1 ", "-(error) Failed setting config value SendMsgRetries", 3],
    ["CreateVenv", "1", "-(error) CreateVenv is not configurable at runtime", 0],
    ["Own", "5", SAVED, "5"],
    ["Ünïcode", "ä🎉", SAVED, "ä🎉"],
  ])("%s = %j", async (key, value, reply, after) => {
    const { ask } = setup();
    expect(await ask("rg.configset", key, value)).toEqual([reply]);
    const canonical = { maxexecutions: "MaxExecutions", executionthreads: "ExecutionThreads" }[key] ?? key;
    expect(await ask("rg.configget", canonical)).toEqual([after]);
  });

  it("words a bad Python value in its own way", async () => {
    const { ask } = setup();
    expect(await ask("rg.configset", "PythonInstallReqMaxIdleTime", "0")).toEqual([
      "-Failed setting config value for key 'PythonInstallReqMaxIdleTime' with value '0'",
    ]);
  });

  it("takes several pairs in order, and a missing value as a mistake", async () => {
    const { ask } = setup();
    expect(await ask("rg.configset")).toEqual([]);
    expect(await ask("rg.configset", "MaxExecutions", "9", "A", "1", "A", "2", "ExecutionThreads", "1", "B")).toEqual([
      ...["+OK", SAVED, SAVED, "-(error) Config value ExecutionThreads not modifiable at runtime"],
      "-(error) Value was not given to B",
    ]);
    expect(await ask("rg.configset", "MaxExecutions")).toEqual(["-(error) Failed setting config value MaxExecutions"]);
    expect(await ask("rg.configget", "MaxExecutions", "A", "B")).toEqual([
      ...[9, "2"],
      "-(error) Unsupported config parameter: B",
    ]);
  });

  it("keeps bytes that are no text", async () => {
    const { ask } = setup();
    const bytes = Buffer.from([0xff, 0xfe, 0]);
    await ask("rg.configset", "Bytes", bytes, Buffer.from([0xff]), "a", Buffer.from([0xfe]), "b");
    expect(await ask("rg.configget", "Bytes", Buffer.from([0xff]), Buffer.from([0xfe]))).toEqual([bytes, "a", "b"]);
  });

  it("tells those who listen, and nobody when nothing changed", async () => {
    const { ask, config } = setup();
    const seen: [string, number][] = [];
    config.onChange("MaxExecutions", (value) => seen.push(["first", value]));
    config.onChange("MaxExecutions", (value) => seen.push(["second", value]));
    config.onChange("PythonAttemptTraceback", (value) => seen.push(["traceback", value]));
    await ask("rg.configset", "MAXEXECUTIONS", "5", "MaxExecutions", "x", "PythonAttemptTraceback", "0");
    expect(seen).toEqual([
      ["first", 5],
      ["second", 5],
      ["traceback", 0],
    ]);
    expect([config.get("MaxExecutions"), config.get("PythonAttemptTraceback")]).toEqual([5, 0]);
  });

  it("shows scripts user options and Python options that were set", async () => {
    const { ask, config } = setup({ gearsOption: ["Start=1", "CreateVenv=1"] });
    const seen = (key: string) => config.forScripts(key)?.toString();
    expect(["MaxExecutions", "PythonAttemptTraceback", "Start", "CreateVenv"].map(seen)).toEqual([
      ...[undefined, undefined, "1", "1"],
    ]);
    await ask("rg.configset", "MaxExecutions", "5", "PythonAttemptTraceback", "2", "Own", "x", "ÄÖ", "ü");
    expect(["MaxExecutions", "PythonAttemptTraceback", "Own", "ÄÖ"].map(seen)).toEqual([undefined, "2", "x", "ü"]);
  });
});

describe("commands that need no Python", () => {
  it.each<[name: string, args: string[], reply: unknown]>([
    ["rg.infocluster", [], "no cluster mode"],
    ["rg.refreshcluster", ["ignored"], "+OK"],
    ["rg.clusterset", [], "-Could not parse cluster set arguments"],
    ["rg.clustersetfromshard", ["x"], "-Could not parse cluster set arguments"],
    ["rg.hello", [], "-ERRCLUSTER NULL cluster state on hello msg"],
    ["rg.networktest", [], "+OK"],
    ["rg.dumpplugins", [], [["GearsPythonPlugin", 10000]]],
    ["rg.pyexecuteremote", ["x"], "Execute remote is not longer supported"],
    ["rg.pyfreeinterpreter", [], "Free interpreter is not longer supported"],
    ["rg.info", [], "# regears\r\nversion:1\r\nstate:ready\r\n"],
    ["rg.info", ["all"], "-ERR wrong number of arguments for 'rg.info' command"],
    ["rg.pystats", ["ignored"], ["TotalAllocated", 30, "PeakAllocated", 20, "CurrAllocated", 10]],
    ["rg.pydumpreqs", ["ignored"], []],
    ["rg.pyexportreq", ["numpy"], "-requirement does not exists"],
    ["rg.pyexportreq", [], "-ERR wrong number of arguments for 'rg.pyexportreq' command"],
    ["rg.pyimportreq", [], "-Bad serialization format on reading requirement name"],
    ["rg.pyimportreq", ["garbage"], "-Bad serialization format on reading requirement name"],
  ])("%s %j", async (name, args, reply) => {
    const { ask, logged } = setup();
    expect(await ask(name, ...args)).toEqual(reply);
    expect(logged).toEqual([]);
  });

  it("does not import requirements inside a transaction or Lua", async () => {
    const { table } = setup();
    const row = table.find("rg.pyimportreq");
    if (!row) throw new Error("no rg.pyimportreq");
    const run = (fields: Partial<Caller>) => table.run(row, [], context(callerOf({ ...fields, canWait: false })));
    expect([run({}), run({ kind: "lua" })]).toEqual([
      { type: "error", text: "ERR Blocking module command called from transaction" },
      { type: "error", text: "ERR Blocking module command called from Lua script" },
    ]);
  });
});
