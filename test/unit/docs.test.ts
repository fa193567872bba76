import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { allCommands, generatedDocuments } from "../../scripts/generated.ts";
import { OPTIONS } from "../../src/config/options.ts";

const root = new URL("../../", import.meta.url);
const readme = readFileSync(new URL("README.md", root), "utf8");

it.each(Object.entries(generatedDocuments))(
  "%s has up-to-date tables (npm run docs makes them)",
  async (path, generate) => {
    const text = readFileSync(new URL(path, root), "utf8");
    expect(await generate(text)).toBe(text);
  },
);

describe("the README", () => {
  it("names every option and command", async () => {
    for (const name of Object.keys(OPTIONS)) expect(readme).toContain(`| \`${name}\` |`);
    for (const { name } of await allCommands()) expect(readme).toContain(`| \`${name.toUpperCase()}`);
  });

  it("points to files that exist", () => {
    const links = [...readme.matchAll(/\]\((?!https?:|#)([^)#]+)\)/g)].map(([, path = ""]) => path);
    expect(links.length).toBeGreaterThan(0);
    expect(links.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
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
