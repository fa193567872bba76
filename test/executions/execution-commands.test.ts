/** Scripts and executions: what their commands do that no recording shows. */
import { describe, expect, it } from "vitest";
import { executions, fields, registrations, useServer, type Value } from "../support/use-server.ts";
import { reply } from "../support/replies.ts";

const setting = useServer();
const NODE = "0".repeat(40);
const UNKNOWN_ID = `${NODE}-999999`;

const ask = (...args: string[]): Promise<Value> => reply(setting().client, ...args);
const script = (...args: string[]): Promise<Value> => ask("RG.PYEXECUTE", ...args);
const number = (id: Value): number => Number(String(id).split("-")[1]);
const arityError = (name: string): string => `-ERR wrong number of arguments for '${name}' command`;

/** A step that waits until the key `go` is there; whoever uses it sets that. */
const HELD = `
import asyncio
async def held(record):
    while not execute('EXISTS', 'go'): await asyncio.sleep(0.01)
    return record
`;
describe("the command table", () => {
  it.each([
    "rg.pyexecute",
    "rg.getresults",
    "rg.getresultsblocking",
    "rg.dropexecution",
    "rg.abortexecution",
    "rg.getexecution",
    "rg.unregister",
    "rg.pauseregistrations",
    "rg.unpauseregistrations",
    "rg.trigger",
    "rg.triggeronkey",
    "rg.pyexportreq",
    "rg.pyprofile",
  ])("%s without arguments is an arity error", async (name) => {
    expect(await ask(name)).toBe(arityError(name));
  });

  it.each([
    ["rg.getresultsblocking", 2],
    ["rg.dropexecution", 2],
    ["rg.abortexecution", 2],
    ["rg.getexecution", 3],
    ["rg.unregister", 3],
    ["rg.clearregistrationsstats", 1],
    ["rg.pyexportreq", 2],
  ])("%s with %i arguments is an arity error", async (name, count) => {
    expect(await ask(name, ...Array.from({ length: count }, () => UNKNOWN_ID))).toBe(arityError(name));
  });

  it.each([
    [["RG.GETRESULTS", UNKNOWN_ID, "more"], "-execution plan does not exist"],
    [["RG.DUMPEXECUTIONS", "more"], expect.any(Array)],
    [["RG.DUMPREGISTRATIONS", "more"], []],
    [["RG.PYDUMPREQS", "more"], []],
    [["RG.CONFIGGET"], []],
    [["RG.CONFIGSET"], []],
    [["RG.INFOCLUSTER", "more"], "no cluster mode"],
    [["RG.DUMPPLUGINS", "more"], [["GearsPythonPlugin", 10000]]],
  ])("%j: what is too much is ignored", async (command, reply) => {
    expect(await ask(...command)).toEqual(reply);
  });

  it("COMMAND INFO: the keys of RG.TRIGGERONKEY are at its second argument; the others have none", async () => {
    const [on, trigger] = (await ask("COMMAND", "INFO", "rg.triggeronkey", "rg.trigger")) as Value[][];
    expect(on?.slice(3, 6)).toEqual([2, 2, 1]);
    expect(trigger?.slice(3, 6)).toEqual([0, 0, 0]);
    expect(await ask("COMMAND", "GETKEYS", "RG.TRIGGERONKEY", "name", "key", "arg")).toEqual(["key"]);
  });
});

describe("ids", () => {
  /** The ids that an execution and a registration made now would have. */
  async function next(): Promise<[execution: number, registration: number]> {
    const id = String(await script("GB('ShardsIDReader').run()", "UNBLOCKING"));
    // a script that had to wait for its interpreter would use up an id, too
    await ask("RG.GETRESULTSBLOCKING", id);
    await script("GB('CommandReader').register(trigger='probe')", "ID", "probe");
    const [made] = (await registrations(setting().client)).slice(-1);
    await ask("RG.UNREGISTER", String(made?.id));
    return [number(id), number(String(made?.id))];
  }

  /** How many ids of each kind were used up in between, beside those of the measurement. */
  async function used(action: () => Promise<unknown>): Promise<[executions: number, registrations: number]> {
    const first = await next();
    const second = await next();
    await action();
    const third = await next();
    return [third[0] - second[0] - (second[0] - first[0]), third[1] - second[1] - (second[1] - first[1])];
  }

  it.each<[string, () => Promise<unknown>, [number, number]]>([
    ["a builder", () => script("GB('ShardsIDReader')\nGearsBuilder()"), [0, 2]],
    ["run(), blocking", () => script("GB('ShardsIDReader').run()"), [1, 1]],
    [
      "a script that registers two triggers",
      () => script("for t in 'ab': GB('CommandReader').register(trigger=t)"),
      [1, 5],
    ],
    ["RG.CLEARREGISTRATIONSSTATS", () => ask("RG.CLEARREGISTRATIONSSTATS"), [1, 1]],
    ["RG.UNREGISTER of nothing", () => ask("RG.UNREGISTER", UNKNOWN_ID), [0, 0]],
    ["UNBLOCKING without run()", () => script("x = 1", "UNBLOCKING"), [1, 0]],
  ])("used up by %s", async (_name, action, expected) => {
    // on a busy machine a body may take so long that it is shown, which uses up an id: then it is measured again
    await expect.poll(() => used(action), { timeout: 60_000 }).toEqual(expected);
  });

  it("used up by each event, trigger call and hooked command", async () => {
    await script("GB().register('k:*', mode='sync')\nGB('CommandReader').register(trigger='t', mode='sync')");
    await script("GB('CommandReader').register(hook='echo', mode='sync')");
    const actions = [
      ["SET", "k:1", "v"],
      ["RG.TRIGGER", "t"],
      ["ECHO", "x"],
    ];
    for (const action of actions)
      await expect
        .poll(() => used(() => ask(...action)), { timeout: 60_000, message: action.join(" ") })
        .toEqual([1, 0]);
  });
});

describe("which executions are kept", () => {
  const listed = async (): Promise<string[]> => (await executions(setting().client)).map(({ id }) => id);

  it("of a script that registers and runs: the run's, and the reply is OK", async () => {
    const before = await listed();
    expect(await script("GB('ShardsIDReader').run()\nGB('CommandReader').register(trigger='t')")).toBe("OK");
    await expect.poll(async () => (await listed()).length).toBe(before.length + 1);
    const [id] = (await listed()).filter((one) => !before.includes(one));
    expect(await ask("RG.GETRESULTSBLOCKING", String(id))).toEqual([["1"], []]);
  });

  it("not of run() in a step", async () => {
    await script(`
async def f(r): return await GB('ShardsIDReader').run()
GB('CommandReader').map(f).register(trigger='t')`);
    const before = await listed();
    expect(await ask("RG.TRIGGER", "t")).toEqual(["[['1'], []]"]);
    await expect.poll(listed).toEqual(before);
  });

  it("MaxExecutionsPerRegistration, lowered, takes one away with each execution that ends", async () => {
    await script("GB().register('k:*', mode='sync')");
    const before = (await listed()).length;
    const count = async (): Promise<number> => (await listed()).length - before;
    for (let n = 0; n < 5; n++) await ask("SET", "k:1", "v");
    expect(await count()).toBe(5);
    try {
      expect(await ask("RG.CONFIGSET", "maxexecutionsperregistration", "2")).toEqual(["OK"]);
      expect(await count()).toBe(5);
      await ask("SET", "k:1", "v");
      expect(await count()).toBe(5);
    } finally {
      await ask("RG.CONFIGSET", "MaxExecutionsPerRegistration", "100");
    }
    await ask("SET", "k:1", "v");
    expect(await count()).toBe(6);
    await ask("RG.UNREGISTERALL");
    expect(await count()).toBe(0);
  });
});

describe("RG.PYEXECUTE", () => {
  it.each([
    [["ID"], "-ID is missing"],
    [["DESCRIPTION"], "-DESCRIPTION is missing"],
    [["REPLACE_WITH"], "-REPLACE_WITH is missing"],
    [["ID", "a b"], "-ID must be compose of: ['A'-'Z' | 'a'-'z' | '0' - '9' | '-' | '_']"],
    [["ID", "ä"], "-ID must be compose of: ['A'-'Z' | 'a'-'z' | '0' - '9' | '-' | '_']"],
    [["WORD", "OTHER", "ID"], "-Unknown arguments were given: WORD"],
    [["ID", "a b", "WORD"], "-ID must be compose of: ['A'-'Z' | 'a'-'z' | '0' - '9' | '-' | '_']"],
    [["WORD", "ID", "a b"], "-Unknown arguments were given: WORD"],
    [["REPLACE_WITH", "nobody", "ID", "new"], "-Can not replace with nobody, session does not exists."],
    [["UPGRADE", "ID", "unknown"], "OK"],
    [["REQUIREMENTS"], "OK"],
    [["FORCE_REINSTALL_REQUIREMENTS"], "OK"],
    [
      ["REQUIREMENTS", "gearsclient", "ID"],
      "-Could not satisfy requirements (look at redis log file for more information): id: no source has it; asked for: any version (the script)",
    ],
  ])("options %j: %s", async (options, reply) => {
    expect(await script("x = 1", ...options)).toBe(reply);
  });

  it("options come in any order and case, and the last of a kind counts", async () => {
    const made = await script(
      "GB('CommandReader').register(trigger='t')",
      ...["description", "first", "Id", "one", "upgrade", "iD", "two", "DESCRIPTION", "second"],
    );
    expect(made).toBe("OK");
    const [session] = ((await ask("RG.PYDUMPSESSIONS")) as Value[]).map(fields);
    expect(session).toMatchObject({ ID: "two", sessionDescription: "second" });
  });

  it("the empty id is an id", async () => {
    const trigger = (name: string): string => `GB('CommandReader').register(trigger='${name}')`;
    expect(await script(trigger("a"), "ID", "")).toBe("OK");
    expect(await script(trigger("b"), "ID", "")).toBe("-Session  already exists");
    expect(await script(trigger("a"), "ID", "", "UPGRADE")).toBe("OK");
  });

  it("REPLACE_WITH looks at the new id first, then at the old one", async () => {
    await script("GB('CommandReader').register(trigger='t')", "ID", "one");
    expect(await script("x = 1", "ID", "one", "REPLACE_WITH", "nobody")).toBe(
      "-Can not replace an existing session one with nobody",
    );
    expect(await script("x = 1", "ID", "one", "REPLACE_WITH", "one", "UPGRADE")).toBe(
      "-Can not replace an existing session one with one",
    );
    expect(await script("x = 1", "ID", "one")).toBe("-Session one already exists");
  });

  it("a body that raises: what it declared is gone, what it executed stays", async () => {
    const before = await executions(setting().client);
    const failed = await script(`
execute('SET', 'done', '1')
GB('CommandReader').register(trigger='t')
GB().run()
raise ValueError('no')`);
    expect(failed).toContain("ValueError: no");
    expect(await ask("GET", "done")).toBe("1");
    expect(await ask("RG.TRIGGER", "t")).toBe("-ERR subcommand not found");
    expect(await executions(setting().client)).toEqual(before);
    expect(await ask("RG.PYDUMPSESSIONS")).toEqual([]);
  });

  it("is refused before its arguments are counted where nobody can wait", async () => {
    const refusal = "Can not run gears inside a multi exec, lua, or when blocking is not allowed";
    await ask("MULTI");
    await ask("RG.PYEXECUTE");
    await ask("RG.PYEXECUTE", "x = 1", "NONSENSE");
    expect(await ask("EXEC")).toEqual([`-${refusal}`, `-${refusal}`]);
    expect(await ask("EVAL", "return redis.call('RG.PYEXECUTE')", "0")).toContain(`-${refusal}`);
    expect(await script("execute('RG.PYEXECUTE')")).toContain(refusal);
  });
});

describe("RG.GETRESULTSBLOCKING", () => {
  it("releases every client that waits, when the execution is aborted too", async () => {
    const { connect } = setting();
    const clients = [await connect(), await connect()];
    for (const [end, reply] of [
      ["finish", [["1"], []]],
      ["abort", [[], []]],
    ] as const) {
      await ask("DEL", "go");
      const id = String(await script(`${HELD}\nGB('ShardsIDReader').map(held).run()`, "UNBLOCKING"));
      const waiting = clients.map((client) => client.call("RG.GETRESULTSBLOCKING", id));
      expect(await ask("RG.GETRESULTS", id)).toBe("-execution is still running");
      if (end === "abort") expect(await ask("RG.ABORTEXECUTION", id)).toBe("OK");
      else await ask("SET", "go", "1");
      expect(await Promise.all(waiting)).toEqual([reply, reply]);
    }
  });

  it("waits for executions of registrations", async () => {
    await script(`${HELD}\nGB().map(held).map(lambda r: r['key']).register('k:*', mode='async_local')`);
    await ask("SET", "k:1", "v");
    const [one] = (await executions(setting().client)).filter(
      ({ status }) => status === "created" || status === "running",
    );
    const waiting = (await setting().connect()).call("RG.GETRESULTSBLOCKING", String(one?.id));
    await ask("SET", "go", "1");
    expect(await waiting).toEqual([["k:1"], []]);
  });
});

describe("RG.DUMPEXECUTIONS", () => {
  it("lists a trigger call in progress as registered, a blocking run as not; neither is kept", async () => {
    const { connect } = setting();
    await script(`${HELD}\nGB('CommandReader').map(held).register(trigger='t')`);
    const before = ((await ask("RG.DUMPEXECUTIONS")) as Value[]).length;
    const listed = async (): Promise<Value[]> =>
      ((await ask("RG.DUMPEXECUTIONS")) as Value[]).slice(before).map((one) => fields(one).registered ?? null);
    const called = (await connect()).call("RG.TRIGGER", "t");
    await expect.poll(listed).toEqual([1]);
    const ran = (await connect()).call("RG.PYEXECUTE", `${HELD}\nGB('ShardsIDReader').map(held).run()`);
    await expect.poll(listed).toEqual([1, 0]);
    await ask("SET", "go", "1");
    expect(await Promise.all([called, ran])).toEqual([["['t']"], [["1"], []]]);
    await expect.poll(listed).toEqual([]);
  });
});

describe("RG.GETEXECUTION", () => {
  const steps = async (flow: string): Promise<string[]> => {
    const run = `GB('ShardsIDReader')${flow}.run(convertToStr=False, collect=False)`;
    const id = String(await script(run, "UNBLOCKING"));
    await ask("RG.GETRESULTSBLOCKING", id);
    const [shard] = (await ask("RG.GETEXECUTION", id)) as Value[];
    const plan = fields(fields(shard).execution_plan);
    return (plan.steps as Value[]).map((step) => {
      const { type, name, arg } = fields(step);
      return [type, name, ...(String(arg).startsWith("<function") ? ["f"] : arg ? [arg] : [])].join(" ");
    });
  };
  const TO_PYTHON = "map RedisGearsPy_ToPyRecordMapper";

  it.each([
    [".filter(lambda x: x)", ["filter RedisGearsPy_PyCallbackFilter f"]],
    [".foreach(lambda x: x)", ["foreach RedisGearsPy_PyCallbackForEach f"]],
    [".flatmap(lambda x: [x])", ["flatmap flatmap", "map RedisGearsPy_PyCallbackFlatMapper f"]],
    [".limit(1)", ["limit limit"]],
    [".accumulate(lambda a, x: x)", ["accumulate RedisGearsPy_PyCallbackAccumulate f"]],
    [".collect()", ["collect collect"]],
    [
      ".groupby(lambda x: x, lambda k, a, x: x)",
      [
        TO_PYTHON,
        "accumulatebykey RedisGearsPy_PyCallbackAccumulateByKey f",
        "repartition repartition",
        "extractkey RedisGearsPy_PyCallbackExtractor f",
      ],
    ],
    [
      ".localgroupby(lambda x: x, lambda k, a, x: x)",
      [
        TO_PYTHON,
        "accumulatebykey RedisGearsPy_PyCallbackAccumulateByKey f",
        "extractkey RedisGearsPy_PyCallbackExtractor f",
      ],
    ],
    [
      ".batchgroupby(lambda x: x, lambda k, r: r)",
      [
        TO_PYTHON,
        "reduce RedisGearsPy_PyCallbackReducer f",
        "group group",
        "repartition repartition",
        "extractkey RedisGearsPy_PyCallbackExtractor f",
      ],
    ],
    [
      ".repartition(lambda x: x)",
      ["map GetValueMapper", "repartition repartition", "extractkey RedisGearsPy_PyCallbackExtractor f"],
    ],
    ["", []],
  ])("the steps of %s, last first", async (flow, expected) => {
    expect(await steps(flow)).toEqual([...expected, TO_PYTHON]);
  });

  it("looks for the id first, then at the word", async () => {
    const id = String(await script("GB('ShardsIDReader').run()", "UNBLOCKING"));
    await ask("RG.GETRESULTSBLOCKING", id);
    expect(await ask("RG.GETEXECUTION", UNKNOWN_ID, "nonsense")).toBe("-execution plan does not exist");
    expect(await ask("RG.GETEXECUTION", id, "nonsense")).toBe("-unknown subcommand");
    expect(await ask("RG.GETEXECUTION", id, "cluster")).toBe(
      "-no cluster detected - use `RG.GETEXECUTION <id> [SHARD]` instead",
    );
    expect(await ask("RG.GETEXECUTION", id, "shard")).toEqual(await ask("RG.GETEXECUTION", id));
  });

  it("counts no results and shows no errors while it is not finished", async () => {
    const id = String(await script(`${HELD}\nGB('ShardsIDReader').map(held).run()`, "UNBLOCKING"));
    const plan = fields(fields(((await ask("RG.GETEXECUTION", id)) as Value[])[0]).execution_plan);
    expect(plan).toMatchObject({ results: -1, errors: [], shards_received: 0, shards_completed: 0 });
    await ask("SET", "go", "1");
    await ask("RG.GETRESULTSBLOCKING", id);
  });

  it("of a script without run(): no results, its error if there was one, and no steps", async () => {
    for (const [code, errors] of [
      ["x = 1", []],
      ["raise ValueError('no')", [expect.stringContaining("ValueError: no")]],
    ] as const) {
      const id = String(await script(code, "UNBLOCKING"));
      const outcome = await ask("RG.GETRESULTSBLOCKING", id);
      expect(outcome).toEqual(errors[0] ? expect.stringContaining("ValueError: no") : "OK");
      const plan = fields(fields(((await ask("RG.GETEXECUTION", id)) as Value[])[0]).execution_plan);
      expect(plan).toMatchObject({ status: "done", results: 0, errors, steps: [] });
    }
  });
});
