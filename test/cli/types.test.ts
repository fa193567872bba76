/** `regears types`: what gears.pyi promises is what scripts see, and checkers understand it. */
import { spawnSync } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { newFolder } from "../support/folders.ts";
import { useServer } from "../support/use-server.ts";
import { finish } from "./program.ts";

const PYRIGHT = fileURLToPath(new URL("../../node_modules/pyright/index.js", import.meta.url));
const EXAMPLES = new URL("../../examples/", import.meta.url);

/** Checks a folder. @returns the lines of what is wrong */
function check(folder: string): string[] {
  const settings = { typeCheckingMode: "standard", pythonVersion: "3.14", reportUnusedExpression: false };
  writeFileSync(join(folder, "pyrightconfig.json"), JSON.stringify(settings));
  const { stdout } = spawnSync(process.execPath, [PYRIGHT, "--outputjson", "-p", folder], {
    encoding: "utf8",
    // it would look for a newer version of itself
    env: { ...process.env, PYRIGHT_PYTHON_IGNORE_WARNINGS: "1" },
  });
  const { generalDiagnostics } = JSON.parse(stdout) as {
    generalDiagnostics: { file: string; rule: string; range: { start: { line: number } } }[];
  };
  return generalDiagnostics.map(({ file, rule, range }) => `${file.split("/").at(-1)}:${range.start.line + 1} ${rule}`);
}

describe("gears.pyi", () => {
  it("is printed, or installed for pyright, which knows the names of scripts then", async () => {
    const folder = newFolder();
    expect((await finish(["types"])).out).toContain("class GearsBuilder:");
    expect(await finish(["types", folder])).toMatchObject({ code: 0, out: expect.stringContaining("gears.pyi\n") });
    expect(readdirSync(folder)).toEqual(["__builtins__.pyi", "gears.pyi", "redisgears.pyi"]);
    // again, over what it has written
    expect((await finish(["types", folder])).code).toBe(0);
    for (const name of readdirSync(EXAMPLES).filter((name) => name.endsWith(".py")))
      copyFileSync(new URL(name, EXAMPLES), join(folder, name));
    expect(check(folder)).toEqual([]);
    const wrong = ['GB("KeyReader")', "GB().mpa(len)", "execute(5)", "nope()", "GB().register(mode='fast')", "error"];
    writeFileSync(join(folder, "wrong.py"), wrong.join("\n"));
    expect(check(folder)).toEqual([
      ...["wrong.py:1 reportArgumentType", "wrong.py:2 reportAttributeAccessIssue", "wrong.py:3 reportArgumentType"],
      ...["wrong.py:4 reportUndefinedVariable", "wrong.py:5 reportArgumentType", "wrong.py:6 reportUndefinedVariable"],
    ]);
  });

  it("is not written over somebody else's file", async () => {
    const folder = newFolder();
    writeFileSync(join(folder, "gears.pyi"), "mine: int\n");
    expect(await finish(["types", folder])).toMatchObject({
      ...{ code: 2, err: expect.stringContaining("is there already") },
    });
    expect(readdirSync(folder)).toEqual(["gears.pyi"]);
  });
});

describe("the names in it", () => {
  const setting = useServer();
  const stub = (name: string): string => readFileSync(new URL(`../../src/cli/stubs/${name}`, import.meta.url), "utf8");
  const given = async (expression: string): Promise<string[]> => {
    const script = `GB('ShardsIDReader').flatmap(lambda x: [n for n in ${expression} if not n.startswith('__')]).run()`;
    const [names, errors] = (await setting().client.call("RG.PYEXECUTE", script)) as [string[], string[]];
    expect(errors).toEqual([]);
    return names.sort();
  };

  it("are those that scripts have", async () => {
    const [, list = ""] = /__all__ = \[(.*?)\]/s.exec(stub("gears.pyi")) ?? [];
    const promised = [...list.matchAll(/"(\w+)"/g)].map(([, name]) => name).sort();
    expect(promised).toEqual(await given("globals()"));
  });

  it("of the module redisgears are those that it has", async () => {
    const text = stub("redisgears.pyi");
    const promised = [
      ...[...text.matchAll(/^from gears import \w+ as (\w+)$/gm)].map(([, name]) => name),
      ...[...text.matchAll(/^(?:class|def) (\w+)/gm)].map(([, name]) => name),
    ].sort();
    expect(promised).toEqual(await given("vars(redisgears)"));
  });

  it("of the builder are those that it has, with their arguments", async () => {
    const [, body = ""] = /\nclass GearsBuilder:\n(.*?)\n(?=\S)/s.exec(stub("gears.pyi")) ?? [];
    const promised = [...body.matchAll(/^ {4}def (\w+)/gm)]
      .map(([, name = ""]) => name)
      .filter((name) => name !== "__init__");
    expect(promised.sort()).toEqual(await given("vars(GB)"));
  });
});
