/** How the documents are read, so that no block is left out without a word. */
import { describe, expect, it } from "vitest";
import { blockOfHeader, blocksOfMarkdown, commandsOf, isShown } from "./blocks.ts";

const block = (text: string) => ({ line: 1, language: "sh", text });

describe("the blocks of a document", () => {
  it("are found with their lines, languages and markers", () => {
    const text = [
      "# Title",
      "```sh",
      "one",
      "",
      "two",
      "```",
      "<!-- run: not, it needs Docker -->",
      "```js",
      "three",
      "```",
      "* a list",
      "  <!-- run: after set-up.sh -->",
      "  ```python",
      "  four",
      "  ```",
    ].join("\n");
    expect(blocksOfMarkdown(text)).toEqual([
      { line: 3, language: "sh", text: "one\n\ntwo" },
      { line: 9, language: "js", text: "three", not: "it needs Docker" },
      { line: 14, language: "python", text: "four", after: "set-up.sh" },
    ]);
  });

  it("must have an end, and markers must be right", () => {
    expect(() => blocksOfMarkdown("```sh\nx")).toThrow("line 1: this block has no end");
    expect(() => blocksOfMarkdown("<!-- run: never -->\n```sh\nx\n```")).toThrow("line 1: a marker is");
  });

  it("are the indented lines of an example's header", () => {
    const header = "# A title\n#\n#   one\n#   # its output\n#\n# Prose.\n#   two\nimport time\n#   not this\n";
    expect(commandsOf(blockOfHeader(header))).toEqual([
      { line: 3, text: "one", output: "its output" },
      { line: 7, text: "two", output: undefined },
    ]);
  });
});

describe("the commands of a block", () => {
  it("are whole, with the outputs below them", () => {
    const text = ["# prose", "a \\", "  b", "# 1", "#   2", "", "# prose", "c 'x", "y'", "cat <<E", "z", "E", "# z"];
    expect(commandsOf(block(text.join("\n")))).toEqual([
      { line: 2, text: "a \\\n  b", output: "1\n  2" },
      { line: 8, text: "c 'x\ny'", output: undefined },
      { line: 10, text: "cat <<E\nz\nE", output: "z" },
    ]);
  });
});

describe("an output", () => {
  it.each([
    ["1\n2\n", "1\n2", true],
    ["1", "1", true],
    ["", "1", false],
    ["1\n2\n", "1", false],
    ["12\n", "1", false],
    ['1) "1747-0"\n', '1) "…-0"', true],
    ['1) "1747-1"\n', '1) "…-0"', false],
    ["a\nb\nc\n", "…\nb\n…", true],
    ["b\n", "…\nb\n…", true],
    ["a\nc\n", "…\nb\n…", false],
    ["a.c\n", "a.c", true],
    ["abc\n", "a.c", false],
  ])("%j is shown as %j: %s", (text, shown, yes) => {
    expect(isShown(text, shown)).toBe(yes);
  });
});
