/**
 * Scripts that the Python client gearsclient sends. They are made in an interpreter of the server's version: now by the
 * runtime's own cloudpickle, and earlier by the real package. To record the latter again, with a python3 that has
 * cloudpickle 3: `RECORD=1 npx vitest run test/python/gearsclient.test.ts`.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import RedisParser from "redis-parser";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PythonUnderTest } from "../python/runtime/harness.ts";
import { request } from "../support/plain-client.ts";
import { useServer } from "../support/use-server.ts";

const CLIENT = readFileSync(new URL("./fixtures/gears_client.py", import.meta.url), "utf8");
const RECORDS = new URL("./fixtures/gearsclient-scripts.json", import.meta.url);
const RECORDING = process.env.RECORD === "1";

const INSTALL = `
import os, sys, types
if inputs["files"]:
    os.makedirs("/tmp/real/cloudpickle", exist_ok=True)
    for name, text in inputs["files"].items():
        with open(f"/tmp/real/cloudpickle/{name}", "w") as file:
            file.write(text)
    for name in [name for name in sys.modules if name.partition(".")[0] == "cloudpickle"]:
        del sys.modules[name]
    sys.path.insert(0, "/tmp/real")
package = sys.modules["gearsclient"] = types.ModuleType("gearsclient")
package.__path__ = []
inner = sys.modules["gearsclient.redisgears_builder"] = types.ModuleType("gearsclient.redisgears_builder")
exec(compile(inputs["client"], "redisgears_builder.py", "exec"), vars(inner))
for name in ("GearsRemoteBuilder", "execute", "log", "gearsConfigGet", "hashtag", "atomic"):
    setattr(package, name, getattr(inner, name))
`;
const MAKE = `
space = {"__name__": "__main__"}
exec("from gearsclient import GearsRemoteBuilder, execute, log, gearsConfigGet, hashtag, atomic\\n" + inputs["program"], space)
space["script"]
`;

/** The files of the package cloudpickle by name. */
function realCloudpickle(): Record<string, string> {
  const where = "import cloudpickle, os; print(os.path.dirname(cloudpickle.__file__), end='')";
  const folder = execFileSync("python3", ["-c", where], { encoding: "utf8" });
  const names = readdirSync(folder).filter((name) => name.endsWith(".py"));
  return Object.fromEntries(names.map((name) => [name, readFileSync(`${folder}/${name}`, "utf8")]));
}

/** The reply to one command, with bulk strings as bytes. */
function callForBytes(port: number, ...args: string[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const end = (settle: () => void): void => {
      socket.destroy();
      settle();
    };
    const parser = new RedisParser({
      returnBuffers: true,
      returnReply: (reply: unknown) => end(() => resolve(reply)),
      returnError: (error: Error) => end(() => reject(error)),
    });
    socket.on("error", reject);
    socket.on("data", (bytes) => parser.execute(bytes));
    socket.write(request(...args));
  });
}

const setting = useServer();

describe.each([
  ["made by the runtime's cloudpickle", false],
  ["recorded from the package cloudpickle", true],
])("%s:", (_name, recorded) => {
  const records: Record<string, string> = recorded && !RECORDING ? JSON.parse(readFileSync(RECORDS, "utf8")) : {};
  let python: PythonUnderTest;
  beforeAll(async () => {
    python = await PythonUnderTest.start();
    const files = recorded && RECORDING ? realCloudpickle() : {};
    python.json(`${INSTALL}None`, { files, client: CLIENT });
  }, 60_000);
  afterAll(() => {
    if (recorded && RECORDING) writeFileSync(RECORDS, `${JSON.stringify(records, null, 1)}\n`);
  });

  /** Sends the script that a client's program comes to. */
  const send = (program: string): Promise<unknown> => {
    const script = records[program] ?? String(python.json(MAKE, { program }));
    if (RECORDING) records[program] = script;
    else if (recorded) expect(records).toHaveProperty([program]);
    return callForBytes(setting().server.port, "RG.PYEXECUTE", script, "REQUIREMENTS", "gearsclient==1.0.2");
  };

  /** Results as the client gives them to its user: unpickled. */
  const results = async (program: string): Promise<unknown> => {
    const [pickled, errors] = (await send(program)) as [Buffer[], Buffer[]];
    expect(errors.map(String)).toEqual([]);
    const load = `import base64, pickle\n[pickle.loads(base64.b64decode(one)) for one in inputs["pickled"]]`;
    return python.json(load, { pickled: pickled.map((one) => one.toString("base64")) });
  };

  it.each([
    ["map and the default reader", "map(lambda r: int(r['value'])).sort()", [1, 2, 3]],
    ["sort the other way around", "map(lambda r: int(r['value'])).sort(False)", [3, 2, 1]],
    ["filter", "map(lambda r: int(r['value'])).filter(lambda n: n > 1).sort()", [2, 3]],
    ["foreach", "foreach(lambda r: execute('SET', 'seen', '1')).count()", [3]],
    ["flatmap", "flatmap(lambda r: [r['key'], r['key']]).count()", [6]],
    ["accumulate", "accumulate(lambda total, r: (total or 0) + int(r['value']))", [6]],
    ["localgroupby", "localgroupby(lambda r: 'all', lambda k, n, r: (n or 0) + 1)", [{ key: "all", value: 3 }]],
    ["repartition", "repartition(lambda r: r['key']).count()", [3]],
    ["countby", "map(lambda r: 'same').countby()", [{ key: "same", value: 3 }]],
    ["countby a function", "countby(lambda r: r['type'])", [{ key: "string", value: 3 }]],
    ["avg", "map(lambda r: r['value']).avg()", [2]],
    ["avg of a function", "avg(lambda r: float(r['value']) * 2)", [4]],
    ["distinct", "map(lambda r: 1).distinct()", [1]],
    ["aggregate", "aggregate(0, lambda a, r: a + int(r['value']), lambda a, b: a + b)", [6]],
    [
      "aggregateby",
      "aggregateby(lambda r: 'k', 0, lambda k, a, r: a + 1, lambda k, a, b: a + b)",
      [{ key: "k", value: 3 }],
    ],
    ["limit", "limit(2).count()", [2]],
    ["limit from", "limit(5, 2).count()", [1]],
  ])("%s", async (_step, steps, expected) => {
    const { client } = setting();
    for (const n of [1, 2, 3]) await client.call("SET", `n:${n}`, String(n));
    expect(await results(`script = GearsRemoteBuilder().${steps}.run('n:*')`)).toEqual(expected);
  });

  it("the builder gets the reader only, as from the client's own class", async () => {
    const { client } = setting();
    await client.call("MSET", "a", "1", "b", "2");
    const program = "script = GearsRemoteBuilder('KeysReader', 'a').count().run()";
    expect(await results(program)).toEqual([2]);
    expect(await results("script = GearsRemoteBuilder('ShardsIDReader').run()")).toEqual(["1"]);
  });

  it("functions bring what they refer to, and objects of their classes come back", async () => {
    const program = `
import json
FACTOR = 3
class Pair:
    def __init__(self, left, right): self.left, self.right = left, right
    def sum(self): return self.left + self.right
def helper(n): return n * FACTOR
script = GearsRemoteBuilder('ShardsIDReader').map(lambda x: Pair(helper(int(x)), json.loads('4'))).map(lambda p: [p.sum(), None, 1.5]).run()
`;
    expect(await results(program)).toEqual([[7, null, 1.5]]);
  });

  it("helpers work in steps, and flows can be registered", async () => {
    const { client } = setting();
    const program = `
def helpers(x):
    with atomic():
        execute('SET', 'tag', hashtag())
    log('helped', level='notice')
    log(msg='helped')
    return [x, gearsConfigGet('nothing', 'default')]
script = GearsRemoteBuilder('CommandReader').map(helpers).register('*', True, False, trigger='helped')
`;
    expect(String(await send(program))).toBe("OK");
    expect(await client.call("RG.TRIGGER", "helped")).toEqual(["[['helped'], 'default']"]);
    expect(await client.call("GET", "tag")).toBe("06S");
  });

  it("errors of steps come as texts", async () => {
    const program = "script = GearsRemoteBuilder('ShardsIDReader').map(lambda x: 1 / 0).run()";
    const [none, [error]] = (await send(program)) as [Buffer[], Buffer[]];
    expect(none).toEqual([]);
    expect(String(error)).toContain("ZeroDivisionError: division by zero");
  });
});

describe("the module gearsclient", () => {
  it.each(["MapStep", "GearsRemoteMap", "GearsRemoteFlyStep", "GearsRemote_addStep", "nothing"])(
    "has no %s",
    async (name) => {
      const script = `import gearsclient.redisgears_builder as b; b.${name}`;
      await expect(setting().client.call("RG.PYEXECUTE", script)).rejects.toThrow(`has no attribute '${name}'`);
    },
  );
});
