/** Commands about registrations, sessions and the server: what they do that no recording shows. */
import { describe, expect, it } from "vitest";
import { executions, fields, onlyRegistration, registrations, useServer, type Value } from "../support/use-server.ts";
import { reply } from "../support/replies.ts";

const setting = useServer();
const NODE = "0".repeat(40);
const UNKNOWN_ID = `${NODE}-999999`;

const ask = (...args: string[]): Promise<Value> => reply(setting().client, ...args);
const script = (...args: string[]): Promise<Value> => ask("RG.PYEXECUTE", ...args);

/** A step that is busy until the key `go` is there. */
const BUSY = `
import time
def busy(record):
    execute('INCR', 'begun')
    while not execute('EXISTS', 'go'): time.sleep(0.01)
    return record
`;
/** The same, but it does not keep others of its session from running. */
const HELD = `
import asyncio
async def held(record):
    execute('INCR', 'begun')
    while not execute('EXISTS', 'go'): await asyncio.sleep(0.01)
    return record
`;
const BUSY_ON_KEYS = `${BUSY}\nGB().map(busy).register('k:*', mode='async_local')`;
const begun = (): Promise<Value> => ask("GET", "begun");
const idOf = async (reader: string): Promise<string> => {
  const all = ((await ask("RG.DUMPREGISTRATIONS")) as Value[]).map(fields);
  return String(all.find((one) => one.reader === reader)?.id);
};

describe("RG.DUMPREGISTRATIONS", () => {
  it("PD tells the session in one line", async () => {
    // nobody has named this requirement before
    const two = "GB('CommandReader').register(trigger='a')\nGB('CommandReader').register(trigger='b')";
    await script(two, "ID", "app", "DESCRIPTION", "what it is", "REQUIREMENTS", "gearsclient");
    const [first, second] = ((await ask("RG.DUMPREGISTRATIONS")) as Value[]).map(fields);
    expect(first?.PD).toBe(second?.PD);
    expect(first?.PD).toMatch(
      /^\{'sessionName':'app', 'sessionDescription':'what it is', 'refCount': \d+, 'linkedTo': primary, 'dead': false, 'isInstallationNeeded':1, 'registrationsList':\['0{40}-\d+','0{40}-\d+'\], 'depsList':\[\{'name':'gearsclient', 'basePath':'[^']*', 'wheels':\[[^\]]*\]\}\]\}$/,
    );
    expect(first?.ExecutionThreadPool).toBe("DefaultPool");
  });

  it("the average is a double with up to 17 digits, or 0", async () => {
    await script("GB().register('k:*', mode='sync')");
    expect((await onlyRegistration(setting().client)).avgRunDurationMS).toBe("0");
    for (let n = 0; n < 3; n++) await ask("SET", "k:1", "v");
    const { totalRunDurationMS, avgRunDurationMS } = await onlyRegistration(setting().client);
    expect(Number(avgRunDurationMS)).toBe(Number(totalRunDurationMS) / 3);
  });

  it("shows what only an older server could not: keyTypes of empty keys and streams", async () => {
    await script("GB().register('k:*', keyTypes=['empty', 'stream'], eventTypes=['del'])");
    expect(fields((await onlyRegistration(setting().client)).args)).toEqual({
      ...{ regex: "k:*", eventTypes: ["del"], keyTypes: ["empty", "stream"], hookCommands: null },
    });
  });

  it("a coroutine's execution counts as triggered from its beginning, as success when it ends", async () => {
    await script(`${HELD}
GB().map(held).register('k:*', mode='sync')`);
    await ask("SET", "k:1", "v");
    expect(await onlyRegistration(setting().client)).toMatchObject({ numTriggered: 1, numSuccess: 0, numFailures: 0 });
    expect((await executions(setting().client)).at(-1)?.status).toBe("created");
    await ask("SET", "go", "1");
    await expect.poll(async () => (await onlyRegistration(setting().client)).numSuccess).toBe(1);
  });
});

describe("RG.UNREGISTER", () => {
  it("frees the name of the trigger and stops the hook at once, while their executions go on", async () => {
    const { connect } = setting();
    await script(`${HELD}
GB('CommandReader').map(held).register(trigger='t', mode='async_local')
GB('CommandReader').map(held).register(hook='echo', mode='async_local')`);
    const called = (await connect()).call("RG.TRIGGER", "t");
    const hooked = (await connect()).call("ECHO", "x");
    await expect.poll(begun).toBe("2");
    for (const { id } of await registrations(setting().client)) expect(await ask("RG.UNREGISTER", id)).toBe("OK");
    expect(await ask("RG.TRIGGER", "t")).toBe("-ERR subcommand not found");
    expect(await ask("ECHO", "x")).toBe("x");
    expect(await script("GB('CommandReader').map(lambda r: 'new').register(trigger='t')")).toBe("OK");
    await ask("SET", "go", "1");
    expect(await Promise.all([called, hooked])).toEqual([["['t']"], "['ECHO', 'x']"]);
    expect(await ask("RG.TRIGGER", "t")).toEqual(["new"]);
  });

  it.each([
    [[], "2"],
    [["abortPending"], "1"],
    [["nonsense"], "2"],
  ])("with %j: of two executions %s begin; all are dropped when the last has ended", async (option, runs) => {
    await script(BUSY_ON_KEYS);
    const before = (await executions(setting().client)).length;
    await ask("SET", "k:1", "v");
    await expect.poll(begun).toBe("1");
    await ask("SET", "k:2", "v");
    expect((await executions(setting().client)).slice(before).length).toBe(2);
    expect(await ask("RG.UNREGISTER", await idOf("KeysReader"), ...option)).toBe("OK");
    await ask("SET", "go", "1");
    await expect.poll(async () => (await executions(setting().client)).length).toBe(before);
    expect(await begun()).toBe(runs);
    expect(await ask("RG.PYDUMPSESSIONS")).toEqual([]);
  });
});

describe("RG.PAUSEREGISTRATIONS and RG.UNPAUSEREGISTRATIONS", () => {
  it("word what is wrong", async () => {
    await script("GB().register('k:*')\nGB('CommandReader').register(trigger='t')");
    const [keys, command] = [await idOf("KeysReader"), await idOf("CommandReader")];
    const unknown = `-Execution ID does not exists on shard ${NODE}`.replace("ID", UNKNOWN_ID);
    for (const verb of ["pause", "unpause"]) {
      const name = `RG.${verb}REGISTRATIONS`;
      expect(await ask(name, UNKNOWN_ID)).toBe(unknown);
      expect(await ask(name, "nonsense")).toBe(`-Execution nonsense does not exists on shard ${NODE}`);
      expect(await ask(name, keys)).toBe(`-Reader KeysReader does not support ${verb}`);
      expect(await ask(name, command)).toBe(`-Reader CommandReader does not support ${verb}`);
    }
    expect(await ask("RG.PAUSEREGISTRATIONS", "ABORTPENDING")).toBe("-ERR no registration to pause");
  });

  it("pausing what is aborted changes nothing; unpausing sets OK", async () => {
    await script("GB('StreamReader').map(lambda r: 1 / 0).register('s', mode='async_local', onFailedPolicy='abort')");
    const status = async (): Promise<Value> => (await onlyRegistration(setting().client)).status ?? null;
    await ask("XADD", "s", "*", "f", "v");
    await expect.poll(status).toBe("ABORTED");
    const id = await idOf("StreamReader");
    expect(await ask("RG.PAUSEREGISTRATIONS", id)).toBe("OK");
    expect(await status()).toBe("ABORTED");
    await ask("DEL", "s");
    expect(await ask("RG.UNPAUSEREGISTRATIONS", id)).toBe("OK");
    expect(await status()).toBe("OK");
    expect(await ask("RG.UNPAUSEREGISTRATIONS", id)).toBe("OK");
    expect(await ask("RG.PAUSEREGISTRATIONS", id)).toBe("OK");
    expect(await status()).toBe("PAUSED");
  });
});

describe("RG.CLEARREGISTRATIONSSTATS", () => {
  it("leaves of numTriggered what is in progress", async () => {
    await script(BUSY_ON_KEYS);
    await ask("SET", "k:1", "v");
    await expect.poll(begun).toBe("1");
    await ask("SET", "k:2", "v");
    expect(await ask("RG.CLEARREGISTRATIONSSTATS")).toBe("OK");
    expect(await onlyRegistration(setting().client)).toMatchObject({ numTriggered: 2, numSuccess: 0 });
    await ask("SET", "go", "1");
    await expect.poll(async () => (await onlyRegistration(setting().client)).numSuccess).toBe(2);
    expect(await ask("RG.CLEARREGISTRATIONSSTATS")).toBe("OK");
    expect(await onlyRegistration(setting().client)).toMatchObject({
      ...{ numTriggered: 0, numSuccess: 0, numFailures: 0, numAborted: 0, lastError: null },
      ...{ lastRunDurationMS: 0, totalRunDurationMS: 0, avgRunDurationMS: "0" },
    });
  });
});

describe("RG.TRIGGER", () => {
  it("answers the first of several errors, and no results", async () => {
    await script(`
def f(x):
    if x > 1: raise ValueError(f'no {x}')
    return x
GB('CommandReader').flatmap(lambda r: [1, 2, 3]).map(f).register(trigger='t', mode='sync')`);
    expect(await ask("RG.TRIGGER", "t")).toMatch(/^-.*ValueError: no 3/);
  });
});

describe("RG.PYDUMPSESSIONS", () => {
  const trigger = (name: string): string => `GB('CommandReader').register(trigger='${name}')`;
  const ids = (list: Value): Value[] =>
    (list as Value[]).map((one) => (typeof one === "string" ? one : (fields(one).ID ?? null)));

  it("is sorted by id, bytewise; named ones come as they were named", async () => {
    for (const id of ["b", "B", "a", "10", "9", "_"]) await script(trigger(id), "ID", id);
    expect(ids(await ask("RG.PYDUMPSESSIONS"))).toEqual(["10", "9", "B", "_", "a", "b"]);
    expect(ids(await ask("RG.PYDUMPSESSIONS", "sessions", "b", "x", "a", "VERBOSE"))).toEqual([
      ...["b", "Session x does not exists", "a", "Session VERBOSE does not exists"],
    ]);
    expect(await ask("RG.PYDUMPSESSIONS", "SESSIONS")).toEqual([]);
  });

  it.each([["TS"], ["VERBOSE", "nonsense", "SESSIONS"]])("has no option %j", async (...options) => {
    expect(await ask("RG.PYDUMPSESSIONS", ...options)).toBe(
      `-Unknown option ${options.length > 1 ? options[1] : options[0]}`,
    );
  });

  it("DEAD: what was replaced and still has executions, until they are gone; SESSIONS finds the living", async () => {
    await script(BUSY_ON_KEYS, "ID", "one", "DESCRIPTION", "old");
    await ask("SET", "k:1", "v");
    await expect.poll(begun).toBe("1");
    expect(await script(trigger("new"), "ID", "one", "UPGRADE")).toBe("OK");
    const dead = ((await ask("RG.PYDUMPSESSIONS", "DEAD")) as Value[]).map(fields);
    expect(dead).toMatchObject([
      { ID: "one", sessionDescription: "old", linked: "None", dead: "true", registrations: [] },
    ]);
    const [live] = ((await ask("RG.PYDUMPSESSIONS")) as Value[]).map(fields);
    expect(live).toMatchObject({ ID: "one", sessionDescription: null, linked: "primary", dead: "false" });
    expect(await ask("RG.PYDUMPSESSIONS", "DEAD", "SESSIONS", "one")).toEqual(await ask("RG.PYDUMPSESSIONS"));
    await ask("SET", "go", "1");
    await expect.poll(() => ask("RG.PYDUMPSESSIONS", "DEAD")).toEqual([]);
  });

  it("VERBOSE: requirements and registrations in full, the latter without PD", async () => {
    await script(trigger("t"), "ID", "one", "REQUIREMENTS", "gearsclient");
    const [plain] = ((await ask("RG.PYDUMPSESSIONS")) as Value[]).map(fields);
    expect(plain?.requirements).toEqual(["gearsclient"]);
    const [verbose] = ((await ask("RG.PYDUMPSESSIONS", "VERBOSE")) as Value[]).map(fields);
    expect(verbose?.requirements).toEqual(await ask("RG.PYDUMPREQS"));
    const [registration] = ((await ask("RG.DUMPREGISTRATIONS")) as Value[]).map(fields);
    const { PD, ...shown } = registration as Record<string, Value>;
    expect(PD).toContain("one");
    expect((verbose as Record<string, Value[]>).registrations?.map(fields)).toEqual([shown]);
  });
});

describe("RG.PYPROFILE", () => {
  it.each([
    [["NONSENSE"], "-Wrong subcommand given to RG.PYPROFILE"],
    [["RESET"], "-ERR wrong number of arguments for 'rg.pyprofile' command"],
    [["STATS"], "-ERR wrong number of arguments for 'rg.pyprofile' command"],
    [["RESET", "one", "more"], "-ERR wrong number of arguments for 'rg.pyprofile' command"],
    [["STATS", "one", "tottime", "more"], "-ERR wrong number of arguments for 'rg.pyprofile' command"],
    [["RESET", "nobody"], "-session does not exists"],
    [["stats", "nobody"], "-session does not exists"],
  ])("%j: %s", async (args, text) => {
    expect(await ask("RG.PYPROFILE", ...args)).toBe(text);
  });
});

describe("INFO", () => {
  /** The lines of our sections of INFO, by section. */
  async function sections(word: string): Promise<Record<string, string[]>> {
    const found: Record<string, string[]> = {};
    let lines: string[] = [];
    for (const line of String(await ask("INFO", word)).split("\r\n")) {
      if (line.startsWith("# ")) found[line.slice(2)] = lines = [];
      else if (line) lines.push(line);
    }
    return found;
  }

  it("rg: counts, registrations with their statistics and arguments, sessions, requirements, plugins, memory", async () => {
    await script(
      "GB(desc='d,e').register('k:*', eventTypes=['set', 'del'], mode='sync')\nGB('StreamReader').register('s')\nGB('CommandReader').register(trigger='t')",
      ...["ID", "one", "REQUIREMENTS", "gearsclient"],
    );
    await ask("SET", "k:1", "v");
    const all = ((await ask("RG.DUMPREGISTRATIONS")) as Value[]).map(fields);
    const shown = await sections("rg");
    expect(shown.rg).toEqual([
      `rg_nexecutions:${((await ask("RG.DUMPEXECUTIONS")) as Value[]).length}`,
      "rg_nregistrations:3",
    ]);
    const lineOf = (reader: string): string => {
      const id = all.find((one) => one.reader === reader)?.id;
      return shown.rg_regisrations?.find((line) => line.startsWith(`rg_${id}:`)) ?? "";
    };
    const statistics = (done: number): string =>
      `numTriggered=${done},numSuccess=${done},numFailures=0,numAborted=0,lastRunDurationMS=\\d+,totalRunDurationMS=\\d+,avgRunDurationMS=[\\d.e-]+`;
    expect(lineOf("KeysReader")).toMatch(
      new RegExp(
        `desc=d,e,reader=KeysReader,mode=sync,${statistics(1)},lastError=None,regex=k:\\*,eventTypes=set\\|del,keyTypes=None,hookCommands=None,PD=\\{'sessionName':'one'\\|[^,]*\\}$`,
      ),
    );
    expect(lineOf("StreamReader")).toMatch(
      new RegExp(
        `desc=None,reader=StreamReader,mode=async,${statistics(0)},lastEstimatedLagMS=0,avgEstimatedLagMS=0,lastError=None,batchSize=1,durationMS=0,stream=s,trimStream=1,onFailedPolicy=continue,retryInterval=1,status=OK,PD=`,
      ),
    );
    expect(lineOf("CommandReader")).toMatch(/lastError=None,trigger=t,inorder=0,PD=/);
    expect(shown.rg_plugins).toEqual(["rg_GearsPythonPlugin:version=10000"]);
    expect(shown.rg_python_stats?.map((line) => line.replace(/\d+$/, "N"))).toEqual(
      ["TotalAllocated", "PeakAllocated", "CurrAllocated"].map((name) => `rg_${name}:N`),
    );
    expect(shown.rg_python_requirements).toEqual([
      expect.stringMatching(
        /^rg_gearsclient:IsDownloaded=yes,IsInstalled=yes,CompiledOs=.*,Wheels=.*,Path=.*,RefCount=\d+,IsInReqDictionary=yes$/,
      ),
    ]);
    expect(shown.rg_python_sessions).toEqual([expect.stringMatching(/^rg_one:\{'sessionName':'one', /)]);
    for (const word of ["everything", "modules"])
      expect(Object.keys(await sections(word))).toContain("rg_regisrations");
    expect(Object.keys(await sections("default"))).not.toContain("rg");
  });

  it("MODULE LIST has rg, version 1.2.13", async () => {
    const modules = ((await ask("MODULE", "LIST")) as Value[]).map(fields);
    expect(modules).toContainEqual(expect.objectContaining({ name: "rg", ver: 10213 }));
  });
});

describe("inside MULTI and Lua", () => {
  const TRANSACTION = "-ERR Blocking module command called from transaction";
  const LUA = "-ERR Blocking module command called from Lua script";

  it("what would have to wait is refused, and does nothing", async () => {
    await script(`${BUSY}\nGB('StreamReader').register('s', mode='async_local')`);
    const stream = await idOf("StreamReader");
    const id = String(await script(`${BUSY}\nGB('ShardsIDReader').map(busy).run()`, "UNBLOCKING"));
    const commands = [
      ["RG.ABORTEXECUTION", id],
      ["RG.GETRESULTSBLOCKING", id],
      ["RG.PAUSEREGISTRATIONS", stream],
      ["RG.UNPAUSEREGISTRATIONS", stream],
      ["RG.CLEARREGISTRATIONSSTATS"],
      ["RG.PYIMPORTREQ", "x"],
    ];
    await ask("MULTI");
    for (const command of commands) expect(await ask(...command)).toBe("QUEUED");
    expect(await ask("EXEC")).toEqual(commands.map(() => TRANSACTION));
    for (const command of commands) {
      const called = `return redis.call(${command.map((word) => `'${word}'`).join(", ")})`;
      expect(await ask("EVAL", called, "0")).toMatch(new RegExp(`^${LUA} script: [0-9a-f]{40}, on @user_script:1\\.$`));
    }
    expect((await onlyRegistration(setting().client)).status).toBe("OK");
    await ask("SET", "go", "1");
    expect(await ask("RG.GETRESULTSBLOCKING", id)).toEqual([["1"], []]);
  });

  it("what answers at once works", async () => {
    const id = String(await script("GB('ShardsIDReader').run()", "UNBLOCKING"));
    await ask("RG.GETRESULTSBLOCKING", id);
    await script("GB('CommandReader').register(trigger='t', mode='sync')", "ID", "one");
    const registration = await idOf("CommandReader");
    const commands: [string[], unknown][] = [
      [
        ["RG.GETRESULTS", id],
        [["1"], []],
      ],
      [
        ["RG.GETRESULTSBLOCKING", id],
        [["1"], []],
      ],
      [["RG.GETEXECUTION", id], [expect.anything()]],
      [["RG.TRIGGER", "t", "x"], ["['t', 'x']"]],
      [["RG.CONFIGGET", "MaxExecutions"], [1000]],
      [["RG.DROPEXECUTION", id], "OK"],
      [["RG.GETRESULTS", id], "-execution plan does not exist"],
      [["RG.UNREGISTER", registration], "OK"],
      [["RG.DUMPREGISTRATIONS"], []],
      [["RG.PYDUMPSESSIONS"], []],
    ];
    await ask("MULTI");
    for (const [command] of commands) expect(await ask(...command)).toBe("QUEUED");
    expect(await ask("EXEC")).toEqual(commands.map(([, answer]) => answer));
    expect(await ask("EVAL", "return redis.call('RG.DUMPREGISTRATIONS')", "0")).toEqual([]);
    expect(await ask("EVAL", "return redis.pcall('RG.UNREGISTER', 'x')", "0")).toMatch(/^-execution is not registered/);
  });
});
