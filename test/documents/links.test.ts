/** What the documents point to is there: the files and headings of their links, and the files that they name in backquotes. */
import { existsSync } from "node:fs";
import { posix } from "node:path";
import { describe, expect, it } from "vitest";
import { anchorsOf, filesOfRepository, type Link, linksOf, namedPaths, ROOT, read } from "./pages.ts";

const documents = filesOfRepository().filter((path) => path.endsWith(".md"));

/** The links of a document that lead nowhere. */
function broken(document: string, links: readonly Link[]): Link[] {
  return links.filter(({ target }) => {
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? document : posix.normalize(posix.join(posix.dirname(document), path));
    if (file.startsWith("..") || !existsSync(ROOT + file)) return true;
    return anchor !== undefined && !(file.endsWith(".md") && anchorsOf(read(file)).has(anchor));
  });
}

describe("how they are read", () => {
  it("links, headings and names", () => {
    const text = [
      "# A `title`, and more",
      "[a](b.md#c) `[no](link)` [d](https://example.org) ![e](#f)",
      "```sh",
      "[g](h) `src/i.ts`",
      "```",
      "## Twice",
      "## Twice",
      "`src/j.ts` and `/src/k.ts`, `docs/`, `test/l m`",
    ].join("\n");
    expect(linksOf(text)).toEqual([
      { line: 2, target: "b.md#c" },
      { line: 2, target: "#f" },
    ]);
    expect([...anchorsOf(text)]).toEqual(["a-title-and-more", "twice", "twice-1"]);
    expect(namedPaths(text)).toEqual([
      { line: 8, target: "src/j.ts" },
      { line: 8, target: "docs/" },
    ]);
  });

  it("links that lead nowhere", () => {
    const links = [
      "README.md",
      "docs/security.md#users-over-restarts",
      "docs",
      "docs/none.md",
      "README.md#none",
      "../x",
    ];
    const found = broken(
      "README.md",
      links.map((target, line) => ({ line, target })),
    );
    expect(found.map(({ target }) => target)).toEqual(["docs/none.md", "README.md#none", "../x"]);
  });
});

describe.each(documents)("%s", (document) => {
  const text = read(document);

  it("has links to files and headings that exist", () => {
    expect(broken(document, linksOf(text))).toEqual([]);
  });

  it("names files that exist", () => {
    expect(namedPaths(text).filter(({ target }) => !existsSync(ROOT + target))).toEqual([]);
  });
});

it("the README's table has a row for each page", () => {
  const linked = linksOf(read("README.md")).map(({ target }) => target);
  const pages = documents.filter((path) => /^docs\/[^/]*\.md$/.test(path));
  expect(pages.length).toBeGreaterThan(10);
  expect(pages.filter((path) => !linked.includes(path))).toEqual([]);
});
