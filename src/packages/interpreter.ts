/** What packages have to fit: the interpreter that comes with the server. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** The variables of environment markers, but for `extra`. */
export type MarkerVariables = Readonly<Record<string, string>>;

/** A package of Pyodide's own, by its lock file. */
export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  readonly file_name: string;
  readonly sha256: string;
  readonly depends: readonly string[];
  readonly package_type: string;
}

export interface LockFile {
  readonly info: { readonly abi_version?: string; readonly python: string; readonly platform: string };
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

export interface Interpreter {
  /** Such as `3.14.2`. */
  readonly python: string;
  readonly abi: string;
  readonly lock: LockFile;
  readonly markers: MarkerVariables;
  /** Tags of wheels that run here, the best first. */
  readonly tags: readonly string[];
  /** Where Pyodide of this version loads its packages from by itself; undefined when it does not say. */
  readonly packagesUrl: string | undefined;
}

/** Reads it from the installed Pyodide. @throws errors of the file system */
export function readInterpreter(): Interpreter {
  const folder = dirname(createRequire(import.meta.url).resolve("pyodide/package.json"));
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  const lock = JSON.parse(read("pyodide-lock.json")) as LockFile;
  const { version } = JSON.parse(read("package.json")) as { version: string };
  const { python, abi_version: abi = "", platform } = lock.info;
  const base = /https:\/\/[^"'`\s]*\/v\$\{\w+\}\/full\//.exec(read("pyodide.mjs"))?.[0];
  return {
    ...{ python, abi, lock },
    markers: markerVariables(python),
    tags: wheelTags(python, [`pyemscripten_${abi}_wasm32`, `pyodide_${abi}_wasm32`, `${platform}_wasm32`]),
    packagesUrl: base?.replace(/\$\{\w+\}/, version),
  };
}

/** As Python says of itself here. */
function markerVariables(python: string): MarkerVariables {
  return {
    python_version: python.split(".").slice(0, 2).join("."),
    python_full_version: python,
    os_name: "posix",
    sys_platform: "emscripten",
    platform_machine: "wasm32",
    platform_system: "Emscripten",
    platform_release: "",
    platform_version: "",
    platform_python_implementation: "CPython",
    implementation_name: "cpython",
    implementation_version: python,
  };
}

/** In the order in which installers prefer them. */
function wheelTags(python: string, platforms: readonly string[]): string[] {
  const [major = "", minor = ""] = python.split(".");
  const own = `cp${major}${minor}`;
  const minors = Array.from({ length: Number(minor) + 1 }, (_, back) => Number(minor) - back);
  const on = (interpreter: string, abi: string): string[] =>
    platforms.map((platform) => `${interpreter}-${abi}-${platform}`);
  return [
    ...on(own, own),
    ...minors.filter((one) => one >= 2).flatMap((one) => on(`cp${major}${one}`, "abi3")),
    ...on(own, "none"),
    ...on(`py${major}`, "none"),
    `${own}-none-any`,
    `py${major}${minor}-none-any`,
    `py${major}-none-any`,
    ...minors.slice(1).map((one) => `py${major}${one}-none-any`),
  ];
}
