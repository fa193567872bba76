/** Requirements that come with the server, and what clients with pickled functions need. */
import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { fields, useServer, type Value } from "../support/use-server.ts";
import { errorOf } from "../support/errors.ts";
import { emptyCache } from "../support/wheels.ts";

const setting = useServer(["--pyodide-packages", "no", "--index-url", "no", "--cache-dir", emptyCache()]);
const ONE = "GB('ShardsIDReader').map(lambda x: 1).run()";

const known = async (): Promise<Record<string, Value>[]> =>
  ((await setting().client.call("RG.PYDUMPREQS")) as Value[]).map(fields);

describe("REQUIREMENTS", () => {
  it.each([
    ["redgrease[runtime]", "redgrease: no source has it"],
    ["numpy", "numpy: no source has it"],
    ["gearsclient2", "gearsclient2: no source has it"],
    ["git+https://github.com/someone/else.git", "is a source repository, and packages are not built here"],
    ["./gearsclient", "'./gearsclient' is not a requirement"],
    ["", "'' is not a requirement"],
  ])("%j is refused, client and log learn why, and nothing runs", async (name, reason) => {
    const { client, server } = setting();
    const script = "execute('SET', 'ran', '1')";
    const text = "Could not satisfy requirements (look at redis log file for more information)";
    const error = await errorOf(client.call("RG.PYEXECUTE", script, "REQUIREMENTS", name));
    expect(error?.startsWith(`${text}: `)).toBe(true);
    expect(error).toContain(reason);
    const id = String(await client.call("RG.PYEXECUTE", script, "UNBLOCKING", "REQUIREMENTS", name));
    await expect.poll(() => errorOf(client.call("RG.GETRESULTS", id))).toBe(error);
    expect(await client.call("EXISTS", "ran")).toBe(0);
    await expect.poll(() => server.output()).toContain("are not available: ");
  });

  it("that are more than anybody needs are refused, also those that come with the server", async () => {
    const { client } = setting();
    const many = (count: number): string[] => Array.from({ length: count }, () => "cloudpickle");
    expect(await client.call("RG.PYEXECUTE", "pass", "REQUIREMENTS", ...many(500))).toBe("OK");
    const error = errorOf(client.call("RG.PYEXECUTE", "pass", "REQUIREMENTS", ...many(501)));
    expect(await error).toContain("there are 501 requirements, at most 500 are allowed");
  });

  it("that come with the server are accepted, and listed once a script with an effect named them", async () => {
    const { client } = setting();
    expect(await client.call("RG.PYEXECUTE", "pass", "REQUIREMENTS", "gearsclient==0.9")).toBe("OK");
    expect(await errorOf(client.call("RG.PYEXECUTE", "1 / 0", "REQUIREMENTS", "gearsclient==0.9"))).toBeDefined();
    expect(await known()).toEqual([]);
    expect(await client.call("RG.PYEXECUTE", ONE, "REQUIREMENTS", "cloudpickle >= 2")).toEqual([["1"], []]);
    const url = "git+https://github.com/RedisGears/redisgears-py.git";
    const script = "GB('CommandReader').register(trigger='t')";
    await client.call("RG.PYEXECUTE", script, "ID", "app", "REQUIREMENTS", "gearsclient==1.0", url);
    expect((await known()).map(({ Name, RefCount }) => [Name, RefCount])).toEqual([
      ["cloudpickle >= 2", 1],
      ["gearsclient==1.0", 2],
      [url, 2],
    ]);
    expect((await known())[0]).toMatchObject({
      GearReqVersion: 2,
      IsDownloaded: "yes",
      IsInstalled: "yes",
      Wheels: [],
    });
    expect(await client.call("INFO", "rg")).toContain("rg_gearsclient==1.0:IsDownloaded=yes,IsInstalled=yes");
    const sessions = async (...words: string[]): Promise<Value | undefined> =>
      fields(((await client.call("RG.PYDUMPSESSIONS", ...words)) as Value[])[0]).requirements;
    expect(await sessions()).toEqual(["gearsclient==1.0", url]);
    const verbose = ((await sessions("VERBOSE")) as Value[]).map(fields);
    expect(verbose.map(({ Name }) => Name)).toEqual(["gearsclient==1.0", url]);
    // what the replaced session alone has used goes with it
    await client.call("RG.PYEXECUTE", script, "ID", "app", "UPGRADE", "REQUIREMENTS", url);
    expect((await known()).map(({ Name }) => Name)).toEqual(["cloudpickle >= 2", url]);
    await client.call("RG.UNREGISTERALL");
    expect((await known()).map(({ Name }) => Name)).toEqual(["cloudpickle >= 2", url]);
    expect(await errorOf(client.call("RG.PYEXPORTREQ", url))).toContain("is part of the server");
    expect(await errorOf(client.call("RG.PYEXPORTREQ", "numpy"))).toBe("requirement does not exists");
    expect(await errorOf(client.call("RG.PYIMPORTREQ", "x"))).toContain("Bad serialization format");
  });
});

describe("cloudpickle", () => {
  /** Unpickles a code object with these arguments, then calls it as a function. */
  const loadCode = (args: string): Promise<Value> =>
    setting().client.call(
      "RG.PYEXECUTE",
      `
import cloudpickle, operator, pickle, types
class Kind:
    def __reduce__(self): return cloudpickle.cloudpickle._builtin_type, ('CodeType',)
class Code:
    def __reduce__(self): return operator.call, (Kind(), *${args})
def sample(a, b=2, *c): return a + b
co = sample.__code__
result = types.FunctionType(cloudpickle.loads(pickle.dumps(Code())), {})(1, 41)
GB('ShardsIDReader').map(lambda x: result).run()
`,
    );
  const code = (bytes: string): string =>
    `(co.co_argcount, 0, 0, co.co_nlocals, co.co_stacksize, co.co_flags, ${bytes}, co.co_consts, co.co_names, ` +
    "co.co_varnames, 'f', 'sample', 'sample', 1, co.co_linetable, co.co_exceptiontable, co.co_freevars, co.co_cellvars)";

  it("loads functions that this version of Python has compiled", async () => {
    expect(await loadCode(code("co.co_code"))).toEqual([["42"], []]);
  });

  it.each([
    ["3.7", "tuple(range(15))", "Python 3.7 or older"],
    ["3.8", "tuple(range(16))", "Python 3.8, 3.9 or 3.10"],
    ["3.11", code("bytes([151, 0, 100, 0, 83, 0])"), "Python 3.11 or 3.12"],
    ["3.11, with a closure", code("bytes([149, 1, 151, 0, 100, 0, 83, 0])"), "Python 3.11 or 3.12"],
    ["3.13", code("bytes([149, 0, 103, 0])"), "Python 3.13"],
    ["an unknown version", code("bytes([7, 0, 8, 0])"), "another version of Python"],
  ])("refuses functions from Python %s before it makes anything of them", async (_version, args, made) => {
    const error = await errorOf(loadCode(args));
    expect(error).toContain(`The pickled function was compiled by ${made}; this server runs Python 3.14`);
  });

  it("refuses what a real CPython of the test machine has compiled, unless it is of our version", async (context) => {
    let text: string;
    try {
      text = execFileSync("python3", ["-c", PICKLE], { encoding: "utf8" });
    } catch {
      context.skip("there is no python3 here");
      return;
    }
    const [version, pickle] = text.trim().split(" ") as [string, string];
    const script = `import cloudpickle\nf = cloudpickle.loads(bytes.fromhex('${pickle}'))`;
    const reply = errorOf(setting().client.call("RG.PYEXECUTE", script));
    if (version === "3.14") expect(await reply).toBeUndefined();
    else expect(await reply).toMatch(/The pickled function was compiled by .*this server runs Python 3\.14/);
  });
});

/** Prints its version and a pickle of a code object, with the name that cloudpickle has for the type of those. */
const PICKLE = `
import pickle, sys, types
def _builtin_type(name): return types.CodeType
_builtin_type.__module__ = 'cloudpickle.cloudpickle'
for name in ('cloudpickle', 'cloudpickle.cloudpickle'):
    sys.modules[name] = types.ModuleType(name)
sys.modules['cloudpickle.cloudpickle']._builtin_type = _builtin_type
class Kind:
    def __reduce__(self): return _builtin_type, ('CodeType',)
code = (lambda x: x + 1).__code__
names = 'argcount posonlyargcount kwonlyargcount nlocals stacksize flags code consts names varnames filename name qualname'
line_table = 'linetable' if hasattr(code, 'co_linetable') else 'lnotab'
names = (names + ' firstlineno ' + line_table + ' exceptiontable freevars cellvars').split()
values = tuple(getattr(code, 'co_' + name) for name in names if hasattr(code, 'co_' + name))
body = lambda value: pickle.dumps(value, 3)[2:-1]
print('%d.%d' % sys.version_info[:2], (b'\\x80\\x03' + body(Kind()) + body(values) + b'R.').hex())
`;
