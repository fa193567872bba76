/** Who may import whom. A wall that is broken here is broken in the design, not in the style. */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const source = fileURLToPath(new URL("../src/", import.meta.url));
const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"));

/** Open to all. */
const COMMON = [
  "base.ts",
  "cache-folders.ts",
  "errors.ts",
  "config.ts",
  "log.ts",
  "folder.ts",
  "garbage.ts",
  "in-turns.ts",
  "listening.ts",
  "maybe.ts",
  "newest.ts",
  "places.ts",
  "utf8.ts",
  "timer.ts",
  "test-clock.ts",
];
/** What may be imported of a room besides by those who build it: for the others of its files nobody has a use. */
const ENGINE = [
  ...[
    "engine.ts",
    "engine-client.ts",
    "lasting-client.ts",
    "encode.ts",
    "internal-connections.ts",
    "engine-commands.ts",
    "config-reply.ts",
    "engine-gate.ts",
    "user-rights.ts",
  ],
  ...["traits.ts", "engine-room.ts"],
].map((file) => `engine/${file}`);
const COMMANDS = [
  "caller.ts",
  "command.ts",
  "command-rights.ts",
  "listed.ts",
  "path.ts",
  "table.ts",
  "command-room.ts",
].map((file) => `commands/${file}`);
const PYTHON = [
  "python-host.ts",
  "python-session.ts",
  "job.ts",
  "marshal.ts",
  "messages.ts",
  "protocol.ts",
  "transcode.ts",
  "call-reply.ts",
  "chunk-memory.ts",
  "key-index.ts",
  "key-reading.ts",
  "python-room.ts",
].map((file) => `python/${file}`);
const PACKAGES = ["packages.ts", "packages-room.ts", "package-errors.ts", "transfer.ts"].map(
  (file) => `packages/${file}`,
);

/**
 * What the files under a path may import besides their own folder and what is common; the first match counts. The rooms are
 * in the order in which they are built, and each imports only those before it.
 */
const WALLS: readonly (readonly [path: string, allowed: readonly string[]])[] = [
  ["resp/", []],
  ["engine/", ["resp/"]],
  ["commands/", [...ENGINE, "engine/debug.ts", "engine/own-settings.ts", "resp/"]],
  [
    "python/realm/",
    ["protocol", "channel", "chunk-memory", "direct-calls", "direct-chunks", "memory-image", "pack"].map(
      (name) => `python/${name}.ts`,
    ),
  ],
  [
    "python/worker.ts",
    [
      ...["python/realm/", "python/protocol.ts", "python/channel.ts", "python/direct-calls.ts"],
      ...["python/memory-image.ts", "python/wasm-memory.ts", "garbage.ts"],
    ],
  ],
  // the one file through which a worker knows the engine
  [
    "python/direct-calls.ts",
    [
      "engine/attached-engine.ts",
      "engine/engine.ts",
      ...["channel", "call-reply", "command-names", "python-host", "marshal", "protocol"].map(
        (name) => `python/${name}.ts`,
      ),
    ],
  ],
  [
    "python/direct-chunks.ts",
    [
      ...["engine/attached-engine.ts", "engine/encode.ts"],
      ...[
        "channel",
        "chunk-events",
        "chunk-memory",
        "direct-calls",
        "key-reading",
        "marshal",
        "protocol",
        "transcode",
      ].map((name) => `python/${name}.ts`),
    ],
  ],
  ["python/", ["engine/", "resp/", ...COMMANDS]],
  ["packages/", ["python/python-host.ts", "python/python-session.ts", "python/python-room.ts", "python/pack.ts"]],
  ["executions/", [...ENGINE, ...COMMANDS, ...PYTHON, ...PACKAGES, "resp/"]],
  ["connections/", [...ENGINE, ...COMMANDS, ...PYTHON, "resp/", "executions/"]],
  ["registrations/", [...ENGINE, ...COMMANDS, ...PYTHON, "resp/", "executions/"]],
  ["store/", [...ENGINE, ...COMMANDS, ...PYTHON, "resp/", "executions/", "registrations/"]],
  [
    "visibility/",
    [...ENGINE, ...COMMANDS, ...PYTHON, "resp/", "executions/", "connections/figures.ts", "registrations/"],
  ],
  ["gateway/", ["resp/", "engine/", ...COMMANDS]],
  // runs in browsers, and knows the server by its replies only
  ["console/page/", ["../examples/", "python-strings.ts"]],
  ["console/", [...ENGINE, ...COMMANDS, ...PYTHON, "python/limited-log.ts", "resp/", "executions/"]],
  ["base.ts", []],
  ["cache-folders.ts", []],
  ["config", ["config/"]],
  ["log.ts", []],
  ["errors.ts", []],
  ["folder.ts", []],
  ["in-turns.ts", []],
  ["listening.ts", []],
  ["garbage.ts", []],
  ["maybe.ts", []],
  ["newest.ts", []],
  ["places.ts", []],
  ["utf8.ts", []],
  ["python-strings.ts", []],
  ["version.ts", []],
  ["stack.ts", []],
  ["signals.ts", []],
  ["timer.ts", []],
  ["test-clock.ts", []],
  ["running.ts", ["visibility/"]],
  ["server-url.ts", []],
  ["testing/", ["cli/", "engine/engine-client.ts", "server.ts"]],
  [
    "cli/",
    [
      ...[
        "config/",
        "python-strings.ts",
        "engine/engine-client.ts",
        "engine/url.ts",
        "engine/upstream-connection.ts",
        "running.ts",
        "server.ts",
      ],
      ...["python/early.ts"],
    ],
  ],
];

/** Files that put the parts together and may know them all. */
const ROOTS = ["server.ts", "cli.ts", "index.ts", "testing.ts", "healthcheck.ts"];
/** The worker's side runs where there is neither configuration nor log. */
const WORKER_SIDE =
  /^python\/(worker\.ts|direct-calls\.ts|direct-chunks\.ts|chunk-events\.ts|chunk-memory\.ts|key-index\.ts|key-reading\.ts|command-names\.ts|realm\/)/;

/** The files of src that a file imports, dynamic imports and re-exports included. */
function importsOf(file: string): string[] {
  const text = readFileSync(source + file, "utf8").replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const specifiers = [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)["']([^"']+)["']/g)].map(
    ([, path = ""]) => path,
  );
  return specifiers
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => posix.normalize(posix.join(posix.dirname(file), specifier)));
}

function forbidden(file: string): string[] {
  if (ROOTS.includes(file)) return [];
  const wall = WALLS.find(([path]) => file.startsWith(path));
  if (!wall) return ["(no rule for this file: give it one)"];
  const [own, allowed] = wall;
  const common = WORKER_SIDE.test(file) ? ["errors.ts"] : file.startsWith("console/page/") ? [] : COMMON;
  const open = [...allowed, ...common, ...(own.endsWith("/") ? [own] : [])];
  return importsOf(file).filter(
    (target) => !open.some((path) => target === path || (path.endsWith("/") && target.startsWith(path))),
  );
}

/** Ways along imports, those of types included, that come back to where they began. */
function circles(): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const walk = (file: string, way: readonly string[]): void => {
    if (way.includes(file)) {
      found.push([...way.slice(way.indexOf(file)), file]);
    } else if (!done.has(file) && files.includes(file)) {
      for (const target of importsOf(file)) walk(target, [...way, file]);
      done.add(file);
    }
  };
  for (const file of files) walk(file, []);
  return found;
}

describe("imports", () => {
  it("reads them all", () => {
    expect(files.length).toBeGreaterThan(10);
    expect(importsOf("commands/table.ts")).toContain("resp/reply.ts");
    expect(importsOf("config.ts")).toContain("config/options.ts");
  });

  it("have names of their own, by which files are found", () => {
    const names = files.map((file) => posix.basename(file));
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  it("go round in no circle", () => {
    expect(circles()).toEqual([]);
  });

  it.each(files.map((file) => [file]))("%s stays within its walls", (file) => {
    expect(forbidden(file)).toEqual([]);
  });
});
