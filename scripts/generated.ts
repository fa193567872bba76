/** The generated parts of the documents: the options, the commands as their rows describe them, what tests measured, what was tried. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { CommandRow } from "../src/commands/command.ts";
import { performancePage, performancePlot } from "../bench/page.ts";
import { optionTable } from "../src/config.ts";
import { arm64Table, clientTable, differenceTable } from "./compatibility.ts";

const SOURCE = new URL("../src/", import.meta.url);
const RESULTS = new URL("../bench/results/", import.meta.url);
const PERSISTENCE = new URL("persistence/", RESULTS);
/** What of it the README shows: saving and loading, what a log costs, and what is lost when the server is killed. */
const KEPT = /^[1-5]-.*\.json$/;

/**
 * Stands for whatever a row factory is given: rows only keep it for when they run, which they do not here.
 */
const anything: unknown = new Proxy(() => undefined, {
  get: (_, key) => (key === Symbol.toPrimitive ? () => "" : anything),
  apply: () => anything,
  construct: () => anything as object,
});

/** All commands: every function of a file `*-rows.ts` whose name ends in `Commands` gives rows. */
export async function allCommands(): Promise<CommandRow[]> {
  const rows: CommandRow[] = [];
  for (const file of readdirSync(fileURLToPath(SOURCE), { recursive: true, encoding: "utf8" }).sort()) {
    if (!file.endsWith("-rows.ts")) continue;
    const module = (await import(new URL(file, SOURCE).href)) as Record<string, unknown>;
    for (const [name, value] of Object.entries(module))
      if (name.endsWith("Commands") && typeof value === "function")
        rows.push(...(value as (deps: unknown) => CommandRow[])(anything));
  }
  return rows.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The commands as a Markdown table. */
export function commandTable(rows: readonly CommandRow[]): string {
  const escaped = (text: string): string => text.replaceAll("|", "\\|");
  const lines = rows.map((row) => {
    const syntax = `\`${`${row.name.toUpperCase()} ${escaped(row.syntax)}`.trim()}\``;
    return `| ${syntax} | ${row.since} | ${escaped(row.summary)} | \`${row.testedBy}\` |`;
  });
  return ["| command | since | what it does | tested by |", "| --- | --- | --- | --- |", ...lines].join("\n");
}

/**
 * What the tests of faults, the fuzzers and the soak measured when `npm run figures` ran them last.
 *
 * @param folder has a file of figures for each line
 * @param files which of them are lines
 */
export function figureTable(folder = RESULTS, files = /\.json$/): string {
  const lines = readdirSync(fileURLToPath(folder))
    .filter((file) => files.test(file))
    .sort()
    .map((file) => {
      const { what, result } = JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Record<string, string>;
      return `| ${what} | ${result} |`;
    });
  return ["| what was done | what came of it |", "| --- | --- |", ...lines].join("\n");
}

/** The documents with generated parts, and how each is made anew from its text. */
export const generatedDocuments: Readonly<Record<string, (text: string) => Promise<string>>> = {
  "README.md": async (text) => fill(text, { persistence: figureTable(PERSISTENCE, KEPT) }),
  "docs/options.md": async (text) => fill(text, { options: optionTable() }),
  "docs/commands.md": async (text) => fill(text, { commands: commandTable(await allCommands()) }),
  "docs/persistence.md": async (text) => fill(text, { figures: figureTable(PERSISTENCE) }),
  "docs/packages.md": async (text) => fill(text, { figures: figureTable(new URL("packages/", RESULTS)) }),
  "docs/connections.md": async (text) => fill(text, { figures: figureTable(new URL("write-behind/", RESULTS)) }),
  "docs/testing.md": async (text) => fill(text, { figures: figureTable() }),
  "docs/compatibility.md": async (text) =>
    fill(text, { clients: clientTable(), differences: differenceTable(), arm64: arm64Table() }),
  "docs/performance.md": async () => performancePage(),
  "docs/performance.svg": async () => performancePlot(),
};

/** A document with what stands between its markers made anew. @throws Error when a marker is missing */
function fill(document: string, parts: Readonly<Record<string, string>>): string {
  let text = document;
  for (const [name, content] of Object.entries(parts)) {
    const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const from = text.indexOf(start);
    const to = text.indexOf(end);
    if (from < 0 || to < from) throw new Error(`there is no ${start} … ${end}`);
    text = `${text.slice(0, from + start.length)}\n${content}\n${text.slice(to)}`;
  }
  return text;
}
