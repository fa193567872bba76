/** The documents as text to check: their links, headings, and the sections and tests of the specification. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** All files of the repository but those that were installed, built or kept in between. */
export function filesOfRepository(): string[] {
  return readdirSync(ROOT, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => !/(^|\/)(node_modules|dist|\.git|\.cache)(\/|$)/.test(path))
    .sort();
}

export const read = (path: string): string => readFileSync(ROOT + path, "utf8");

/** A Markdown text without its fenced blocks, whose lines are made empty. */
export function prose(markdown: string): string {
  let inside = false;
  const lines = markdown.split("\n").map((line) => {
    const isFence = /^\s*```/.test(line);
    if (isFence) inside = !inside;
    return isFence || inside ? "" : line;
  });
  return lines.join("\n");
}

export interface Link {
  readonly line: number;
  readonly target: string;
}

/** The links of a Markdown text to files and headings; not those to other sites. */
export function linksOf(markdown: string): Link[] {
  return prose(markdown)
    .split("\n")
    .flatMap((line, at) =>
      [...line.replace(/`[^`]*`/g, "").matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => ({
        line: at + 1,
        target,
      })),
    )
    .filter(({ target }) => !/^[a-z]+:/.test(target));
}

/** Files and folders of this repository that a Markdown text names in backquotes. */
export function namedPaths(markdown: string): Link[] {
  const named = /`((?:src|test|docs|scripts|bench|examples|bin|docker|\.ci)\/[^`\s]*)`/g;
  return prose(markdown)
    .split("\n")
    .flatMap((line, at) => [...line.matchAll(named)].map(([, target = ""]) => ({ line: at + 1, target })));
}

/** The names by which the headings of a Markdown text can be linked to, as GitHub makes them. */
export function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of prose(markdown).matchAll(/^#{1,6} (.*)$/gm)) {
    const words = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = words.replace(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-");
    let name = anchor;
    for (let count = 1; anchors.has(name); count++) name = `${anchor}-${count}`;
    anchors.add(name);
  }
  return anchors;
}

/** A section that a text refers to. */
export interface Reference {
  /** `commands`, `python` or `events`; undefined when the text's own section is meant. */
  readonly file: string | undefined;
  readonly section: number;
}

const REFERENCE =
  /(?:`?(?:docs\/spec\/)?\b(?<before>commands|python|events)\.md`?,? )?\bsections? (?<list>\d+(?:(?:, | and | to )\d+)*)(?: of `(?<behind>commands|python|events)\.md`)?/g;

/** The sections of the specification that a text refers to: "`events.md`, sections 3 to 5", "section 2 of `python.md`". */
export function referencesOf(text: string): Reference[] {
  return [...text.matchAll(REFERENCE)].flatMap(({ groups = {} }) => {
    const file = groups.before ?? groups.behind;
    return numbersIn(groups.list ?? "").map((section) => ({ file, section }));
  });
}

function numbersIn(list: string): number[] {
  return list.split(/, | and /).flatMap((part) => {
    const [from = 0, to = from] = part.split(" to ").map(Number);
    return Array.from({ length: to - from + 1 }, (_, at) => from + at);
  });
}

/** A test that a section names: a file, and the titles in it. */
export interface NamedTest {
  readonly file: string;
  readonly titles: readonly string[];
}

export interface Section {
  readonly heading: string;
  /** The number in the heading. */
  readonly number: number | undefined;
  /** The numbers of its rules. */
  readonly rules: readonly number[];
  /** What stands in its `Tests:`; undefined when it has none. The tests of a rule are under its number, others under 0. */
  readonly tests: ReadonlyMap<number, readonly NamedTest[]> | undefined;
}

/** The sections of a file of the specification. @throws Error for a line of tests that can not be read */
export function sectionsOf(markdown: string): Section[] {
  return prose(markdown)
    .split(/^## /m)
    .slice(1)
    .map((text) => {
      const [heading = "", ...lines] = text.split("\n");
      const number = /^(\d+)\. /.exec(heading)?.[1];
      const end = lines[0]?.startsWith("Tests:") ? Math.max(1, lines.indexOf("")) : 0;
      const rules = lines.slice(end).flatMap((line) => /^(\d+)\. /.exec(line)?.[1] ?? []);
      return {
        heading,
        number: number === undefined ? undefined : Number(number),
        rules: rules.map(Number),
        tests: end === 0 ? undefined : new Map(testLines(lines.slice(0, end)).map(testsOfLine)),
      };
    });
}

const testLines = ([first = "", ...others]: readonly string[]): string[] =>
  [first.replace(/^Tests: ?/, ""), ...others.map((line) => line.replace(/^- /, ""))].filter((line) => line !== "");

const NAMED_TEST = /^`([^`]+)`((?: "[^"]+")*)$/;

function testsOfLine(line: string): [number, NamedTest[]] {
  const [, rule = "0", list = ""] = /^(?:(\d+): )?(.*)$/.exec(line) ?? [];
  const tests = list.split(/, (?=`)/).map((one) => {
    const [, file = "", titles = ""] = NAMED_TEST.exec(one) ?? [];
    if (file === "") throw new Error(`these are no tests: ${one}`);
    return { file, titles: [...titles.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => title) };
  });
  return [Number(rule), tests];
}

/** The titles of a file of tests, as they stand in its text; in one of recordings the names of the conversations. */
export function titlesOf(path: string, text: string): string[] {
  if (path.endsWith(".json")) {
    const { cases } = JSON.parse(text) as { cases: { name: string }[] };
    return cases.map(({ name }) => name);
  }
  const title =
    /^\s*(?:(?:describe|it|test)\b[^\n]*?|\].*\)?)\(\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`)\s*,/gm;
  return [...text.matchAll(title)].map(([, literal = ""]) => literal.slice(1, -1).replace(/\\(.)/g, "$1"));
}
