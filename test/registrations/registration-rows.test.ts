/** Commands about registrations that RedisGears does not have, or had otherwise. */
import { describe, expect, it } from "vitest";
import { executions, fields, registrations, useServer, type Value } from "../support/use-server.ts";
import { errorOf } from "../support/errors.ts";

const names = (list: Value | undefined): Value[] => (list as Value[]).filter((_, at) => at % 2 === 0);
const ALL_READERS = `
GB('CommandReader').register(trigger='t')
GB('KeysReader').register(prefix='k:*', mode='async_local')
GB('StreamReader').register(prefix='s:*')
`;

describe("RG.UNREGISTERALL", () => {
  const setting = useServer();

  it("ends all registrations of all sessions and says how many there were", async () => {
    const { client } = setting();
    expect(await client.call("RG.UNREGISTERALL")).toBe(0);
    await client.call("RG.PYEXECUTE", ALL_READERS, "ID", "one");
    await client.call("RG.PYEXECUTE", "GB('CommandReader').register(hook='echo', mode='sync')", "ID", "two");
    expect(await client.call("RG.UNREGISTERALL")).toBe(4);
    expect(await client.call("RG.DUMPREGISTRATIONS")).toEqual([]);
    expect(await client.call("RG.PYDUMPSESSIONS")).toEqual([]);
    expect(await errorOf(client.call("RG.TRIGGER", "t"))).toBe("ERR subcommand not found");
    expect(await client.call("ECHO", "hi")).toBe("hi");
    expect(await errorOf(client.call("RG.UNREGISTERALL", "a", "b"))).toBe(
      "ERR wrong number of arguments for 'rg.unregisterall' command",
    );
  });

  it.each([
    [[], 3],
    [["ABORTPENDING"], 1],
  ])("with %j lets as many as %i executions run", async (options, runs) => {
    const { client } = setting();
    const wait = "while not execute('GET', 'go'): time.sleep(0.01)";
    const script = `
import time
def slow(record):
    execute('INCR', 'begun')
    ${wait}
    execute('INCR', 'ended')
GB('KeysReader').foreach(slow).register(prefix='k:*', mode='async_local')
`;
    await client.call("RG.PYEXECUTE", script);
    for (let n = 0; n < 3; n++) await client.call("SET", `k:${n}`, "x");
    await expect.poll(() => client.call("GET", "begun")).toBe("1");
    expect(await client.call("RG.UNREGISTERALL", ...options)).toBe(1);
    await client.call("SET", "go", "1");
    await expect.poll(() => client.call("GET", "ended")).toBe(String(runs));
    await expect.poll(() => executions(client)).toEqual([]);
    expect(await client.call("GET", "begun")).toBe(String(runs));
  });
});

describe("RG.DUMPREGISTRATIONS", () => {
  const TIMES = ["lastRunDurationMS", "totalRunDurationMS", "avgRunDurationMS"];
  const LAGS = ["lastEstimatedLagMS", "avgEstimatedLagMS"];

  describe("by default", () => {
    const setting = useServer();

    it("has the fields of RedisGears 1.2.13", async () => {
      const { client } = setting();
      await client.call("RG.PYEXECUTE", ALL_READERS);
      const [trigger, keys, stream] = (await registrations(client)).map(({ data }) => Object.keys(data));
      expect(trigger).toEqual(expect.arrayContaining(TIMES));
      expect(keys).toEqual(trigger);
      expect(stream).toEqual(expect.arrayContaining([...TIMES, ...LAGS]));
    });
  });

  describe("with gears-compat 1.2.1", () => {
    const setting = useServer(["--gears-compat", "1.2.1"]);

    it("has those of 1.2.1 only, in RG.PYDUMPSESSIONS too", async () => {
      const { client } = setting();
      await client.call("RG.PYEXECUTE", ALL_READERS, "ID", "app");
      const common = ["mode", "numTriggered", "numSuccess", "numFailures", "numAborted", "lastError", "args"];
      const [trigger, keys, stream] = (await registrations(client)).map(({ data }) => Object.keys(data));
      expect([trigger, keys, stream]).toEqual([common, common, [...common, "status"]]);
      const [first] = (await client.call("RG.DUMPREGISTRATIONS")) as Value[];
      // redgrease makes an object of these, and knows no others
      expect(names(first)).toEqual(["id", "reader", "desc", "RegistrationData", "PD"]);
      expect(fields(fields(first).RegistrationData).args).toEqual(["trigger", "t"]);
      const [session] = (await client.call("RG.PYDUMPSESSIONS", "VERBOSE")) as Value[];
      const inSession = fields(session).registrations as Value[];
      expect(names(fields(inSession[0]).RegistrationData)).toEqual(common);
    });

    it("says of the session, as a literal of Python, its id and requirements", async () => {
      const { client } = setting();
      const requirement = String.raw`gearsclient; python_version > '3' and platform_system != '\'`;
      const script = "GB('CommandReader').register(trigger='t')";
      expect(await client.call("RG.PYEXECUTE", script, "ID", "app", "REQUIREMENTS", requirement)).toBe("OK");
      const [registration] = (await client.call("RG.DUMPREGISTRATIONS")) as Value[];
      const literal = String(fields(registration).PD);
      const check = `
import ast
said = ast.literal_eval(${JSON.stringify(literal)})
GB('ShardsIDReader').map(lambda x: said['sessionId'] + '|' + said['depsList'][0]['name']).run()
`;
      expect(await client.call("RG.PYEXECUTE", check)).toEqual([[`app|${requirement}`], []]);
    });
  });
});

describe("RG.PAUSEREGISTRATIONS", () => {
  const setting = useServer();

  it.each([["k"], ["nosuch"]])(
    "uses up an execution and a registration id, also when it is refused (%s)",
    async (which) => {
      const { client } = setting();
      const register = async (): Promise<number> => {
        const before = (await registrations(client)).map(({ id }) => id);
        await client.call("RG.PYEXECUTE", "GB('KeysReader').register(prefix='k')");
        const made = (await registrations(client)).find(({ id }) => !before.includes(id));
        return Number(String(made?.id).split("-")[1]);
      };
      const run = async (): Promise<number> =>
        Number(String(await client.call("RG.PYEXECUTE", "GB('ShardsIDReader').run()", "UNBLOCKING")).split("-")[1]);
      const [registration, execution] = [await register(), await run()];
      const id = which === "k" ? `${"0".repeat(40)}-${registration}` : which;
      expect(await errorOf(client.call("RG.PAUSEREGISTRATIONS", id))).toMatch(/does not (support pause|exists)/);
      expect(await run()).toBe(execution + 2);
      // the end of the script, two builders of run(), the refusal, a builder and itself
      expect(await register()).toBe(registration + 6);
    },
  );
});
