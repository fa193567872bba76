/** Scripts bring their packages: from a folder of wheels, and from one server to another. */
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { NO_LOG } from "../../src/log.ts";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { type RunningRegears, startRegears } from "../support/regears.ts";
import { errorOf } from "../support/errors.ts";
import { newFolder } from "../support/folders.ts";
import { fields, useServer } from "../support/use-server.ts";
import { debianWheel, emptyCache, folderOf, wheel, type WheelSpec } from "../support/wheels.ts";

const OFFLINE = ["--pyodide-packages", "no", "--index-url", "no"];

const running: { server: RunningRegears; client: Client }[] = [];
afterEach(async () => {
  for (const { server, client } of running.splice(0)) {
    client.close();
    await server.stop();
  }
});

async function start(args: readonly string[]): Promise<{ server: RunningRegears; client: Client }> {
  const server = await startRegears([...OFFLINE, ...args]);
  const one = { server, client: await connectClient(server.port) };
  running.push(one);
  return one;
}

async function startWith(
  specs: readonly WheelSpec[],
): Promise<{ server: RunningRegears; client: Client; wheels: string }> {
  const wheels = folderOf(specs);
  return { ...(await start(["--packages-dir", wheels, "--cache-dir", emptyCache()])), wheels };
}

const show = (expression: string): string => `GB('ShardsIDReader').map(lambda x: ${expression}).run()`;

/** What a script with these requirements sees. */
const seen = async (client: Client, script: string, ...requirements: string[]): Promise<Value> => {
  const reply = await client.call("RG.PYEXECUTE", script, "REQUIREMENTS", ...requirements);
  return ((reply as Value[])[0] as Value[])[0] as Value;
};
const version = (client: Client, name: string, ...requirements: string[]): Promise<Value> =>
  seen(client, `import ${name}\n${show(`${name}.__version__`)}`, ...requirements);

const all = async (client: Client): Promise<{ reader: Value; data: Record<string, Value> }[]> =>
  ((await client.call("RG.DUMPREGISTRATIONS")) as Value[])
    .map(fields)
    .map((one) => ({ reader: one.reader ?? null, data: fields(one.RegistrationData) }));

const requirements = async (client: Client): Promise<Record<string, Value>[]> =>
  ((await client.call("RG.PYDUMPREQS")) as Value[]).map(fields);

const A1: WheelSpec = {
  name: "apple",
  version: "1.0",
  requires: ["pear>=2; extra == 'fruit'", "nut; sys_platform == 'win32'"],
};
const A2: WheelSpec = { ...A1, version: "2.0" };
const PEAR: WheelSpec = { name: "pear", version: "2.1" };

describe("packages of a folder", () => {
  /** Each test has packages of its own. */
  const wheels = folderOf([A1, A2, PEAR]);
  const setting = useServer([...OFFLINE, "--packages-dir", wheels, "--cache-dir", emptyCache()]);

  it("are there for the sessions that ask for them, each in its version, and for nobody else", async () => {
    const { client, server } = setting();
    expect(await version(client, "apple", "apple")).toBe("2.0");
    expect(await version(client, "apple", "apple<2")).toBe("1.0");
    expect(await version(client, "apple", "apple")).toBe("2.0");
    expect(await version(client, "pear", "apple[fruit]")).toBe("2.1");
    for (const [name, ...asked] of [
      ["apple"],
      ["pear", "REQUIREMENTS", "apple"],
      ["apple", "REQUIREMENTS", "cloudpickle"],
    ]) {
      const error = await errorOf(client.call("RG.PYEXECUTE", `import ${name}`, ...asked));
      expect(error).toContain(`No module named '${name}'`);
    }
    const registering =
      `import apple\n${show("apple.__version__").replace(".run()", ".register(trigger='TRIGGER')")}`.replace(
        "'ShardsIDReader'",
        "'CommandReader'",
      );
    for (const [trigger, requirement] of [
      ["old", "apple==1.*"],
      ["new", "apple==2.*"],
    ] as const) {
      const script = registering.replace("TRIGGER", trigger);
      expect(await client.call("RG.PYEXECUTE", script, "ID", trigger, "REQUIREMENTS", requirement)).toBe("OK");
    }
    expect(await client.call("RG.TRIGGER", "old")).toEqual(["1.0"]);
    expect(await client.call("RG.TRIGGER", "new")).toEqual(["2.0"]);
    expect(server.output()).toContain("installed apple[fruit] in");
  });

  it("are compiled, lie in files that can not be changed, and print as themselves", async () => {
    const { client } = setting();
    const files = [
      { path: "plum/__init__.py", content: "x = 1\n" },
      { path: "plum/data.txt", content: "text" },
    ];
    folderOf([{ name: "plum", version: "1.0", files }], wheels);
    const script = `
import plum, os
def attempt(change):
    try: change()
    except OSError: return 'refused'
    return 'done'
path = '/packages/plum/data.txt'
tried = [attempt(change) for change in (
    lambda: open(path, 'w'), lambda: open(path, 'a'), lambda: open(path, 'r+'), lambda: os.unlink(path), lambda: os.truncate(path, 0),
    lambda: os.rename(path, '/tmp/x'), lambda: os.rename('/packages/plum', '/packages/plume'), lambda: os.mkdir('/packages/new'),
    lambda: os.symlink('/tmp', '/packages/link'), lambda: os.chmod(path, 0o777), lambda: os.utime(path), lambda: os.rmdir('/packages'))]
${show("[str(plum), plum.__cached__, open(path).read(), sorted(os.listdir('/packages/plum')), sorted(set(tried))]")}`;
    expect(await seen(client, script, "plum")).toBe(
      "[\"<module 'plum' from '/packages/plum/__init__.py'>\", '/packages/plum/__pycache__/__init__.cpython-314.pyc', " +
        "'text', ['__init__.py', '__pycache__', 'data.txt'], ['refused']]",
    );
  });

  it("that are put there while the server runs can be used at once; FORCE_REINSTALL_REQUIREMENTS chooses anew", async () => {
    const { client } = setting();
    folderOf([{ name: "fig", version: "1.0" }], wheels);
    expect(await version(client, "fig", "fig")).toBe("1.0");
    folderOf([{ name: "fig", version: "2.0" }], wheels);
    expect(await version(client, "fig", "fig")).toBe("1.0");
    const script = `import fig\n${show("fig.__version__")}`;
    const forced = await client.call("RG.PYEXECUTE", script, "FORCE_REINSTALL_REQUIREMENTS", "REQUIREMENTS", "fig");
    expect(forced).toEqual([["2.0"], []]);
    expect(await version(client, "fig", "fig")).toBe("2.0");
  });

  it("are installed once for several scripts at once", async () => {
    const { client, server, connect } = setting();
    const [date, kiwi] = ["date", "kiwi"].map((name) => ({ name, version: "1.0" })) as [WheelSpec, WheelSpec];
    folderOf([date, kiwi], wheels);
    const clients = await Promise.all(Array.from({ length: 8 }, connect));
    const replies = await Promise.all(clients.map((one) => version(one, "date", "date", "kiwi")));
    expect(new Set(replies)).toEqual(new Set(["1.0"]));
    expect(server.output().match(/installing date, kiwi/g)).toHaveLength(1);
    expect(await version(client, "kiwi", "kiwi")).toBe("1.0");
  });

  it("more sets of them than there is room for have interpreters one after the other", async () => {
    // there are two interpreters, and eight more of them for packages
    const names = Array.from({ length: 11 }, (_, at) => `one${at}`);
    const folder = folderOf(names.map((name) => ({ name, version: "1.0" })));
    const args = ["--execution-threads", "1", "--packages-dir", folder, "--cache-dir", emptyCache()];
    const { client } = await start(args);
    for (const name of names) expect(await version(client, name, name)).toBe("1.0");
    expect(await version(client, "one0", "one0")).toBe("1.0");
  });

  it("make room for scripts without packages, and for others, when many interpreters have the same ones", async () => {
    const wheels = folderOf([A1, PEAR]);
    const more = ["--packages-dir", wheels, "--cache-dir", emptyCache(), "--execution-threads", "1"];
    const { client, server } = await start(more);
    expect(await version(client, "pear", "pear")).toBe("2.1");
    const clients = await Promise.all(Array.from({ length: 8 }, () => connectClient(server.port)));
    const many = (...asked: string[]): Promise<unknown> =>
      Promise.all(clients.map((one) => one.call("RG.PYEXECUTE", "pass", ...asked)));
    await many("REQUIREMENTS", "apple");
    expect(await client.call("RG.PYEXECUTE", "pass")).toBe("OK");
    await many();
    expect(await version(client, "pear", "pear")).toBe("2.1");
    for (const one of clients) one.close();
  });

  describe("that can not be installed", () => {
    const bad = folderOf([
      ...[A1, A2, { name: "native", version: "1.0", tag: "cp314-cp314-manylinux_2_28_x86_64" }],
      { name: "old", version: "2.1", requiresPython: "<3.10" },
      { name: "needy", version: "2.1", requires: ["leaf"] },
      { name: "evil", version: "1.0", files: [{ path: "../evil.py", content: "" }] },
    ]);
    writeFileSync(join(bad, "source_only-1.0.tar.gz"), "");
    writeFileSync(join(bad, "broken-1.0-py3-none-any.whl"), "no archive");
    const refusing = useServer([...OFFLINE, "--packages-dir", bad, "--cache-dir", emptyCache()]);

    it.each([
      [
        ["apple<2", "apple>=2"],
        "Could not satisfy requirements (look at redis log file for more information): apple: ",
      ],
      [["source-only"], ": source-only: there is no wheel of it in packages-dir, only source_only-1.0.tar.gz"],
      [
        ["native"],
        ": native: no wheel of it is for this interpreter (cp314-cp314-pyemscripten_2026_0_wasm32), such as native-1.0",
      ],
      [["old"], ": old 2.1 needs Python <3.10, and this is 3.14"],
      [["needy"], ": leaf: no source has it; asked for: any version (needy 2.1)"],
      [["evil"], "a name that is not allowed"],
      [["broken"], "it is no archive, or damaged"],
    ])("such as %j, are refused with a reason, and the server goes on", async (asked, reason) => {
      const { client } = refusing();
      expect(await errorOf(client.call("RG.PYEXECUTE", "pass", "REQUIREMENTS", ...asked))).toContain(reason);
      expect(await client.call("PING")).toBe("PONG");
      expect(await requirements(client)).toEqual([]);
    });
  });

  it("that start threads say that there are none", async () => {
    const content = "import threading\nthreading.Thread(target=print).start()\n";
    const { client } = setting();
    folderOf([{ name: "lime", version: "1.0", files: [{ path: "lime.py", content }] }], wheels);
    const error = await errorOf(client.call("RG.PYEXECUTE", "import lime", "REQUIREMENTS", "lime"));
    expect(error).toContain("threads can not be started: Python runs in WebAssembly here, which has none");
  });

  it("wheels by address are got only from where packages come from anyway", async () => {
    const { client } = setting();
    const { fileName } = wheel(A1);
    const here = `apple @ file://${wheels}/${fileName}`;
    expect(await version(client, "apple", here)).toBe("1.0");
    for (const address of [
      `file:///etc/${fileName}`,
      `file://${wheels}/../${fileName}`,
      `file://host${wheels}/${fileName}`,
      `file://${wheels}/..%2f..%2f/${fileName}`,
      `http://127.0.0.1:1/${fileName}`,
    ]) {
      const error = await errorOf(client.call("RG.PYEXECUTE", "pass", "REQUIREMENTS", `apple @ ${address}`));
      expect(error).toContain("only from index-url, pyodide-packages and packages-dir");
    }
  });
});

describe("what comes with the server", () => {
  const real = debianWheel("cloudpickle", ["cloudpickle"]);
  const SHOWN = `import cloudpickle, cloudpickle.cloudpickle as inner
${show("[str(cloudpickle), cloudpickle.loads(cloudpickle.dumps(lambda y: y + 1))(41)]")}`;
  const OWN = `["<module 'cloudpickle' (built-in)>", 42]`;
  // a code object of Python 3.10, as the real package has it pickled
  const FOREIGN = `
import cloudpickle.cloudpickle as inner
inner._builtin_type('CodeType')(1, 0, 0, 1, 2, 67, b'', (None,), (), ('x',), 'f', 'f', 1, b'', (), ())`;

  it("is used where the real package is nowhere, or can not be imported, and prints as what it stands for", async () => {
    const broken = {
      name: "cloudpickle",
      version: "9.0",
      files: [{ path: "cloudpickle/__init__.py", content: "1 / 0" }],
    };
    const { client, server, wheels } = await startWith([A1]);
    expect(await seen(client, SHOWN)).toBe(OWN);
    expect(await seen(client, SHOWN, "cloudpickle>=1", "gearsclient")).toBe(OWN);
    folderOf([broken], wheels);
    expect(await seen(client, SHOWN, "cloudpickle>=8")).toBe(OWN);
    expect(server.output()).toContain("cloudpickle of /packages can not be used");
  });

  it("gives way to the real package when that fits, and to nobody else's", async () => {
    const client9: WheelSpec = {
      ...{ name: "gearsclient", version: "9.0", requires: ["cloudpickle"] },
      files: [{ path: "gearsclient/__init__.py", content: "__version__ = '9.0'\n" }],
    };
    const { client } = await startWith([client9]);
    const shown = `import gearsclient\n${show("[str(gearsclient), gearsclient.__version__]")}`;
    const url = "git+https://github.com/RedisGears/redisgears-py.git";
    for (const asked of ["gearsclient", url]) {
      expect(await seen(client, shown, asked)).toBe(
        `["<module 'gearsclient' from '/packages/gearsclient/__init__.py'>", '9.0']`,
      );
    }
    expect(await seen(client, `import gearsclient\n${show("str(gearsclient)")}`, "gearsclient<9")).toBe(
      "<module 'gearsclient' (built-in)>",
    );
  });

  it.skipIf(!real)("gives way to a cloudpickle that works with this Python, behind the same guard", async () => {
    const { client, server, wheels } = await startWith(real ? [real] : []);
    // that of Debian is older than what it uses of the module pickle
    expect(await seen(client, SHOWN, "cloudpickle")).toBe(OWN);
    expect(server.output()).toContain("cloudpickle of /packages can not be used");
    const lookup = `def _getattribute(found, name):
    for one in name.split("."):
        parent, found = found, getattr(found, one)
    return found, parent
`;
    const files = (real?.files ?? []).map(({ path, content }) => ({
      path,
      content: String(content).replace("from pickle import _getattribute\n", lookup),
    }));
    folderOf([{ name: "cloudpickle", version: "9.0", files }], wheels);
    expect(await seen(client, SHOWN, "cloudpickle>=9")).toBe(
      `["<module 'cloudpickle' from '/packages/cloudpickle/__init__.py'>", 42]`,
    );
    for (const asked of [[], ["REQUIREMENTS", "cloudpickle>=9"]]) {
      const error = await errorOf(client.call("RG.PYEXECUTE", FOREIGN, ...asked));
      expect(error).toContain("functions can only be sent from Python 3.14");
    }
  });
});

describe("a requirement", () => {
  const REGISTER = `
import apple
GB('CommandReader').map(lambda x: apple.__version__).register(trigger='version')`;

  it("is there after a restart although its source is not, before its registration fires", async () => {
    const [directory, cache] = [newFolder(), emptyCache()];
    const wheels = folderOf([A1]);
    const args = ["--dir", directory, "--cache-dir", cache];
    const first = await start([...args, "--packages-dir", wheels]);
    await first.client.call("RG.PYEXECUTE", REGISTER, "ID", "app", "REQUIREMENTS", "apple==1.0");
    first.client.close();
    await first.server.stop();
    running.pop();
    const { client } = await start(args);
    expect(await client.call("RG.TRIGGER", "version")).toEqual(["1.0"]);
    expect((await requirements(client))[0]).toMatchObject({
      ...{ Name: "apple==1.0", IsInstalled: "yes", RefCount: 2 },
      Wheels: ["apple-1.0-py3-none-any.whl"],
    });
    const [session] = ((await client.call("RG.PYDUMPSESSIONS")) as Value[]).map(fields);
    expect(session).toMatchObject({ ID: "app", requirementInstallationNeeded: 1, requirements: ["apple==1.0"] });
  });

  describe("that is gone after a restart", () => {
    const MISSING =
      "Could not satisfy requirements (look at redis log file for more information): apple: no source has it";
    const SCRIPT = `
import apple
GB('CommandReader').map(lambda x: apple.__version__).register(trigger='version')
GB('KeysReader').map(lambda x: apple.__version__).foreach(lambda x: execute('RPUSH', '{log}', 'async ' + x)).register(prefix='a:*')
GB('KeysReader').map(lambda x: apple.__version__).foreach(lambda x: execute('RPUSH', '{log}', 'sync ' + x)).register(prefix='s:*', mode='sync')
registerTE(1, lambda: execute('RPUSH', '{log}', 'time ' + apple.__version__), 'timer')`;

    let model: Promise<string> | undefined;

    /** What a server has left that had the package. */
    async function leave(): Promise<string> {
      const directory = newFolder();
      const first = await start([
        ...["--dir", directory, "--cache-dir", emptyCache()],
        ...["--packages-dir", folderOf([A1])],
      ]);
      await first.client.call("RG.PYEXECUTE", SCRIPT, "ID", "app", "REQUIREMENTS", "apple==1.0");
      first.client.close();
      await first.server.stop();
      running.pop();
      return directory;
    }

    /** A server whose session misses its package, and a folder in which that can be put. */
    async function restarted(...args: string[]) {
      model ??= leave();
      const directory = newFolder();
      cpSync(await model, directory, { recursive: true });
      const wheels = folderOf([]);
      const cache = ["--cache-dir", emptyCache()];
      return { ...(await start(["--dir", directory, ...cache, "--packages-dir", wheels, ...args])), wheels };
    }

    it("is told as not installed, and all that its registrations do fails with the reason; the server goes on", async () => {
      const { client, server } = await restarted();
      expect((await requirements(client))[0]).toMatchObject({
        ...{ Name: "apple==1.0", IsInstalled: "no", IsDownloaded: "no" },
        Wheels: "Requirement was not yet downloaded so wheels are not available",
      });
      expect(server.output()).toContain("requirements of session app are not available: apple: no source has it");
      expect(await errorOf(client.call("RG.TRIGGER", "version"))).toContain(MISSING);
      await client.call("SET", "a:1", "x");
      await client.call("SET", "s:1", "x");
      await client.call("RG.IDLE");
      for (const { data, reader } of await all(client)) {
        expect(data).toMatchObject({ numTriggered: 1, numFailures: 1, numAborted: 0 });
        expect([reader, data.lastError]).toEqual([reader, expect.stringContaining(MISSING)]);
      }
      expect(await client.call("RG.PYEXECUTE", show("1"))).toEqual([["1"], []]);
      expect(await client.call("EXISTS", "{log}", "timer")).toBe(1);
    });

    it("is there again when a script has installed it, and so are its registrations and time events", async () => {
      const { client, server, wheels } = await restarted();
      folderOf([A1], wheels);
      expect(await version(client, "apple", "apple")).toBe("1.0");
      await expect.poll(() => server.output()).toContain("session app has its packages again");
      expect(await client.call("RG.TRIGGER", "version")).toEqual(["1.0"]);
      await client.call("SET", "a:1", "x");
      await client.call("SET", "s:1", "x");
      const logged = async (): Promise<Value[]> => (await client.call("LRANGE", "{log}", "0", "-1")) as Value[];
      await expect.poll(logged).toEqual(expect.arrayContaining(["async 1.0", "sync 1.0", "time 1.0"]));
      for (const { data } of await all(client)) expect(data).toMatchObject({ numFailures: 0, numAborted: 0 });
      expect((await requirements(client)).map(({ Name, IsInstalled }) => [Name, IsInstalled])).toEqual([
        ["apple==1.0", "yes"],
        ["apple", "yes"],
      ]);
    });

    it("is looked for again by itself", async () => {
      const { client, server, wheels } = await restarted("--test-clock");
      await client.call("RG.TIME", "FASTFORWARD", "29000");
      folderOf([A1], wheels);
      expect(await errorOf(client.call("RG.TRIGGER", "version"))).toContain(MISSING);
      await client.call("RG.TIME", "FASTFORWARD", "2000");
      await expect.poll(() => server.output()).toContain("session app has its packages again");
      expect(await client.call("RG.TRIGGER", "version")).toEqual(["1.0"]);
      expect(server.output().match(/are not available/g)).toHaveLength(1);
    });
  });

  it("is dropped with the last session that names it, and chosen anew by the next", async () => {
    const { client, wheels } = await startWith([A1]);
    await client.call("RG.PYEXECUTE", REGISTER, "ID", "app", "REQUIREMENTS", "apple");
    expect((await requirements(client)).map(({ Name }) => Name)).toEqual(["apple"]);
    folderOf([A2], wheels);
    const other = REGISTER.replace("import apple", "apple = open").replace("apple.__version__", "'none'");
    await client.call("RG.PYEXECUTE", other, "ID", "app", "UPGRADE");
    expect(await requirements(client)).toEqual([]);
    expect(await version(client, "apple", "apple")).toBe("2.0");
  });

  it("goes from one server to another with all that it needs", async () => {
    const { client } = await startWith([A1, PEAR]);
    expect(await version(client, "pear", "apple[fruit]")).toBe("2.1");
    const [about, chunks] = (await client.call("RG.PYEXPORTREQ", "apple[fruit]")) as [Value[], string[]];
    expect(fields(about)).toMatchObject({
      ...{ Name: "apple[fruit]", CompiledOs: "emscripten-wasm32" },
      Wheels: ["apple-1.0-py3-none-any.whl", "pear-2.1-py3-none-any.whl"],
    });
    expect(chunks).toHaveLength(1);
    const copy = await start(["--cache-dir", emptyCache()]);
    // the test's client reads replies as text, so that the bytes come from the cache of the first server
    const { Installer } = await import("../../src/packages/installer.ts");
    const bytes = await exported(Installer, String(fields(about).Path));
    expect(await copy.client.call("RG.PYIMPORTREQ", ...bytes)).toBe("OK");
    expect((await requirements(copy.client)).map(({ Name }) => Name)).toEqual(["apple[fruit]"]);
    expect(await version(copy.client, "pear", "apple[fruit]")).toBe("2.1");
    expect(await errorOf(copy.client.call("RG.PYEXPORTREQ", "pear"))).toBe("requirement does not exists");
  });

  it("is imported by users with all rights only: others would choose what everybody gets", async () => {
    const { client, server } = await start(["--cache-dir", emptyCache()]);
    await client.call("ACL", "SETUSER", "few", "on", ">pw", "+@all", "-debug", "~*", "&*");
    const own = await connectClient(server.port);
    await own.call("AUTH", "few", "pw");
    expect(await errorOf(own.call("RG.PYIMPORTREQ", "x"))).toBe(
      "NOPERM only a user with all rights may import requirements",
    );
    expect(await errorOf(client.call("RG.PYIMPORTREQ", "x"))).toContain("Bad serialization format");
    own.close();
  });

  it("that was damaged on its way is refused", async () => {
    const { client } = await start(["--cache-dir", emptyCache()]);
    const part = (text: string | Buffer): Buffer => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text.length);
      return Buffer.concat([length, Buffer.from(text)]);
    };
    const one = Buffer.from([1, 0, 0, 0]);
    const head = [part("apple"), part("emscripten-wasm32")];
    for (const [bytes, what] of [
      [[], "requirement name"],
      [[part("")], "requirement name"],
      [[part("apple"), part("linux")], "requirement os"],
      [[...head, Buffer.from([255, 255, 255, 255])], "requirement wheels amount"],
      [[...head, one, part("../apple.whl")], "wheel file name"],
      [[...head, one, part("apple-1.0-py3-none-any.whl"), Buffer.from([9, 0, 0, 0])], "wheel file data"],
    ] as const) {
      const error = await errorOf(client.call("RG.PYIMPORTREQ", ...bytes));
      expect(error).toBe(`Bad serialization format on reading ${what}`);
    }
    const bad = [...head, one, part("apple-1.0-py3-none-any.whl"), part("no archive")];
    expect(await errorOf(client.call("RG.PYIMPORTREQ", ...bad))).toContain("Failed installing requirements on shard");
    expect(await requirements(client)).toEqual([]);
  });
});

/** What RG.PYEXPORTREQ sends, as bytes. */
async function exported(
  make: typeof import("../../src/packages/installer.ts").Installer,
  path: string,
): Promise<Buffer[]> {
  const settings = {
    packagesDir: "",
    pyodidePackages: "no",
    indexUrl: "no",
    cacheDir: join(path, ".."),
    maxBytes: 1,
    maxCacheBytes: 0,
    preload: [],
  };
  const compile = () => Promise.reject(new Error("nothing is compiled here"));
  const installer = new make({ settings, compile, idleMs: () => 1000, builtIn: new Set(), log: NO_LOG });
  return (await installer.exported("apple[fruit]")) ?? [];
}

describe("real libraries", () => {
  const all = [
    debianWheel("langdetect", ["langdetect"], ["six"]),
    debianWheel("six", ["six.py"]),
    debianWheel("requests", ["requests"], ["urllib3", "idna", "certifi", "chardet"]),
    debianWheel("urllib3", ["urllib3"], ["six"]),
    debianWheel("idna", ["idna"]),
    debianWheel("certifi", ["certifi"]),
    debianWheel("chardet", ["chardet"]),
    debianWheel("PyMySQL", ["pymysql"]),
    debianWheel("SQLAlchemy", ["sqlalchemy"]),
  ];
  const there = all.filter((one) => one !== undefined);
  it.skipIf(there.length < all.length)("of Debian run as they are", async () => {
    const { client } = await startWith(there);
    const detect = `import langdetect\nlangdetect.DetectorFactory.seed = 0\n${show("langdetect.detect('Das ist ein deutscher Satz')")}`;
    expect(await seen(client, detect, "langdetect")).toBe("de");
    const sql = `
from sqlalchemy import Column, Integer, MetaData, Table, select
from sqlalchemy.dialects import mysql
table = Table('t', MetaData(), Column('id', Integer, primary_key=True))
${show("str(select(table).where(table.c.id > 5).compile(dialect=mysql.dialect())).split()")}`;
    expect(await seen(client, sql, "SQLAlchemy", "pymysql")).toBe(
      "['SELECT', 't.id', 'FROM', 't', 'WHERE', 't.id', '>', '%s']",
    );
    const url = `import requests\n${show("requests.Request('GET', 'http://example.org', params={'a': 'b c'}).prepare().url")}`;
    expect(await seen(client, url, "requests")).toBe("http://example.org/?a=b+c");
  });
});
