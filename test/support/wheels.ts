/** Wheels for tests: made of given files, or of the pure Python libraries that Debian has for its own Python. */
import { copyFileSync, existsSync, linkSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { NO_LOG } from "../../src/log.ts";
import { sha256Of } from "../../src/packages/package-cache.ts";
import { Packages } from "../../src/packages/packages.ts";
import { newFolder } from "./folders.ts";

export interface ZipFile {
  readonly path: string;
  readonly content: string | Buffer;
  /** As `st_mode`, of the system that the archive was made on. */
  readonly mode?: number;
  /** In place of the real length. */
  readonly claims?: number;
}

/** An archive with these files. */
export function zip(files: readonly ZipFile[]): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { path, content, mode = 0o100_644, claims } of files) {
    const bytes = Buffer.from(content);
    const packed = deflateRawSync(bytes);
    const name = Buffer.from(path);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(claims ?? bytes.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), common, name, packed]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(((mode << 16) >>> 0) as number, 6);
    rest.writeUInt32LE(at, 10);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\x03", "latin1"), common, rest, name]));
    locals.push(local);
    at += local.length;
  }
  const entries = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(entries.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...locals, entries, end]);
}

export interface WheelSpec {
  readonly name: string;
  readonly version: string;
  /** `py3-none-any` unless given. */
  readonly tag?: string;
  readonly requires?: readonly string[];
  readonly requiresPython?: string;
  readonly files?: readonly ZipFile[];
}

/** A wheel: its file name and contents. Without files it has one module of its name, with its version. */
export function wheel({ name, version, tag = "py3-none-any", requires = [], requiresPython, files }: WheelSpec): {
  readonly fileName: string;
  readonly bytes: Buffer;
  readonly metadata: string;
} {
  const plain = name.replaceAll(/[-.]+/g, "_");
  const metadata = [
    ...["Metadata-Version: 2.1", `Name: ${name}`, `Version: ${version}`],
    ...(requiresPython === undefined ? [] : [`Requires-Python: ${requiresPython}`]),
    ...requires.map((one) => `Requires-Dist: ${one}`),
    ...["", "A description", "Requires-Dist: not-this"],
  ].join("\n");
  const info = `${plain}-${version}.dist-info`;
  const bytes = zip([
    ...(files ?? [{ path: `${plain}.py`, content: `__version__ = ${JSON.stringify(version)}\n` }]),
    { path: `${info}/METADATA`, content: metadata },
    { path: `${info}/WHEEL`, content: `Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: ${tag}\n` },
  ]);
  return { fileName: `${plain}-${version}-${tag}.whl`, bytes, metadata };
}

/** Puts wheels into a folder. @returns the folder */
export function folderOf(specs: readonly WheelSpec[], folder = newFolder()): string {
  for (const { fileName, bytes } of specs.map(wheel)) writeFileSync(join(folder, fileName), bytes);
  return folder;
}

/** What a test may change of a lock file. */
export interface TestLock {
  readonly info: Record<string, string>;
  readonly packages: Record<string, object>;
}

/** Makes a folder as Pyodide has its packages: `number`, which is compiled, and a library that it needs. @returns the folder */
export function pyodideFolder(made: string, change: (lock: TestLock) => void = () => {}): string {
  const library = { fileName: "libnumber-1.0.zip", bytes: zip([{ path: "libnumber.so", content: "\0asm" }]) };
  const number = wheel({ name: "number", version: "2.4", tag: "cp314-cp314-pyemscripten_2026_0_wasm32" });
  for (const { fileName, bytes } of [library, number]) writeFileSync(join(made, fileName), bytes);
  const entry = (name: string, { fileName, bytes }: typeof library, depends: string[], type: string) => ({
    ...{ name, version: "2.4", file_name: fileName, sha256: sha256Of(bytes), depends, package_type: type },
    ...{ install_dir: "site", imports: [] },
  });
  const lock = {
    info: { abi_version: "2026_0", arch: "wasm32", platform: "emscripten_5_0_3", python: "3.14.2" },
    packages: {
      number: entry("number", number, ["LibNumber"], "package"),
      libnumber: entry("libnumber", library, [], "shared_library"),
    },
  };
  change(lock);
  writeFileSync(join(made, "pyodide-lock.json"), JSON.stringify(lock));
  return made;
}

const DEBIAN = "/usr/lib/python3/dist-packages";

/** The pure Python library that a Debian package has put there, as a wheel; undefined: it is not there. */
export function debianWheel(
  name: string,
  modules: readonly string[],
  requires: readonly string[] = [],
): WheelSpec | undefined {
  if (!existsSync(DEBIAN)) return undefined;
  const info = readdirSync(DEBIAN).find((file) => file.toLowerCase().startsWith(`${name.toLowerCase()}-`));
  const version = /-(\d[^-]*?)(?:\.dist-info|\.egg-info|-)/.exec(info ?? "")?.[1];
  if (version === undefined || !modules.every((module) => existsSync(join(DEBIAN, module)))) return undefined;
  return { name, version, requires, files: modules.flatMap((module) => read(module)) };
}

function read(path: string): ZipFile[] {
  const full = join(DEBIAN, path);
  if (statSync(full).isDirectory()) {
    return readdirSync(full)
      .filter((name) => name !== "__pycache__" && !name.endsWith(".so"))
      .flatMap((name) => read(`${path}/${name}`));
  }
  return [{ path, content: readFileSync(full) }];
}

/** For tests that install nothing. */
export const noPackages = (): Packages =>
  new Packages({
    settings: {
      packagesDir: "",
      pyodidePackages: "no",
      indexUrl: "no",
      cacheDir: newFolder(),
      maxBytes: 1,
      maxCacheBytes: 0,
      preload: [],
    },
    compile: () => Promise.reject(new Error("nothing is compiled here")),
    idleMs: () => 1000,
    log: NO_LOG,
  });

/** A folder for `cache-dir` with nothing in it but the prepared image of Python, which would take long to be made. */
export function emptyCache(): string {
  const folder = newFolder();
  const from = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "regears");
  if (!existsSync(from)) return folder;
  for (const name of readdirSync(from)) {
    if (name.endsWith(".snapshot")) linkOrCopy(join(from, name), join(folder, name));
  }
  return folder;
}

/** Servers replace the images, and never write into them. There may be many: copying them all would take long. */
function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}
