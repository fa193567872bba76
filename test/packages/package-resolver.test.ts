/** Which versions are chosen. */
import { describe, expect, it } from "vitest";
import { PackageError } from "../../src/packages/package-errors.ts";
import { readInterpreter } from "../../src/packages/interpreter.ts";
import { parseRequirement } from "../../src/packages/requirement.ts";
import { PackageResolver } from "../../src/packages/package-resolver.ts";
import { choose, type Source } from "../../src/packages/source.ts";

const interpreter = readInterpreter();

/** Packages by `name version`, with what they need; a value that is no list is the Python that they need. */
type World = Readonly<Record<string, readonly string[] | string>>;

function source(
  world: World,
  label = "the test",
  yanked: readonly string[] = [],
): Source & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    label,
    asked,
    find(name) {
      asked.push(name);
      const files = Object.entries(world)
        .filter(([key]) => key.startsWith(`${name} `))
        .map(([key, needs]) => ({
          key,
          needs,
          fileName: `${name.replaceAll("-", "_")}-${key.split(" ")[1]}-py3-none-any.whl`,
        }));
      return Promise.resolve(
        choose(name, files, interpreter, ({ key, needs, fileName }, version) => ({
          ...{ name, version, fileName, source: label, yanked: yanked.includes(key) },
          metadata: () =>
            Promise.resolve({
              ...{ name, version },
              requiresPython: typeof needs === "string" ? needs : undefined,
              requires: typeof needs === "string" ? [] : needs.map(parseRequirement),
            }),
          fetch: () => Promise.reject(new Error("nothing is fetched here")),
        })),
      );
    },
  };
}

async function chosen(sources: readonly Source[], ...texts: string[]): Promise<string[]> {
  const resolver = new PackageResolver({
    ...{ sources, interpreter, unreachable: new Map() },
    provided: (name) => name === "cloudpickle",
    direct: ({ name, url }) => {
      const version = /-(\d+)-/.exec(url ?? "")?.[1];
      if (url === undefined || version === undefined) return Promise.reject(new PackageError("no wheel there"));
      return Promise.resolve({
        ...{ name, version, fileName: url, source: "its address", yanked: false, address: url },
        metadata: () => Promise.resolve({ name, version, requiresPython: undefined, requires: [] }),
        fetch: () => Promise.reject(new Error("nothing is fetched here")),
      });
    },
  });
  const all = await resolver.resolve(texts.map(parseRequirement));
  return [...all.values()].map(({ candidate }) => `${candidate.name} ${candidate.version}`).sort();
}

describe("of each package", () => {
  it("the newest release is chosen that everybody agrees with", async () => {
    const world = { "a 1.0": [], "a 2.0": ["b<2"], "a 3.0a1": [], "b 1.5": [], "b 2.0": [] };
    expect(await chosen([source(world)], "a", "b")).toEqual(["a 2.0", "b 1.5"]);
    expect(await chosen([source(world)], "a>=3.0a0")).toEqual(["a 3.0a1"]);
    expect(await chosen([source(world)], "a<2", "b")).toEqual(["a 1.0", "b 2.0"]);
  });

  it("versions before a release are chosen where there are no others", async () => {
    expect(await chosen([source({ "a 1.0rc1": [] })], "a")).toEqual(["a 1.0rc1"]);
  });

  it("an older one is chosen when the newest contradicts what else is needed", async () => {
    const world = { "a 2": ["c==2"], "a 1": ["c==1"], "b 1": ["c==1"], "c 1": [], "c 2": [] };
    expect(await chosen([source(world)], "a", "b")).toEqual(["a 1", "b 1", "c 1"]);
  });

  it("extras and markers bring what they say, nothing else", async () => {
    const world = {
      "a 1": [
        "b; extra == 'x'",
        "c; extra == 'y'",
        "d; sys_platform == 'win32'",
        "e; python_version >= '3'",
        "cloudpickle>=9",
      ],
      ...{ "b 1": ["a[y]"], "c 1": [], "d 1": [], "e 1": [] },
    };
    expect(await chosen([source(world)], "a")).toEqual(["a 1", "e 1"]);
    expect(await chosen([source(world)], "a[x]")).toEqual(["a 1", "b 1", "c 1", "e 1"]);
    expect(await chosen([source(world)], "a; python_version < '3'")).toEqual([]);
  });

  it("the one at an address is chosen where somebody names it, and nobody contradicts", async () => {
    const address = "a @ https://host/a-1-py3-none-any.whl";
    const world = { "a 1": [], "a 2": [], "b 1": [address], "b 2": ["a>=2"] };
    expect(await chosen([source(world)], "a", address)).toEqual(["a 1"]);
    expect(await chosen([source(world)], address, "a")).toEqual(["a 1"]);
    expect(await chosen([source(world)], address, "b")).toEqual(["a 1", "b 1"]);
    for (const texts of [
      [address, "a>=2"],
      ["a>=2", address],
      [address, address.replace("-1-", "-2-")],
      ["a", "b==1"],
    ]) {
      const error = chosen([source(world)], ...texts);
      await expect(error).rejects.toThrow(/^a: .*host\/a-1-py3-none-any.whl/);
    }
  });

  it("circles end", async () => {
    expect(await chosen([source({ "a 1": ["b"], "b 1": ["a"] })], "a")).toEqual(["a 1", "b 1"]);
  });

  it("the first source that has a fitting version is taken, and later ones are asked only when needed", async () => {
    const [first, second] = [source({ "a 1": [] }, "one"), source({ "a 2": [], "b 1": [] }, "two")];
    expect(await chosen([first, second], "a")).toEqual(["a 1"]);
    expect(second.asked).toEqual([]);
    expect(await chosen([first, second], "a>1", "b")).toEqual(["a 2", "b 1"]);
  });

  it("one that was withdrawn is chosen only by its exact version, and one for another Python not at all", async () => {
    const world = { "a 1": [], "a 2": [], "b 1": [], "b 2": "<3.10" };
    expect(await chosen([source(world, "s", ["a 2"])], "a", "b")).toEqual(["a 1", "b 1"]);
    expect(await chosen([source(world, "s", ["a 2"])], "a==2")).toEqual(["a 2"]);
  });
});

describe("an error names the package and the reason", () => {
  it.each([
    [
      ["a-1.0-cp314-cp314-manylinux_2_28_x86_64.whl"],
      "a",
      "no wheel of it is for this interpreter (cp314-cp314-pyemscripten_2026_0_wasm32), such as a-1.0",
    ],
    [["a-1.0.tar.gz"], "a", "there is no wheel of it in here, only a-1.0.tar.gz, and packages are not built here"],
    [
      ["a-1.0-py3-none-any.whl", "a-2.0.tar.gz"],
      "a>=2",
      "here has 1.0; there is no wheel of it in here, only a-2.0.tar.gz",
    ],
    [["a-1.0-py3-none-any.whl", "a-2.0.tar.gz"], "a<1", "a: here has 1.0; asked for"],
    [
      ["uvloop-1.0.tar.gz"],
      "uvloop",
      "uvloop: it needs threads, which Python in WebAssembly has not; there is no wheel",
    ],
  ])("when a source has %j and %s is wanted", async (files, text, reason) => {
    const found = (name: string) =>
      choose(
        name,
        files.map((fileName) => ({ fileName })),
        interpreter,
        ({ fileName }, version) => ({
          ...{ name, version, fileName, source: "here", yanked: false },
          metadata: () => Promise.reject(new Error("nobody asks")),
          fetch: () => Promise.reject(new Error("nobody asks")),
        }),
      );
    const here: Source = { label: "here", find: (name) => Promise.resolve(found(name)) };
    await expect(chosen([here], text)).rejects.toThrow(reason);
  });

  it.each([
    [{}, ["a"], "a: no source has it"],
    [{ "a 1": [] }, ["a>=2"], "a: the test has 1; asked for: >=2 (the script)"],
    [{ "a 1": ["b>2"], "b 1": [] }, ["a"], "b: the test has 1; asked for: >2 (a 1)"],
    [{ "a 1": ["c<2"], "b 1": ["c>=2"], "c 1": [], "c 2": [] }, ["a", "b"], "c: "],
    [{ "a 1": "<3" }, ["a"], "a 1 needs Python <3, and this is 3.14"],
  ])("%j, %j", async (world, texts, reason) => {
    await expect(chosen([source(world as World)], ...texts)).rejects.toThrow(reason);
  });

  it("of a contradiction that no choice solves, after a bounded number of tries", async () => {
    const world: Record<string, string[]> = {};
    for (const name of ["a", "b", "c", "d", "e"]) {
      for (let version = 1; version <= 20; version++) world[`${name} ${version}`] = [`z==${name.charCodeAt(0)}`];
    }
    for (const name of ["a", "b", "c", "d", "e"]) world[`z ${name.charCodeAt(0)}`] = [];
    await expect(chosen([source(world)], "a", "b", "c", "d", "e")).rejects.toThrow(/z: |tries/);
  });
});
