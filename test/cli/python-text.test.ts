/** Errors of scripts as people read them. */
import { describe, expect, it } from "vitest";
import { readableError } from "../../src/cli/python-text.ts";
import { parseStringList } from "../../src/python-strings.ts";

const script = { path: "x.py", lines: ["def f():", "    pass", "", "GB().run()"] };

describe("a list of texts", () => {
  it.each([
    ["[]", []],
    [`['a', "it's"]`, ["a", "it's"]],
    [`['\\n\\t\\\\\\'\\xe9\\u20ac\\U0001f600\\q']`, ["\n\t\\'é€😀\\q"]],
    ["['a'", undefined],
    ["['a' 'b']", undefined],
    ["[1]", undefined],
    ["no list", undefined],
  ])("%s", (text, list) => {
    expect(parseStringList(text)).toEqual(list);
  });
});

describe("an error", () => {
  const trace = (...frames: string[]): string =>
    `['Traceback (most recent call last):\\n', ${frames.map((frame) => `'  File "<string>", ${frame}\\n', `).join("")}'E: x\\n']`;

  it("has the script's lines, and no frames of the server", () => {
    expect(readableError(trace("line 4, in <module>", "line 70, in run", "line 2, in f"), script)).toBe(
      'Traceback (most recent call last):\n  File "x.py", line 4, in <module>\n    GB().run()\n' +
        '  File "x.py", line 2, in f\n    pass\nE: x',
    );
    // a line of the server's builder that the script has, too, but in no such function
    expect(readableError(trace("line 2, in register"), script)).toBe("Traceback (most recent call last):\nE: x");
    expect(readableError(trace("line 2, in <lambda>"), script)).toBe("Traceback (most recent call last):\nE: x");
  });

  it("without a traceback is its type and its text", () => {
    expect(readableError("Error type: <class 'not_main.Odd'>, Value: because", script)).toBe("Odd: because");
    expect(readableError("Error type: <class 'SyntaxError'>, Value: bad (<string>, line 1)", script)).toBe(
      '  File "x.py", line 1\n    def f():\nSyntaxError: bad',
    );
    expect(readableError("ERR of a command\r\n", script)).toBe("ERR of a command");
  });
});
