/**
 * Does what the documents say: every block of the README, of docs/ and of the other Markdown files, and the header of
 * every example, literally, with the real redis-cli; and compares the outputs that they show. See blocks.ts.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { type Block, blockOfHeader, blocksOfMarkdown, commandsOf, isShown } from "./blocks.ts";
import { filesOfRepository, read } from "./pages.ts";
import { type Outcome, whyNoWorld, World } from "./world.ts";

/** What can be run, and as what. */
const RUN: Readonly<Record<string, "sh" | "js" | "python">> = { sh: "sh", bash: "sh", js: "js", python: "python" };
/** What is shown to be read. */
const DATA = ["dockerfile", "ini", "json", "text", "yaml"];

const files = filesOfRepository();
const blocksByFile: readonly (readonly [string, readonly Block[]])[] = [
  ...files.filter((path) => path.endsWith(".md")).map((path) => [path, blocksOfMarkdown(read(path))] as const),
  ...files
    .filter((path) => /^examples\/[^/]*\.py$/.test(path))
    .map((path) => [path, [{ ...blockOfHeader(read(path)), after: "clean-server.sh" }]] as const),
].sort(([a], [b]) => (a < b ? -1 : 1));

const isExample = ([path]: (typeof blocksByFile)[number]): boolean => path.startsWith("examples/");
const hasCode = ([, blocks]: (typeof blocksByFile)[number]): boolean => blocks.some(({ language }) => language in RUN);
/** What is done in one world, by its name. */
const worlds: readonly (readonly [string, typeof blocksByFile])[] = [
  ...blocksByFile.filter((file) => hasCode(file) && !isExample(file)).map((file) => [file[0], [file]] as const),
  // One is enough for all examples, for each begins with an empty server.
  ["examples", blocksByFile.filter(isExample)],
];

const missing = whyNoWorld();
if (missing !== undefined) console.warn(`what documents say is not tried out: ${missing}`);

it("every block has a language that is run, or one that is known to be data", () => {
  const unknown = blocksByFile.flatMap(([path, blocks]) =>
    blocks
      .filter(({ language }) => !(language in RUN) && !DATA.includes(language))
      .map(({ line, language }) => `${path}:${line} has "${language}"`),
  );
  expect(unknown).toEqual([]);
});

describe.each(worlds)("%s", (_, parts) => {
  let outcomes: readonly Outcome[] = [];
  const world = new World();
  beforeAll(async () => {
    if (missing === undefined) outcomes = await world.run();
  }, 300_000);

  const check = (title: string, step: number, output?: string): void =>
    it(title, () => {
      const outcome = outcomes[step];
      if (outcome === undefined) throw new Error("it was not reached, or did not end");
      expect(outcome.status, outcome.output).toBe(0);
      if (output === undefined) expect(outcome.output).not.toMatch(/^(\(error\)|ERR) /m);
      else if (!isShown(outcome.output, output)) expect(outcome.output).toBe(output);
    });

  for (const [path, blocks] of parts)
    for (const block of blocks) {
      const kind = RUN[block.language];
      if (kind === undefined) continue;
      const reason = block.not ?? missing;
      if (reason !== undefined) {
        it.skip(`${path}:${block.line} (not run: ${reason})`);
        continue;
      }
      if (block.after !== undefined) check(`${path}:${block.line} is set up`, world.addSetUp(block.after));
      if (kind === "sh")
        for (const { line, text, output } of commandsOf(block))
          check(`${path}:${line} ${text}`, world.add(text), output);
      else check(`${path}:${block.line}`, world.addProgram(kind, block.text));
    }
});
