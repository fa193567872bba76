/** Functions that fail, do not stop, or can not be kept: nobody else notices. */
import { describe, expect, it } from "vitest";
import { executions, fields, onlyRegistration, registrations, useServer, type Value } from "../support/use-server.ts";
import { errorOf } from "../support/errors.ts";
import { until } from "../support/waiting.ts";

const setting = useServer();

/** Ends only with its interpreter: it never comes back from C to where it could be interrupted. */
const LONG_C_LOOP = "sum(range(10**13))";

describe("functions that fail", () => {
  it.each(["sync", "async_local", "async"])("do not break the command that caused them (%s)", async (mode) => {
    const { client, server } = setting();
    await client.call(
      "RG.PYEXECUTE",
      `
def fail(record): raise ValueError('no luck with ' + record['key'])
GB('KeysReader', desc='unlucky').foreach(fail).register(prefix='f:*', mode='${mode}')
GB('KeysReader').foreach(lambda r: execute('INCR', 'good')).register(prefix='f:*', mode='${mode}')
GB('StreamReader').foreach(lambda r: 1 / 0).register(prefix='s', mode='${mode}')
`,
      "ID",
      "failing",
      "UPGRADE",
    );
    expect(await client.call("SET", "f:1", "x")).toBe("OK");
    expect(await client.call("MSET", "f:2", "x", "f:3", "y")).toBe("OK");
    expect(await client.call("INCR", "f:n")).toBe(1);
    expect(await client.call("XADD", "s", "1-1", "a", "b")).toBe("1-1");
    await expect.poll(() => client.call("GET", "good")).toBe("4");
    await expect
      .poll(async () => (await registrations(client)).map(({ data }) => [data.numTriggered, data.numFailures]))
      .toEqual([
        [4, 4],
        [4, 0],
        [2, 1],
      ]);
    const [unlucky, , stream] = await registrations(client);
    expect(unlucky?.data.lastError).toContain("ValueError: no luck with f:n");
    expect(stream?.data.lastError).toContain("ZeroDivisionError");
    expect(server.process.exitCode).toBeNull();
  });

  it("are logged with their session and registration", async () => {
    const { client, server } = setting();
    const script = `
def fail(record): raise ValueError('to be logged')
GB('KeysReader', desc='logged').foreach(fail).register(prefix='logged', mode='sync')
GB('CommandReader').foreach(fail).register(trigger='told')
`;
    await client.call("RG.PYEXECUTE", script, "ID", "logging");
    await client.call("SET", "logged", "x");
    const [{ id: registration } = { id: "" }] = await registrations(client);
    expect(await errorOf(client.call("RG.TRIGGER", "told"))).toContain("to be logged");
    const lines = server.output().split("\n");
    const told = lines.filter((line) => line.includes("to be logged")).map((line) => JSON.parse(line));
    // the caller of the trigger has been told
    expect(told).toEqual([
      expect.objectContaining({
        ...{ level: "warning", msg: "an execution of a KeysReader failed" },
        ...{ session: "logging", registration, description: "logged" },
        error: expect.stringContaining("ValueError: to be logged"),
      }),
    ]);
  });

  it.each([
    "'CLIENT', 'REPLY', 'OFF'",
    "'client', 'reply', 'skip'",
    "'REPLCONF', 'ACK', '0'",
    "'replconf', 'getack', '*'",
  ])("when they wait for a reply that never comes: execute(%s)", async (command) => {
    const { client } = setting();
    await client.call("RG.PYEXECUTE", `GB('CommandReader').map(lambda r: execute(${command})).register(trigger='t')`);
    expect(await errorOf(client.call("RG.TRIGGER", "t"))).toMatch(/gears\.error: Failed executing command\\n'\]$/);
    expect(await client.call("RG.PYEXECUTE", "execute('CLIENT', 'REPLY', 'ON')")).toBe("OK");
  });

  it("when they want another protocol of the engine", async () => {
    const { client } = setting();
    const script = "GB('ShardsIDReader').map(lambda r: execute('HELLO', r)[5]).run()";
    expect(await client.call("RG.PYEXECUTE", script.replace("r)", "2)"))).toEqual([["2"], []]);
    expect(JSON.stringify(await client.call("RG.PYEXECUTE", script.replace("r)", "3)")))).toContain(
      "NOPROTO unsupported",
    );
  });

  it("with the engine's error answer without its line end", async () => {
    const { client } = setting();
    const script = `
async def f(r): execute('LPUSH', 'text', 'x')
GB('CommandReader').map(f).register(trigger='t')
`;
    await client.call("SET", "text", "x");
    await client.call("RG.PYEXECUTE", script);
    const wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
    expect(await errorOf(client.call("RG.TRIGGER", "t"))).toBe(wrong);
  });

  it("answer their caller and nobody else", async () => {
    const { client } = setting();
    await client.call(
      "RG.PYEXECUTE",
      `
GB('CommandReader').map(lambda c: 1 / int(c[1])).register(trigger='divide')
GB('CommandReader').map(lambda c: 1 / 0).register(hook='getset', mode='sync')
`,
    );
    expect(await errorOf(client.call("RG.TRIGGER", "divide", "0"))).toContain("ZeroDivisionError");
    expect(await client.call("RG.TRIGGER", "divide", "2")).toEqual(["0.5"]);
    expect(await errorOf(client.call("GETSET", "a", "b"))).toContain("ZeroDivisionError");
    expect(await client.call("EXISTS", "a")).toBe(0);
  });
});

describe("an interpreter that is killed", () => {
  it("in the middle of a batch gets the batch again, and nothing that was not processed is trimmed", async () => {
    const { client } = setting();
    await client.call(
      "RG.PYEXECUTE",
      `
def process(message):
    number = int(message['value']['n'])
    if number == 13 and execute('INCR', 'attempts') == 1:
        ${LONG_C_LOOP}
    execute('RPUSH', 'processed', number)
GB('StreamReader').foreach(process).register(prefix='jobs', batch=5, mode='async_local',
                                             onFailedPolicy='retry', onFailedRetryInterval=1)
`,
    );
    for (let n = 0; n < 30; n++) await client.call("XADD", "jobs", "*", "n", String(n));
    await expect.poll(() => client.call("GET", "attempts")).toBe("1");
    expect(await client.call("LRANGE", "processed", "0", "-1")).toEqual(
      Array.from({ length: 13 }, (_, index) => String(index)),
    );
    // the first two batches are trimmed, the third is not
    expect(await client.call("XLEN", "jobs")).toBe(20);
    const [running] = (await executions(client)).filter(({ status }) => status === "running");
    await client.call("RG.ABORTEXECUTION", running?.id ?? "");
    await expect.poll(() => client.call("XLEN", "jobs"), { timeout: 20_000 }).toBe(0);
    const processed = (await client.call("LRANGE", "processed", "0", "-1")) as string[];
    expect(new Set(processed.map(Number))).toEqual(new Set(Array.from({ length: 30 }, (_, index) => index)));
    // at least once: the killed batch began anew
    expect(processed.filter((number) => number === "10")).toHaveLength(2);
    expect((await onlyRegistration(client)).status).toBe("OK");
  });

  it("takes no registration with it: they are made again elsewhere, and onRegistered is called again", async () => {
    const { client } = setting();
    await client.call(
      "RG.PYEXECUTE",
      `
count = 10
def up(call):
    global count
    count += 1
    return count
def stuck(call):
    execute('SET', 'begun', '1')
    while True:
        try: ${LONG_C_LOOP}
        except BaseException: pass
GB('CommandReader').map(up).register(trigger='up', onRegistered=lambda: execute('INCR', 'registered'))
GB('CommandReader').map(stuck).register(trigger='stuck', mode='async_local')
GB('KeysReader').foreach(lambda r: execute('INCR', 'events')).register(prefix='k', mode='sync')
`,
    );
    expect(await client.call("RG.TRIGGER", "up")).toEqual(["11"]);
    expect(await client.call("RG.TRIGGER", "up")).toEqual(["12"]);
    expect(await client.call("GET", "registered")).toBe("1");
    const ids = (await registrations(client)).map(({ id }) => id);
    const { connect } = setting();
    const other = await connect();
    const stuck = errorOf(other.call("RG.TRIGGER", "stuck"));
    await until(() => client.call("GET", "begun"));
    const [running] = (await executions(client)).filter(({ status }) => status === "running");
    await client.call("RG.ABORTEXECUTION", running?.id ?? "");
    expect(await stuck).toBeDefined();
    await expect.poll(() => client.call("GET", "registered"), { timeout: 20_000 }).toBe("2");
    // its globals are those of register()
    expect(await client.call("RG.TRIGGER", "up")).toEqual(["11"]);
    await client.call("SET", "k", "v");
    expect(await client.call("GET", "events")).toBe("1");
    expect((await registrations(client)).map(({ id }) => id)).toEqual(ids);
  });
});

describe("functions that can not be kept", () => {
  it.each([
    ["a generator", "things = (x for x in [1])", "things"],
    ["a file", "things = open('/tmp/file', 'w')", "things"],
    ["a lock", "import threading\nthings = threading.Lock()", "things"],
  ])("that refer to %s are refused, and nothing is half registered", async (_name, definition, use) => {
    const { client } = setting();
    const script = `
GB('CommandReader').map(lambda c: 1).register(trigger='first')
${definition}
def uses(record): return ${use}
GB('CommandReader').map(uses).register(trigger='second')
`;
    const error = await errorOf(client.call("RG.PYEXECUTE", script, "ID", "half"));
    expect(error).toContain("Error occured when serialized a python callback, callback=uses");
    expect(await client.call("RG.DUMPREGISTRATIONS")).toEqual([]);
    expect(await client.call("RG.PYDUMPSESSIONS")).toEqual([]);
    expect(await errorOf(client.call("RG.TRIGGER", "first"))).toBe("ERR subcommand not found");
    // the id is free
    expect(await client.call("RG.PYEXECUTE", "GB('CommandReader').register(trigger='first')", "ID", "half")).toBe("OK");
    const [session] = (await client.call("RG.PYDUMPSESSIONS")) as Value[];
    expect(fields(session).ID).toBe("half");
  });
});

describe("RG.ABORTEXECUTION where nobody can wait", () => {
  it("looks for the execution before it refuses", async () => {
    const { client } = setting();
    const id = String(await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()", "UNBLOCKING"));
    await client.call("RG.GETRESULTSBLOCKING", id);
    const lua = (...args: string[]): Promise<string | undefined> =>
      errorOf(client.call("EVAL", "return redis.pcall('RG.ABORTEXECUTION', unpack(ARGV))", "0", ...args));
    expect(await lua(id)).toBe("ERR Blocking module command called from Lua script");
    expect(await lua("nosuch")).toBe("execution does not exist");
    expect(await lua()).toBe("ERR wrong number of arguments for 'rg.abortexecution' command");
  });
});
