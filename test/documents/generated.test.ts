import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { allCommands, generatedDocuments } from "../../scripts/generated.ts";
import { OPTIONS } from "../../src/config/options.ts";

const root = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");

it.each(Object.entries(generatedDocuments))(
  "%s has up-to-date tables (npm run docs makes them)",
  async (path, generate) => {
    const text = read(path);
    expect(await generate(text)).toBe(text);
    const [end] = /^<!-- \/.*$/m.exec(text) ?? [];
    if (end === undefined) {
      // A document without markers is made as a whole.
      expect(await generate(`${text}changed`)).toBe(text);
      return;
    }
    // What stands between the markers is what is compared.
    expect(await generate(text.replace(end, `changed\n${end}`))).toBe(text);
    await expect(generate(text.replace(end, ""))).rejects.toThrow("there is no <!-- ");
  },
);

describe("the documents", () => {
  it("name every option and command", async () => {
    const [options, commands] = [read("docs/options.md"), read("docs/commands.md")];
    for (const name of Object.keys(OPTIONS)) expect(options).toContain(`| \`${name}\` |`);
    for (const { name } of await allCommands()) expect(commands).toContain(`| \`${name.toUpperCase()}`);
  });

  it("begin with a README that is short, and says how the tests are run", () => {
    const readme = readFileSync(new URL("README.md", root));
    expect(readme.length).toBeLessThanOrEqual(10_000);
    expect(readme.toString()).toContain("`npm test`");
  });
});

describe("the commands", () => {
  it("are each tested by a file that exists", async () => {
    const rows = await allCommands();
    expect(rows.length).toBeGreaterThan(10);
    expect(rows.filter(({ testedBy }) => !existsSync(new URL(testedBy, root))).map(({ name }) => name)).toEqual([]);
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
  });
});
