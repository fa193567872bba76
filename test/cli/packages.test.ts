/** `regears install` fills a folder of wheels, `regears packages` lists it, and a server needs nothing else. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { runRegears, startRegears } from "../support/regears.ts";
import { callOnce, type Value } from "../support/client.ts";
import { newFolder } from "../support/folders.ts";
import { emptyCache, folderOf, pyodideFolder } from "../support/wheels.ts";

const folders = Array.from({ length: 4 }, newFolder) as [string, string, string, string];
const [source, target, pyodide, cache] = folders;
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function regears(...args: string[]): Promise<{ code: number | null; output: string }> {
  const { exited, output } = runRegears(args);
  return { code: await exited, output: output() };
}

it("a folder is filled, listed, and enough for a server", async () => {
  folderOf(
    [
      { name: "apple", version: "1.0", requires: ["pear"] },
      { name: "pear", version: "2.0" },
    ],
    source,
  );
  folderOf([{ name: "other", version: "1.0", tag: "cp313-cp313-manylinux_2_28_x86_64" }], target);
  pyodideFolder(pyodide);
  const common = ["--cache-dir", cache, "--index-url", "no"];
  const address = `apple @ file://${join(source, "apple-1.0-py3-none-any.whl")}`;
  const refused = await regears("install", address, "--packages-dir", target, ...common, "--pyodide-packages", "no");
  expect(refused).toMatchObject({ code: 1, output: expect.stringContaining("are got by address only from") });

  const installed = await regears(
    "install",
    "number>=2",
    "--packages-dir",
    target,
    ...common,
    "--pyodide-packages",
    pyodide,
  );
  expect(installed.code).toBe(0);
  expect(installed.output).toContain("number-2.4-cp314-cp314-pyemscripten_2026_0_wasm32.whl\nlibnumber-1.0.zip\n");
  expect(readdirSync(target).sort()).toEqual([
    ...["libnumber-1.0.zip", "number-2.4-cp314-cp314-pyemscripten_2026_0_wasm32.whl"],
    ...["other-1.0-cp313-cp313-manylinux_2_28_x86_64.whl", "pyodide-lock.json"],
  ]);
  const listed = await regears("packages", "--packages-dir", target);
  expect(listed).toEqual({
    code: 0,
    output:
      "number 2.4 number-2.4-cp314-cp314-pyemscripten_2026_0_wasm32.whl\n" +
      "other 1.0 other-1.0-cp313-cp313-manylinux_2_28_x86_64.whl (not for this interpreter)\n",
  });

  const fresh = emptyCache();
  folders.push(fresh);
  const offline = ["--cache-dir", fresh, "--index-url", "no", "--pyodide-packages", "no"];
  const server = await startRegears(["--packages-dir", target, ...offline]);
  try {
    const script =
      "import number, os\nGB('ShardsIDReader').map(lambda x: os.path.exists('/packages/libnumber.so')).run()";
    const reply: Value = await callOnce(server.port, "RG.PYEXECUTE", script, "REQUIREMENTS", "number");
    expect(reply).toEqual([["True"], []]);
  } finally {
    await server.stop();
  }
});

it("what is missing is told", async () => {
  expect(await regears("install", "apple")).toMatchObject({
    code: 2,
    output: expect.stringContaining("--packages-dir"),
  });
  expect(await regears("install", "--packages-dir", target)).toMatchObject({ code: 2 });
  expect(await regears("packages", "--packages-dir", join(source, "nowhere"))).toMatchObject({ code: 2 });
  const args = ["--packages-dir", target, "--cache-dir", cache, "--index-url", "no", "--pyodide-packages", "no"];
  expect(await regears("install", "nonesuch", ...args)).toMatchObject({
    code: 1,
    output: expect.stringContaining("regears: nonesuch: no source has it"),
  });
});
