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

/** The names that the editor completes, read from what scripts see. */
const completions = {
  name: "completions",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^virtual:completions$/ }, ({ path }) => ({ path, namespace: "completions" }));
    onLoad({ filter: /.*/, namespace: "completions" }, () => ({
      contents: `export const COMPLETIONS = ${JSON.stringify(namesOfRuntime())};`,
    }));
  },
};

function namesOfRuntime() {
  const runtime = (name) => readFileSync(join(root, "src/python/runtime", name), "utf8");
  const [, globals = ""] = /^_PLAIN = \{(.*?)^\}/ms.exec(runtime("api.py")) ?? [];
  const names = [...globals.matchAll(/^ {4}"(\w+)":/gm)].map(([, label]) => ({ label, type: "function" }));
  const builder = runtime("builder.py");
  const [, delegated = ""] = /^for _name in \((.*?)\):/ms.exec(builder) ?? [];
  const steps = [...delegated.matchAll(/"(\w+)"/g)].map(([, label]) => ({ label, type: "method" }));
  const methods = [...builder.matchAll(/^ {4}def ([a-z]\w*)\(self(?:, )?(.*)\):\n {8}"""(.*?)"""/gm)];
  const own = methods.map(([, label, args, info]) => ({ label, type: "method", detail: `(${args})`, info }));
  if (names.length === 0 || steps.length === 0 || own.length === 0)
    throw new Error("the runtime has no names any more");
  return { names, methods: [...steps, ...own] };
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
