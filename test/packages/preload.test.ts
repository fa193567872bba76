/** The option `preload`: packages that every interpreter has, imported beforehand. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { type Client, connectClient, type Value } from "../support/client.ts";
import { errorOf } from "../support/errors.ts";
import { type RunningRegears, runRegears, startRegears } from "../support/regears.ts";
import { newFolder } from "../support/folders.ts";
import { debianWheel, emptyCache, folderOf, type WheelSpec } from "../support/wheels.ts";

const library = readFileSync(fileURLToPath(new URL("fixtures/native.so", import.meta.url)));
/** A compiled package whose import changes the state of its library. */
const compiled = (name: string): WheelSpec => ({
  ...{ name, version: "1.0", tag: "cp314-cp314-pyemscripten_2026_0_wasm32" },
  files: [
    { path: `${name}/__init__.py`, content: "from ._native import *\nadd(2)\n" },
    { path: `${name}/_native.cpython-314-wasm32-emscripten.so`, content: library },
  ],
});
/** A module whose `token` is another one each time that it is imported. */
const stamped = (name: string, version: string, requires: readonly string[] = []): WheelSpec => ({
  ...{ name, version, requires },
  files: [{ path: `${name}.py`, content: `import os\n__version__ = '${version}'\ntoken = os.urandom(8).hex()\n` }],
});
const wheels = folderOf([
  ...[
    stamped("apple", "1.0", ["pear"]),
    stamped("apple", "2.0", ["pear"]),
    stamped("pear", "1.0"),
    stamped("fig", "1.0"),
  ],
  ...[compiled("native"), compiled("second"), compiled("third")],
  { name: "fat", version: "1.0", files: [{ path: "fat.py", content: "fat = bytearray(100 << 20)\n" }] },
  {
    name: "hungry",
    version: "1.0",
    files: [{ path: "hungry.py", content: "x = []\nwhile True:\n    x.append(bytes(9999))\n" }],
  },
  { name: "fatal", version: "1.0", files: [{ path: "fatal.py", content: "import os\nos._exit(3)\n" }] },
  { name: "broken", version: "1.0", files: [{ path: "broken.py", content: "raise ValueError('not today')\n" }] },
  {
    ...{ name: "nosy", version: "1.0" },
    files: [
      {
        path: "nosy.py",
        content:
          "seen = []\nfor name in ('js', 'pyodide.ffi', '_pyodide_core', 'ctypes'):\n    try:\n        __import__(name)\n" +
          "        seen.append(name)\n    except ImportError:\n        pass\n",
      },
    ],
  },
]);

const running: { server: RunningRegears; client: Client }[] = [];
afterEach(async () => {
  for (const { server, client } of running.splice(0)) {
    client.close();
    await server.stop();
  }
});

const options = (preload: string, cache: string): string[] => [
  ...["--pyodide-packages", "no", "--index-url", "no", "--packages-dir", wheels],
  ...["--preload", preload, "--cache-dir", cache],
];

async function start(
  preload: string,
  { cache = common, more = [] }: { cache?: string; more?: readonly string[] } = {},
): Promise<{ server: RunningRegears; client: Client }> {
  const server = await startRegears([...options(preload, cache), ...more]);
  const one = { server, client: await connectClient(server.port) };
  running.push(one);
  return one;
}

/** Of all tests but the first: making a snapshot takes its time. */
const common = emptyCache();

/** What a script gives. */
async function seen(client: Client, expression: string, ...requirements: string[]): Promise<Value> {
  const modules = [...new Set(expression.match(/\b\w+(?=\.)/g))].join(", ");
  const script = `import ${modules}\nGB('ShardsIDReader').map(lambda x: ${expression}).run()`;
  const asked = requirements.length === 0 ? [] : ["REQUIREMENTS", ...requirements];
  const reply = await client.call("RG.PYEXECUTE", script, ...asked);
  return ((reply as Value[])[0] as Value[])[0] ?? null;
}

const snapshots = (cache: string): number => readdirSync(cache).filter((name) => name.endsWith(".snapshot")).length;

describe("packages that are named by preload", () => {
  it("are there for scripts that name none, imported before; the snapshot with them is made once", async () => {
    const cache = emptyCache();
    const first = await start("apple, fig==1.*", { cache });
    expect(first.server.output()).toContain("made the snapshot of Python with apple, fig in");
    const token = await seen(first.client, "apple.token");
    expect(await seen(first.client, "apple.__version__")).toBe("2.0");
    expect(await seen(first.client, "pear.__version__")).toBe("1.0");
    const made = snapshots(cache);
    const second = await start("apple, fig==1.*", { cache });
    expect(second.server.output()).not.toContain("made the snapshot");
    expect(second.server.output()).not.toContain("installing");
    expect(await seen(second.client, "apple.token")).toBe(token);
    const third = await start("pear", { cache });
    expect(third.server.output()).toContain("made the snapshot of Python with pear in");
    expect(snapshots(cache)).toBe(made + 1);
    expect(await errorOf(seen(third.client, "apple.token"))).toContain("No module named 'apple'");
  });

  it("are there beside those that a script names; who names another version has that, and only what it names", async () => {
    const { client, server } = await start("apple");
    const token = await seen(client, "apple.token");
    expect(await seen(client, "apple.token", "apple")).toBe(token);
    expect(await seen(client, "apple.token", "apple>=2", "pear")).toBe(token);
    expect(await seen(client, "[apple.token, fig.__version__]", "fig")).toBe(`['${token}', '1.0']`);
    expect(await seen(client, "apple.__version__", "apple<2")).toBe("1.0");
    expect(await seen(client, "[apple.__version__, fig.__version__]", "apple<2", "fig")).toBe("['1.0', '1.0']");
    expect(await seen(client, "apple.__version__")).toBe("2.0");
    const clients = await Promise.all(Array.from({ length: 12 }, () => connectClient(server.port)));
    const asked = clients.map((one, at) =>
      seen(one, "apple.__version__", ...([[], ["apple<2"], ["fig"], ["apple<2", "fig"]][at % 4] ?? [])),
    );
    const versions = await Promise.all(asked);
    for (const one of clients) one.close();
    expect(versions).toEqual(Array.from({ length: 12 }, (_, at) => (at % 2 === 1 ? "1.0" : "2.0")));
  });

  it("are there for registrations of all versions, also in other interpreters and after a restart", async () => {
    const registering = `
import apple, native
def work(record):
    return native.reach(1) if record[1] == 'die' else apple.__version__
GB('CommandReader').map(work).register(trigger='NAME')`;
    const more = ["--dir", newFolder(), "--appendonly", "yes"];
    const { client, server } = await start("apple,native", { more });
    for (const [name, ...asked] of [["own"], ["old", "REQUIREMENTS", "apple<2", "native"]] as const)
      expect(await client.call("RG.PYEXECUTE", registering.replace("NAME", name), "ID", name, ...asked)).toBe("OK");
    const check = async (one: Client): Promise<void> => {
      expect(await one.call("RG.TRIGGER", "own", "x")).toEqual(["2.0"]);
      expect(await one.call("RG.TRIGGER", "old", "x")).toEqual(["1.0"]);
    };
    await check(client);
    for (const name of ["own", "old"]) {
      expect(await errorOf(client.call("RG.TRIGGER", name, "die"))).toContain("which is not allowed");
      await check(client);
    }
    await server.stop();
    await check((await start("apple,native", { more })).client);
  });

  it("have their places with isolated sessions, too", async () => {
    const { client } = await start("apple", { more: ["--isolation", "session", "--max-interpreters", "2"] });
    for (let round = 0; round < 3; round++) {
      expect(await seen(client, "apple.__version__")).toBe("2.0");
      expect(await seen(client, "apple.__version__", "apple<2")).toBe("1.0");
    }
  });

  it("run with their libraries as they were left; further ones can be added", async () => {
    for (let round = 0; round < 2; round++) {
      const { client, server } = await start("native,second");
      // 40 at first, and 2 by the import, which was before
      expect(await seen(client, "[native.add(0), second.add(0)]")).toBe("[42, 42]");
      expect(await seen(client, "[native.add(1), second.add(0), third.add(5)]", "third")).toBe("[43, 42, 47]");
      expect(await seen(client, "native.add(0)")).toBe("42");
      expect(server.output()).not.toContain("can not be loaded");
    }
  });

  it("that can not be imported are told of, and there to be imported", async () => {
    const { client, server } = await start("broken,fig");
    expect(server.output()).toContain("broken can not be imported beforehand: ValueError('not today')");
    expect(await seen(client, "fig.__version__")).toBe("1.0");
    expect(await errorOf(client.call("RG.PYEXECUTE", "import broken"))).toContain("ValueError: not today");
  });

  it("see no more of the interpreter than scripts", async () => {
    const { client } = await start("nosy");
    expect(await seen(client, "nosy.seen")).toBe("[]");
  });

  it("that can not be had keep the server from starting", async () => {
    for (const [preload, reason] of [
      ["plum", "option 'preload': plum: no source has it"],
      ["apple>3", "option 'preload': apple: "],
      ["a b c", "option 'preload': 'a b c' is not a requirement"],
    ] as const) {
      const { exited, output } = runRegears([...options(preload, common), "--port", "0"]);
      expect(await exited).toBe(1);
      expect(output()).toContain(reason);
    }
  });

  it.each([
    ["fat", "128", /with these packages Python needs 1\d\d MB at least, and python-memory-limit is 128 MB/],
    ["hungry", "128", /hungry can not be imported beforehand: MemoryError[\s\S]*Python needs 13\d MB at least/],
    ["fatal", "512", /the snapshot of Python with fatal can not be made: .*exit\(3\)/],
  ])("such as %s keep it from starting if interpreters could not run with them", async (preload, limit, reason) => {
    const { exited, output } = runRegears([...options(preload, common), "--python-memory-limit", limit, "--port", "0"]);
    expect(await exited).toBe(1);
    expect(output()).toMatch(reason);
  });

  const sql = debianWheel("SQLAlchemy", ["sqlalchemy"]);
  it.skipIf(!sql)("cost nothing when they are imported", async () => {
    folderOf(sql ? [sql] : [], wheels);
    const timed = `import time\nstart = time.perf_counter()\nimport sqlalchemy\nms = (time.perf_counter() - start) * 1000
GB('ShardsIDReader').map(lambda x: ms).run()`;
    const { client } = await start("SQLAlchemy");
    const reply = (await client.call("RG.PYEXECUTE", timed)) as Value[][];
    // otherwise it takes some hundreds
    expect(Number(reply[0]?.[0])).toBeLessThan(20);
  });
});
