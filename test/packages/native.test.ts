/**
 * Compiled packages. The npm registry has none for this Pyodide and the tests reach no other place, so that one was made by
 * hand (fixtures/native.c); it is loaded by the same code as any other, from the same kind of wheel.
 */
import { readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { errorOf } from "../support/errors.ts";
import { useServer } from "../support/use-server.ts";
import { emptyCache, folderOf, type WheelSpec } from "../support/wheels.ts";

const library = readFileSync(fileURLToPath(new URL("fixtures/native.so", import.meta.url)));
const tag = "cp314-cp314-pyemscripten_2026_0_wasm32";
const LIBRARY = "_native.cpython-314-wasm32-emscripten.so";
const native = (name: string, content: Buffer | string): WheelSpec => ({
  ...{ name, version: "1.0", tag },
  files: [
    { path: `${name}/__init__.py`, content: "from ._native import *\n" },
    { path: `${name}/${LIBRARY}`, content },
  ],
});

const wheels = folderOf([
  native("native", library),
  native("broken", "\x7fELF"),
  native("cut", library.subarray(0, 300)),
]);
const cache = emptyCache();
afterAll(() => {
  for (const folder of [wheels, cache]) rmSync(folder, { recursive: true, force: true });
});
const setting = useServer([
  ...[
    "--packages-dir",
    wheels,
    "--pyodide-packages",
    "no",
    "--index-url",
    "no",
    "--python-memory-limit",
    "96mb",
    "--cache-dir",
    cache,
  ],
]);

const seen = async (script: string, requirement = "native"): Promise<unknown> => {
  const reply = await setting().client.call("RG.PYEXECUTE", script, "REQUIREMENTS", requirement);
  return (reply as unknown[][])[0]?.[0];
};
const show = (expression: string): string => `GB('ShardsIDReader').map(lambda x: ${expression}).run()`;

describe("a compiled package", () => {
  it("runs, and prints as itself", async () => {
    const script = `import native\nsum = native.add(2)\n${show("[sum, str(native._native)]")}`;
    expect(await seen(script)).toMatch(
      new RegExp(
        `^\\[4\\d, "<module 'native\\._native' from '/packages/native/${LIBRARY.replaceAll(".", "\\.")}'>"\\]$`,
      ),
    );
  });

  it("is there for registrations, also after their interpreter was replaced", async () => {
    const { client } = setting();
    const script = `
import native
def work(record):
    if record[1] == 'loop':
        while True: pass
    return native.add(0) >= 40
GB('CommandReader').map(work).register(trigger='native', mode='async_local')`;
    await client.call("RG.PYEXECUTE", script, "REQUIREMENTS", "native");
    expect(await client.call("RG.TRIGGER", "native", "x")).toEqual(["True"]);
    const died = errorOf(client.call("RG.PYEXECUTE", "import native\nnative.reach(1)", "REQUIREMENTS", "native"));
    expect(await died).toContain("which is not allowed");
    expect(await client.call("RG.TRIGGER", "native", "x")).toEqual(["True"]);
  });

  it("can call nothing of JavaScript that Python could not: its interpreter is ended, and nobody else's", async () => {
    const error = await errorOf(
      setting().client.call("RG.PYEXECUTE", "import native\nnative.reach(1)", "REQUIREMENTS", "native"),
    );
    expect(error).toContain("Python called JavaScript (emscripten_console_log), which is not allowed");
    expect(await setting().client.call("PING")).toBe("PONG");
    expect(await seen(show("'still here'"))).toBe("still here");
  });

  it.each(["broken", "cut"])("whose library is %s can not be imported, and says why in the log", async (name) => {
    const { client, server } = setting();
    const error = await errorOf(client.call("RG.PYEXECUTE", `import ${name}`, "REQUIREMENTS", name));
    expect(error).toContain("ImportError");
    expect(server.output()).toContain(`${name}/${LIBRARY} can not be loaded`);
    expect(await seen(show("'still here'"), name)).toBe("still here");
  });

  it("opens no way to the interpreter's own modules, nor to libraries that a script has written", async () => {
    const script = `
import _imp, shutil
from importlib.machinery import ModuleSpec
own = '/packages/native/${LIBRARY}'
shutil.copy(own, '/tmp/copy.so')
def attempt(name, path):
    try:
        return str(_imp.create_dynamic(ModuleSpec(name, None, origin=path)))
    except ImportError:
        return 'refused'
tried = [attempt(*one) for one in (('_ctypes', ''), ('_ctypes', '__main__'), ('_pyodide_core', '__main__'), ('_ctypes', own),
    ('_native', '/tmp/copy.so'), ('_native', '/packages/../tmp/copy.so'))]
${show("sorted(set(tried))")}`;
    expect(await seen(script)).toBe("['refused']");
  });

  // the last one: the memory is gone afterwards
  it("gets no more memory than python-memory-limit", async () => {
    const taken = Number(await seen(`import native\n${show("native.take(500)")}`));
    expect(taken).toBeGreaterThan(10);
    expect(taken).toBeLessThan(96);
  });
});
