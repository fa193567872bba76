/** `regears completion`: the shells themselves say what they would offer. */
import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { newFolder } from "../support/folders.ts";
import { finish } from "./program.ts";

/** What bash offers for a line of words, of which the last is being typed. */
function offered(script: string, ...words: string[]): string[] {
  const list = words.map((word) => `'${word}'`).join(" ");
  const code = `${script}\nCOMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _regears; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["-c", code], { encoding: "utf8" }).trim().split("\n");
}

/** Says what zsh offers: its completion needs a terminal. */
const OFFERED = fileURLToPath(new URL("offered.zsh", import.meta.url));
const hasZsh = spawnSync("zsh", ["-c", "true"]).status === 0;

describe("completion", () => {
  it("of bash", async () => {
    const { code, out } = await finish(["completion", "bash"]);
    expect(code).toBe(0);
    expect(offered(out, "regears", "comp")).toEqual(["completion"]);
    expect(offered(out, "regears", "--isol")).toEqual(["--isolation"]);
    expect(offered(out, "regears", "--isolation", "")).toEqual(["shared", "session"]);
    expect(offered(out, "regears", "--appendonly", "")).toEqual(["yes", "no"]);
    expect(offered(out, "regears", "run", "--unb")).toEqual(["--unblocking"]);
    expect(offered(out, "regears", "run", "examples/word")).toEqual(["examples/word_count.py"]);
    expect(offered(out, "regears", "run", "--load", "examples/word")).toEqual(["examples/word_count.py"]);
    expect(offered(out, "regears", "completion", "z")).toEqual(["zsh"]);
    expect(offered(out, "regears", "exec", "--port", "0", "--", "prin")).toContain("printf");
    expect(offered(out, "regears", "exec", "--", "cat", "examples/word")).toEqual(["examples/word_count.py"]);
    expect(offered(out, "regears", "exec", "--tes")).toEqual(["--test-clock"]);
  });

  describe.skipIf(!hasZsh)(`of zsh${hasZsh ? "" : " (skipped: there is no zsh)"}`, () => {
    const folder = newFolder();
    /** What it offers for a line. */
    const inZsh = (line: string): string[] =>
      execFileSync("zsh", ["-f", OFFERED, folder, line], { encoding: "utf8" }).split("\n").filter(Boolean);
    beforeAll(async () => {
      const { code, out } = await finish(["completion", "zsh"]);
      expect(code).toBe(0);
      writeFileSync(join(folder, "_regears"), out);
    });

    it.each([
      ["regears comp", ["completion"]],
      ["regears --isol", ["--isolation"]],
      ["regears --isolation ", ["shared", "session"]],
      ["regears --appendonly ", ["yes", "no"]],
      ["regears run --unb", ["--unblocking"]],
      // the folder stands in the line already
      ["regears run examples/word", ["word_count.py"]],
      ["regears run --load examples/word", ["word_count.py"]],
      ["regears completion z", ["zsh"]],
      ["regears exec --tes", ["--test-clock"]],
      ["regears exec --port 0 -- cat examples/word", ["word_count.py"]],
      ["regears nothing-of-this-name", []],
    ])("%s", (line, words) => {
      expect(inZsh(line)).toEqual(words);
    });

    it("completes the command of exec", () => {
      expect(inZsh("regears exec -- prin")).toContain("printf");
    });
  });

  it("of another shell there is none", async () => {
    expect(await finish(["completion", "fish"])).toMatchObject({ code: 2 });
  });

  it("each command has its own help", async () => {
    const { code, out } = await finish(["run", "--help"]);
    expect(code).toBe(0);
    expect(out).toContain("Usage: regears run [OPTION ...] FILE [ARG ...]\n");
    expect(out).toContain("  --requirements NAME ");
  });
});
