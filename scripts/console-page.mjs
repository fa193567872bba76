// Bundles the page of the console (src/console/page) into a folder: what browsers get, with nothing to fetch from elsewhere.
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const source = join(root, "src/console/page");

/** Builds the page. @param folder where it is put */
export async function buildConsolePage(folder) {
  const { metafile } = await build({
    entryPoints: [join(source, "app.ts")],
    outdir: folder,
    bundle: true,
    splitting: true,
    format: "esm",
    target: ["chrome109", "firefox115", "safari16.4"],
    minify: true,
    metafile: true,
    legalComments: "none",
    chunkNames: "[name]-[hash]",
    loader: { ".py": "text" },
    plugins: [completions],
    logLevel: "warning",
  });
  for (const name of ["index.html", "icon.svg"]) cpSync(join(source, name), join(folder, name));
  writeFileSync(join(folder, "licences.txt"), licences(Object.keys(metafile.inputs)));
}

/** The names that the editor completes, with what editors of others know of them. */
const completions = {
  name: "completions",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^virtual:completions$/ }, ({ path }) => ({ path, namespace: "completions" }));
    onLoad({ filter: /.*/, namespace: "completions" }, () => ({
      contents: `export const COMPLETIONS = ${JSON.stringify(namesOfScripts())};`,
    }));
  },
};

/** Reads `gears.pyi`: the names that scripts begin with, and the methods of a builder. */
function namesOfScripts() {
  const text = readFileSync(join(root, "src/cli/stubs/gears.pyi"), "utf8");
  const [, all = ""] = /^__all__ = \[(.*?)^\]/ms.exec(text) ?? [];
  const [, builder = ""] = /^class GearsBuilder:\n(.*?)^class /ms.exec(text) ?? [];
  const functions = definitions(text, "", "function");
  const names = [...all.matchAll(/"(\w+)"/g)].map(
    ([, label]) => functions.find((one) => one.label === label) ?? { label, type: "variable" },
  );
  const methods = definitions(builder, "    ", "method").filter(({ label }) => !label.startsWith("_"));
  if (names.length === 0 || methods.length === 0) throw new Error("gears.pyi has no names any more");
  return { names, methods };
}

/** The functions that are defined with this indentation, with the names of their arguments and what is said of them. */
const definitions = (text, indent, type) =>
  [...text.matchAll(new RegExp(`^${indent}def (\\w+)\\((.*?)\\)(?: -> [^\\n]*)?:(?:\\s*"""(.*?)""")?`, "gms"))].map(
    ([, label, args, info = ""]) => ({
      ...{ label, type, info: info.replace(/\s+/g, " ") },
      detail: `(${argumentsOf(args).join(", ")})`,
    }),
  );

/** Names without types and defaults, and without `self`. */
function argumentsOf(args) {
  let plain = args;
  // what stands in brackets may have commas
  for (let before = ""; before !== plain; ) {
    before = plain;
    plain = plain.replace(/\[[^[\]]*\]/g, "");
  }
  const names = plain.split(",").map((one) => one.replace(/[:=].*/s, "").trim());
  return names.filter((name) => name !== "" && name !== "self" && name !== "/");
}

/** The licences of all packages that are part of the page. */
function licences(inputs) {
  const packages = new Set(
    inputs.map((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0]).filter(Boolean),
  );
  return [...packages]
    .sort()
    .map((path) => {
      const { name, version } = JSON.parse(readFileSync(join(root, path, "package.json"), "utf8"));
      const file = ["LICENSE", "LICENSE.md", "LICENCE"].map((one) => join(root, path, one)).find(existsSync);
      if (!file) throw new Error(`${path} has no licence in ${dirname(path)}`);
      return `${name} ${version}\n\n${readFileSync(file, "utf8").trim()}\n`;
    })
    .join(`\n${"-".repeat(80)}\n\n`);
}
