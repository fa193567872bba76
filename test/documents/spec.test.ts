/** The specification in docs/spec: every section and numbered rule names its tests, and what refers to it finds it. */
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { filesOfRepository, read, referencesOf, ROOT, sectionsOf, titlesOf } from "./pages.ts";

const FOLDER = "docs/spec/";
const spec = filesOfRepository().filter((path) => path.startsWith(FOLDER) && path.endsWith(".md"));
const numbersOf = (name: string): (number | undefined)[] =>
  sectionsOf(read(`${FOLDER}${name}`)).map((one) => one.number);

describe("how it is read", () => {
  it("sections with their rules and tests", () => {
    const text = [
      "## 1. One",
      'Tests: `test/a.test.ts` "that" "and that", `test/b.json`',
      "",
      "1. A rule",
      "## Two",
      "Tests:",
      "- `test/a.test.ts`",
      "- 2: `test/c.test.ts`",
      "",
      "2. A rule",
      "   10. no rule",
      "## 3. Three",
      "1. A rule",
    ].join("\n");
    const a = { file: "test/a.test.ts", titles: [] };
    expect(sectionsOf(text)).toEqual([
      {
        ...{ heading: "1. One", number: 1, rules: [1] },
        tests: new Map([
          [
            0,
            [
              { ...a, titles: ["that", "and that"] },
              { file: "test/b.json", titles: [] },
            ],
          ],
        ]),
      },
      {
        ...{ heading: "Two", number: undefined, rules: [2] },
        tests: new Map([
          [0, [a]],
          [2, [{ file: "test/c.test.ts", titles: [] }]],
        ]),
      },
      { heading: "3. Three", number: 3, rules: [1], tests: undefined },
    ]);
    expect(() => sectionsOf("## 1. One\nTests: somewhere\n")).toThrow("these are no tests: somewhere");
  });

  it("titles", () => {
    const text =
      'it("a \\"b\\"", async () => {\n  describe.each(LIST)("%s", (x) => {\n  ])("c", () => {\nit(\n  `d`,\n  f("e", 1)';
    expect(titlesOf("x.test.ts", text)).toEqual(['a "b"', "%s", "c", "d"]);
    expect(titlesOf("x.json", '{"cases":[{"name":"f"}]}')).toEqual(["f"]);
  });

  it("references", () => {
    const text =
      "docs/spec/events.md, sections 3 to 5. See `python.md`, section 2, section 1 of `commands.md`, section 7";
    expect(referencesOf(text)).toEqual([
      { file: "events", section: 3 },
      { file: "events", section: 4 },
      { file: "events", section: 5 },
      { file: "python", section: 2 },
      { file: "commands", section: 1 },
      { file: undefined, section: 7 },
    ]);
  });
});

it("has its files", () => {
  expect(spec).toEqual(["README.md", "commands.md", "events.md", "python.md"].map((name) => FOLDER + name));
  for (const [name, sections] of [
    ["commands.md", 15],
    ["python.md", 14],
    ["events.md", 13],
  ] as const)
    expect(numbersOf(name)).toEqual(Array.from({ length: sections }, (_, at) => at + 1));
});

describe.each(spec)("%s", (path) => {
  const sections = sectionsOf(read(path)).filter(({ number, rules }) => number !== undefined || rules.length > 0);

  it.each(sections.map((section) => [section.heading, section] as const))("%s: names its tests", (_, section) => {
    expect(section.tests, "there is no line that begins with Tests:").toBeDefined();
    const named = section.tests ?? new Map();
    expect(section.rules.filter((rule) => !named.has(rule))).toEqual([]);
    expect([...named.keys()].filter((rule) => rule !== 0 && !section.rules.includes(rule))).toEqual([]);
  });

  it("names tests that exist", () => {
    const tests = sectionsOf(read(path)).flatMap((section) => [...(section.tests?.values() ?? [])].flat());
    expect(tests.length).toBeGreaterThan(0);
    const missing = tests.flatMap(({ file, titles }) => {
      if (!existsSync(ROOT + file)) return [file];
      const present = titlesOf(file, read(file));
      return titles.filter((title) => !present.some((one) => one.includes(title))).map((title) => `${file} "${title}"`);
    });
    expect(missing).toEqual([]);
  });

  it("refers to sections that exist", () => {
    const own = path.slice(FOLDER.length);
    const missing = referencesOf(read(path).replace(/^Tests:.*|^- .*"$/gm, "")).filter(
      ({ file, section }) => !numbersOf(file === undefined ? own : `${file}.md`).includes(section),
    );
    expect(missing).toEqual([]);
  });
});

describe("the code", () => {
  const code = filesOfRepository().filter(
    (path) =>
      /^(src|test|scripts)\/.*\.(ts|mjs|py|lua)$/.test(path) &&
      path !== "test/documents/spec.test.ts" &&
      path !== "test/documents/pages.ts",
  );

  it("refers to sections that exist", () => {
    const found = code.flatMap((path) =>
      referencesOf(read(path))
        .filter(({ file }) => file !== undefined)
        .map((reference) => ({ path, ...reference })),
    );
    expect(found.length).toBeGreaterThan(20);
    expect(found.filter(({ file, section }) => !numbersOf(`${file}.md`).includes(section))).toEqual([]);
  });

  it("names the specification with its folder, so that it can be found", () => {
    const bare = /(?<!docs\/spec\/|docs\/)\b(?:commands|python|events)\.md\b/;
    expect(code.filter((path) => bare.test(read(path)))).toEqual([]);
  });
});
