/** Requirement strings, markers, and what wheels say of themselves. */
import { describe, expect, it } from "vitest";
import { readInterpreter } from "../../src/packages/interpreter.ts";
import { parseMetadata, parseWheelName, rankOf } from "../../src/packages/metadata.ts";
import { isWanted, markerHolds, parseRequirement } from "../../src/packages/requirement.ts";

const interpreter = readInterpreter();

describe("a requirement", () => {
  it.each([
    ["redis", { name: "redis", extras: [], specifier: "" }],
    ["  Foo.Bar_baz [A,b-c] >=1.0, <2 ", { name: "foo-bar-baz", extras: ["a", "b-c"], specifier: ">=1.0,<2" }],
    ["six===1.5", { name: "six", specifier: "==1.5" }],
    ["six (>=1.5)", { name: "six", specifier: ">=1.5" }],
    ["x @ https://host/x-1-py3-none-any.whl", { name: "x", url: "https://host/x-1-py3-none-any.whl", specifier: "" }],
    ["git+https://github.com/RedisGears/redisgears-py.git", { name: "gearsclient" }],
    ["git+https://github.com/RedisGears/redisgears-py.git@v1.0", { name: "gearsclient" }],
    ["gearsclient @ git+ssh://git@github.com/RedisGears/redisgears-py.git", { name: "gearsclient" }],
    [
      "git+https://github.com/lyngon/redgrease.git@main#egg=redgrease[runtime]",
      { name: "redgrease", extras: ["runtime"] },
    ],
    ["redgrease[runtime] @ git+https://github.com/lyngon/redgrease.git", { name: "redgrease", extras: ["runtime"] }],
  ])("%j is read", (text, expected) => {
    expect(parseRequirement(text)).toMatchObject({ text, ...expected });
  });

  it.each([
    "",
    "./x",
    "a b",
    "-r other.txt",
    "--index-url https://host",
    "x>=",
    "x>=abc",
    "git+https://host/other.git",
    "x".repeat(5000),
  ])("%j is none", (text) => {
    expect(() => parseRequirement(text)).toThrow(/is not a requirement|not built here|too long/);
  });

  it.each([
    ["python_version >= '3.8'", true],
    ["python_version < '3.9'", false],
    ["python_full_version < '3.14.3' and sys_platform == 'emscripten'", true],
    ["platform_system == 'Windows' or os_name == 'nt'", false],
    ["(sys_platform == 'win32' or python_version > '3') and implementation_name == 'cpython'", true],
    ["'wasm' in platform_machine", true],
    ["platform_machine not in 'x86_64 aarch64'", true],
    ["extra == 'Some.Extra'", true],
    ["extra == 'other'", false],
    ["platform_release >= '5'", false],
    [`'${"1".repeat(400)}' > python_version`, false],
  ])("with the marker %s applies: %s", (marker, applies) => {
    expect(markerHolds(parseRequirement(`x; ${marker}`).marker, interpreter.markers, "some-extra")).toBe(applies);
  });

  it("takes the versions that PEP 440 says it takes", () => {
    expect(isWanted("1.4.9", "~=1.4.2")).toBe(true);
    expect(isWanted("1.5", "~=1.4.2")).toBe(false);
    expect(isWanted("2.0+local", "==2.0")).toBe(true);
    expect(isWanted("1.0.post1", ">1.0")).toBe(false);
    expect(isWanted("anything", "")).toBe(true);
    expect(isWanted("1.0", `<${"1".repeat(400)}`)).toBe(false);
  });
});

describe("a wheel", () => {
  it.each([
    ["redis-5.0.1-py3-none-any.whl", true],
    ["six-1.16.0-py2.py3-none-any.whl", true],
    ["numpy-2.4.6-cp314-cp314-pyemscripten_2026_0_wasm32.whl", true],
    ["x-1-cp39-abi3-pyemscripten_2026_0_wasm32.whl", true],
    ["numpy-2.4.6-cp313-cp313-pyemscripten_2026_0_wasm32.whl", false],
    ["numpy-2.4.6-cp314-cp314-manylinux_2_28_x86_64.whl", false],
    ["x-1-py2-none-any.whl", false],
    ["x-1-cp314-cp314t-pyemscripten_2026_0_wasm32.whl", false],
  ])("named %s runs here: %s", (fileName, runs) => {
    expect(rankOf(parseWheelName(fileName)?.tags ?? [], interpreter.tags) !== undefined).toBe(runs);
  });

  it("with more tags in its name than fit in the name of a file is none", () => {
    const [pythons, abis, platforms] = ["a.", "b.", "c."].map((tag) => tag.repeat(600));
    expect(parseWheelName(`x-1-${pythons}p-${abis}q-${platforms}r.whl`)).toBeUndefined();
  });

  it.each(["x.whl", "x-1.tar.gz", "x-abc-py3-none-any.whl", "../x-1-py3-none-any.whl", "x-1-2-3-4-5-6.whl"])(
    "has another name than %s",
    (fileName) => {
      expect(parseWheelName(fileName)).toBeUndefined();
    },
  );

  it("whose METADATA would take long to be read is refused", () => {
    const head = "Name: a\nVersion: 1\n";
    expect(() => parseMetadata(head + "Requires-Dist: b\n".repeat(100_000))).toThrow("more than 2000 requirements");
    expect(() => parseMetadata(`${head}\n${"x".repeat(10_000_000)}`)).toThrow("longer than");
  });

  it("is told of by its METADATA, as far as its description", () => {
    const text =
      "Metadata-Version: 2.1\r\nName: A.b\r\nversion: 1.0\r\nRequires-Dist: c>=1;\r\n  extra == 'd'\nRequires-Dist: !\n\nRequires-Dist: e";
    const { name, version, requires } = parseMetadata(text);
    expect([name, version, requires.map((one) => [one.name, one.specifier])]).toEqual(["a-b", "1.0", [["c", ">=1"]]]);
    expect(() => parseMetadata("Name: x")).toThrow("no version");
  });
});
