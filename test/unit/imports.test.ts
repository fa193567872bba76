/** Who may import whom. A wall that is broken here is broken in the design, not in the style. */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const source = fileURLToPath(new URL("../../src/", import.meta.url));
const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"));

/** Open to all. */
const COMMON = ["errors.ts", "config.ts", "log.ts", "timer.ts"];
/** The interface, and what is built on it for any engine. */
const ENGINE_INTERFACE = [
  "engine.ts",
  "client.ts",
  "encode.ts",
  "internal.ts",
  "commands.ts",
  "config-reply.ts",
  "rights.ts",
  "traits.ts",
].map((file) => `engine/${file}`);
const PYTHON_INTERFACE = [
  "python/host.ts",
  "python/marshal.ts",
  "python/messages.ts",
  "python/protocol.ts",
  "python/transcode.ts",
];
/** What others need to take part in commands: holding the engine, and the way of a command. */
const PATH_INTERFACE = ["engine/gate.ts", "commands/caller.ts", "commands/command.ts", "commands/path.ts"];

/** What the files under a path may import besides their own folder and what is common; the first match counts. */
const WALLS: readonly (readonly [path: string, allowed: readonly string[]])[] = [
  ["resp/", []],
  ["engine/", ["resp/"]],
  ["python/realm/", ["python/protocol.ts", "python/channel.ts"]],
  ["python/worker.ts", ["python/realm/", "python/protocol.ts", "python/channel.ts", "python/wasm-memory.ts"]],
  ["python/", ["engine/", "resp/", ...PATH_INTERFACE]],
  ["executions/", [...ENGINE_INTERFACE, ...PYTHON_INTERFACE, "resp/"]],
  ["registrations/", [...ENGINE_INTERFACE, ...PYTHON_INTERFACE, ...PATH_INTERFACE, "resp/", "executions/"]],
  ["store/", [...ENGINE_INTERFACE, ...PYTHON_INTERFACE, "resp/", "executions/", "registrations/", ...PATH_INTERFACE]],
  ["commands/", [...ENGINE_INTERFACE, ...PYTHON_INTERFACE, "resp/", "executions/", "registrations/"]],
  ["visibility/", ["engine/engine.ts", ...PYTHON_INTERFACE, "executions/", "registrations/"]],
  ["gateway/", ["commands/", "engine/", "resp/"]],
  ["config", ["config/"]],
  ["log.ts", []],
  ["errors.ts", []],
  ["version.ts", []],
  ["stack.ts", []],
  ["signals.ts", []],
  ["timer.ts", []],
  ["running.ts", ["visibility/"]],
];

/** Files that put the parts together and may know them all. */
const ROOTS = ["server.ts", "cli.ts", "index.ts", "healthcheck.ts"];
const ROOM_OF_PARTS = "parts/";
/** The worker's side runs where there is neither configuration nor log. */
const WORKER_SIDE = /^python\/(worker\.ts|realm\/)/;

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
  if (ROOTS.includes(file) || file.startsWith(ROOM_OF_PARTS)) return [];
  const wall = WALLS.find(([path]) => file.startsWith(path));
  if (!wall) return ["(no rule for this file: give it one)"];
  const [own, allowed] = wall;
  const common = WORKER_SIDE.test(file) ? ["errors.ts"] : COMMON;
  const open = [...allowed, ...common, ...(own.endsWith("/") ? [own] : [])];
  return importsOf(file).filter(
    (target) => !open.some((path) => target === path || (path.endsWith("/") && target.startsWith(path))),
  );
}

describe("imports", () => {
  it("reads them all", () => {
    expect(files.length).toBeGreaterThan(10);
    expect(importsOf("commands/table.ts")).toContain("resp/reply.ts");
    expect(importsOf("config.ts")).toContain("config/options.ts");
  });

  it.each(files.map((file) => [file]))("%s stays within its walls", (file) => {
    expect(forbidden(file)).toEqual([]);
  });
});
