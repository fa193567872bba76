/** The walks of docs/architecture.md go where the code goes: each file that a step names is called in what it tells of. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { read, ROOT } from "./pages.ts";

/** The heading of each walk, and its name in walks.mjs. */
const WALKS = {
  "A `SET` of a client": "set",
  "An `RG.PYEXECUTE` with a flow": "flow",
  "A key event to a `sync` registration": "event",
  "A pipeline of commands with a `sync` registration": "chunk",
  "An `execute()` from Python": "execute",
} as const;
/** Runs in the worker, or with an engine by URL, or is a declaration. */
const ELSEWHERE =
  /^src\/(?:python\/realm\/|python\/protocol\.ts|python\/direct-calls\.ts|python\/direct-chunks\.ts|python\/chunk-events\.ts|engine\/attached-engine\.ts|engine\/upstream)/;

/** The TypeScript files that the steps of a walk name; what stands below its list is about other ways. */
function filesOf(walk: string): string[] {
  const [, text = ""] = read("docs/architecture.md").split(`\n### ${walk}\n`);
  const [section = ""] = text.split(/^##/m);
  const steps = section.split("\n").filter((line) => /^(?:\d+\. | {3})/.test(line));
  const named = steps.flatMap((line) => [...line.matchAll(/`(src\/[^`]+\.ts)`/g)].map(([, file = ""]) => file));
  return [...new Set(named)].filter((file) => !ELSEWHERE.test(file));
}

describe.each(Object.entries(WALKS))("%s", (heading, name) => {
  it("goes through the files that it names", () => {
    const named = filesOf(heading);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((file) => !called[name]?.includes(file.slice("src/".length)))).toEqual([]);
  });
});

let called: Readonly<Record<string, readonly string[]>> = {};
beforeAll(async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [`${ROOT}test/documents/walks.mjs`]);
  called = JSON.parse(stdout) as typeof called;
}, 60_000);
