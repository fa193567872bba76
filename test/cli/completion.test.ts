/** `regears completion`: the shells themselves say what they would offer. */
import { execFileSync, spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { finish } from "./program.ts";

/** What bash offers for a line of words, of which the last is being typed. */
function offered(script: string, ...words: string[]): string[] {
  const list = words.map((word) => `'${word}'`).join(" ");
  const code = `${script}\nCOMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _regears; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["-c", code], { encoding: "utf8" }).trim().split("\n");
}

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

  it.skipIf(!hasZsh)(`of zsh has no mistakes${hasZsh ? "" : " (skipped: no zsh)"}`, async () => {
    const { out } = await finish(["completion", "zsh"]);
    const { status, stderr } = spawnSync("zsh", ["-n", "-c", out], { encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
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
